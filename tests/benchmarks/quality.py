"""Quality: test accuracy of hftune beside transformers.Trainer, same settings and split, over seeds.

Full fine-tuning (recipe bert_cls) and LoRA (bert_cls_lora) as shipped; the settings in them were chosen on validation
alone. Both sides evaluate after each epoch and score the epoch that was best on validation. What must hold: hftune's
mean is at most one point below Trainer's, and not under 0.84 (full) and 0.815 (LoRA). Exits with 1 when it does not.
About 40 minutes on two quiet cores; --recipes, --seeds and --sides do a part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
FLOORS = {"bert_cls": 0.84, "bert_cls_lora": 0.815}
MARGIN = 0.01


@dataclass(frozen=True)
class Scores:
    """Test accuracies by seed."""

    hftune: dict[int, float] = field(default_factory=dict)
    trainer: dict[int, float] = field(default_factory=dict)


def main() -> None:
    """Run the comparison, print a Markdown table, exit with 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=tuple(FLOORS), default=list(FLOORS), help="default: both")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--sides", nargs="+", choices=("hftune", "trainer"), default=["hftune", "trainer"])
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value", help="for both sides")
    arguments = parser.parse_args()
    broken: list[str] = []
    rows = []
    for recipe in arguments.recipes:
        scores = Scores()
        for seed in arguments.seeds:
            for side in arguments.sides:
                overrides = [*arguments.set, f"training.seed={seed}"]
                accuracy = hftune(recipe, overrides) if side == "hftune" else trainer(recipe, overrides)
                getattr(scores, side)[seed] = accuracy
                print(f"{recipe}, seed {seed}, {side}: {accuracy:.4f}", flush=True)
        broken += problems(recipe, scores)
        rows.append(f"| {recipe} | {_mean(scores.hftune)} | {_mean(scores.trainer)} | {FLOORS[recipe]} |")
    print("\n| recipe | hftune | transformers.Trainer | at least |\n|---|---|---|---|\n" + "\n".join(rows))
    if broken:
        sys.exit("\n".join(broken))


def problems(recipe: str, scores: Scores) -> list[str]:
    """Return which bounds are broken."""
    found = []
    ours = statistics.mean(scores.hftune.values()) if scores.hftune else None
    theirs = statistics.mean(scores.trainer.values()) if scores.trainer else None
    if ours is not None and ours < FLOORS[recipe]:
        found.append(f"{recipe}: {ours:.4f} is under {FLOORS[recipe]}")
    if ours is not None and theirs is not None and ours < theirs - MARGIN:
        found.append(f"{recipe}: {ours:.4f} is more than {MARGIN} below Trainer's {theirs:.4f}")
    return found


def hftune(recipe: str, overrides: Sequence[str]) -> float:
    """Return the test accuracy of `hftune run`."""
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        command = [sys.executable, "-m", "hftune", "run", recipe, *_sets(overrides), "--skip-check"]
        _process([*command, "--runs-dir", folder])
        (run,) = Path(folder).iterdir()
        return float(json.loads((run / "metrics.json").read_text())["test"]["accuracy"])


def trainer(recipe: str, overrides: Sequence[str]) -> float:
    """Return the test accuracy of transformers.Trainer with the same settings."""
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / "trainer_side.py"), recipe, *_sets(overrides), "--keep-best"]
        _process([*command, "--flags", "best", "--out", str(out)])
        return float(json.loads(out.read_text())["test"])


def _sets(overrides: Sequence[str]) -> list[str]:
    return [word for override in overrides for word in ("-s", override)]


def _process(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")


def _mean(scores: dict[int, float]) -> str:
    if not scores:
        return "–"
    values = list(scores.values())
    each = ", ".join(f"{value:.3f}" for value in values)
    return f"{statistics.mean(values):.4f} ({each})"


if __name__ == "__main__":
    main()
