"""Jobs started from the app: processes of their own that queue for their device, can be asked to end, and go on."""

from __future__ import annotations

import json
import os
import time

import pytest
from hftune_tui import jobs

from hftune.errors import RecipeError, RunError, RunLockedError, UsageError
from hftune.recipe.load import load_recipe
from hftune.runs import layout, process
from hftune.runs.lock import device_lock, run_lock
from hftune.runs.reader import load_state, read_state
from hftune.runs.state import RunState

RECIPE = """\
name: abc
task: text-classification
model: ./nothing-here
data:
  rows:
  - {text: a, label: b}
  - {text: c, label: d}
training:
  device: cpu
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "abc.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def busy():
    """Another run has the processor, so that jobs wait and load nothing."""
    with device_lock("cpu", "another run"):
        yield


def until(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.02)
    return found


def waiting(run):
    state = read_state(run)
    return state if state.status == "queued" and state.pid and state.reason else None


def ended(run, status):
    return read_state(run).status == status


def test_a_job_queues_for_its_device_and_says_so_and_obeys(recipe, runs, busy):
    run = jobs.start(str(recipe), runs)
    assert run.parent == runs and load_state(run).status == "queued"
    state = until(lambda: waiting(run))
    assert "cpu is in use by" in state.reason and "another run" in state.reason
    assert state.pid != os.getpid() and os.getsid(state.pid) == state.pid  # a session of its own: it outlives us
    assert jobs.why_not("stop", state, run) == ""
    jobs.stop(run)
    assert "asked to stop already" in jobs.why_not("stop", state, run)
    until(lambda: ended(run, "stopped"))
    jobs.resume(run)
    assert load_state(run).status == "queued"  # at once, before any process has it
    again = until(lambda: waiting(run))
    assert again.attempt == 2
    jobs.pause(run)
    until(lambda: ended(run, "paused"))


def test_a_request_made_before_the_job_is_there_is_obeyed(recipe, runs, busy):
    run = jobs.start(str(recipe), runs)
    jobs.stop(run)
    until(lambda: ended(run, "stopped"))


@pytest.fixture
def no_process(monkeypatch):
    """Jobs that are started, as what they were started with: nothing runs."""
    started = []
    monkeypatch.setattr(jobs, "start_job", lambda run, **how: started.append((run, how)))
    return started


def test_overrides_and_processes_reach_the_job(recipe, runs, no_process):
    run = jobs.start(str(recipe), runs, ["training.seed=7", "name=other"], processes=2)
    assert run.name.startswith("other-") and load_recipe(run / layout.RECIPE).training.seed == 7
    assert json.loads((run / layout.LAUNCH).read_text())["processes"] == 2
    assert no_process == [(run, {"processes": 2})]
    with pytest.raises(UsageError):
        jobs.start(str(recipe), runs, processes=0)


def test_a_shipped_recipe_is_started_by_its_name(runs, no_process):
    assert jobs.start("bert_cls", runs).name.startswith("bert-cls-")


def test_nothing_is_made_for_a_recipe_with_problems(recipe, runs, no_process):
    recipe.write_text(RECIPE + "  lr: 3\n  epochs: 2\n")
    with pytest.raises(RecipeError) as caught:
        jobs.start(str(recipe), runs)
    assert [one.line for one in caught.value.problems] == [10, 11]
    assert list(runs.iterdir()) == [] and no_process == []


def test_what_is_not_saved_is_started_as_it_stands(recipe, runs, no_process):
    run = jobs.start_text(RECIPE + "  seed: 5\n", recipe, runs)
    made = load_recipe(run / layout.RECIPE)
    assert made.training.seed == 5 and made.model.id == str(recipe.parent / "nothing-here")
    assert recipe.read_text() == RECIPE


@pytest.fixture
def stopped(recipe, runs, no_process):
    run = jobs.start(str(recipe), runs)
    no_process.clear()
    set_state(run, status="stopped", handed_over=False)
    return run


def set_state(run, **values):
    record = json.loads((run / layout.STATE).read_text())
    (run / layout.STATE).write_text(json.dumps(record | values))


def test_overrides_of_a_resume_change_the_recipe_and_allow_it(stopped, no_process):
    jobs.resume(stopped, ["training.per_device_train_batch_size=8", "training.gradient_accumulation_steps=2"])
    assert load_recipe(stopped / layout.RECIPE).training.gradient_accumulation_steps == 2
    assert (stopped / "recipe.attempt-1.yaml").is_file()
    assert no_process == [(stopped, {"processes": 1, "allow_inexact": True})]
    assert load_state(stopped).status == "queued" and load_state(stopped).handed_over


def test_a_bad_override_of_a_resume_changes_nothing(stopped, no_process):
    with pytest.raises(RecipeError):
        jobs.resume(stopped, ["training.lr=8"])
    assert load_state(stopped).status == "stopped" and no_process == []


def test_a_run_in_use_or_done_is_not_resumed(stopped, no_process):
    set_state(stopped, status="training")
    with run_lock(stopped), pytest.raises(RunLockedError):
        jobs.resume(stopped)
    set_state(stopped, status="done")
    with pytest.raises(RunError, match="is done: there is nothing to resume"):
        jobs.resume(stopped)
    assert no_process == []


@pytest.mark.parametrize(
    ("status", "why"), [("done", "it is done"), ("paused", "r resumes it"), ("stopped", "has stopped")]
)
def test_what_does_not_run_cannot_be_asked_to_end(stopped, status, why):
    set_state(stopped, status=status)
    with pytest.raises(RunError, match=why):
        jobs.stop(stopped)
    with pytest.raises(RunError, match=why):
        jobs.pause(stopped)
    assert not (stopped / layout.CONTROL / "stop").exists()


HERE = {"host": process.host(), "pid": os.getpid()}


@pytest.mark.parametrize(
    ("action", "state", "why"),
    [
        ("stop", None, "cannot be read"),
        ("stop", RunState("training"), ""),
        ("pause", RunState("queued"), ""),
        ("stop", RunState("done"), "it is done"),
        ("pause", RunState("lost"), "its process is gone: r goes on"),
        ("stop", RunState("failed"), "it failed: r tries again"),
        ("resume", RunState("paused"), ""),
        ("resume", RunState("lost"), ""),
        ("resume", RunState("done"), "nothing to resume"),
        ("resume", RunState("training", **HERE), "it is training already"),
        ("resume", RunState("queued", **HERE), "waits in the queue already"),
        ("resume", RunState("training", host="other-machine"), "another machine (other-machine) runs it"),
        ("resume", RunState("failed", schema=99), "a newer version of hftune"),
        ("chat", RunState("failed"), ""),
    ],
)
def test_why_a_key_cannot_act_is_said_in_words(action, state, why):
    said = jobs.why_not(action, state)
    assert why in said and bool(said) == bool(why)


def test_a_model_is_asked_once_there_is_one(make_run):
    empty = make_run("a-20260101-000000-aaaa")
    assert "no model and no checkpoint" in jobs.why_not("chat", RunState("failed"), empty)
    assert "no checkpoint yet" in jobs.why_not("chat", RunState("training"), empty)
    assert jobs.why_not("chat", RunState("training"), make_run("b-20260101-000000-bbbb", checkpoints=[5])) == ""
    assert jobs.why_not("chat", RunState("done"), make_run("c-20260101-000000-cccc", model=True)) == ""
