"""`hftune predict --output` killed ten times at random over 100,000 rows: the file is that of an uninterrupted one."""

from __future__ import annotations

import csv
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import dying

from hftune.inference.row_files import lock_of, partial_of

pytestmark = pytest.mark.long

ROWS, KILLS = 100_000, 10
LOOK_SECONDS = 0.005  # between two looks at how far it is
RECIPE = {
    "name": "tiny",
    "task": "text-classification",
    "model": {
        "architecture": "lstm",
        "config": {"embedding_size": 8, "hidden_size": 8},
        "tokenizer": {"fit": "characters"},
    },
    "training": {"learning_rate": 5.0e-3, "max_steps": 4, "per_device_train_batch_size": 8, "precision": "fp32"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_reviews: Path) -> Path:
    path = dying.make_run(
        tmp_path_factory.mktemp("runs"), {**RECIPE, "data": {"files": str(tiny_reviews), "max_length": 24}}
    )
    assert dying.forked(dying.train, str(path)) == 0
    return path


def write_rows(path: Path) -> None:
    """Write short rows: some in quotes over two lines, some of several bytes a character, some without a text."""
    chance = random.Random(0)
    words = ["the", "film", "was", "good", "bad", "电影", "naïve", "🙂", '"quoted"', "a, b", "two\nlines", "fine"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows((number, " ".join(chance.choices(words, k=chance.randrange(7)))) for number in range(ROWS))


def start(run: Path, source: Path, sink: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hftune", "predict", str(run), "--input", str(source), "--output", str(sink)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return errors


def killed_when(process: subprocess.Popen[str], reached: Callable[[], bool], then_seconds: float) -> str:
    """Kill a process a moment after it has come so far; return what it said."""
    while not reached():
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"it ended before it was killed: {process.communicate()[1]}")
    try:
        process.wait(then_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    return errors


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_killed_ten_times_it_ends_with_every_row_once(run: Path, tmp_path: Path, kind: str) -> None:
    source, sink, whole = tmp_path / "in.csv", tmp_path / f"out.{kind}", tmp_path / f"whole.{kind}"
    write_rows(source)
    expected = start(run, source, whole)
    ends = [0]  # how large the file was before it was put in place
    while expected.poll() is None:
        ends.append(max(ends[-1], size(partial_of(whole))))
        try:
            expected.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    finish(expected)

    chance = random.Random(kind)
    # The first one before any row; the rest anywhere, each further on than the one before.
    marks = sorted(chance.uniform(0.01, 0.9) * ends[-1] for _ in range(KILLS - 1))
    said = [killed_when(start(run, source, sink), lock_of(sink).exists, chance.uniform(0, 0.05))]
    for mark in marks:
        reached = lambda mark=mark: size(partial_of(sink)) >= mark  # noqa: E731
        said.append(killed_when(start(run, source, sink), reached, chance.uniform(0, 0.1)))
        assert not sink.exists()
    said.append(finish(start(run, source, sink)))

    assert sink.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([source, sink, whole])
    begun = [int(found[1].replace(",", "")) for errors in said if (found := re.search(r"after ([\d,]+) rows", errors))]
    assert begun == sorted(begun) and begun[-1] > ROWS // 2, begun
