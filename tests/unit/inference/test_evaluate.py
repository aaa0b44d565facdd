"""hftune evaluate agrees with what training measured, and reports so that it can be read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.commands.evaluate import confusion_lines
from hftune.runs import layout
from hftune.runs.reader import read_events
from hftune.sanitize import columns_of


def evaluate(capsys: pytest.CaptureFixture[str], run: Path, *words: str) -> dict[str, Any]:
    assert cli.run(["evaluate", str(run), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["full_run", "lora_run", "language_run", "mask_run"])
def test_figures_of_the_test_split_are_those_of_metrics_json(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    run = request.getfixturevalue(kind)
    written = json.loads((run / layout.METRICS).read_text())["test"]
    found = evaluate(capsys, run)
    assert {name: one["value"] for name, one in found["metrics"].items()} == pytest.approx(written, rel=1e-4)
    assert all(one["low"] <= one["value"] <= one["high"] for one in found["metrics"].values() if one["low"] is not None)
    assert found["energy"]["wh"] > 0


def test_a_checkpoint_and_another_split_can_be_scored(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = layout.checkpoint_step(layout.checkpoints(full_run)[-1])
    found = evaluate(capsys, Path(f"{full_run}@{step}"), "--split", "train")
    assert (found["step"], found["split"]) == (step, "train")
    assert found["rows"] == sum(figures["support"] for figures in found["per_class"].values())


def test_masks_of_an_evaluation_are_the_same_at_each_checkpoint(
    mask_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validation = [
        event for event in read_events(mask_run) if event.kind == "eval" and event.data["split"] == "validation"
    ]
    for path in layout.checkpoints(mask_run):
        step = layout.checkpoint_step(path)
        found = evaluate(capsys, Path(f"{mask_run}@{step}"), "--split", "validation")["metrics"]
        (measured,) = [event.data["metrics"] for event in validation if event.data["step"] == step]
        assert {name: one["value"] for name, one in found.items()} == pytest.approx(measured, rel=1e-4)


def test_a_labelled_file_is_scored_by_hand_countable_figures(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new.csv"
    file.write_text("text,label\nthe movie was bad,negative\nvery good,positive\nfine,neutral\nnot good,neutral\n")
    found = evaluate(capsys, classifier, "--data", str(file), "--worst", "1")
    # The random weights call everything neutral.
    assert found["metrics"]["accuracy"]["value"] == 0.5
    assert found["confusion"]["matrix"] == [[0, 1, 0], [0, 2, 0], [0, 1, 0]]
    assert found["per_class"]["neutral"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 2}
    assert len(found["worst"]) == 1 and found["worst"][0]["predicted"] == "neutral"
    assert found["worst"][0]["loss"] > found["metrics"]["loss"]["value"]


def test_an_unknown_label_is_named(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.csv"
    file.write_text("text,label\ngood,postive\n")
    assert cli.run(["evaluate", str(classifier), "--data", str(file)]) == 2
    assert "positive" in capsys.readouterr().err


def test_multi_label_and_regression_are_scored(tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = (["negative"], ["neutral", "positive"])
    rows = [{"text": f"a film {word}", "label": kinds[place % 2]} for place, word in enumerate(runs.WORDS)]
    config = {"rows": rows, "max_length": 16}
    run = runs.classifier_run(tmp_path / "multi", data=config, problem_type="multi_label_classification")
    found = evaluate(capsys, run, "--split", "train")
    assert set(found["metrics"]) == {"loss", "f1", "precision", "recall", "f1_micro", "exact_match"}
    assert found["confusion"] is None and 0 <= found["calibration"]["error"] <= 1
    numbers = [{"text": word, "label": 0.5 + place} for place, word in enumerate(runs.WORDS)]
    run = runs.classifier_run(tmp_path / "n", ["label"], {"rows": numbers}, problem_type="regression")
    found = evaluate(capsys, run, "--split", "train")
    assert math.isclose(found["metrics"]["loss"]["value"], found["metrics"]["mse"]["value"], rel_tol=1e-5)
    assert found["per_class"] is None and found["calibration"] is None


@pytest.mark.parametrize("kind", ["full_run", "language_run", "mask_run"])
def test_the_report_fits_80_columns(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(request.getfixturevalue(kind))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("95% interval" in line for line in lines) and max(map(len, lines)) <= 80


@pytest.mark.parametrize("classes", [2, 3, 8, 10, 11, 50])
def test_a_confusion_matrix_fits_80_columns_or_becomes_a_list(classes: int) -> None:
    labels = [f"a rather long label {number}" for number in range(classes)]
    lines = confusion_lines(
        labels, [[1234 if true != other else 5 for other in range(classes)] for true in range(classes)]
    )
    assert max(map(len, lines)) <= 80
    assert ("predicted →" in lines[0]) == (classes <= 10)
    chinese = confusion_lines(["一个非常长的标签名称" + str(number) for number in range(3)], [[1, 2, 3]] * 3)
    assert len({columns_of(line) for line in chinese[1:]}) == 1
