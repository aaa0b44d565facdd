"""`learning_rate: auto` in a run: found once, recorded, and the same run as with that number written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hftune.errors import HftuneError, InterruptedRun, RecipeError
from hftune.pipeline import train
from hftune.preflight.inspect import check
from hftune.preflight.summary import summarize
from hftune.recipe.load import dump_recipe, load_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import with_training
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter
from hftune.tasks import text_classification
from hftune.training import lr_auto
from hftune.training.lr_curve import STEPS

LSTM = {"architecture": "lstm", "config": {"embedding_size": 8, "hidden_size": 8}, "tokenizer": {"fit": "characters"}}
TRAINING = {
    "learning_rate": "auto", "max_steps": 6, "per_device_train_batch_size": 8, "logging_steps": 1, "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def recipe(tiny_reviews: Path) -> Recipe:
    data = {"files": str(tiny_reviews), "max_length": 16}
    return parse_recipe(
        {"name": "small", "task": "text-classification", "model": LSTM, "data": data, "training": TRAINING}
    )


def carry_out(
    recipe: Recipe, path: Path | None = None, watch: Callable[[RunWriter, Event], None] | None = None, **options: Any
) -> Path:
    with RunWriter.open(path) if path else RunWriter.create(Path("runs"), "small", dump_recipe(recipe)) as run:
        if watch is not None:
            run.subscribe(lambda event: watch(run, event))
        train(load_recipe(run.path / layout.RECIPE), run, **options)
    return run.path


def only(path: Path, kind: str) -> Any:
    (found,) = [event.data for event in read_events(path) if event.kind == kind]
    return found


def alerts(path: Path) -> dict[str, Any]:
    return {event.data["code"]: event.data for event in read_events(path) if event.kind == "alert"}


def test_the_rate_found_is_in_the_recipe_the_plan_the_events_and_the_environment(recipe: Recipe) -> None:
    path = carry_out(recipe)
    rate = load_recipe(path / layout.RECIPE).training.learning_rate
    assert isinstance(rate, float) and 1e-4 < rate < 1e-1
    assert only(path, "plan")["learning_rate"] == rate
    found = only(path, "lr_find")
    assert found["learning_rate"] == rate
    assert len(found["rates"]) == len(found["losses"]) == len(found["averages"]) == STEPS
    assert set(found["candidates"]) == {"steepest", "minimum/10", "valley"}
    assert json.loads((path / layout.ENVIRONMENT).read_text())["recipe"]["training.learning_rate"] == rate
    said = alerts(path)["auto-learning-rate"]
    assert said["level"] == "info" and f"a range test of {STEPS} steps" in said["message"]


def test_a_run_that_finds_its_rate_has_the_bits_of_one_that_is_given_it(recipe: Recipe) -> None:
    found = carry_out(recipe)
    given = carry_out(load_recipe(found / layout.RECIPE))
    assert not [event for event in read_events(given) if event.kind == "lr_find"]
    for name in (f"{layout.MODEL}/model.safetensors", layout.METRICS):
        assert (found / name).read_bytes() == (given / name).read_bytes()


def test_a_run_stopped_after_the_search_goes_on_with_the_rate_and_searches_no_more(recipe: Recipe) -> None:
    whole = carry_out(recipe)
    with pytest.raises(InterruptedRun):
        carry_out(recipe, watch=lambda run, event: run.ask("stop") if event.data.get("step") == 3 else None)
    stopped = max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    carry_out(recipe, stopped)
    assert only(stopped, "resume")["step"] == 3
    assert only(stopped, "lr_find") == only(whole, "lr_find")
    assert (stopped / layout.MODEL / "model.safetensors").read_bytes() == (
        whole / layout.MODEL / "model.safetensors"
    ).read_bytes()


def test_a_request_to_stop_is_obeyed_in_the_search_and_the_next_attempt_searches_anew(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lr_auto, "_SAID_SECONDS", 0.0)

    def ask(run: RunWriter, event: Event) -> None:
        if event.kind == "progress" and event.data["unit"] == "steps of the range test" and run.attempt == 1:
            run.ask("pause")

    with pytest.raises(InterruptedRun, match="paused at step 0"):
        carry_out(recipe, watch=ask)
    (path,) = Path("runs").iterdir()
    assert load_recipe(path / layout.RECIPE).training.learning_rate == "auto"
    assert not layout.checkpoints(path)
    carry_out(recipe, path, watch=ask)
    whole = carry_out(recipe)
    assert only(path, "lr_find") == only(whole, "lr_find")
    assert (path / layout.METRICS).read_bytes() == (whole / layout.METRICS).read_bytes()


@pytest.mark.parametrize(("place", "searches"), [("write_atomic", 1), ("_tell", 0)])
def test_a_run_that_dies_around_the_writing_of_its_choice_ends_the_same(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, place: str, searches: int
) -> None:
    """Dead before the rate is in recipe.yaml it searches again; dead after, it reads it there."""

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    whole = carry_out(recipe)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lr_auto, place, die)
        carry_out(recipe)
    dead = next(path for path in Path("runs").iterdir() if path != whole)
    carry_out(recipe, dead)
    assert len([event for event in read_events(dead) if event.kind == "lr_find"]) == searches
    assert load_recipe(dead / layout.RECIPE) == load_recipe(whole / layout.RECIPE)
    for name in (f"{layout.MODEL}/model.safetensors", layout.METRICS):
        assert (dead / name).read_bytes() == (whole / name).read_bytes()


def test_a_search_after_training_has_begun_is_refused(recipe: Recipe) -> None:
    path = carry_out(with_training(recipe, learning_rate=1e-2))
    (path / layout.RECIPE).write_text(dump_recipe(recipe))
    with pytest.raises(RecipeError, match="this run has a checkpoint") as caught:
        carry_out(recipe, path, allow_inexact=True)
    assert caught.value.problems[0].key == "training.learning_rate"


def test_a_rate_outside_of_the_usual_is_said_aloud(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    from hftune.methods import full

    monkeypatch.setattr(full, "_FROM_SCRATCH", (1e-4, 1e-3))
    said = alerts(carry_out(recipe))
    assert said["unusual-learning-rate"]["level"] == "warning"
    assert "above what is usual for `method: full`" in said["unusual-learning-rate"]["message"]


def test_where_no_rate_lowers_the_loss_the_methods_own_is_taken_with_a_warning(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune.training import lr_find

    monkeypatch.setattr(lr_find, "rates_to_try", lambda setup: [1e-12] * 10)
    path = carry_out(recipe)
    assert only(path, "plan")["learning_rate"] == 5e-5
    assert alerts(path)["auto-learning-rate"]["level"] == "warning"
    assert "lr-find" in alerts(path)["auto-learning-rate"]["hint"]


def test_a_loss_that_is_never_a_number_ends_the_run_with_its_reason(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = text_classification.loss
    monkeypatch.setattr(text_classification, "loss", lambda *arguments: loss(*arguments) * float("nan"))
    with pytest.raises(HftuneError, match="before any weight has moved"):
        carry_out(recipe)


def test_nothing_to_train_on_is_said_before_anything_is_searched(tmp_path: Path, recipe: Recipe) -> None:
    data = tmp_path / "none.csv"
    data.write_text("text,label\n,\n,\n")
    empty = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"files": str(data), "validation_share": 0.0, "test_share": 0.0})}
    )
    with pytest.raises(HftuneError, match="train split"):
        carry_out(empty)
    (path,) = Path("runs").iterdir()
    assert not [event for event in read_events(path) if event.kind == "lr_find"]


def test_check_says_what_the_search_costs(recipe: Recipe) -> None:
    assert f"a range test of {STEPS} more steps" in summarize(recipe)
    report = check(recipe)
    assert report.estimate is not None and report.estimate.search_seconds > 0
    line = report.estimate.describe()[0]
    assert "range test" in line
    assert check(with_training(recipe, learning_rate=1e-3)).estimate.search_seconds == 0  # type: ignore[union-attr]
