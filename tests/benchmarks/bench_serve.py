"""Micro-batching: `hftune serve` under many clients beside what Predictor.classify does in batches of 1 and of 16.

    python tests/benchmarks/bench_serve.py [RUN] [--clients 16 32 64 128] [--turns 5]

RUN is a finished run of a classifier; without it bert_cls is trained first. The sides take turns on the same texts
(rows of the run's test split): predict a text at a time, predict in batches of 16, the server with so many clients,
each text a request of its own. A client is a socket that sends its next text once it has the answer to the last; the
clients share one process, which shares the cores with the server and its worker. The gain is the rate in batches of 16
less the rate a text at a time; what is printed for the server is the share of it that it reaches, within each turn.
Processor time (of all processes of a side) tells the same on a machine that others use too. Labels and probabilities
are compared in each turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from bench_training import machine
from control import train

BATCH = 16
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
PREDICT = """
import json, sys
from pathlib import Path
from hftune.threads import wait_politely_when_busy
wait_politely_when_busy()
from hftune.inference.predictor import Predictor
predictor = Predictor.load(Path(sys.argv[1]))
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps([one.probabilities for one in predictor.classify(asked["texts"], asked["batch"])]), flush=True)
"""


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="default: train bert_cls")
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 32, 64, 128], metavar="N")
    parser.add_argument("--turns", type=int, default=5, help="default 5")
    parser.add_argument("--texts", type=int, default=512, help="texts a side and turn (default 512)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        compare(arguments.run or train("bert_cls", Path(folder), []), arguments)


def compare(run: Path, arguments: argparse.Namespace) -> None:
    """Let the sides take turns, and print what they did."""
    texts = test_texts(run, arguments.texts)
    print(machine(), flush=True)
    sides = {"1": Side("predict, a text at a time"), str(BATCH): Side(f"predict, batches of {BATCH}")}
    sides |= {f"{clients} clients": Side(f"served, {clients} clients") for clients in arguments.clients}
    apart = 0.0
    with predict_process(run) as (predict, alone), server(run, max(arguments.clients)) as (port, process):
        for batch in (1, BATCH):
            predict(texts[:64], batch)  # what is slow the first time is not measured
        asyncio.run(ask_all(port, texts[:64], BATCH))
        serving = [process, *process.children(), psutil.Process()]
        for turn in range(arguments.turns):
            for batch in (1, BATCH):
                with sides[str(batch)].measured([alone], len(texts)):
                    expected = predict(texts, batch)
            for clients in arguments.clients:
                side = sides[f"{clients} clients"]
                with side.measured(serving, len(texts)):
                    answers = asyncio.run(ask_all(port, texts, clients))
                side.waits += [seconds for seconds, _ in answers]
                apart = max(apart, difference(expected, [answer for _, answer in answers]))
            print(f"turn {turn + 1}: " + ", ".join(f"{key}: {side.rates[-1]:.0f}/s" for key, side in sides.items()))
        sizes = [each.memory_info().rss / 2**20 for each in serving[:2]]
    print("\n" + table(list(sides.values())))
    print(f"\nlabels equal, probabilities at most {apart:.1e} apart; memory: server {sizes[0]:.0f} MiB, ", end="")
    print(f"its worker {sizes[1]:.0f} MiB")


@dataclass
class Side:
    """What one side did in each turn: texts a second, processor milliseconds a text, and how long each text took."""

    name: str
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self, processes: Sequence[psutil.Process], count: int) -> Iterator[None]:
        """Measure what is done for so many texts."""
        used, began = processor(processes), time.perf_counter()
        yield
        self.rates.append(count / (time.perf_counter() - began))
        self.costs.append(1000 * (processor(processes) - used) / count)


def processor(processes: Sequence[psutil.Process]) -> float:
    """Return the processor seconds that processes have had."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def test_texts(run: Path, count: int) -> list[str]:
    """Return texts of the run's test split, over again when there are too few."""
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom hftune.inference.predictor import Predictor\n"
        "from hftune.inference.scoring import load_rows\npredictor = Predictor.load(Path(sys.argv[1]))\n"
        "_, rows = load_rows(predictor, 'test', None, lambda _: None)\n"
        "column = predictor.loaded.recipe.data.text\nprint(json.dumps([row[column] for row in rows]))"
    )
    said = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    texts = json.loads(said.stdout.splitlines()[-1])
    return (texts * (count // len(texts) + 1))[:count]


@contextmanager
def predict_process(run: Path) -> Iterator[tuple[Any, psutil.Process]]:
    """Give a function that labels texts, (texts, batch) -> shares, in a process that has loaded the run, and that."""
    command = [sys.executable, "-c", PREDICT, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None

        def predict(texts: Sequence[str], batch: int) -> list[dict[str, float]]:
            print(json.dumps({"texts": texts, "batch": batch}), file=process.stdin, flush=True)
            return list(json.loads(process.stdout.readline()))

        yield predict, psutil.Process(process.pid)
        process.stdin.close()


@contextmanager
def server(run: Path, clients: int) -> Iterator[tuple[int, psutil.Process]]:
    """Give the port of a server that has loaded the run, and its process."""
    command = [sys.executable, "-m", "hftune", "serve", str(run), "--port", "0", "--json"]
    command += ["--queue", str(2 * clients)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield port, psutil.Process(process.pid)
        process.terminate()


async def ask_all(port: int, texts: Sequence[str], clients: int) -> list[tuple[float, dict[str, float]]]:
    """Return (seconds, shares) of each text, asked by so many clients at once."""
    found: list[tuple[float, dict[str, float]] | None] = [None] * len(texts)
    waiting = iter(enumerate(texts))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place, text in waiting:
            began = time.perf_counter()
            body = json.dumps({"input": text}).encode()
            writer.write(HEAD + str(len(body)).encode() + b"\r\n\r\n" + body)
            answered = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line[15:]) for line in answered.split(b"\r\n") if line.startswith(b"content-length:"))
            answer = json.loads(await reader.readexactly(size))
            found[place] = time.perf_counter() - began, answer["data"][0]["probabilities"]
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return [each for each in found if each is not None]


def difference(expected: Sequence[dict[str, float]], found: Sequence[dict[str, float]]) -> float:
    """Return the largest difference between two shares; ends when a label differs."""
    largest = 0.0
    for one, other in zip(expected, found, strict=True):
        if max(one, key=one.__getitem__) != max(other, key=other.__getitem__):
            sys.exit(f"labels differ: {one}, {other}")
        largest = max(largest, *(abs(share - other[name]) for name, share in one.items()))
    return largest


def table(sides: Sequence[Side]) -> str:
    """Return what the sides did as Markdown, median (min-max)."""
    one, many, *served = sides
    gains = [b / a for a, b in zip(one.rates, many.rates, strict=True)]
    rows = [
        ["", "texts/s", "of the gain", "processor, ms a text", "of the gain, by processor", "wait: median, 95%"],
        ["---"] * 6,
        [one.name, spread(one.rates, "{:.0f}"), "", spread(one.costs, "{:.1f}"), "", ""],
        [many.name, spread(many.rates, "{:.0f}"), spread(gains, "{:.2f}×"), spread(many.costs, "{:.1f}"), "", ""],
    ]
    for side in served:
        ninety_five = statistics.quantiles(side.waits, n=20)[-1]
        rows.append(
            [
                side.name,
                spread(side.rates, "{:.0f}"),
                spread(shares(one.rates, many.rates, side.rates), "{:.0%}"),
                spread(side.costs, "{:.1f}"),
                spread(shares(*([1 / cost for cost in each.costs] for each in (one, many, side))), "{:.0%}"),
                f"{1000 * statistics.median(side.waits):.0f} ms, {1000 * ninety_five:.0f} ms",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shares(one: Sequence[float], many: Sequence[float], side: Sequence[float]) -> list[float]:
    """Return which share of the gain from `one` to `many` a side reaches in each turn."""
    return [(c - a) / (b - a) for a, b, c in zip(one, many, side, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Return the median and the ends."""
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
