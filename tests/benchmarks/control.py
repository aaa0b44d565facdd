"""Control: how often a generated review is what was asked for, before and after tuning.

    python tests/benchmarks/control.py [RUN...]

RUNs are finished runs of gpt2_gen or gpt2_gen_lora; without them both recipes are trained first. The judge is a
classifier (bert_cls, trained here on the validation split of hftune:movie-reviews, which neither the pretraining nor
the generators have seen); its own error is measured on the test split, which nobody has seen. Each generator is asked
100 times for "positive review:" and 100 times for "negative review:"; all 200 are judged, none is drawn again.
"Before" is the model that the runs began with. Prints a Markdown table, and the first ten texts of each kind.
Intervals: Wilson, 95%.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from samples import load, write

from hftune import starters
from hftune.inference.loading import load_run
from hftune.inference.predictor import Predictor
from hftune.recipe.load import load_recipe
from hftune.runs import layout

ASKED = ("positive", "negative")
EACH = 100
SHOWN = 10


def main() -> None:
    """Train what is missing, generate, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="default: train gpt2_gen and gpt2_gen_lora")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value", help="for all trained")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="control-") as folder:
        judge, error, judged = train_judge(Path(folder) / "judge", arguments.set)
        print(f"judge: wrong on {error:.1%} of {judged:,} test sentences", flush=True)
        runs = arguments.runs or [
            train(name, Path(folder) / name, arguments.set) for name in ("gpt2_gen", "gpt2_gen_lora")
        ]
        report(judge, runs, error)


def report(judge: Predictor, runs: Sequence[Path], error: float) -> None:
    """Print the table and the texts."""
    writers = [("before", *load(str(load_recipe(runs[0] / layout.RECIPE).model.id)))]
    for run in runs:
        loaded = load_run(run, device="cpu")
        writers.append((loaded.recipe.name, loaded.model, loaded.tokenizer))
    rows, shown = [], []
    for name, model, tokenizer in writers:
        texts = {label: write(model, tokenizer, f"{label} review:", EACH) for label in ASKED}
        right = {label: sum(a.label == label for a in judge.classify(texts[label])) for label in ASKED}
        total = sum(right.values())
        low, high = wilson(total, len(ASKED) * EACH)
        each = " | ".join(f"{right[label]} of {EACH}" for label in ASKED)
        rows.append(f"| {name} | {each} | {total / (len(ASKED) * EACH):.1%} | {low:.1%} to {high:.1%} |")
        shown += [f"\n{name}"] + [f"- {label} review:{text}" for label in ASKED for text in texts[label][:SHOWN]]
    print("\n| model | positive as asked | negative as asked | both | 95% interval |\n|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nThe judge itself is wrong on {error:.1%} of real sentences.")
    print("\n".join(shown))


def train_judge(folder: Path, overrides: Sequence[str]) -> tuple[Predictor, float, int]:
    """Return the classifier, its error on the test split, and how many labelled sentences that has."""
    files = starters.data_files("hftune:movie-reviews")
    data = {"train": str(files["validation"]), "test": str(files["test"])}
    settings = ["data.source=null", f"data.files={json.dumps(data)}", "training.num_train_epochs=4"]
    run = train("bert_cls", folder, [*settings, *overrides])
    test = json.loads((run / layout.METRICS).read_text(encoding="utf-8"))["test"]
    labels = pq.read_table(files["test"], columns=["label"])["label"]
    return Predictor.load(run, device="cpu"), 1 - test["accuracy"], len(labels) - labels.null_count


def train(recipe: str, folder: Path, overrides: Sequence[str]) -> Path:
    """Return the run directory of `hftune run RECIPE`, alone in `folder`."""
    sets = [word for override in overrides for word in ("-s", override)]
    command = [sys.executable, "-m", "hftune", "run", recipe, *sets, "--skip-check", "--runs-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    (run,) = folder.iterdir()
    return run


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927)."""
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return middle - half, middle + half


if __name__ == "__main__":
    main()
