"""Commands that know nothing of compression, on compressed runs and on recipes that compress: embed, lr-find, check."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hftune import cli
from hftune.compressors._recipes import compress_recipe
from hftune.inference.embedding import word_table
from hftune.inference.loading import load_run
from hftune.preflight.inspect import check
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.runs.reader import list_runs
from tests.unit.compressors.quantized import write
from tests.unit.compressors.runs import compressed

ANY_LOSS = "compress.max_loss=9"
SHORT = ["--steps", "20", "--trial-steps", "6"]


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


def recipe_file(parent: Path, method: str, folder: Path, *overrides: str) -> Path:
    """Write the recipe that `hftune compress` would carry out."""
    path = folder / "small.yaml"
    path.write_text(dump_recipe(compress_recipe(parent, method, overrides)), encoding="utf-8")
    return path


def lstm_student(parent: Path, width: int) -> Path:
    """Distil a run into an LSTM with word vectors of so many numbers."""
    student = {"architecture": "lstm", "config": {"embedding_size": width, "hidden_size": 8}}
    return compressed(parent, "distill", f"compress.student={json.dumps(student)}", "training.max_steps=2", ANY_LOSS)


# embed


def test_a_compressed_runs_words_are_compared_with_its_parents(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(full_run, "bf16", tmp_path / "run-small")
    before, after = (word_table(load_run(one).model) for one in (full_run, run))
    assert cli.run(["embed", str(run), "--changed", "--top", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["base"] == str(full_run)
    (most,) = record["most"]
    place = load_run(run).tokenizer.convert_tokens_to_ids(most["word"])
    assert most["distance"] == pytest.approx(float(np.linalg.norm(after[place] - before[place])), rel=1e-4)
    assert most["distance"] < 0.05, "rounded to bf16, and no more than that"


def test_a_table_left_as_it_is_is_called_the_parents(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = compressed(full_run, "prune", "compress.recover=false", "compress.rows=8", ANY_LOSS)
    capsys.readouterr()
    assert cli.run(["embed", str(run), "--changed"]) == 0
    said = capsys.readouterr().out
    assert "are bit for bit those of its parent; prune leaves the table as it is." in said


def test_a_student_with_other_vectors_than_its_parents_cannot_be_compared(
    full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lstm_student(full_run, 6)
    capsys.readouterr()
    for flag in ("--changed", "--contextual"):
        assert cli.run(["embed", str(run), flag]) == 1
        said = capsys.readouterr().err
        assert "they cannot be compared" in said and "bug" not in said
        assert "--near WORD" in said


def test_another_vocabulary_than_the_parents_is_said(
    full_run: Path, lstm_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(full_run, "bf16", tmp_path / "run-small")
    for file in lstm_run.joinpath("model").glob("tokenizer*"):
        shutil.copy(file, run / "model" / file.name)
    assert cli.run(["embed", str(run), "--changed"]) == 1
    assert "have different vocabularies" in capsys.readouterr().err


# lr-find


@pytest.mark.parametrize(
    ("method", "overrides", "said"),
    [
        ("quantize", [], "quantize trains nothing"),
        ("prune", ["compress.recover=false"], "`recover: false` trains nothing"),
    ],
)
def test_there_is_no_rate_of_what_trains_nothing(
    full_run: Path, method: str, overrides: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe_file(full_run, method, tmp_path, *overrides)
    assert cli.run(["lr-find", str(path), *SHORT]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "small.yaml" in shown and "do train" in shown


def test_trials_of_a_student_may_lose_what_they_will(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe_file(full_run, "distill", tmp_path, "compress.layers=1", "compress.max_loss=0")
    assert cli.run(["lr-find", str(path), *SHORT, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["suggestion"]
    trials = list_runs()
    assert len(trials) >= 5
    recipes = [load_recipe(trial.path / "recipe.yaml").compress for trial in trials]
    assert {recipe.options["max_loss"] for recipe in recipes if recipe is not None} == {1000.0}
    assert {recipe.options["layers"] for recipe in recipes if recipe is not None} == {1}


# check


def errors_of(path: Path, *overrides: str) -> list[Any]:
    return [one for one in check(load_recipe(path, overrides)).findings if one.level == "error"]


def test_a_check_reads_texts_as_the_parent_does(full_run: Path, tmp_path: Path) -> None:
    """Not by the name that the recipe had for its tokenizer."""
    path = recipe_file(full_run, "prune", tmp_path)
    plain, again = (check(load_recipe(path, more)) for more in ([], ["model.tokenizer=gone/elsewhere"]))
    assert plain.ok and again.ok
    assert (again.unknown, again.truncated) == (plain.unknown, plain.truncated)


def test_a_check_fits_no_tokenizer_anew(lstm_run: Path, tiny_reviews: Path, tmp_path: Path) -> None:
    path = recipe_file(lstm_run, "quantize", tmp_path, "compress.format=bf16")
    other = tmp_path / "other.csv"
    other.write_text(tiny_reviews.read_text(encoding="utf-8").replace("the", "电影"), encoding="utf-8")
    assert check(load_recipe(path)).unknown == 0
    assert check(load_recipe(path, [f"data.files={other}"])).unknown > 0, "the parent knows no such characters"


def test_a_check_says_that_there_is_nothing_to_compare_on(full_run: Path, tmp_path: Path) -> None:
    path = recipe_file(full_run, "prune", tmp_path)
    assert not errors_of(path)
    (error,) = errors_of(path, "data.test_share=0", "data.validation_share=0")
    assert "could not be compared with its parent" in error.message
