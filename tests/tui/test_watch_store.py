"""The store that the screens read: runs however they come, and the events of those that are followed."""

import json
import math
import subprocess
import sys
import threading
import time

import pytest
from hftune_tui import folder as folder_module
from hftune_tui import watch
from hftune_tui.folder import Folder
from hftune_tui.watch import RunStore

from hftune.runs import layout
from hftune.runs.writer import RunWriter

NOW = 1_800_000_000.0


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
def store(runs):
    return RunStore(runs, clock=lambda: NOW)


def state_of(status="done", **more):
    return {"schema": 1, "status": status, "created": NOW - 100, "heartbeat": NOW - 1, "attempt": 1, **more}


def put(runs, name, record=None, events=()):
    path = runs / name
    path.mkdir()
    record = state_of() if record is None else record
    (path / layout.STATE).write_text(record if isinstance(record, str) else json.dumps(record))
    if events:
        write_events(path, events)
    return path


def write_events(path, events, attempt=1, time=NOW):
    with (path / layout.EVENTS).open("a") as file:
        for seq, (kind, data) in enumerate(events):
            record = {"v": 1, "seq": seq, "attempt": attempt, "time": time + seq, "kind": kind, "data": data}
            file.write(json.dumps(record) + "\n")


def train(step, loss=1.0, elapsed=None, **timing):
    timing = {"elapsed_seconds": float(step if elapsed is None else elapsed), "tokens_per_second": 100.0, **timing}
    return "train", {"step": step, "metrics": {"loss": loss, "learning_rate": 1e-4}, "timing": timing}


def names(store):
    return [row.name for row in store.rows]


def finite(run, name):
    return [(point.step, point.value) for point in run.series[name].points]


def test_runs_are_listed_newest_first_and_a_version_counts_changes(runs, store):
    put(runs, "a-20260101-000000-0000")
    put(runs, "b-20260103-000000-0000")
    put(runs, "mine", state_of(created=1767312000.0))  # 2026-01-02
    (runs / "notes").mkdir()
    (runs / ".hidden").mkdir()
    assert (store.ready, store.rows, store.version) == (False, (), 0)
    store.poll_once()
    assert store.ready and names(store) == ["b-20260103-000000-0000", "mine", "a-20260101-000000-0000"]
    version, rows = store.version, store.rows
    store.poll_once()
    assert store.version == version and store.rows is rows
    assert store.counts == {"done": 3}


def test_no_folder_is_no_runs(tmp_path):
    store = RunStore(tmp_path / "nowhere")
    store.poll_once()
    assert store.ready and store.rows == ()


def test_a_run_from_a_shell_a_copy_and_one_that_is_removed_show_up(runs, store):
    store.poll_once()
    with RunWriter.create(runs, "shell", "", status="training"):
        put(runs, "copied-20200101-000000-0000")
        store.poll_once()
        assert [row.status for row in store.rows] == ["training", "done"]
        (runs / "copied-20200101-000000-0000" / layout.STATE).unlink()
        (runs / "copied-20200101-000000-0000").rmdir()
        store.poll_once()
        assert [row.status for row in store.rows] == ["training"]


def test_a_state_that_is_replaced_is_read_again(runs, store):
    path = put(runs, "a-20260101-000000-0000")
    store.poll_once()
    (path / layout.STATE).write_text(json.dumps(state_of("failed", reason="out of memory")))
    store.poll_once()
    assert store.rows[0].state.status == "failed" and store.row(path).state.reason == "out of memory"
    assert store.row(runs / "other") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"status": 3}', "\x00", "[" * 10_000])
def test_an_unreadable_run_is_a_row_that_says_why(runs, store, content):
    put(runs, "a-20260101-000000-0000", content)
    store.poll_once()
    assert store.rows[0].state is None and "cannot be read" in store.rows[0].problem
    assert store.rows[0].status == "unreadable"


def test_a_run_of_a_later_version_is_shown_and_marked(runs, store):
    path = put(runs, "a-20260101-000000-0000", state_of("compressing", schema=9, step="many", more={"x": 1}))
    write_events(path, [("of-tomorrow", {"x": [1]}), ("train", {"step": {}, "metrics": [1], "timing": "x"}), train(3)])
    store.poll_once()
    assert store.rows[0].newer and store.rows[0].status == "compressing"
    run = store.follow(path)
    store.poll_once()
    assert run.newer and finite(run, "train/loss") == [(3, 1.0)]


def test_a_dead_process_is_lost_here_and_elsewhere(runs, store):
    from hftune.runs import process

    here = {"host": process.host(), "boot_id": process.boot_id(), "pid": 2**22 + 1}
    put(runs, "a-20260103-000000-0000", state_of("training", **here))
    path = put(runs, "b-20260102-000000-0000", state_of("training", host="there", pid=7, heartbeat=NOW - 61))
    put(runs, "c-20260101-000000-0000", state_of("training", host="there", pid=7, heartbeat=NOW - 59))
    store.poll_once()
    assert [row.status for row in store.rows] == ["lost", "lost", "training"]
    (path / layout.STATE).write_text(json.dumps(state_of("training", host="there", pid=7, heartbeat=NOW)))
    store.poll_once()
    assert [row.status for row in store.rows] == ["lost", "training", "training"]


def test_a_run_falls_silent_without_any_file_changing(runs):
    now = [NOW]
    store = RunStore(runs, clock=lambda: now[0])
    path = put(runs, "a-20260101-000000-0000", state_of("training", host="there", heartbeat=NOW))
    run = store.follow(path)
    store.poll_once()
    assert store.rows[0].status == run.state.status == "training"
    now[0] += 61
    store.poll_once()
    assert store.rows[0].status == run.state.status == "lost"


def test_rows_of_active_runs_say_what_the_newest_train_event_says(runs, store):
    with RunWriter.create(runs, "a", "", status="training") as run:
        events = [train(step, loss=1 / step, eta_seconds=100.0 - step) for step in range(1, 50)]
        for kind, data in events:
            run.emit(kind, **data)
        run.emit("progress", phase="evaluating", done=1, total=2, unit="batches")
        store.poll_once()
        (row,) = store.rows
        assert (row.state.step, row.loss, row.eta_seconds) == (49, 1 / 49, 51.0)
        run.emit("train", step=50, metrics={"loss": math.nan}, timing={})
        store.poll_once()
        assert math.isnan(store.rows[0].loss) and store.rows[0].eta_seconds is None
        run.set_state(status="done", step=50)
        store.poll_once()
        assert (store.rows[0].loss, store.rows[0].status) == (None, "done")


def test_what_an_earlier_attempt_said_is_not_said_of_this_one(runs, store):
    run = RunWriter.create(runs, "a", "", status="training")
    run.emit("train", step=9, metrics={"loss": 0.5}, timing={"eta_seconds": 3.0})
    run.close()
    with RunWriter.open(run.path):
        store.poll_once()
        assert store.rows[0].loss is None and store.rows[0].eta_seconds is None


def test_a_followed_run_has_its_curves_lines_alerts_and_checkpoints(runs, store):
    path = put(
        runs,
        "a-20260101-000000-0000",
        events=[
            ("plan", {"total_steps": 4, "metric": "accuracy"}),
            train(1, 2.0),
            train(2, 1.5),
            ("eval", {"step": 2, "split": "validation", "metrics": {"loss": 1.6, "accuracy": 0.5}, "timing": {}}),
            ("alert", {"level": "warning", "code": "x", "message": "careful"}),
            train(4, 1.0),
        ],
    )
    (path / layout.CHECKPOINTS / "step-00000002").mkdir(parents=True)
    (path / layout.CHECKPOINTS / ".step-00000004.tmp").mkdir()
    run = store.follow(path)
    assert run.loading and run.version == 0
    store.poll_once()
    assert not run.loading and run.state.status == "done"
    assert finite(run, "train/loss") == [(1, 2.0), (2, 1.5), (4, 1.0)]
    assert finite(run, "validation/accuracy") == [(2, 0.5)]
    assert finite(run, "timing/tokens_per_second")[0] == (1, 100.0)
    assert run.following.best == {} and run.following.total == 4
    assert [line.text for line in run.alerts] == ["! careful"] and run.alerts[0].level == "warning"
    assert [line.kind for line in run.lines] == ["plan", "train", "train", "eval", "alert", "train"]
    assert run.checkpoints == [2]
    version = run.version
    store.poll_once()
    assert run.version == version


def test_lines_of_fast_steps_come_once_a_second(runs, store):
    with RunWriter.create(runs, "a", "", status="training") as run:
        for step in range(1, 200):
            run.emit(*train(step)[:1], **train(step)[1])
        followed = store.follow(run.path)
        store.poll_once()
        assert len(followed.series["train/loss"]) == 199
        assert len([line for line in followed.lines if line.kind == "train"]) < 20


def test_a_resumed_attempt_cuts_the_curve_and_its_time_goes_on(runs, store):
    path = put(runs, "a-20260101-000000-0000", events=[train(step, loss=float(step)) for step in range(1, 11)])
    run = store.follow(path)
    store.poll_once()
    assert run.series["train/loss"].last.step == 10
    again = [("resume", {"step": 6}), *(train(step, loss=-float(step), elapsed=step - 6) for step in (7, 8))]
    write_events(path, again, attempt=2)
    store.poll_once()
    assert finite(run, "train/loss")[-3:] == [(6, 6.0), (7, -7.0), (8, -8.0)]
    last = run.series["train/loss"].last
    assert last.time == 8.0 and last.tokens == pytest.approx(800.0)
    write_events(path, [("resume", {"step": 0, "from": None}), train(1, loss=9.0)], attempt=3)
    store.poll_once()
    assert finite(run, "train/loss") == [(1, 9.0)] and run.series["train/loss"].last.time == 1.0


def test_time_for_evaluations_and_saves_counts_no_tokens(runs, store):
    evaluation = ("eval", {"step": 1, "split": "validation", "metrics": {"loss": 1.0}, "timing": {"seconds": 5.0}})
    saved = ("checkpoint", {"step": 1, "seconds": 3.0})
    path = put(runs, "a-20260101-000000-0000", events=[train(1), evaluation, saved, train(2, elapsed=10.0)])
    run = store.follow(path)
    store.poll_once()
    assert run.series["train/loss"].last.tokens == pytest.approx(200.0)
    assert run.series["train/loss"].last.time == 10.0


def test_losses_that_are_not_finite_are_gaps_and_marks(runs, store):
    alert = ("alert", {"level": "warning", "code": "nan-loss", "message": "not finite", "step": 4})
    path = put(runs, "a-20260101-000000-0000", events=[train(1), train(2, None), train(3), alert, train(5, None)])
    run = store.follow(path)
    store.poll_once()
    assert run.nan_steps == [2, 4]
    assert [math.isnan(value) for _, value in finite(run, "train/loss")] == [False, True, False, True]
    write_events(path, [("resume", {"step": 3})], attempt=2)
    store.poll_once()
    assert run.nan_steps == [2]


def test_events_that_a_hand_has_edited_end_nothing(runs, store):
    odd = [10**400, 1e999, "x", None, [], {}, -1, True]
    events = [
        (kind, dict.fromkeys(("step", "metrics", "timing", "split", "seconds", "code", "level", "status"), value))
        for kind in ("train", "eval", "checkpoint", "resume", "alert", "plan", "status", "progress", "best", "result")
        for value in odd
    ]
    metrics = ("train", {"step": 1, "metrics": {"loss": "x", "a": True, "b": 10**400, "c": []}, "timing": {"x": {}}})
    path = put(runs, "a-20260101-000000-0000", events=[*events, metrics, train(2)])
    with (path / layout.EVENTS).open("ab") as file:
        file.write(b"\xff\n[1]\n{}\n" + b"x" * 100)
    run = store.follow(path)
    store.poll_once()
    assert run.series["train/loss"].last.step == 2 and not run.problem


def test_a_run_has_no_more_than_so_many_curves(runs, store):
    many = {f"metric-{index}": 1.0 for index in range(1000)}
    path = put(runs, "a-20260101-000000-0000", events=[("eval", {"step": 1, "split": "test", "metrics": many})])
    run = store.follow(path)
    store.poll_once()
    assert len(run.series) == 64


def test_events_that_cannot_be_opened_are_a_problem_of_that_run(runs, store):
    path = put(runs, "a-20260101-000000-0000")
    (path / layout.EVENTS).mkdir()
    run = store.follow(path)
    store.poll_once()
    store.poll_once()
    assert "events.jsonl cannot be read" in run.problem and not run.loading


def test_a_file_copied_anew_begins_anew(runs, store):
    path = put(runs, "a-20260101-000000-0000", events=[train(1), train(2)])
    run = store.follow(path)
    store.poll_once()
    (path / layout.EVENTS).write_text("")
    write_events(path, [train(7, 3.0)])
    store.poll_once()
    assert finite(run, "train/loss") == [(7, 3.0)]


def test_following_is_counted_and_a_run_left_lately_goes_on_where_it_was(runs, store):
    path = put(runs, "a-20260101-000000-0000", events=[train(1)])
    run = store.follow(path)
    assert store.follow(path) is run and store.follow(runs / "." / path.name) is run
    for _ in range(3):
        store.unfollow(path)
    store.unfollow(path)
    store.poll_once()
    assert run.version == 0  # nobody follows it
    assert store.follow(path) is run
    store.poll_once()
    assert len(run.series["train/loss"]) == 1
    store.unfollow(path)
    for index in range(6):
        other = put(runs, f"b-20260101-000000-000{index}")
        store.follow(other)
        store.unfollow(other)
    assert store.follow(path) is not run


def test_a_run_outside_of_the_folder_can_be_followed(tmp_path, store):
    path = put(tmp_path, "elsewhere", events=[train(1)])
    run = store.follow(path)
    store.poll_once()
    assert run.state.status == "done" and store.rows == ()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_the_thread_follows_by_itself_and_ends(runs):
    store = RunStore(runs)
    store.start()
    store.start()
    try:
        assert [thread.name for thread in threading.enumerate()].count("hftune-reader") == 1
        with RunWriter.create(runs, "a", "", status="training") as run:
            followed = store.follow(run.path)
            store.look_soon()
            wait_for(lambda: store.ready and store.rows)
            run.emit(train(1)[0], **train(1)[1])
            wait_for(lambda: store.rows[0].loss == 1.0 and "train/loss" in followed.series)
            run.set_state(status="done")
            wait_for(lambda: store.rows[0].status == "done" and followed.state.status == "done")
    finally:
        store.stop()
    assert "hftune-reader" not in [thread.name for thread in threading.enumerate()]


def test_an_error_in_the_thread_is_kept_and_the_thread_goes_on(runs, monkeypatch):
    store, asked = RunStore(runs), []
    monkeypatch.setattr(watch, "AFTER_ERROR_SECONDS", 0.01)

    def look(seconds):
        asked.append(seconds)
        raise ValueError("odd")

    monkeypatch.setattr(store._folder, "look", look)
    store.start()
    try:
        wait_for(lambda: len(asked) > 2)
        assert store.problem == "ValueError: odd"
    finally:
        store.stop()


class Ticks:
    """A clock that advances a little with each reading of a file, so that budgets can be tested without time."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def counted(runs, monkeypatch):
    """A folder of 500 runs whose every look costs 10 microseconds and every read a millisecond; what was done."""
    ticks, reads, looks = Ticks(), [], []
    for index in range(500):
        put(runs, f"a-20260101-{index:06d}-0000")
    load, mark = folder_module.load_state, folder_module.mark_of

    def load_state(path):
        ticks.now += 1e-3
        reads.append(path.name)
        return load(path)

    def mark_of(path):
        ticks.now += 1e-5
        looks.append(path)
        return mark(path)

    monkeypatch.setattr(folder_module, "load_state", load_state)
    monkeypatch.setattr(folder_module, "mark_of", mark_of)
    return Folder(runs, clock=lambda: NOW, ticks=ticks), ticks, reads, looks


def test_a_first_scan_is_done_in_pieces_newest_first(counted):
    folder, _ticks, reads, _ = counted
    folder.look(0.01)
    assert not folder.ready and 8 <= len(reads) <= 11 and folder.known == 500
    assert reads[0].endswith("-000499-0000") and reads == sorted(reads, reverse=True)
    turns = 1
    while not folder.ready:
        folder.look(0.01)
        turns += 1
    assert 45 <= turns <= 60 and len(reads) == 500


def test_a_run_that_has_not_changed_is_not_read_again_and_looking_costs_little(counted):
    folder, ticks, reads, looks = counted
    while not folder.ready:
        folder.look(0.01)
    looks.clear()
    for _ in range(20 * 60):  # a minute
        ticks.now += 0.05
        folder.look(0.005)
    assert len(reads) == 500
    assert len(looks) * 1e-5 < 60 / 150
    assert len(looks) >= 500 * 30


def test_a_change_in_an_old_run_is_found_by_the_sweep(counted, runs):
    folder, ticks, _reads, _ = counted
    while not folder.ready:
        folder.look(0.01)
    name = "a-20260101-000250-0000"
    (runs / name / layout.STATE).write_text(json.dumps(state_of("training", host="there", heartbeat=NOW)))
    changed = set()
    for _ in range(20 * 7):
        ticks.now += 0.05
        changed |= folder.look(0.005)
    assert changed == {name} and folder.rows[name].status == "training"


def test_a_run_that_is_just_being_made_is_not_called_broken(runs):
    ticks = Ticks()
    folder = Folder(runs, clock=lambda: NOW, ticks=ticks)
    folder.look(0.01)
    path = runs / "a-20260101-000000-0000"
    path.mkdir()
    ticks.now += 1.1
    assert folder.look(0.01) == set()
    (path / layout.STATE).write_text(json.dumps(state_of()))
    ticks.now += 0.6
    assert folder.look(0.01) == {path.name} and folder.rows[path.name].status == "done"
    broken = runs / "b-20260101-000000-0000"
    broken.mkdir()
    for _ in range(4):
        ticks.now += 0.6
        folder.look(0.01)
    assert folder.rows[broken.name].state is None


def test_it_loads_no_drawing_and_nothing_heavy():
    code = "import sys, hftune_tui.watch\nassert not {'textual', 'rich', 'numpy', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_that_cannot_be_listed_says_why_until_it_can(tmp_path):
    path = tmp_path / "runs"
    path.write_text("not a folder")
    store = RunStore(path)
    store.poll_once()
    assert store.ready and store.rows == () and store.folder_problem == f"{path} cannot be read: Not a directory"
    path.unlink()
    store.poll_once()
    assert store.folder_problem == ""
    path.mkdir()
    put(path, "a-20260101-000000-0000")
    store.poll_once()
    assert store.folder_problem == "" and len(store.rows) == 1
