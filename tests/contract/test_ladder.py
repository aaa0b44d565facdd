"""`hftune ladder` with real runs of tiny models: one table, nothing trained twice, interrupted and gone on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from hftune import cli
from hftune.inference.predictor import Predictor
from hftune.runs.events import Event
from hftune.runs.reader import EventTail, list_runs, read_events, read_state

RUNGS = ["majority", "tfidf", "lstm", "head", "lora", "full"]


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


@pytest.fixture
def recipe(tmp_path: Path, tiny_bert_folder: Path, tiny_reviews: Path) -> Path:
    reviews = shutil.copy(tiny_reviews, tmp_path / "reviews.csv")
    path = tmp_path / "tiny.yaml"
    path.write_text(f"""\
name: tiny
task: text-classification
model: {tiny_bert_folder}
data: {{files: {reviews}, max_length: 32, validation_share: 0.2, test_share: 0.3}}
training: {{max_steps: 4, per_device_train_batch_size: 8, precision: fp32, threads: 1, logging_steps: 1}}
""")
    return path


def ladder(recipe: Path, *arguments: str) -> int:
    return cli.run(["ladder", str(recipe), *arguments])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one object on standard output."""
    (line,) = capsys.readouterr().out.splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def attempts() -> dict[str, int]:
    """Return run name -> attempts, of all runs."""
    return {run.name: run.state.attempt for run in list_runs() if run.state is not None}


def test_the_whole_ladder_is_one_object_a_file_and_ordinary_runs(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ladder(recipe, "--seeds", "0,3", "--json") == 0
    record = found(capsys)
    assert [rung["rung"] for rung in record["rungs"]] == RUNGS
    assert (record["complete"], record["metric"], record["seeds"]) == (True, "accuracy", [0, 3])
    assert [(one["rung"], one["seed"]) for one in record["results"]] == [
        ("majority", None), ("tfidf", None), *((rung, seed) for rung in RUNGS[2:] for seed in (0, 3))
    ]  # fmt: skip
    assert record["verdict"] and record["best"] in RUNGS and record["cheapest"] in RUNGS

    # What each figure is: the one that `predict` gives, by scikit-learn.
    runs = {run.name: run for run in list_runs()}
    assert {one["run"] for one in record["results"] if one["run"]} == set(runs)
    assert all(run.state is not None and run.state.status == "done" for run in runs.values())
    test = rows_of_test(recipe)
    for one in record["results"][2:]:
        predictor = Predictor.load(runs[one["run"]].path)
        said = [prediction.label for prediction in predictor.classify([text for text, _ in test])]
        assert one["metrics"]["accuracy"] == pytest.approx(sk.accuracy_score([label for _, label in test], said))
        assert one["metrics"].keys() == record["results"][0]["metrics"].keys()
    lora = next(rung for rung in record["rungs"] if rung["rung"] == "lora")
    values = [one["metrics"]["accuracy"] for one in record["results"] if one["rung"] == "lora"]
    assert (lora["values"], lora["mean"]) == (values, pytest.approx(np.mean(values)))
    assert lora["over_seeds"]["degrees_of_freedom"] == 1
    assert lora["cost"]["bytes"] < lora["cost"]["base_bytes"]
    head = next(rung for rung in record["rungs"] if rung["rung"] == "head")
    assert head["cost"]["parameters_trained"] < head["cost"]["parameters"]
    assert head["cost"]["seconds"] > 0

    # The files: the same object, a line a result, and what each model answered.
    folder = Path(record.pop("ladder"))
    assert folder.parent == tmp_path / "runs" / "ladders"
    assert json.loads((folder / "ladder.json").read_text()) == record
    with (folder / "ladder.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["rung"], line["run"]) for line in lines] == [(one["rung"], one["run"]) for one in record["results"]]
    assert float(lines[-1]["accuracy"]) == pytest.approx(record["results"][-1]["metrics"]["accuracy"])
    for one in record["results"]:
        assert np.load(folder / "outputs" / f"{one['run'] or one['rung']}.npy").shape == (len(test), 2)

    # Again: nothing is trained, and the table is for people.
    assert ladder(recipe, "--seeds", "0,3") == 0
    assert attempts() == dict.fromkeys(runs, 1)
    said = capsys.readouterr().out
    assert "10 of 10 results are there already" in said and "measuring" not in said
    assert record["verdict"] in " ".join(said.split())
    table = said[said.index("tiny: accuracy on") :]
    assert max(map(len, table.splitlines()[:-1])) <= 80


def rows_of_test(recipe: Path) -> list[tuple[str, str]]:
    from hftune.data.load import load_splits
    from hftune.recipe.load import load_recipe

    test = load_splits(load_recipe(recipe).data)["test"]
    return list(zip(test["text"][:], test["label"][:], strict=True))


def test_a_run_made_by_hand_counts_unless_the_data_or_its_recipe_changed(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", str(recipe)]) == 0
    (by_hand,) = attempts()
    assert ladder(recipe, "--rungs", "majority,full", "--seeds", "0", "--json") == 0
    capsys.readouterr()
    assert attempts() == {by_hand: 1}
    assert ladder(recipe, "--rungs", "full", "--seeds", "0", "-s", "full.training.learning_rate=1e-3") == 0
    assert len(attempts()) == 2
    reviews = tmp_path / "reviews.csv"
    reviews.write_text(reviews.read_text().replace("good", "nice"))
    assert ladder(recipe, "--rungs", "full", "--seeds", "0") == 0
    assert len(attempts()) == 3
    resumed = ["resume", by_hand, "--allow-inexact", "-s", "training.max_steps=5"]
    assert cli.run(resumed) == 0
    assert ladder(recipe, "--rungs", "full", "--seeds", "0", "-s", "training.max_steps=5") == 0
    assert len(attempts()) == 4


@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.long)]
)
def test_an_interrupted_ladder_goes_on_with_what_is_finished(
    recipe: Path, ending: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--rungs", "majority,full", "--seeds", "0,1"]
    sizes = ["-s", "training.max_steps=300", "-s", "training.save_steps=20", "-s", "training.eval_steps=300"]
    command = [sys.executable, "-m", "hftune", "ladder", str(recipe), *asked, *sizes]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = wait_for_step(child, 1, 1)
    second = wait_for_step(child, 2, 30, but=first)
    os.kill(child.pid, ending)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == code
    assert (read_state(first).status, read_state(second).status) == (
        "done", "stopped" if ending == signal.SIGINT else "lost"
    )  # fmt: skip
    if ending == signal.SIGINT:
        assert "2 of 3 results are there: the same command goes on" in said
    record = json.loads(next(first.parent.glob("ladders/*/ladder.json")).read_text())
    assert (record["complete"], [one["rung"] for one in record["results"]]) == (False, ["majority", "full"])

    assert ladder(recipe, *asked, *sizes, "--json") == 0
    captured = capsys.readouterr()
    assert "2 of 3 results are there already" in captured.err
    assert attempts() == {first.name: 1, second.name: 2}
    assert json.loads(captured.out)["complete"] is True
    steps = [event.data["step"] for event in read_events(second) if event.kind == "train" and event.attempt == 2]
    assert steps[0] > 1 and steps[-1] == 300


def wait_for_step(child: subprocess.Popen[str], runs: int, step: int, but: Path | None = None) -> Path:
    """Return the newest of so many runs once it has come to `step`."""
    deadline = time.monotonic() + 120
    tail: EventTail | None = None
    while True:
        assert child.poll() is None and time.monotonic() < deadline
        there = [run.path for run in list_runs() if run.path != but]
        if tail is None and len(there) == runs - (but is not None):
            tail = EventTail(there[0])
        if tail is not None and any(_is_at(event, step) for event in tail.poll()):
            return tail.path
        time.sleep(0.005)


def _is_at(event: Event, step: int) -> bool:
    return event.kind == "train" and int(event.data["step"]) >= step


def test_a_rung_that_fails_ends_the_ladder_with_its_reason(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--rungs", "majority,full", "--seeds", "0", "-s", "full.training.learning_rate=1e30"]
    assert ladder(recipe, *asked, "-s", "training.max_steps=20", "--json") == 1
    captured = capsys.readouterr()
    assert "has not been finite" in captured.err
    assert "1 of 2 results are there" in captured.err
    record = json.loads(captured.out)
    assert (record["complete"], record["verdict"], len(record["results"])) == (False, None, 1)


def test_without_scikit_learn_nothing_is_made(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert ladder(recipe) == 2
    said = capsys.readouterr().err
    assert "-m pip install 'scikit-learn>=1.5'" in said and "--rungs majority,lstm,head,lora,full" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--within", "-1"], "a distance is 0 or more"),
        (["--metric", "mse", "--rungs", "majority"], "has no metric 'mse'"),
        (["-s", "data.label=lable", "--rungs", "majority"], "no column 'lable'"),
        (["-s", "task=text-generation"], "compares classifiers and regressors"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    recipe: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ladder(recipe, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_time_in_a_queue_and_between_attempts_is_not_training_time() -> None:
    from hftune.runs.made import active_seconds

    def status(seq: int, attempt: int, at: float, name: str) -> Event:
        return Event(seq, attempt, at, "status", {"status": name})

    events = [
        status(0, 1, 0.0, "queued"),
        status(1, 1, 10.0, "preparing"),
        Event(2, 1, 12.0, "train", {"step": 1}),
        status(3, 1, 13.0, "stopped"),
        status(4, 2, 100.0, "preparing"),
        Event(5, 2, 104.0, "train", {"step": 2}),
        status(6, 2, 105.0, "done"),
    ]
    assert active_seconds(events) == 3.0 + 5.0


def test_a_rate_that_each_run_looks_for_is_known_again(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--rungs", "full", "--seeds", "0", "-s", "training.learning_rate=auto", "--json"]
    for _ in range(2):
        assert ladder(recipe, *asked) == 0
        assert found(capsys)["complete"] is True
    assert list(attempts().values()) == [1]
    assert ladder(recipe, "--rungs", "full", "--seeds", "0", "-s", "training.learning_rate=1e-3") == 0
    assert len(attempts()) == 2


def numbers(words: list[str], others: list[str], thing: str) -> list[tuple[str, float]]:
    return [(f"the {thing} was {word}", 1.5) for word in words] + [(f"the {thing} was {word}", -1.5) for word in others]


def several(words: list[str], others: list[str], thing: str) -> list[tuple[str, list[str]]]:
    labelled = [(word, ["good", thing]) for word in words] + [(word, [thing]) for word in others]
    return [(f"the {thing} was {word}", labels) for word, labels in labelled]


@pytest.mark.parametrize(
    ("label", "kind", "metric", "lowest"),
    [
        # The mean of train is 0, and each number is 1.5 away.
        (numbers, "regression", "mse", 1.5**2),
        # `good` and each thing are said of half of train's rows or less: nothing is ever answered.
        (several, "multi_label_classification", "f1_micro", 0.0),
    ],
)
def test_numbers_and_several_labels_are_climbed_too(
    tmp_path: Path,
    tiny_bert_folder: Path,
    label: Callable[..., list[tuple[str, Any]]],
    kind: str,
    metric: str,
    lowest: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def rows(*things: str) -> list[dict[str, Any]]:
        said = [each for thing in things for each in label(["good", "great", "warm"], ["bad", "dull", "cold"], thing)]
        return [{"text": text, "label": value} for text, value in said]

    splits = {"train": rows("film", "plot", "scene"), "validation": rows("film"), "test": rows("plot", "scene")}
    path = tmp_path / "other.yaml"
    path.write_text(json.dumps({
        "name": "other", "task": "text-classification", "model": str(tiny_bert_folder),
        "data": {"rows": splits}, "training": {"max_steps": 2, "threads": 1},
    }))  # fmt: skip
    assert ladder(path, "--seeds", "0", "--rungs", "majority,tfidf,lstm,head", "--json") == 0
    record = found(capsys)
    assert (record["problem_type"], record["metric"], record["best"]) == (kind, metric, "tfidf")
    assert [rung["rung"] for rung in record["rungs"]] == ["majority", "tfidf", "lstm", "head"]
    assert record["rungs"][0]["mean"] == pytest.approx(lowest)
