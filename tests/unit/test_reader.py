"""Finding and reading run directories, whatever is in them."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from hftune.errors import RunError
from hftune.runs import layout, process, reader
from hftune.runs.reader import EventTail, find_run, is_lost, list_runs, read_events, read_state, split_step
from hftune.runs.state import RunState
from hftune.runs.writer import RunWriter


def make_run(folder, name, **state):
    path = folder / name
    path.mkdir(parents=True)
    record = {"schema": 1, "status": "done", "created": 100.0, **state}
    (path / layout.STATE).write_text(json.dumps(record))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def alive():
    pid = os.getpid()
    return RunState(
        "training", host=process.host(), boot_id=process.boot_id(), pid=pid, process_started=process.started(pid)
    )


def test_a_live_process_on_this_boot_is_not_lost_however_old_its_heartbeat(alive):
    assert not is_lost(alive)


def test_a_reused_pid_is_another_process(alive):
    assert is_lost(replace(alive, process_started=alive.process_started - 5))


def test_a_process_that_is_gone_is_lost_at_once(alive):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = process.started(child.pid)
    child.wait()
    assert is_lost(replace(alive, pid=child.pid, process_started=started or 0, heartbeat=time.time()))


def test_a_zombie_is_gone(alive):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started(child.pid) is None
    child.wait()


def test_elsewhere_the_heartbeat_decides(alive):
    there = replace(alive, host="another", heartbeat=1000.0)
    assert not is_lost(there, now=1060.0)
    assert is_lost(there, now=1060.1)
    assert is_lost(replace(there, host=alive.host, boot_id="before"), now=1060.1)


def test_a_run_waiting_for_its_process_is_judged_by_its_heartbeat(alive):
    waiting = replace(alive, status="queued", pid=0, heartbeat=1000.0)
    assert not is_lost(waiting, now=1001.0)
    assert is_lost(waiting, now=1061.0)


@pytest.mark.parametrize("status", ["done", "failed", "stopped", "paused", "a-later-status"])
def test_a_run_that_has_ended_is_never_lost(status):
    assert not is_lost(RunState(status, pid=1, heartbeat=0.0))


def test_read_state_says_lost(folder, alive):
    path = make_run(folder, "a", **asdict(replace(alive, pid=2**22 + 1)))
    assert read_state(path).status == "lost"


def test_a_state_of_a_newer_version_is_read_as_far_as_it_is_known(folder):
    path = make_run(folder, "a", schema=9, status="compressing", step="many", metric_value=0.5, more={"x": 1})
    state = read_state(path)
    assert (state.status, state.schema, state.step, state.metric_value) == ("compressing", 9, 0, 0.5)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"status": 3}', "\x00\xff", "[" * 10_000])
def test_a_broken_state_is_an_error_that_names_the_file(folder, content):
    path = make_run(folder, "a")
    (path / layout.STATE).write_text(content)
    with pytest.raises(RunError, match="cannot be read"):
        read_state(path)


def test_a_list_shows_broken_runs_and_newest_first(folder):
    make_run(folder, "a-20260101-000000-0000")
    make_run(folder, "b-20260103-000000-0000")
    broken = make_run(folder, "c-20260102-000000-0000")
    (broken / layout.STATE).write_text("{")
    (folder / "notes").mkdir()
    (folder / ".hidden").mkdir()
    found = list_runs(folder)
    assert [run.name[0] for run in found] == ["b", "c", "a"]
    assert found[1].state is None and "cannot be read" in found[1].problem


def test_a_list_reads_one_file_a_run(folder, monkeypatch):
    for index in range(50):
        path = make_run(folder, f"a-20260101-000000-{index:04x}")
        (path / layout.EVENTS).mkdir()  # reading it would raise
    read = []
    original = reader.load_state
    monkeypatch.setattr(reader, "load_state", lambda path: read.append(path) or original(path))
    assert len(list_runs(folder)) == len(read) == 50


@pytest.mark.long
def test_ten_thousand_runs_are_listed(folder):
    for index in range(10_000):
        make_run(folder, f"a-20260101-000000-{index:04x}", created=float(index))
    assert list_runs(folder)[0].name.endswith("270f")
    assert find_run("latest", folder).name.endswith("270f")


def test_no_folder_is_no_runs(folder):
    assert list_runs(folder) == []
    with pytest.raises(RunError, match="no runs in"):
        find_run("latest", folder)


def test_a_run_is_found_by_path_start_end_short_name_and_latest(folder):
    first = make_run(folder, "bert-20260101-000000-a3f1")
    second = make_run(folder, "bert-large-20260102-000000-b4e2")
    for ref in (str(first), first.name, "bert-2", "a3f1", "f1", "bert-a3f1"):
        assert find_run(ref, folder) == first, ref
    for ref in ("latest", "bert-l", "e2", "bert-large-b4e2"):
        assert find_run(ref, folder) == second, ref


def test_latest_of_one_second_is_the_later_made(folder):
    make_run(folder, "a-20260101-000000-0001", created=5.2)
    make_run(folder, "a-20260101-000000-0002", created=5.1)
    assert find_run("latest", folder).name.endswith("0001")


def test_latest_counts_folders_with_names_of_their_own(folder):
    make_run(folder, "a-20260101-000000-0001", created=1767225600.0)
    make_run(folder, "mine", created=1767225700.0)
    assert find_run("latest", folder).name == "mine"


def test_a_full_name_wins_over_longer_ones(folder):
    run = make_run(folder, "mine")
    make_run(folder, "mine2")
    assert find_run("mine", folder) == run


def test_an_ambiguous_reference_names_the_candidates(folder):
    for index in range(12):
        make_run(folder, f"bert-20260101-000000-{index:04x}")
    with pytest.raises(RunError) as caught:
        find_run("bert", folder)
    assert "12 runs" in caught.value.message
    assert "bert-20260101-000000-000b" in caught.value.hint and "and 4 more" in caught.value.hint


def test_an_unknown_reference_suggests(folder):
    make_run(folder, "mine")
    with pytest.raises(RunError) as caught:
        find_run("mnie", folder)
    assert "'mine'" in caught.value.hint
    (folder.parent / "other").mkdir()
    with pytest.raises(RunError, match="is not a run directory"):
        find_run(str(folder.parent / "other"), folder)


def test_runs_dir_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HFTUNE_RUNS_DIR", str(tmp_path / "elsewhere"))
    run = make_run(tmp_path / "elsewhere", "mine")
    assert find_run("mine") == run


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("latest@500", ("latest", 500)),
        ("latest", ("latest", None)),
        ("a@b@7", ("a@b", 7)),
        ("mail@host", ("mail@host", None)),
        ("@5", ("@5", None)),
        ("a@", ("a@", None)),
        ("a@²", ("a@²", None)),
    ],
)
def test_a_step_is_split_from_its_run(ref, expected):
    assert split_step(ref) == expected


def test_events_that_make_no_sense_are_left_out(folder):
    path = make_run(folder, "a")
    good = b'{"v": 2, "seq": 0, "attempt": 1, "time": 1, "kind": "of-tomorrow", "data": {"x": 1}, "more": 1}\n'
    lines = [b"\n", b"\xff\xfe\n", b"[1]\n", b"[" * 5000 + b"\n", b'{"v": 1}\n', good.replace(b": 0", b": 1e999"), good]
    (path / layout.EVENTS).write_bytes(b"".join(lines) + b'{"v": 1, "seq": 1')
    assert [event.kind for event in read_events(path)] == ["of-tomorrow"]


def test_a_run_without_events_has_none(folder):
    assert read_events(make_run(folder, "a")) == []


def test_a_tail_returns_each_event_once_and_only_whole_lines(folder):
    with RunWriter.create(folder, "abc", "") as run:
        tail = EventTail(run.path)
        assert [event.seq for event in tail.poll()] == [0]
        assert tail.poll() == []
        run.emit("best", step=1, metric="ä", value=1.0)
        whole = (run.path / layout.EVENTS).read_bytes()
        (run.path / layout.EVENTS).write_bytes(whole[:-20])
        assert tail.poll() == []
        with (run.path / layout.EVENTS).open("ab") as file:
            file.write(whole[-20:])
        assert [event.data["metric"] for event in tail.poll()] == ["ä"]


def test_a_tail_begins_again_when_the_file_is_another(folder):
    with RunWriter.create(folder, "abc", "") as run:
        run.emit("best", step=1, metric="loss", value=1.0)
        tail = EventTail(run.path)
        assert len(tail.poll()) == 2
        lines = (run.path / layout.EVENTS).read_bytes().splitlines(keepends=True)
        (run.path / layout.EVENTS).write_bytes(lines[0])
        assert [event.seq for event in tail.poll()] == [0]
    assert tail.restarts == 1


def numbers(events):
    return [event.data["number"] for event in events]


def lines_of(first, last, filler=""):
    record = {"v": 1, "seq": 0, "attempt": 1, "time": 0.0, "kind": "best"}
    return b"".join(
        json.dumps({**record, "data": {"number": number, "filler": filler}}).encode() + b"\n"
        for number in range(first, last)
    )


def test_a_bound_reads_a_large_file_in_pieces_and_loses_nothing(folder):
    path = make_run(folder, "a")
    (path / layout.EVENTS).write_bytes(lines_of(0, 100))
    size, tail, found = (path / layout.EVENTS).stat().st_size, EventTail(path), []
    assert len(tail.poll(limit=300)) < 4 and (tail.size, tail.offset) == (size, 300)
    tail = EventTail(path)
    for _ in range(size // 7 + 1):
        found += numbers(tail.poll(limit=7))
    assert found == list(range(100)) and tail.offset == size


@pytest.mark.parametrize("limit", [None, 100_000])
def test_a_line_without_end_is_passed_over_and_not_held(folder, monkeypatch, limit):
    monkeypatch.setattr(reader, "LONGEST_LINE", 1 << 20)
    path = make_run(folder, "a")
    (path / layout.EVENTS).write_bytes(lines_of(0, 2) + b"x" * (5 << 20) + b"\n" + lines_of(2, 4))
    tail, found, held = EventTail(path), [], 0
    while tail.offset == 0 or tail.offset < tail.size:
        found += numbers(tail.poll(limit))
        held = max(held, len(tail._partial))
    assert found == [0, 1, 2, 3]
    assert held <= (1 << 20) + reader.PIECE_BYTES


def test_a_tail_can_begin_near_the_end(folder):
    path = make_run(folder, "a")
    (path / layout.EVENTS).write_bytes(lines_of(0, 100))
    line = len(lines_of(98, 99))
    tail = EventTail(path, back=2 * line + 5)
    assert numbers(tail.poll()) == [98, 99]
    with (path / layout.EVENTS).open("ab") as file:
        file.write(lines_of(100, 101))
    assert numbers(tail.poll()) == [100]
    assert numbers(EventTail(path, back=10**9).poll()) == list(range(101))


def test_a_run_in_the_current_folder_is_named_by_its_path(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, "abc-20260101-000000-a1b2").relative_to(tmp_path)
    assert reader.short_name(run) == "abc-20260101-000000-a1b2"  # there is no folder of runs, and none is looked for
    make_run(folder, "def-20260101-000000-c3d4")
    assert reader.short_name(folder / "def-20260101-000000-c3d4") == "latest"
