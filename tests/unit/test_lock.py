"""One process a run, one job a device."""

import json
import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from hftune.errors import InterruptedRun, RunLockedError
from hftune.runs import layout, lock, process
from hftune.runs.devices import devices_of
from hftune.runs.lock import device_lock, queue_dir, run_lock


def test_a_second_holder_is_told_who_has_the_run(tmp_path):
    with run_lock(tmp_path, "training"), pytest.raises(RunLockedError) as caught, run_lock(tmp_path):
        pass
    assert caught.value.exit_code == 73
    assert f"process {os.getpid()} on {process.host()} since 20" in caught.value.message
    assert "(training)" in caught.value.message
    assert "hftune watch" in caught.value.hint
    with run_lock(tmp_path):
        pass


def test_a_process_whose_run_has_ended_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / layout.STATE).write_text('{"status": "stopped"}')
    with ExitStack() as leaving:
        leaving.enter_context(run_lock(tmp_path, "training"))
        monkeypatch.setattr(lock, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: leaving.close()}))
        with run_lock(tmp_path):
            pass


@pytest.mark.parametrize(("status", "waits"), [("training", 0), ("stopped", 3)])
def test_a_process_that_works_or_does_not_end_keeps_the_run(tmp_path, monkeypatch, status, waits):
    (tmp_path / layout.STATE).write_text(json.dumps({"status": status}))
    waited = []
    clock = {"sleep": waited.append, "monotonic": lambda: len(waited) * lock.LEAVING_SECONDS / 3}
    with run_lock(tmp_path):
        monkeypatch.setattr(lock, "time", SimpleNamespace(**{**vars(time), **clock}))
        with pytest.raises(RunLockedError), run_lock(tmp_path):
            pass
    assert len(waited) == waits


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_an_owner_that_has_not_signed_is_another_process(tmp_path, content):
    with run_lock(tmp_path):
        (tmp_path / layout.LOCK).write_text(content)
        with pytest.raises(RunLockedError, match="in use by another process"), run_lock(tmp_path):
            pass


def test_the_lock_is_not_inherited_by_programs_and_dropped_by_forks(tmp_path):
    read, write = os.pipe()
    with run_lock(tmp_path):
        child = os.fork()
        if child == 0:  # outlives the lock of its parent, as a data loader's worker can
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    try:
        with run_lock(tmp_path):
            pass
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_a_device_has_one_job_and_the_next_waits_its_turn():
    order, waiting = [], threading.Event()

    def second():
        with device_lock("cpu", "second", waiting=lambda owner: (order.append(owner), waiting.set())):
            order.append("second")

    with device_lock("cpu", "run abc"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first ends")
    thread.join(10)
    assert order[1:] == ["first ends", "second"]
    assert "(run abc)" in order[0]


def test_devices_have_queues_of_their_own():
    with device_lock("cuda:0"), device_lock("cuda:1"), device_lock("cpu"):
        assert len(list(queue_dir().iterdir())) == 3


def test_waiting_ends_on_request():
    with device_lock("cpu"), pytest.raises(InterruptedRun), device_lock("cpu", cancelled=lambda: True):
        pass


def test_the_queue_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")
    with device_lock("cpu"), device_lock("cpu"):
        pass


def test_a_cache_folder_in_the_home_of_nobody_is_a_folder_of_that_name(monkeypatch):
    monkeypatch.delenv("HFTUNE_QUEUE_DIR")
    monkeypatch.setenv("HFTUNE_CACHE_DIR", "~nobody-is-called-so/cache")
    assert queue_dir() == Path.cwd() / "~nobody-is-called-so" / "cache" / "queue"


def test_the_queue_is_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HFTUNE_QUEUE_DIR")
    monkeypatch.setenv("HFTUNE_CACHE_DIR", str(tmp_path / "cache"))
    with device_lock("cpu", "x"):
        (lock,) = (tmp_path / "cache" / "queue").iterdir()
        assert json.loads(lock.read_text())["note"] == "x"


@pytest.mark.parametrize(
    ("device", "processes", "visible", "expected"),
    [
        ("cpu", 2, None, ["cpu"]),
        ("cuda", 1, None, ["cuda:0"]),
        ("cuda", 2, None, ["cuda:0", "cuda:1"]),
        ("cuda", 1, "3,1", ["cuda:3"]),
        ("cuda", 2, "3, 1", ["cuda:1", "cuda:3"]),
    ],
)
def test_queues_follow_the_devices_that_are_visible(monkeypatch, device, processes, visible, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(device, processes) == expected
