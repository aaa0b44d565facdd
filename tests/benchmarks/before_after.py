"""What LoRA changed: held-out figures of a run's model with its adapter, and of the same model without it.

    python tests/benchmarks/before_after.py [RUN...]

RUNs are finished runs of a language model with `method: lora`; without them smollm2_chat_lora is trained first. Both
columns come from the code of `hftune evaluate` over the same rows and tokens; "before" has the adapter switched off,
which is the model that the run began with. Prints a Markdown table with 95% intervals (bootstrap over rows).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from control import train

from hftune.inference.predictor import Predictor
from hftune.inference.scoring import Score, load_rows, score

SPLITS = ("validation", "test")


def main() -> None:
    """Train what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="default: train smollm2_chat_lora")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value", help="for the trained")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="before-after-") as folder:
        for run in arguments.runs or [train("smollm2_chat_lora", Path(folder), arguments.set)]:
            report(run)


def report(run: Path) -> None:
    """Print the table of a run."""
    predictor = Predictor.load(run, device="cpu")
    print(f"\n{run.name}\n\n| split | figure | before | after |\n|---|---|---|---|")
    for split in SPLITS:
        before, after = scores(predictor, split)
        for name in after.metrics:
            print(f"| {split} | {name} | {figure(before, name)} | {figure(after, name)} |", flush=True)


def scores(predictor: Predictor, split: str) -> tuple[Score, Score]:
    """Return the scores without and with the adapter."""
    name, rows = load_rows(predictor, split, None, print)
    after = score(predictor, name, rows, worst=0)
    with predictor.loaded.model.disable_adapter():
        return score(predictor, name, rows, worst=0), after


def figure(scored: Score, name: str) -> str:
    """Return a figure with its interval."""
    found = scored.metrics[name]
    ends = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return f"{found['value']:.3f}{ends}"


if __name__ == "__main__":
    main()
