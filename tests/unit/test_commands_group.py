"""The process that holds a run which several processes train, with stand-ins for them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hftune import threads
from hftune.commands import group
from hftune.commands.group import carry_out_in_group
from hftune.commands.signals import asking_to_stop
from hftune.runs import layout
from hftune.runs.lock import device_lock
from hftune.runs.reader import load_state, read_events, read_state
from hftune.runs.requests import request
from hftune.runs.writer import RunWriter
from hftune.training import processes


def as_rank_0(path, **state):
    """Do what the first process of a group does: take the run up and leave a state."""
    assert load_state(path).handed_over and read_state(path).status == "preparing"
    with RunWriter.open(path) as run:
        run.alert("info", "x", "from rank 0")
        run.set_state(**state)


def test_a_group_that_ends_well_is_one_attempt_shown_from_its_events(recipe, run, words):
    def launch(path, processes, allow_inexact):
        assert (processes, allow_inexact) == (2, True)
        os.write(1, b"to the log\n")
        as_rank_0(path, status="done", exit_code=0)
        (path / layout.METRICS).write_text(json.dumps({"test": {"accuracy": 0.5}}))
        return 0

    outcome = carry_out_in_group(run, recipe, words, 2, True, launch)
    assert (outcome.status, outcome.exit_code, outcome.metrics) == ("done", 0, {"test": {"accuracy": 0.5}})
    assert "from rank 0" in words.stdout.getvalue()
    assert (run / layout.LOG).read_text() == "to the log\n"
    assert {event.attempt for event in read_events(run)} == {1}
    assert [event.seq for event in read_events(run)] == list(range(len(read_events(run))))


def test_what_rank_0_wrote_down_is_the_reason(recipe, run, words):
    def launch(path, processes, allow_inexact):
        as_rank_0(path, status="failed", reason="no column 'txt'", exit_code=2)
        return 2

    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert (outcome.status, outcome.exit_code, outcome.error.message) == ("failed", 2, "no column 'txt'")


def test_a_group_that_was_killed_has_failed(recipe, run, words):
    def launch(path, processes, allow_inexact):
        as_rank_0(path, status="training")
        return 1

    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert (read_state(run).status, read_state(run).attempt) == ("failed", 1)
    assert "killed" in read_state(run).reason


def test_a_group_that_cannot_start_has_failed(recipe, run, words, capfd):
    def launch(path, processes, allow_inexact):
        raise RuntimeError("no such backend")

    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert outcome.status == "failed" and "no such backend" in read_state(run).reason
    assert "Traceback" in (run / layout.LOG).read_text()


def test_a_signal_becomes_a_request_that_rank_0_reads(recipe, run, words):
    def launch(path, processes, allow_inexact):
        os.kill(os.getpid(), signal.SIGTERM)
        while "stop" not in [file.name for file in (path / layout.CONTROL).iterdir()]:
            time.sleep(0.001)
        as_rank_0(path, status="stopped", reason="stopped at step 1, on request", exit_code=130)
        return 130

    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert (outcome.status, outcome.exit_code) == ("stopped", 143)


def test_a_second_signal_ends_the_group_at_once(recipe, run, words):
    def launch(path, processes, allow_inexact):
        as_rank_0(path, status="training")
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert (outcome.status, outcome.exit_code, read_state(run).status) == ("stopped", 130, "stopped")


def test_a_group_waits_for_its_device_and_can_be_stopped_meanwhile(recipe, run, words):
    def stop():
        while load_state(run).status != "queued" or load_state(run).pid == 0:
            time.sleep(0.001)
        request(run, "stop")

    thread = threading.Thread(target=stop)
    thread.start()
    with device_lock("cpu", "another run"):
        outcome = carry_out_in_group(run, recipe, words, 2, False, lambda *arguments: pytest.fail("was started"))
    thread.join(30)
    assert (outcome.status, outcome.exit_code, read_state(run).status) == ("stopped", 130, "stopped")
    assert "queued: cpu is in use by process" in words.stdout.getvalue()


def test_a_signal_at_the_very_start_of_a_later_attempt_is_not_lost(recipe, run, words, monkeypatch):
    with RunWriter.open(run) as first:
        first.set_state(status="stopped")

    @contextmanager
    def signalled(ask):
        with asking_to_stop(ask) as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            yield signals

    def launch(path, processes, allow_inexact):
        with RunWriter.open(path) as rank_0:
            assert rank_0.requests() == {"stop"}
            rank_0.set_state(status="stopped", exit_code=130)
        return 130

    monkeypatch.setattr(group, "asking_to_stop", signalled)
    outcome = carry_out_in_group(run, recipe, words, 2, False, launch)
    assert (outcome.status, outcome.exit_code) == ("stopped", 143)


def test_the_processes_of_a_group_are_no_company_to_each_other(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in threads.SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is taken away again
        monkeypatch.delenv(name)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 3.0)
    inherited = []
    monkeypatch.setattr(processes, "launch", lambda *given: inherited.append(os.environ["GOMP_SPINCOUNT"]))
    group._launch(Path("run"), 2, False)
    assert inherited == [str(threads.SPINS)]


def test_holding_a_group_loads_no_torch_before_it_starts():
    code = "import sys, hftune.commands.group; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
