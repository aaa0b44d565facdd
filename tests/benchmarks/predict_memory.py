"""Memory and speed of `hftune predict` over ever more rows, each in a process of its own.

    python tests/benchmarks/predict_memory.py RUN [--rows 20000 200000] [--formats csv jsonl parquet]

RUN is a classifier's run directory. Texts of 3 to 40 characters are drawn from a seed; the output has the input's
format. Prints a Markdown table: the process's peak memory (RSS, as the kernel counts it) and the rows a second from its
first row to its last, and says by how much the peaks of each format differ. Exits with 1 when that is over 8 MiB.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FORMATS = ("csv", "jsonl", "parquet")
CHARACTERS = "这是一个新的示例文本电影很好看不错非常糟糕我喜欢天气今天明天，。"
MOST_DIFFERENCE = 8.0  # MiB
TIMED = """
import sys, time
from hftune import cli
from hftune.inference import file_labels
label = file_labels.label_file
def timed(*given):
    began = time.monotonic()
    done = label(*given)
    print(done.rows / (time.monotonic() - began))
    return done
file_labels.label_file = timed
sys.exit(cli.run(sys.argv[1:]))
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000], metavar="N")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    arguments = parser.parse_args()
    over = []
    print("| format | rows | peak memory | rows/s |\n|---|---:|---:|---:|", flush=True)
    for kind in arguments.formats:
        peaks = []
        for count in arguments.rows:
            peak, rate = measure(arguments.run, kind, count)
            peaks.append(peak)
            print(f"| {kind} | {count:,} | {peak:,.1f} MiB | {rate:,.0f} |", flush=True)
        over.append((max(peaks) - min(peaks), kind))
    print("\n" + ", ".join(f"{kind}: peaks differ by {by:.1f} MiB" for by, kind in over))
    return int(max(over)[0] > MOST_DIFFERENCE)


def measure(run: Path, kind: str, count: int) -> tuple[float, float]:
    """Return the peak memory in MiB of a process that labels so many rows, and the rows a second."""
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder) / f"in.{kind}", Path(folder) / f"out.{kind}"
        # In a process of its own: a child begins with its parent's peak.
        subprocess.run([sys.executable, __file__, "--make", str(source), str(count)], check=True)
        words = ["predict", str(run), "--input", str(source), "--output", str(sink)]
        process = subprocess.Popen(
            [sys.executable, "-c", TIMED, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        rate = float(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"predict ended with {process.returncode}")
    return usage.ru_maxrss / 1024, rate


def make(path: Path, count: int) -> None:
    """Write rows by the file's ending."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text"])
            writer.writerows(enumerate(texts(count)))
    elif path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            lines = (json.dumps({"id": number, "text": text}) for number, text in enumerate(texts(count)))
            file.writelines(line + "\n" for line in lines)
    else:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.table({"id": range(count), "text": list(texts(count))}), path)  # one row group


def texts(count: int) -> Iterator[str]:
    """Yield texts, the same ones each time."""
    chance = random.Random(0)
    return ("".join(chance.choices(CHARACTERS, k=chance.randint(3, 40))) for _ in range(count))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
