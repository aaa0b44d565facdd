"""Is it worth asking the teacher? A student distilled from a run, and the same student trained on labels alone.

    python tests/benchmarks/distil_or_labels.py RUN [--layers 3] [--seeds 0 1 2] [--runs-dir DIR]

Both begin with the same of the parent's layers and train equally long; the second with `compress.hard_weight=1`, in
which the parent's answers have no part. Prints test accuracy by seed, the share of the parent's that is kept, and the
difference with its 95% interval over test rows and seeds (hftune/inference/comparison.py). The runs are kept in
--runs-dir, and those of the same parent and settings are not trained again. About 25 minutes for three seeds on two
quiet cores.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hftune.inference import statistics
from hftune.inference.comparison import Scores, difference, mean_draws
from hftune.inference.predictor import Predictor
from hftune.inference.row_answers import LabelAnswers, answer_rows
from hftune.inference.scoring import load_rows
from hftune.runs import layout

SIDES = {"distilled": "0.5", "labels alone": "1"}


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the parent's run")
    parser.add_argument("--layers", type=int, default=3, help="of the student (default 3)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the students are kept")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value", help="for both sides")
    arguments = parser.parse_args()
    teacher = answers(arguments.run)
    found: dict[str, list[LabelAnswers]] = {}
    for side, hard_weight in SIDES.items():
        for seed in arguments.seeds:
            overrides = [f"compress.layers={arguments.layers}", f"compress.hard_weight={hard_weight}"]
            overrides += [f"training.seed={seed}", "compress.max_loss=1", *arguments.set]
            name = student_name(side, arguments.run, overrides)
            student = answers(trained(arguments.run, arguments.runs_dir, name, overrides))
            found.setdefault(side, []).append(student)
            print(f"{side}, seed {seed}: {accuracy(student):.4f}", flush=True)
    print(f"\n| student | accuracy, mean | each seed | of the parent's {accuracy(teacher):.4f} |\n|---|---:|---|---:|")
    for side, students in found.items():
        values = [accuracy(student) for student in students]
        mean, each = float(np.mean(values)), ", ".join(f"{value:.3f}" for value in values)
        print(f"| {side} | {mean:.4f} | {each} | {mean / accuracy(teacher):.1%} |")
    gain = difference(*(scores(students) for students in found.values()), len(teacher.numbers))
    ends = (
        f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})" if gain.low is not None and gain.high is not None else ""
    )
    print(f"\ndistilled is better by {100 * gain.value:+.1f} points{ends}, 95%, over test rows and seeds")


def student_name(side: str, parent: Path, overrides: Sequence[str]) -> str:
    """Return a name that no student of another parent, or with other settings, has."""
    made_of = "\n".join([str(parent.resolve()), *overrides])
    return f"{side.replace(' ', '-')}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


def trained(parent: Path, runs_dir: Path, name: str, overrides: Sequence[str]) -> Path:
    """Return the finished run of that name, trained if there is none."""
    known = [path for path in runs_dir.glob(f"{name}-*") if (path / layout.COMPRESSION).is_file()]
    if known:
        return known[0]
    command = [sys.executable, "-m", "hftune", "compress", str(parent), "--method", "distill", "--name", name]
    given = [word for override in overrides for word in ("-s", override)]
    subprocess.run([*command, *given, "--runs-dir", str(runs_dir)], check=True, stdout=subprocess.DEVNULL)
    (path,) = runs_dir.glob(f"{name}-*")
    return path


def answers(run: Path) -> LabelAnswers:
    """Return what a run's model answers to the test rows."""
    predictor = Predictor.load(run, device="cpu")
    found = answer_rows(predictor, *load_rows(predictor, "test", None, lambda _: None))
    assert isinstance(found, LabelAnswers)
    return found


def accuracy(found: LabelAnswers) -> float:
    """Return the share of rows that are answered rightly."""
    assert found.right is not None
    return float(found.right.mean())


def scores(students: Sequence[LabelAnswers]) -> Scores:
    """Return the accuracy of students that differ by their seed."""
    draws = [statistics.resample(*student.sums())[1]["accuracy"] for student in students]
    return Scores(tuple(accuracy(student) for student in students), mean_draws(draws))


if __name__ == "__main__":
    main()
