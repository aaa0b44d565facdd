"""Eight runs that train, as far as anyone who reads their directories can tell: what `make bench-tui` watches.

    python tests/benchmarks/load.py RUNS_DIR [--runs 8] [--rate 200]

Writes with hftune's own writer `--rate` train events a second into each run, an evaluation for every thousand of them,
states and heartbeats as jobs do. Says the names on its first line (JSON), ends when its input ends, and says then how
many events a second each run got.
"""

from __future__ import annotations

import argparse
import json
import math
import select
import sys
import time
from pathlib import Path

from hftune.runs.writer import RunWriter

TOTAL = 1_000_000
RECIPE = """\
name: {name}
model:
  id: hftune:minilm-l6
task:
  name: text-classification
data:
  train: hftune:movie-reviews
"""


def main() -> None:
    """Write until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="RUNS_DIR")
    parser.add_argument("--runs", type=int, default=8, help="default: 8")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second for each run; default: 200")
    arguments = parser.parse_args()
    runs = [begin(arguments.folder, f"load{number}") for number in range(arguments.runs)]
    print(json.dumps([run.path.name for run in runs]), flush=True)
    began, step = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], max(0.0, began + step / arguments.rate - time.monotonic()))[0]:
        step += 1
        for number, run in enumerate(runs):
            train(run, number, step, time.monotonic() - began)
    took = time.monotonic() - began
    for run in runs:
        run.set_state(status="done")
        run.close()
    print(step / took, flush=True)


def begin(folder: Path, name: str) -> RunWriter:
    """Make a run that trains."""
    run = RunWriter.create(folder, name, RECIPE.format(name=name))
    plan = {"steps_per_epoch": 10_000, "num_train_epochs": 100.0, "train_examples": 160_000, "metric": "accuracy"}
    run.emit("plan", total_steps=TOTAL, **plan, device="cpu", processes=1, parameters=22_700_000)
    run.set_state(status="training", phase="training", total_steps=TOTAL)
    run.start_heartbeat()
    return run


def train(run: RunWriter, number: int, step: int, seconds: float) -> None:
    """Write what a step says; every thousandth is followed by an evaluation."""
    loss = 0.4 + math.exp(-step / 2000) + 0.1 * math.sin(step * (number + 1.7))
    metrics = {"loss": loss, "learning_rate": 2e-5 * (1 - step / TOTAL), "grad_norm": 1.4 + math.cos(step)}
    timing = {
        "tokens_per_second": 1840.0 + 100 * math.sin(step / 50),
        "samples_per_second": 32.0,
        "elapsed_seconds": seconds,
        "eta_seconds": (TOTAL - step) / 200,
        "eta_error_seconds": 9.0,
        "memory_bytes": 2_061_584_302,
    }
    run.emit("train", step=step, epoch=step / 10_000, metrics=metrics, timing=timing)
    if step % 1000 == 0:
        scores = {"loss": loss + 0.02, "accuracy": 0.9 - loss / 10}
        run.emit("eval", step=step, split="validation", metrics=scores, timing={"seconds": 3.1})


if __name__ == "__main__":
    main()
