"""Training speed: hftune beside transformers.Trainer, with its defaults and with its best flags, in turn.

Each run is a process of its own and trains the same model on the same rows with the same settings. The clock runs from
the first batch to the last optimizer step: Python, imports, loading, tokenizing and scoring are not timed. The three
take turns, so that a machine that gets slower gets slower for all of them; ratios are taken within a turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIDES = {
    "hftune": "hftune run",
    "defaults": "Trainer, its defaults",
    "best": "Trainer, its best flags",
}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figures:
    """One run: samples trained a second, peak resident memory of its process in bytes, accuracy on test."""

    samples_per_second: float
    peak_bytes: int
    accuracy: float


def main() -> None:
    """Run the benchmark and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="bert_cls", help="recipe file or shipped name (default bert_cls)")
    parser.add_argument("--samples", type=int, default=1200, help="training samples in a run (default 1200)")
    parser.add_argument("--full", action="store_true", help="a whole epoch: shows equal quality; about 10 min a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=list(SIDES), help="default: all three")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value", help="for all sides")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    arguments = parser.parse_args()
    overrides = ["training.num_train_epochs=1", *arguments.set]
    if not arguments.full:
        overrides.append(f"data.max_train_samples={arguments.samples}")
    print(machine(), flush=True)
    measured: dict[str, list[Figures]] = {side: [] for side in arguments.sides}
    for turn in range(arguments.repeats):
        for side in arguments.sides:
            measured[side].append(figures := run_side(side, arguments.recipe, overrides))
            print(f"turn {turn + 1}: {SIDES[side]:<25}{figures.samples_per_second:8.1f} samples/s", flush=True)
    print("\n" + table(measured))
    if arguments.json:
        record = {side: [vars(figures) for figures in runs] for side, runs in measured.items()}
        arguments.json.write_text(json.dumps({"machine": machine(), "overrides": overrides, "runs": record}, indent=1))


def run_side(side: str, recipe: str, overrides: Sequence[str]) -> Figures:
    """Train once in a process of its own and return its figures; exits with its output when it fails."""
    sets = [word for override in overrides for word in ("-s", override)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if side == "hftune":
            seconds, samples, accuracy, peak = _hftune(recipe, sets, Path(folder))
        else:
            out = Path(folder) / "figures.json"
            trainer = [sys.executable, str(HERE / "trainer_side.py"), recipe, *sets, "--flags", side, "--out", str(out)]
            peak = _process(trainer)
            figures = json.loads(out.read_text())
            seconds, samples, accuracy = figures["seconds"], figures["samples"], figures["test"]
    return Figures(samples / seconds, peak, accuracy)


def _hftune(recipe: str, sets: Sequence[str], folder: Path) -> tuple[float, float, float, int]:
    """Return seconds, samples, test accuracy, peak bytes of `hftune run`, from what it wrote.

    It saves and evaluates after the last step only, which is not timed, as with Trainer, which does neither here.
    """
    apart = ["-s", "training.save_steps=1000000", "-s", "training.eval_steps=1000000"]
    command = [sys.executable, "-m", "hftune", "run", recipe, *sets, *apart, "--skip-check", "--runs-dir", str(folder)]
    peak = _process(command)
    (run,) = folder.iterdir()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    plan = next(event["data"] for event in events if event["kind"] == "plan")
    start = next(e["time"] for e in events if e["kind"] == "phase" and e["data"]["phase"] == "training")
    steps = [event for event in events if event["kind"] == "train"]
    assert steps[-1]["data"]["step"] == plan["total_steps"], "the last step must be logged to be timed"
    accuracy = json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    return steps[-1]["time"] - start, plan["train_examples"] * plan["num_train_epochs"], accuracy, peak


def _process(command: Sequence[str]) -> int:
    """Run a command; return the peak resident bytes of its process."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{log.read()[-3000:]}")
    return usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def table(measured: dict[str, list[Figures]]) -> str:
    """Return the figures as Markdown: the median of each with its spread, and hftune's ratio to each other side."""
    lines = [
        "| | samples/s, median (min–max) | hftune is faster by, median (min–max) | peak memory | test accuracy |",
        "|---|---|---|---|---|",
    ]
    for side, runs in measured.items():
        speeds = [figures.samples_per_second for figures in runs]
        ratio = ""
        if side != "hftune" and "hftune" in measured:
            pairs = zip(measured["hftune"], runs, strict=True)
            ratio = _spread([ours.samples_per_second / theirs.samples_per_second for ours, theirs in pairs], "{:.2f}×")
        peak = max(figures.peak_bytes for figures in runs) / 2**20
        accuracy = statistics.mean(figures.accuracy for figures in runs)
        lines.append(f"| {SIDES[side]} | {_spread(speeds, '{:.1f}')} | {ratio} | {peak:,.0f} MiB | {accuracy:.3f} |")
    return "\n".join(lines)


def machine() -> str:
    """Return what a reader must know of the machine to place the figures."""
    import torch
    import transformers

    from hftune.modeling.processor import computes_bf16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else _processor()
    bf16 = "native" if computes_bf16(device) else "not native (both sides compute in fp32)"
    memory = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, load {load:.1f} before the first run; "
        f"bf16 {bf16}; torch {torch.__version__}, transformers {transformers.__version__}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
