"""Carrying out a run, with a stand-in for training: states, exit codes, signals, where words go."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from io import StringIO

import pytest

from hftune.commands.job import carry_out, check_and_train
from hftune.errors import DataError, HftuneError, InterruptedRun, RunLockedError
from hftune.output import Output
from hftune.recipe.prepare import prepare
from hftune.runs import layout
from hftune.runs.launch import Launch, write_launch
from hftune.runs.lock import device_lock, run_lock
from hftune.runs.reader import EventTail, load_state, read_events, read_state
from hftune.runs.requests import request
from hftune.runs.writer import RunWriter


def ends_well(recipe, run, *, allow_inexact=False):
    run.set_state(status="training", phase="training")
    run.emit("plan", total_steps=2, train_examples=1, parameters=3, trainable_parameters=3, device="cpu")
    run.emit("train", step=2, epoch=1.0, metrics={"loss": 0.5, "learning_rate": 0.1}, timing={"eta_seconds": 0.0})
    return {"test": {"accuracy": 0.5}}


def obeys(recipe, run, *, allow_inexact=False):
    """Train until asked to stop or pause."""
    run.set_state(status="training")
    while not run.requests():
        time.sleep(0.001)
    raise InterruptedRun("stopped at step 1, on request")


def test_a_run_that_ends_well_is_done_and_says_what_is_next(run, words):
    assert carry_out(run, words, train=ends_well) == 0
    state = read_state(run)
    assert (state.status, state.exit_code, state.attempt, state.total_steps, state.step) == ("done", 0, 1, 2, 2)
    said = words.stdout.getvalue()
    assert re.search(r"accuracy +0\.5\n", said) and str(run) in said
    assert 'hftune predict latest "…"' in said and "hftune chat latest" in said
    assert words.stderr.getvalue() == ""


def test_stdout_and_stderr_of_training_go_to_the_log(run, words, capfd):
    def talks(recipe, run, *, allow_inexact=False):
        os.write(1, b"from C\n")
        subprocess.run(["sh", "-c", "echo from a child >&2"], check=True)
        return {}

    assert carry_out(run, words, train=talks) == 0
    assert (run / layout.LOG).read_text() == "from C\nfrom a child\n"
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (HftuneError("no memory", "Take less."), 1, "no memory"),
        (DataError("no column 'txt'", "Did you mean 'text'?"), 2, "no column 'txt'"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero"),
        (SystemExit(3), 1, "SystemExit: 3"),
    ],
)
def test_what_goes_wrong_is_the_runs_state_a_short_block_and_a_traceback_in_the_log(run, words, error, code, reason):
    def fails(recipe, run, *, allow_inexact=False):
        raise error

    assert carry_out(run, words, train=fails) == code
    state = read_state(run)
    assert (state.status, state.reason, state.exit_code) == ("failed", reason, code)
    said = words.stderr.getvalue()
    assert said.startswith(f"hftune: {reason}\n  ") and "log.txt" in said and "Traceback" not in said
    assert len(said.splitlines()) <= 3
    assert "Traceback" in (run / layout.LOG).read_text()
    assert "latest" in said or code == 2


def test_debug_shows_the_traceback_and_keeps_the_exit_code(run, words):
    def fails(recipe, run, *, allow_inexact=False):
        raise DataError("no such column")

    assert carry_out(run, words, debug=True, train=fails) == 2
    assert "DataError: no such column\nhftune: no such column" in words.stderr.getvalue()


def test_json_is_events_and_a_result_on_stdout_and_nothing_else(run):
    output = Output(as_json=True, stdout=StringIO(), stderr=StringIO())
    assert carry_out(run, output, train=ends_well) == 0
    *events, result = [json.loads(line) for line in output.stdout.getvalue().splitlines()]
    assert result == {"run": str(run), "status": "done", "metrics": {"test": {"accuracy": 0.5}}}
    assert [event["kind"] for event in events] == [event.kind for event in read_events(run)][-len(events) :]
    assert "step 2/2" in output.stderr.getvalue()


def test_json_of_a_failure_ends_with_the_result_too(run):
    def fails(recipe, run, *, allow_inexact=False):
        raise DataError("no column 'txt'")

    output = Output(as_json=True, stdout=StringIO(), stderr=StringIO())
    assert carry_out(run, output, train=fails) == 2
    result = json.loads(output.stdout.getvalue().splitlines()[-1])
    assert (result["status"], result["error"]["code"]) == ("failed", 2)


def obeys_and_forgets(recipe, run, *, allow_inexact=False):
    """Train until asked to stop or pause, and clear the request as the training loop does."""
    try:
        return obeys(recipe, run)
    finally:
        for name in run.requests():
            run.clear_request(name)


@pytest.mark.parametrize("train", [obeys, obeys_and_forgets])
@pytest.mark.parametrize(("asked", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_a_request_from_elsewhere_ends_the_run_with_its_state_saved(run, words, asked, status, train):
    request(run, asked)  # it stands before the run begins
    assert carry_out(run, words, train=train) == 130
    assert (read_state(run).status, read_state(run).exit_code) == (status, 130)
    assert list((run / layout.CONTROL).iterdir()) == []
    assert "hftune resume latest" in words.stdout.getvalue()


def test_a_second_attempt_counts_on(run, words):
    request(run, "stop")
    carry_out(run, words, train=obeys)
    carry_out(run, words, train=ends_well)
    assert [read_state(run).attempt, read_state(run).status] == [2, "done"]
    assert [event.seq for event in read_events(run)] == list(range(len(read_events(run))))


def test_a_run_in_use_is_not_touched(run, words):
    before = read_events(run)
    with run_lock(run), pytest.raises(RunLockedError):
        carry_out(run, words, train=ends_well)
    assert read_events(run) == before


def waits(run):
    """Return once a run waits for its device."""
    while load_state(run).status != "queued" or load_state(run).pid == 0:
        time.sleep(0.001)


def test_a_run_waits_for_the_device_and_says_so(run, words):
    job = threading.Thread(target=carry_out, args=(run, words), kwargs={"train": ends_well})
    with device_lock("cpu", "another run"):
        job.start()
        waits(run)
    job.join(30)
    assert read_state(run).status == "done"
    assert "cpu is in use by process" in words.stdout.getvalue()


def test_a_run_that_waits_can_be_stopped(run, words):
    def stop():
        waits(run)
        request(run, "stop")

    thread = threading.Thread(target=stop)
    thread.start()
    with device_lock("cpu", "another run"):
        assert carry_out(run, words, train=ends_well) == 130
    thread.join(30)
    assert read_state(run).status == "stopped"


def test_a_hint_names_a_run_so_that_its_command_finds_it(recipe, tmp_path, words):
    """A path, in a shell's words, where the run is not in the folder that commands look in."""
    run = prepare(recipe, tmp_path / "my runs")
    with run_lock(run), pytest.raises(RunLockedError) as caught:
        carry_out(run, words, train=ends_well)
    assert f"`hftune stop '{run}'` ends it" in caught.value.hint


def test_an_error_that_says_how_to_resume_is_not_contradicted(run, words):
    def fails(recipe, run, *, allow_inexact=False):
        raise HftuneError("something changed", "Change it back, or `hftune resume abc --allow-inexact`.")

    carry_out(run, words, train=fails)
    assert words.stderr.getvalue().count("hftune resume") == 1


def test_text_of_data_and_models_does_not_steer_the_terminal(run, words):
    def alerts(recipe, run, *, allow_inexact=False):
        run.alert("warning", "odd", "\x1b[2Jlabel [red]x[/red] \x1b]0;t\x07")
        run.emit("eval", step=1, split="\x9b31m", metrics={"\x1bc": 1.0}, examples="many")
        return {"\x1b[31mtest": {"\x07f1": 1.0}}

    assert carry_out(run, words, train=alerts) == 0
    said = words.stdout.getvalue()
    assert "! label [red]x[/red]" in said
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)


SCRIPT = """
import sys, time
from pathlib import Path
from hftune.commands.job import carry_out
from hftune.errors import InterruptedRun
from hftune.output import Output

def obeys(recipe, run, *, allow_inexact=False):
    run.set_state(status="training")
    while not run.requests():
        time.sleep(0.001)
    raise InterruptedRun("stopped at step 1, on request")

def stubborn(recipe, run, *, allow_inexact=False):
    run.set_state(status="training")
    while not run.requests():
        time.sleep(0.001)
    run.emit("phase", phase="saving", detail="")
    time.sleep(60)

def ends(recipe, run, *, allow_inexact=False):
    run.set_state(status="training")
    for step in range(100):
        run.alert("info", "x", "word " * 1000 + str(step))
    return {}

sys.exit(carry_out(Path(sys.argv[1]), Output(), train=globals()[sys.argv[2]]))
"""


def start(run, train, **options):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run), train], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def wait_for(run, kind, value):
    tail, deadline = EventTail(run), time.monotonic() + 30
    while not any(event.kind == kind and value in event.data.values() for event in tail.poll()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
    ids=lambda value: str(value),
)
def test_a_signal_stops_the_run_with_its_state_saved(run, number, code):
    child = start(run, "obeys")
    wait_for(run, "status", "training")
    child.send_signal(number)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == code
    assert (read_state(run).status, read_state(run).exit_code) == ("stopped", code)
    assert b"hftune resume" in said


@pytest.mark.usefixtures("unmeasured")
def test_a_second_ctrl_c_ends_at_once(run):
    child = start(run, "stubborn")
    wait_for(run, "status", "training")
    child.send_signal(signal.SIGINT)
    wait_for(run, "phase", "saving")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130
    assert read_state(run).status == "stopped" and "at once" in read_state(run).reason


def test_nohup_is_respected(run):
    child = start(run, "obeys", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(run, "status", "training")
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == 143


def test_training_goes_on_when_its_reader_has_gone(run):
    child = start(run, "ends")
    child.stdout.close()
    assert child.wait(30) == 0
    child.stderr.close()
    assert read_state(run).status == "done"
    assert sum(event.kind == "alert" for event in read_events(run)) == 100


def test_killed_runs_are_lost_and_can_be_taken_up(run, words):
    child = start(run, "obeys")
    wait_for(run, "status", "training")
    child.kill()
    child.communicate()
    assert read_state(run).status == "lost"
    assert carry_out(run, words, train=ends_well) == 0
    assert (read_state(run).status, read_state(run).attempt) == ("done", 2)


def test_a_terminal_that_vanishes_stops_the_run_with_its_state_saved(run):
    outside, inside = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run), "obeys"], stdin=inside, stdout=inside, stderr=inside,
        preexec_fn=own_terminal, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(inside)
    wait_for(run, "status", "training")
    assert b"\x1b[" in os.read(outside, 65536)  # it is live
    os.close(outside)
    assert child.wait(30) == 143
    assert read_state(run).status == "stopped"


def test_the_data_are_looked_at_in_every_attempt_unless_told_otherwise(recipe, run, monkeypatch):
    """What is found goes into metrics.json, which is the same for a run that was killed."""
    from hftune import pipeline
    from hftune.preflight.inspect import findings

    looks = []
    monkeypatch.setattr(pipeline, "train", lambda recipe, run, allow_inexact, look: looks.append(look))
    for check in (True, True, False):
        write_launch(run, Launch(check=check))
        with RunWriter.open(run) as writer:
            check_and_train(recipe, writer)
    assert looks == [findings, findings, None]
    assert load_state(run).attempt == 3
