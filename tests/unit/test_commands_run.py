"""`hftune run` and the verbs around it, with the real pipeline on tiny models."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hftune import cli
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.reader import EventTail, find_run, list_runs, load_state, read_events, read_state
from hftune.runs.state import ACTIVE

RARE = ["-s", "training.eval_steps=100000"]
LONG = ["-s", "training.max_steps=100000", "-s", "training.save_steps=50", *RARE]


@pytest.fixture(autouse=True)
def no_queue(monkeypatch):
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


@pytest.fixture
def recipe(tmp_path, tiny_bert_folder, tiny_reviews):
    path = tmp_path / "tiny.yaml"
    path.write_text(f"""\
name: tiny
task: text-classification
model: {tiny_bert_folder}
data:
  files: {tiny_reviews}
  max_length: 32
training:
  num_train_epochs: 2
  per_device_train_batch_size: 16
  learning_rate: 1.0e-3
  logging_steps: 1
  precision: fp32
  threads: 1
""")
    return path


def hftune(*arguments, **options):
    """Start a command as a process of its own."""
    command = [sys.executable, "-m", "hftune", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for_run(child, tmp_path):
    """Return the only run directory once it is there."""
    deadline = time.monotonic() + 60
    while not (runs := list_runs(tmp_path / "runs")) or runs[0].state is None:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return runs[0].path


def wait_for(run, kind, step=0):
    tail, deadline = EventTail(run), time.monotonic() + 120
    while not any(event.kind == kind and event.data.get("step", 0) >= step for event in tail.poll()):
        assert time.monotonic() < deadline and read_state(run).status != "lost"
        time.sleep(0.01)


def test_run_leaves_a_complete_run_directory_and_says_what_is_next(recipe, capsys):
    assert cli.run(["run", str(recipe), "--name", "named"]) == 0
    run = find_run("latest")
    assert run.name.startswith("named-")
    state = read_state(run)
    assert (state.status, state.exit_code, state.attempt) == ("done", 0, 1)
    assert state.step == state.total_steps > 0 and state.metric
    there = {path.name for path in run.iterdir()}
    assert {layout.RECIPE, layout.EVENTS, layout.LOG, layout.MODEL, layout.METRICS, layout.ENVIRONMENT} <= there
    assert not [name for name in there if name.startswith(".")]
    metrics = json.loads((run / layout.METRICS).read_text())
    captured = capsys.readouterr()
    assert "accuracy" in captured.out and str(run) in captured.out
    assert 'hftune predict latest "…"' in captured.out
    assert max(map(len, captured.out.splitlines())) <= 120
    kinds = [event.kind for event in read_events(run)]
    assert {"plan", "train", "eval", "best", "checkpoint", "result"} <= set(kinds)

    # The verbs that read it
    assert cli.run(["resume", "latest"]) == 0
    assert "nothing to resume" in capsys.readouterr().out
    assert cli.run(["watch", "latest", "--plain"]) == 0
    assert "eval  step" in capsys.readouterr().out
    assert cli.run(["stop", "latest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"
    assert cli.run(["runs", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["status"], listed["name"]) == ("done", run.name)
    assert cli.run(["watch", "latest", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["metrics"]["test"] == metrics["test"] and len(lines) == len(kinds) + 1


def test_the_resolved_recipe_runs_again_as_it_is(recipe, capsys):
    assert cli.run(["run", str(recipe), "-s", "training.max_steps=2"]) == 0
    first = find_run("latest")
    assert cli.run(["run", str(first / layout.RECIPE), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert lines[-1]["status"] == "done"
    second = find_run(lines[-1]["run"])
    assert load_recipe(second / layout.RECIPE) == load_recipe(first / layout.RECIPE)
    assert (second / layout.METRICS).read_text() == (first / layout.METRICS).read_text()


def test_a_broken_recipe_creates_nothing(tmp_path, recipe, capsys):
    assert cli.run(["run", str(recipe), "-s", "training.lerning_rate=1"]) == 2
    assert "learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_data_that_do_not_fit_leave_the_reason(recipe, capsys):
    assert cli.run(["run", str(recipe), "-s", "data.text=txt"]) == 2
    assert "'txt'" in capsys.readouterr().err
    state = read_state(find_run("latest"))
    assert state.status == "failed" and "'txt'" in state.reason and state.exit_code == 2


@pytest.mark.parametrize("argv", [["--processes", "0"], ["--name", "../up"]])
def test_odd_arguments_are_refused_before_anything_is_made(tmp_path, recipe, argv, capsys):
    assert cli.run(["run", str(recipe), *argv]) == 2
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_saves_the_state_and_resume_ends_the_run(tmp_path, recipe, capsys):
    child = hftune("run", recipe, *LONG)
    run = wait_for_run(child, tmp_path)
    wait_for(run, "train", 5)
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    stopped = read_state(run)
    assert stopped.status == "stopped" and "hftune resume latest" in said
    assert layout.checkpoint_step(layout.checkpoints(run)[-1]) == stopped.step

    assert cli.run(["resume", "latest", "-s", "training.max_steps=1"]) == 2  # changes the recipe
    until = stopped.step + 3
    assert cli.run(["resume", "latest", "--allow-inexact", "-s", f"training.max_steps={until}"]) == 0
    assert (read_state(run).status, read_state(run).step, read_state(run).attempt) == ("done", until, 2)
    assert "max_steps: 100000" in (run / "recipe.attempt-1.yaml").read_text()
    assert load_recipe(run / layout.RECIPE).training.max_steps == until


@pytest.mark.usefixtures("unmeasured")
def test_a_detached_run_can_be_watched_locked_out_and_paused(tmp_path, recipe, capsys):
    assert cli.run(["run", str(recipe), "--detach", "--json", *LONG]) == 0
    started = json.loads(capsys.readouterr().out)
    run = find_run(started["run"])
    assert os.getsid(started["pid"]) == started["pid"]
    wait_for(run, "train", 2)
    assert cli.run(["resume", "latest"]) == 73
    assert f"process {started['pid']}" in capsys.readouterr().err
    watcher = hftune("watch", "latest")
    assert any(line.startswith("step ") for line in watcher.stdout)
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=30)
    assert watcher.returncode == 130 and read_state(run).status in ACTIVE
    assert cli.run(["pause", "latest"]) == 0
    assert "paused" in capsys.readouterr().out
    assert load_state(run).status == "paused"
    assert cli.run(["stop", "latest"]) == 0
    assert "not running: it is paused" in capsys.readouterr().out


def test_a_killed_run_is_lost_and_resumes(tmp_path, recipe, capsys):
    child = hftune("run", recipe, "-s", "training.max_steps=60", "-s", "training.save_steps=5", *RARE)
    run = wait_for_run(child, tmp_path)
    wait_for(run, "checkpoint", 5)
    child.kill()
    child.communicate()
    assert read_state(run).status == "lost"
    for verb in ("stop", "watch"):
        assert cli.run([verb, "latest"]) == 1
        assert "hftune resume latest" in capsys.readouterr().err
    assert cli.run(["resume", "latest"]) == 0
    assert (read_state(run).status, read_state(run).step) == ("done", 60)


@pytest.mark.long
def test_two_processes_train_one_run(recipe, capsys):
    assert cli.run(["run", str(recipe), "--processes", "2", "-s", "training.max_steps=3"]) == 0, capsys.readouterr().err
    run = find_run("latest")
    assert (read_state(run).status, read_state(run).attempt) == ("done", 1)
    assert json.loads((run / layout.LAUNCH).read_text()) == {"processes": 2, "check": True}
    (plan,) = [event.data for event in read_events(run) if event.kind == "plan"]
    assert plan["processes"] == 2
    assert "accuracy" in capsys.readouterr().out
