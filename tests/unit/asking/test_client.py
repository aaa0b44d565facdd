"""The client of a worker: any command that speaks the protocol, its end noticed at once, ended without waiting."""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hftune.asking.client import WorkerClient, WorkerDied

SECONDS = 30
ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"v": 1, "id": asked["id"], "event": "result", "data": asked}), flush=True)
    print(json.dumps({"v": 1, "id": asked["id"], "event": "done", "cancelled": False}), flush=True)
    if asked["op"] == "die":
        sys.exit("hftune: no disk\\n  Buy one.")
"""


@contextmanager
def echo(**options: Any) -> Iterator[WorkerClient]:
    with WorkerClient([], (sys.executable, "-c", ECHO), **options) as client:
        yield client


def test_any_command_that_speaks_the_protocol_can_be_asked() -> None:
    with echo() as client:
        number = client.request("generate", prompt="好 \ud800")
        assert client.next_event(number)["data"] == {"v": 1, "id": number, "op": "generate", "prompt": "好 \ud800"}
        assert client.next_event(number)["event"] == "done"


def test_requests_from_several_threads_do_not_mix() -> None:
    long = "x" * 200_000
    events: queue.Queue[Any] = queue.Queue()  # they come in whatever order the threads wrote
    with echo(on_event=events.put) as client:
        threads = [threading.Thread(target=client.request, args=("cancel",), kwargs={"target": long}) for _ in range(8)]
        for thread in threads:
            thread.start()
        found = [events.get(timeout=SECONDS) for _ in range(16)]
        for thread in threads:
            thread.join()
    assert {one["id"] for one in found} == set(range(1, 9))
    assert [one["data"]["target"] == long for one in found if one["event"] == "result"] == [True] * 8


def test_its_end_is_told_at_once_with_its_last_words() -> None:
    ended = threading.Event()
    with echo(on_end=ended.set) as client:
        client.request("die")
        assert ended.wait(SECONDS)
        died = client.death()
        assert (died.message, died.hint, died.exit_code) == ("no disk", "Buy one.", 1)
        with pytest.raises(WorkerDied, match="no disk"):
            client.request("ping")


def test_it_can_be_ended_while_another_thread_waits_for_an_answer() -> None:
    code = "import signal\nwhile True: signal.pause()"
    with WorkerClient([], (sys.executable, "-c", code)) as client:
        found: list[BaseException] = []

        def wait() -> None:
            try:
                client.next_event("start")
            except WorkerDied as error:
                found.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        client.end()
        thread.join(SECONDS)
        assert not thread.is_alive() and f"signal {signal.SIGTERM.value}" in str(found[0])


def test_a_worker_that_passes_over_sigterm_is_killed_by_close() -> None:
    code = (
        "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('{\"id\": 1}', flush=True)\n"
        "while True: signal.pause()"
    )
    with WorkerClient([], (sys.executable, "-c", code)) as client:
        assert client.next_event(1) == {"id": 1}
    with pytest.raises(WorkerDied, match="signal 9"):
        raise client.death()


def test_every_event_can_be_had_as_it_comes_whoever_asked() -> None:
    events: queue.Queue[Any] = queue.Queue()
    with echo(on_event=events.put) as client:
        first, second = client.new_id(), client.new_id()
        client.send(second, "ping")
        client.send(first, "ping")
        assert [events.get(timeout=SECONDS)["id"] for _ in range(4)] == [second, second, first, first]


def test_a_worker_that_reads_nothing_can_be_killed_while_a_thread_writes_to_it() -> None:
    with WorkerClient([], (sys.executable, "-c", "import signal\nwhile True: signal.pause()")) as client:
        found: list[BaseException] = []

        def write() -> None:
            try:
                client.request("classify", texts=["x" * 500_000])
            except WorkerDied as error:
                found.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        client.kill()
        thread.join(SECONDS)
        assert not thread.is_alive() and "signal 9" in str(found[0])
