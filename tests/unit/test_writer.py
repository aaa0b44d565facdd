"""What a run directory looks like while and after it is written."""

import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time

import pytest

from hftune.errors import RunError
from hftune.runs import layout, writer
from hftune.runs.events import parse_line
from hftune.runs.files import write_atomic
from hftune.runs.reader import RUN_NAME, is_lost, load_state, read_events
from hftune.runs.requests import request
from hftune.runs.writer import RunWriter


@pytest.fixture
def run(tmp_path):
    with RunWriter.create(tmp_path / "runs", "abc", "name: abc\n") as run:
        yield run


def test_run_directory_is_private_and_named_by_time_and_chance(run):
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert RUN_NAME.fullmatch(run.path.name)["name"] == "abc"
    assert (run.path / layout.RECIPE).read_text() == "name: abc\n"
    assert load_state(run.path).status == "preparing"


def test_two_runs_of_one_second_never_share_a_folder(tmp_path, monkeypatch):
    digits = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(writer.secrets, "token_hex", lambda size: next(digits))
    monkeypatch.setattr(writer, "datetime", _FixedTime)
    paths = []
    for _ in range(2):
        with RunWriter.create(tmp_path, "abc", "") as run:
            paths.append(run.path.name)
    assert paths == ["abc-20260102-030405-aaaa", "abc-20260102-030405-bbbb"]


class _FixedTime(writer.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls(2026, 1, 2, 3, 4, 5, tzinfo=zone)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_safe_folder_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="cannot name a run"):
        RunWriter.create(tmp_path, name, "")
    assert list(tmp_path.iterdir()) == []


def test_runs_dir_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make a run directory"):
        RunWriter.create(tmp_path / "file", "abc", "")


def test_events_are_numbered_lines_and_reach_subscribers(run):
    seen = []
    run.subscribe(seen.append)
    run.emit("train", step=1, metrics={"loss": float("nan"), "learning_rate": 0.1})
    run.alert("warning", "nan-loss", "loss is not a number", step=1)
    events = read_events(run.path)
    assert [event.seq for event in events] == [0, 1, 2]
    assert [event.kind for event in events] == ["status", "train", "alert"]
    assert events[1].data["metrics"] == {"loss": None, "learning_rate": 0.1}
    assert events[1].data["nan"] == ["loss"]
    assert [event.kind for event in seen] == ["train", "alert"]


def test_text_that_is_no_unicode_is_still_written(run):
    run.alert("info", "odd", "half a pair: \ud800")
    assert read_events(run.path)[-1].data["message"] == "half a pair: ?"


def test_events_of_several_threads_do_not_mix(run):
    threads = [
        threading.Thread(target=lambda: [run.progress("x", done, 50, "rows") for done in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.seq for event in read_events(run.path)] == list(range(201))


def test_status_and_phase_changes_are_events_once(run):
    run.set_state(status="training", phase="training")
    run.set_state(status="training", phase="training", step=3)
    run.set_state(status="failed", reason="no memory", exit_code=1)
    kinds = [(event.kind, event.data.get("status") or event.data.get("phase")) for event in read_events(run.path)]
    assert kinds == [("status", "preparing"), ("status", "training"), ("phase", "training"), ("status", "failed")]
    state = load_state(run.path)
    assert (state.status, state.reason, state.exit_code, state.step) == ("failed", "no memory", 1, 3)


def test_a_reason_goes_with_its_status(run):
    run.set_state(status="queued", reason="cpu is in use")
    run.set_state(status="training")
    assert load_state(run.path).reason == ""


def test_state_follows_plan_steps_and_best_so_that_lists_read_no_events(run):
    run.emit("plan", total_steps=500)
    run.emit("train", step=20, metrics={}, timing={})
    run.emit("best", step=20, metric="accuracy", value=0.9)
    run.close()
    state = load_state(run.path)
    assert (state.step, state.total_steps, state.metric, state.metric_value) == (20, 500, "accuracy", 0.9)


def test_state_knows_the_step_that_was_saved_or_resumed_from(run):
    run.emit("train", step=10, epoch=1.0, metrics={}, timing={})
    run.emit("checkpoint", step=13, path="checkpoints/step-00000013", bytes=1, seconds=0.1, reason="stop")
    assert run.state.step == 13
    run.emit("resume", step=5, quarantined="", inexact=[])
    assert run.state.step == 5


def test_heartbeat_is_written_while_nothing_happens(run, monkeypatch):
    monkeypatch.setattr(writer, "HEARTBEAT_SECONDS", 0.01)
    before = load_state(run.path).heartbeat
    run.start_heartbeat()
    deadline = time.monotonic() + 10
    while load_state(run.path).heartbeat == before:
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_heart_outlives_a_full_disk(run, monkeypatch):
    monkeypatch.setattr(writer, "HEARTBEAT_SECONDS", 0.001)
    beats = threading.Semaphore(0)

    def full(path, content, *, sync=True):
        beats.release()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_atomic", full)
    run.start_heartbeat()
    assert beats.acquire(timeout=10) and beats.acquire(timeout=10)


def test_reopening_is_a_new_attempt_and_goes_on_counting(run):
    run.emit("train", step=1, metrics={}, timing={})
    run.set_state(status="stopped", reason="asked")
    run.close()
    with RunWriter.open(run.path) as again:
        again.emit("resume", step=1)
        assert again.attempt == 2
    events = read_events(run.path)
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.attempt for event in events][-2:] == [2, 2]
    assert events[-2].data == {"status": "preparing", "reason": ""}


@pytest.mark.parametrize("torn", [b'{"v":1,"se', b'{"v":1,"seq":1,"attempt":1,"time":1,"kind":"x","data":{"t":"\xc3'])
def test_reopening_closes_a_torn_last_line(run, torn):
    run.close()
    with (run.path / layout.EVENTS).open("ab") as file:
        file.write(torn)
    with RunWriter.open(run.path) as again:
        again.emit("resume", step=0)
    lines = (run.path / layout.EVENTS).read_bytes().splitlines()
    assert [parse_line(line) is not None for line in lines] == [True, False, True, True]
    assert [event.seq for event in read_events(run.path)] == [0, 1, 2]


def test_reopening_counts_on_past_a_long_line_of_rubbish(run):
    run.emit("train", step=1, metrics={}, timing={})
    run.close()
    with (run.path / layout.EVENTS).open("ab") as file:
        file.write(b"x" * (writer.TAIL_BYTES * 2))
    with RunWriter.open(run.path) as again:
        again.emit("resume", step=0)
    assert [event.seq for event in read_events(run.path)] == [0, 1, 2, 3]


def test_a_broken_state_does_not_lose_the_run(run):
    run.close()
    (run.path / layout.STATE).write_text("{")
    with RunWriter.open(run.path) as again:
        assert again.attempt == 2
    assert load_state(run.path).status == "preparing"


def test_a_run_handed_over_keeps_its_attempt_and_its_requests(run):
    run.hand_over()
    assert (load_state(run.path).pid, load_state(run.path).handed_over) == (0, True)
    request(run.path, "stop")
    with RunWriter.open(run.path) as taken:
        assert (taken.attempt, taken.requests()) == (1, {"stop"})
        assert (load_state(run.path).pid, load_state(run.path).handed_over) == (os.getpid(), False)


def test_a_run_handed_to_a_child_is_lost_only_with_its_parent(run):
    run.hand_over(to_child=True)
    state = load_state(run.path)
    assert not is_lost(state, now=state.heartbeat + 1000)
    with RunWriter.open(run.path) as taken:
        assert taken.attempt == 1


def test_requests_to_a_process_that_is_gone_are_forgotten(run):
    request(run.path, "stop")
    assert run.requests() == {"stop"}
    run.close()
    with RunWriter.open(run.path) as again:
        assert again.requests() == frozenset()


def test_a_request_can_come_from_inside_and_be_cleared(run):
    run.ask("stop")
    request(run.path, "checkpoint")
    assert run.requests() == {"stop", "checkpoint"}
    run.clear_request("stop")
    run.clear_request("checkpoint")
    assert run.requests() == frozenset()


def test_open_refuses_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not a run directory"):
        RunWriter.open(tmp_path)


def test_json_files_have_null_for_nan(run):
    run.write_json("metrics.json", {"test": {"loss": float("inf"), "names": ["ä", float("nan")]}})
    assert json.loads((run.path / "metrics.json").read_text()) == {"test": {"loss": None, "names": ["ä", None]}}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_cut_by_a_full_disk_is_closed_before_the_next(run):
    size = (run.path / layout.EVENTS).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        with pytest.raises(OSError):
            run.emit("train", step=1, metrics={}, timing={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run.emit("train", step=1, metrics={}, timing={})
    assert [event.seq for event in read_events(run.path)] == [0, 1]


def test_writing_runs_loads_nothing_heavy():
    code = "import sys, hftune.runs.writer, hftune.runs.launch, hftune.runs.lock, hftune.runs.requests\n"
    code += "print(*{'torch', 'transformers', 'numpy', 'pydantic', 'rich', 'psutil'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
