"""The whole story on tiny models: what a run directory holds, and when a run may go on."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from hftune import pipeline
from hftune.errors import HftuneError, InterruptedRun, RunError, UsageError
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.reader import load_state, read_events
from hftune.runs.writer import RunWriter
from hftune.training.environment import find_differences


@pytest.fixture
def recipe(tiny_bert_folder: Path, tiny_reviews: Path, tmp_path: Path) -> dict[str, Any]:
    data = shutil.copy(tiny_reviews, tmp_path / "reviews.csv")
    return {
        "name": "tiny",
        "task": "text-classification",
        "model": str(tiny_bert_folder),
        "data": {"files": str(data), "max_length": 32},
        "training": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 5e-3},
    }


def changed(recipe: dict[str, Any], **training: Any) -> Recipe:
    return parse_recipe({**recipe, "training": {**recipe["training"], **training}})


def carry_out(recipe: Recipe, path: Path | None = None, **options: Any) -> Path:
    with RunWriter.open(path) if path else RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        train(recipe, run, **options)
    return run.path


def stop_at_step(recipe: Recipe, step: int) -> Path:
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        run.subscribe(lambda event: run.ask("stop") if event.data.get("step") == step else None)
        with pytest.raises(InterruptedRun):
            train(recipe, run)
    return run.path


def test_a_run_directory_holds_model_metrics_environment_and_checkpoints(recipe: dict[str, Any]):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    path = carry_out(changed(recipe))
    metrics = json.loads((path / layout.METRICS).read_text())
    assert set(metrics) == {"validation", "test"}
    assert set(metrics["test"]) >= {"loss", "accuracy"}
    model = AutoModelForSequenceClassification.from_pretrained(path / layout.MODEL)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert AutoTokenizer.from_pretrained(path / layout.MODEL)("a good film")["input_ids"]
    init = {file.name for file in (path / layout.MODEL_INIT).iterdir()}
    assert "config.json" in init
    assert not any(name.endswith(".safetensors") for name in init)
    environment = json.loads((path / layout.ENVIRONMENT).read_text())
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["threads"] == 1
    kinds = [event.kind for event in read_events(path)]
    assert kinds.index("plan") < kinds.index("train") < kinds.index("eval") < kinds.index("result")
    phases = [event.data["detail"] for event in read_events(path) if event.kind == "phase" and event.data["detail"]]
    assert phases == ["finding the model", "reading data", "tokenizing", "loading the model"]


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_others(recipe: dict[str, Any]):
    paths = [carry_out(changed(recipe, seed=seed)) for seed in (0, 0, 1)]
    first, second, other = [(path / layout.MODEL / "model.safetensors").read_bytes() for path in paths]
    assert first == second != other


def test_a_finished_run_taken_up_again_writes_the_same_model(recipe: dict[str, Any]):
    path = carry_out(changed(recipe))
    before = (path / layout.MODEL / "model.safetensors").read_bytes(), (path / layout.METRICS).read_bytes()
    carry_out(changed(recipe), path)
    assert before == ((path / layout.MODEL / "model.safetensors").read_bytes(), (path / layout.METRICS).read_bytes())


def test_a_run_without_a_test_or_validation_split_keeps_its_last_model(recipe: dict[str, Any]):
    recipe["data"] |= {"validation_share": 0.0, "test_share": 0.0}
    path = carry_out(changed(recipe))
    assert json.loads((path / layout.METRICS).read_text()) == {}
    assert (path / layout.MODEL / "model.safetensors").exists()


# What a resumed run compares first


def test_what_changed_since_the_attempt_before_is_named_and_refused(recipe: dict[str, Any], monkeypatch: Any):
    path = stop_at_step(changed(recipe, logging_steps=1), 2)
    data = Path(recipe["data"]["files"])
    data.write_text(data.read_text().replace("good", "nice"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(RunError, match="cannot go on exactly") as caught:
        carry_out(changed(recipe, logging_steps=1, learning_rate=1e-3), path)
    assert "recipe.training.learning_rate: 0.005 before, 0.001 now" in caught.value.message
    assert "threads: 1 before, 2 now" in caught.value.message
    assert "data: " in caught.value.message
    assert "--allow-inexact" in caught.value.hint


def test_an_inexact_resume_is_allowed_and_says_what_differs(recipe: dict[str, Any]):
    path = stop_at_step(changed(recipe, logging_steps=1), 2)
    longer = changed(recipe, logging_steps=1, num_train_epochs=2)
    carry_out(longer, path, allow_inexact=True)
    events = read_events(path)
    (resume,) = [event.data for event in events if event.kind == "resume"]
    assert resume["step"] == 2
    assert resume["inexact"] == ["recipe.training.num_train_epochs: 1.0 before, 2.0 now"]
    assert [event.data["step"] for event in events if event.kind == "train"] == list(range(1, 13))


def test_an_inexact_attempt_that_dies_before_a_checkpoint_leaves_the_difference_standing(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    path = stop_at_step(changed(recipe, logging_steps=1), 2)
    other = changed(recipe, logging_steps=1, learning_rate=1e-3)

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pipeline, "fit", die)
        carry_out(other, path, allow_inexact=True)
    assert json.loads((path / layout.ENVIRONMENT).read_text())["recipe"]["training.learning_rate"] == 1e-3
    with pytest.raises(RunError, match=r"learning_rate: 0\.005 before, 0\.001 now"):
        carry_out(other, path)
    carry_out(changed(recipe, logging_steps=1), path)


def test_a_run_that_is_past_its_new_last_step_takes_none(recipe: dict[str, Any]):
    path = stop_at_step(changed(recipe, logging_steps=1), 4)
    weights = (layout.checkpoints(path)[-1] / layout.TRAINABLE).read_bytes()
    for last in (4, 3):
        carry_out(changed(recipe, logging_steps=1, max_steps=last), path, allow_inexact=True)
        assert [layout.checkpoint_step(one) for one in layout.checkpoints(path)] == [4]
        assert (layout.checkpoints(path)[-1] / layout.TRAINABLE).read_bytes() == weights
        result = [event.data for event in read_events(path) if event.kind == "result"][-1]
        assert result["global_step"] == 4
        assert set(result["metrics"]) == {"validation", "test"}


def test_a_run_that_has_no_checkpoint_yet_starts_anew_with_what_there_is(recipe: dict[str, Any]):
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(changed(recipe))) as run:
        run.ask("stop")
        with pytest.raises(InterruptedRun):
            train(changed(recipe), run)
    carry_out(changed(recipe, learning_rate=1e-4), run.path)


def test_a_resumed_run_forgets_a_best_step_that_a_kill_has_undone(recipe: dict[str, Any]):
    wanted = changed(recipe, logging_steps=1, eval_steps=2)
    path = stop_at_step(wanted, 5)
    with RunWriter.open(path) as run:
        run.emit("best", step=6, metric="loss", value=0.0)
    assert load_state(path).metric_value == 0.0
    carry_out(wanted, path)
    events = read_events(path)
    (at,) = [index for index, event in enumerate(events) if event.kind == "resume"]
    assert events[at + 1].kind == "best"
    assert events[at + 1].data["step"] in (2, 4)
    assert load_state(path).metric_value > 0.0


def test_another_machine_with_the_same_bits_is_no_difference():
    before = {"threads": 2, "platform": "Linux-1", "model_origin": "the Hub", "recipe": {"a": 1, "b": [1]}}
    assert find_differences(before, {**before, "platform": "Linux-2", "model_origin": "a copy"}) == []
    assert find_differences(before, {**before, "recipe": {"a": 1, "b": [1], "c": None}}) == []
    assert find_differences(before, {**before, "versions": {"torch": "9"}}) == ["versions.torch: none before, 9 now"]


# Errors that come before any training


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"report_to": ["wandb"]}, "wandb is not installed"),
        ({"precision": "fp16"}, "fp16 needs a CUDA device"),
        ({"device": "cuda"}, "this machine has no cuda"),
    ],
)
def test_what_this_machine_cannot_do_is_said_before_anything_is_read(
    recipe: dict[str, Any], training: dict[str, Any], message: str
):
    if torch.cuda.is_available() and "wandb" not in message:
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(UsageError, match=message):
        carry_out(changed(recipe, **training))


def test_data_that_prove_little_mark_the_metrics(recipe: dict[str, Any], tmp_path: Path):
    files = dict.fromkeys(("train", "validation", "test"), recipe["data"]["files"])
    path = carry_out(changed({**recipe, "data": {"files": files, "max_length": 32}}))
    metrics = json.loads((path / layout.METRICS).read_text())
    assert metrics["warnings"]


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_when_there_is_room(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    wanted = changed(recipe, save_steps=2)
    expected = carry_out(wanted)
    fsync, full = os.fsync, [False]

    def filling(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        full[0] = full[0] or ".writing-step-00000004" in str(name)
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with RunWriter.create(Path("runs"), "tiny", dump_recipe(wanted)) as run:
        monkeypatch.setattr(os, "fsync", filling)
        with pytest.raises(RunError, match="disk is full"):
            train(wanted, run)
        monkeypatch.setattr(os, "fsync", fsync)
    assert [path.name for path in (run.path / layout.CHECKPOINTS).iterdir()] == [layout.checkpoint_name(2)]
    carry_out(wanted, run.path)
    for name in (layout.METRICS, f"{layout.MODEL}/model.safetensors"):
        assert (run.path / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "the disk is full",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory does not suffice"),
    ],
)
def test_trouble_outside_the_loop_is_told_as_what_it_is(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
):
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "save_model", fail)
    with pytest.raises(HftuneError, match=message) as caught:
        carry_out(changed(recipe))
    assert caught.value.hint


def test_other_trouble_is_not_disguised(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pipeline, "save_model", fail)
    with pytest.raises(PermissionError):
        carry_out(changed(recipe))


def test_a_run_that_says_nowhere_what_it_was_made_in_cannot_go_on_exactly(recipe: dict[str, Any]):
    """As a run of an early version, whose checkpoints left that to environment.json."""
    path = stop_at_step(changed(recipe, logging_steps=1), 2)
    manifest = layout.checkpoints(path)[0] / layout.MANIFEST
    content = json.loads(manifest.read_text())
    del content["environment"]
    manifest.write_text(json.dumps(content))
    there = (path / layout.ENVIRONMENT).read_text()
    (path / layout.ENVIRONMENT).unlink()
    with pytest.raises(RunError, match=r"environment\.json is missing"):
        carry_out(changed(recipe, logging_steps=1), path)
    (path / layout.ENVIRONMENT).write_text(there)
    with pytest.raises(RunError, match=r"learning_rate: 0\.005 before"):
        carry_out(changed(recipe, logging_steps=1, learning_rate=1e-3), path)
    carry_out(changed(recipe, logging_steps=1), path)
