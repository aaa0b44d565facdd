"""Two processes: the same training as one, nobody left behind, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.reader import read_events, read_state

PATIENCE = 240.0  # for a busy machine; the promise itself is GROUP_SECONDS
GROUP_SECONDS = 30.0


@pytest.fixture
def recipe(tmp_path: Path, tiny_bert_folder: Path, tiny_reviews: Path) -> Callable[..., Path]:
    """Return what writes a recipe: the tiny BERT without dropout, a last batch that does not divide."""
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_bert_folder.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    config = json.loads((model / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (model / "config.json").write_text(json.dumps(config))

    def write(task: str = "text-classification", **training: Any) -> Path:
        content = {
            "name": "tiny",
            "task": task,
            "model": str(model),
            "data": {"files": str(tiny_reviews), "max_length": 32, "max_train_samples": 45},
            "training": {"learning_rate": 5e-3, "logging_steps": 1, "precision": "fp32", "threads": 1, **training},
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(content))
        return path

    return write


def hftune(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hftune", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def newest_run() -> Path:
    return max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime)


def losses(path: Path, kind: str = "train") -> list[float]:
    return [event.data["metrics"]["loss"] for event in read_events(path) if event.kind == kind]


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def saved_step(step: int) -> Callable[[], bool]:
    def reached() -> bool:
        return Path("runs").is_dir() and any(
            event.kind == "checkpoint" and event.data["step"] >= step
            for path in Path("runs").iterdir()
            if (path / "events.jsonl").exists()
            for event in read_events(path)
        )

    return reached


def ranks_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "hftune.commands.rank" in child.cmdline()]


def is_open_to_all(connection: Any) -> bool:
    return connection.status == psutil.CONN_LISTEN and connection.laddr.ip in ("::", "0.0.0.0")


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.long
def test_two_processes_find_the_learning_rate_of_one(recipe: Callable[..., Path]):
    found = []
    for processes in (1, 2):
        wanted = recipe(learning_rate="auto", max_steps=2, per_device_train_batch_size=8 // processes)
        finish(hftune("run", str(wanted), "--name", f"with-{processes}", "--processes", str(processes)))
        path = newest_run()
        (event,) = [event.data for event in read_events(path) if event.kind == "lr_find"]
        assert load_recipe(path / layout.RECIPE).training.learning_rate == event["learning_rate"]
        found.append(event)
    one, two = found
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)
    assert two["learning_rate"] == one["learning_rate"]


@pytest.mark.parametrize("task", ["text-classification", pytest.param("fill-mask", marks=pytest.mark.long)])
def test_two_processes_have_the_losses_of_one_with_the_same_global_batch(recipe: Callable[..., Path], task: str):
    finish(hftune("run", str(recipe(task, num_train_epochs=2, per_device_train_batch_size=8)), "--name", "one"))
    one = newest_run()
    wanted = recipe(task, num_train_epochs=2, per_device_train_batch_size=4)
    finish(hftune("run", str(wanted), "--name", "two", "--processes", "2"))
    two = newest_run()
    assert len(losses(one)) == 12
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert losses(two, "eval") == pytest.approx(losses(one, "eval"), rel=1e-5)
    (plan,) = [event.data for event in read_events(two) if event.kind == "plan"]
    assert plan["processes"] == 2
    assert read_state(two).status == "done"


@pytest.mark.parametrize(
    "victim",
    ["rank 1", pytest.param("rank 0", marks=pytest.mark.long), pytest.param("launcher", marks=pytest.mark.long)],
)
def test_a_killed_process_ends_the_group_and_the_run_goes_on_later(recipe: Callable[..., Path], victim: str):
    wanted = recipe(num_train_epochs=200, per_device_train_batch_size=2, save_steps=10, logging_steps=10)
    process = hftune("run", str(wanted), "--processes", "2")
    wait_for(saved_step(20))
    ranks = sorted(ranks_of(process), key=lambda rank: int(rank.environ()["RANK"]))
    assert len(ranks) == 2
    assert all(os.getsid(rank.pid) == rank.pid for rank in ranks), "Ctrl-C in the terminal must not reach them"
    assert not [port for rank in ranks for port in rank.net_connections("tcp") if is_open_to_all(port)]
    if victim == "launcher":
        process.kill()
    else:
        ranks[int(victim[-1])].send_signal(signal.SIGKILL)
    wait_for(gone(ranks), GROUP_SECONDS)
    process.communicate(timeout=GROUP_SECONDS)
    path = newest_run()
    assert read_state(path).status == ("lost" if victim == "launcher" else "failed")
    newest = layout.checkpoint_step(layout.checkpoints(path)[-1])

    resumed = hftune("resume", "latest")
    wait_for(lambda: [event for event in read_events(path) if event.kind == "resume"])
    (taken_up,) = [event.data["step"] for event in read_events(path) if event.kind == "resume"]
    assert taken_up == newest >= 20
    wait_for(lambda: losses(path)[-1] is not None and read_state(path).step > taken_up)
    finish(hftune("stop", "latest"))
    resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 130
    assert read_state(path).status == "stopped"
