"""Speed, time left, trackers, and where a run computes."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from hftune import tasks, threads
from hftune.recipe.load import parse_recipe
from hftune.training import device
from hftune.training.clock import Clock
from hftune.training.progress import Progress, make_plan
from hftune.training.silent import SilentRun
from hftune.training.trackers import Trackers, require_trackers


def test_the_clock_tells_speed_and_time_left_with_its_error():
    times = iter([0.0, 10.0, 30.0, 40.0])
    clock = Clock(total_steps=40, step=10, now=lambda: next(times))
    first = clock.lap(15, tokens=1000, samples=50)
    assert (first["tokens_per_second"], first["samples_per_second"]) == (100.0, 5.0)
    assert (first["eta_seconds"], first["eta_error_seconds"]) == (50.0, 25.0)
    second = clock.lap(20, tokens=1500, samples=75)
    assert (second["tokens_per_second"], second["elapsed_seconds"], second["eta_seconds"]) == (25.0, 30.0, 60.0)
    third = clock.lap(40, tokens=1600, samples=80)
    assert third["eta_seconds"] == third["eta_error_seconds"] == 0.0


def test_an_evaluation_slows_the_run_and_not_its_speed():
    times = iter([0.0, 10.0, 12.0, 19.0, 27.0])
    clock = Clock(total_steps=30, step=0, now=lambda: next(times))
    clock.lap(10, tokens=1000, samples=50)
    with clock.aside():
        pass
    lap = clock.lap(20, tokens=2000, samples=100)
    assert (lap["tokens_per_second"], lap["samples_per_second"]) == (100.0, 5.0)
    assert (lap["elapsed_seconds"], lap["eta_seconds"]) == (27.0, 13.5)


class Tracker:
    """Takes down what an Accelerator is asked to track."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def init_trackers(self, name: str, config: dict[str, Any]) -> None:
        self.calls.append(("begin", name, config["learning_rate"]))

    def log(self, figures: dict[str, float], step: int) -> None:
        self.calls.append((figures, step))

    def end_training(self) -> None:
        self.calls.append("end")


def recipe(**training: Any) -> Any:
    data = {"rows": [{"text": "a", "label": "b"}]}
    return parse_recipe({"name": "t", "task": "text-classification", "model": "m", "data": data, "training": training})


def test_trackers_get_the_curves_when_the_recipe_names_one():
    told, untold = Tracker(), Tracker()
    for accelerator, wanted in ((told, ["tensorboard"]), (untold, [])):
        trackers = Trackers(accelerator, recipe(learning_rate=1e-3, report_to=wanted))
        trackers.log({"train/loss": 0.5}, step=3)
        trackers.close()
    assert told.calls == [("begin", "hftune", 1e-3), ({"train/loss": 0.5}, 3), "end"]
    assert untold.calls == []


def test_a_tracker_without_its_package_is_an_error_that_names_the_command(monkeypatch: pytest.MonkeyPatch):
    from hftune.errors import UsageError
    from hftune.training import trackers

    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match="tensorboard is not installed") as caught:
        require_trackers(recipe(report_to=["tensorboard"]).training)
    assert "pip install tensorboard" in caught.value.hint
    require_trackers(recipe().training)


def test_a_folder_named_like_a_tracker_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """W&B writes its runs into ./wandb, and Python takes any folder for a package without code."""
    from hftune.errors import UsageError

    if find_spec("wandb") is not None:
        pytest.skip("wandb is installed")
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_spec("wandb") is not None
    with pytest.raises(UsageError, match="wandb is not installed"):
        require_trackers(recipe(report_to=["wandb"]).training)


def test_threads_are_the_cores_this_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "_CGROUP_LIMIT", limit)
    assert device.available_threads() == 8
    limit.write_text("150000 100000\n")
    assert device.available_threads() == 2
    limit.write_text("max 100000\n")
    assert device.available_threads() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert device.available_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert device.available_threads() == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_too_little_memory_is_told_from_other_errors(error: Exception, expected: bool):
    assert device.is_out_of_memory(error) is expected


def test_memory_in_use_is_that_of_the_process_on_a_cpu():
    assert device.memory_in_use(torch.device("cpu")) > 50 * 2**20


def test_progress_survives_strict_json():
    import json
    import math

    progress = Progress(step=3, interval_loss=math.nan, best_metrics={"loss": 0.1, "f1": math.nan})
    text = json.dumps(progress.to_json(), allow_nan=False)
    back = Progress.from_json({**json.loads(text), "from_another_version": 1})
    assert math.isnan(back.interval_loss)
    assert back.best_metrics == {"loss": 0.1, "f1": None}


def made_plan(**training: Any) -> tuple[Any, Any]:
    wanted = recipe(learning_rate=1e-3, **training)
    return make_plan(wanted, tasks.registry.load(wanted.task.name), examples=160, world_size=1), wanted.training


def test_progress_goes_by_the_recipe_as_it_is_now():
    saved = {
        "step": 20, "per_device_batch_size": 16, "finished": "early-stopping", "evaluations_without_better": 2,
        "best_step": 10, "best_value": 0.4, "best_metrics": {"loss": 0.4, "accuracy": 0.8},
    }  # fmt: skip

    def followed(**training: Any) -> Progress:
        progress = Progress.from_json(saved)
        progress.follow(*made_plan(**training))
        return progress

    assert followed(early_stopping_patience=2) == Progress.from_json(saved)
    assert followed(early_stopping_patience=3).finished == ""
    assert followed(max_steps=20).finished == "steps"
    assert followed(per_device_train_batch_size=4).per_device_batch_size == 4
    assert followed(per_device_train_batch_size=32).per_device_batch_size == 16
    assert followed(metric_for_best_model="accuracy").best_value == 0.8
    assert followed(metric_for_best_model="f1").best_step is None


def test_a_silent_run_writes_nothing(tmp_path: Path):
    run = SilentRun(tmp_path)
    run.subscribe(lambda event: pytest.fail("an event"))
    run.start_heartbeat()
    run.emit("train", step=1)
    run.alert("warning", "code", "message")
    run.progress("evaluating", 1, 2, "examples")
    run.set_state(status="training")
    run.write_json("x.json", {})
    run.clear_request("stop")
    run.close()
    assert run.requests() == frozenset()
    assert run.attempt == 1
    assert list(tmp_path.iterdir()) == []
