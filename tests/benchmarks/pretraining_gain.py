"""What further pretraining on the texts gives the classifier: bert_cls with and without minilm_mlm before it.

Three arms, each with the same seeds, the classifier always with the recipe bert_cls:
  plain       from all-MiniLM-L6-v2 as it comes
  pretrained  from the run of minilm_mlm (masked words of the train texts, the same seed)
  control     from a run of minilm_mlm that learned nothing: like `pretrained` it has lost the checkpoint's pooler,
              so what is between these two is the learning alone
Test accuracy of each, and paired differences with 95% intervals over test rows and seeds. Pretraining sees the train
texts alone. -s changes the classifier's recipe (-s data.max_train_samples=500: few labels, all texts), -p that of the
pretraining. Finished runs in --runs-dir are kept and not done again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ARMS = ("plain", "pretrained", "control")
NOTHING_LEARNED = ("training.max_steps=1", "training.learning_rate=1e-12")


def main() -> None:
    """Train what is missing, then print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/pretraining-gain"), metavar="DIR")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("-p", "--pretraining", action="append", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    right: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    for seed in arguments.seeds:
        for arm in ARMS:
            run = classifier(arguments.runs_dir, arm, seed, arguments.set, arguments.pretraining)
            right[arm].append(hits(run))
            print(f"seed {seed}, {arm}: {right[arm][-1].mean():.4f}", flush=True)
    print("\n".join(tables(right)))


def classifier(folder: Path, arm: str, seed: int, settings: Sequence[str], pretraining: Sequence[str]) -> Path:
    """Return the finished classifier of an arm, trained when it is not there."""
    chosen = [*settings, f"training.seed={seed}"]
    if arm != "plain":
        further = [*pretraining, *(NOTHING_LEARNED if arm == "control" else ()), f"training.seed={seed}"]
        chosen.append(f"model={(finished(folder, 'minilm_mlm', f'{arm}-mlm-{seed}', further) / 'model').resolve()}")
    return finished(folder, "bert_cls", f"{arm}-cls-{seed}", chosen)


def finished(folder: Path, recipe: str, name: str, overrides: Sequence[str]) -> Path:
    """Return the finished run of that name, made when there is none."""
    if not (done := [path.parent for path in folder.glob(f"{name}-2*/metrics.json")]):
        sets = [word for override in overrides for word in ("-s", override)]
        command = [sys.executable, "-m", "hftune", "run", recipe, *sets, "--name", name, "--skip-check"]
        subprocess.run([*command, "--runs-dir", str(folder)], check=True, stdout=subprocess.DEVNULL)
        done = [path.parent for path in folder.glob(f"{name}-2*/metrics.json")]
    return done[0]


def hits(run: Path) -> Any:
    """Return 0 or 1 for each row of the test split [rows]: labelled rightly."""
    from hftune.data.load import load_splits
    from hftune.inference.predictor import Predictor
    from hftune.tasks._labels import is_missing

    predictor = Predictor.load(run)
    data = predictor.loaded.recipe.data
    test = load_splits(data)["test"]
    test = test.select([row for row, label in enumerate(test[data.label]) if not is_missing(label)])
    found = [prediction.label for prediction in predictor.classify(test[data.text][:])]
    return np.array([guess == label for guess, label in zip(found, test[data.label], strict=True)], dtype=float)


def tables(right: dict[str, list[Any]]) -> list[str]:
    """Return the tables' lines; `right` holds for each arm an array [rows] a seed."""
    from hftune.inference.comparison import Scores, difference, mean_draws
    from hftune.inference.statistics import resample

    scores = {}
    for arm, seeds in right.items():
        found = [
            resample(np.column_stack([row, np.ones_like(row)]), lambda sums: {"accuracy": sums[..., 0] / sums[..., 1]})
            for row in seeds
        ]
        values = tuple(whole["accuracy"] for whole, _ in found)
        scores[arm] = Scores(values, mean_draws([drawn["accuracy"] for _, drawn in found]))
    rows = len(right["plain"][0])
    lines = ["", f"| arm | accuracy on {rows} test rows, mean | by seed |", "|---|---|---|"]
    lines += [
        f"| {arm} | {one.mean:.4f} | {', '.join(f'{value:.4f}' for value in one.values)} |"
        for arm, one in scores.items()
    ]
    lines += ["", "| difference | mean | 95% interval |", "|---|---|---|"]
    for first, second in (("pretrained", "plain"), ("pretrained", "control"), ("control", "plain")):
        gap = difference(scores[first], scores[second], rows)
        lines.append(f"| {first} − {second} | {gap.value:+.4f} | {gap.low:+.4f} to {gap.high:+.4f} |")
    return lines


if __name__ == "__main__":
    main()
