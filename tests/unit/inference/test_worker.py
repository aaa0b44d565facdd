"""The worker protocol, spoken to the real process and, where that suffices, to a Worker in this one."""

from __future__ import annotations

import io
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftune.asking import protocol
from hftune.asking.protocol import Events, lines
from hftune.inference.worker import Worker

LAST = ("done", "error")
PINGS = itertools.count()


class Process:
    """A worker process; what it does not answer within a minute fails the test."""

    def __init__(self, run: Path) -> None:
        command = [sys.executable, "-m", "hftune", "worker", str(run)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def send(self, *requests: Any) -> None:
        assert self.process.stdin is not None
        for request in requests:
            text = request if isinstance(request, bytes) else json.dumps(request).encode()
            self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()

    def until(self, request: Any) -> list[dict[str, Any]]:
        """Return every event up to the last one of a request."""
        found = []
        while True:
            found.append(self.events.get(timeout=60))
            if found[-1]["id"] == request and found[-1]["event"] in LAST:
                return found

    def ask(self, request: Any) -> list[dict[str, Any]]:
        self.send(request)
        return self.until(request["id"])


@pytest.fixture(scope="module")
def worker(generator: Path) -> Iterator[Process]:
    started = Process(generator)
    events = started.until("start")
    assert [one["event"] for one in events] == ["ready", "progress", "progress", "result", "done"]
    assert events[1]["phase"] == "importing" and events[1]["seconds"] > 0
    yield started
    started.process.kill()
    started.process.wait()


def test_tokens_add_up_to_the_result(worker: Process) -> None:
    events = worker.ask({"v": 1, "id": "g", "op": "generate", "prompt": "The", "decoding": {"seed": 1}})
    text = "".join(one["text"] for one in events if one["event"] == "token")
    result = next(one["data"] for one in events if one["event"] == "result")
    assert result["text"] == text and result["finish_reason"] == "length" and result["seed"] == 1
    assert events[-1] == {"v": 1, "id": "g", "event": "done", "cancelled": False}


def test_cancel_stops_an_answer_that_is_being_written_and_one_that_waits(worker: Process) -> None:
    long = {"op": "generate", "prompt": "The", "decoding": {"seed": 1, "max_new_tokens": 63, "ban": ["film"]}}
    worker.send({"id": 1, **long}, {"id": 2, **long}, {"id": "c", "op": "cancel"})
    events = worker.until(2)
    cancelled = next(one["data"]["cancelled"] for one in events if one["id"] == "c" and one["event"] == "result")
    assert set(cancelled) <= {1, 2} and 2 in cancelled
    results = [one for one in events if one["event"] == "result" and one["id"] in (1, 2)]
    assert all(one["data"]["finish_reason"] == "cancelled" for one in results if one["id"] in cancelled)
    assert events[-1] == {"v": 1, "id": 2, "event": "done", "cancelled": True}


def test_who_cancels_hears_what_was_cancelled_before_that_ends(generator: Path) -> None:
    loading, answering, ended = threading.Event(), threading.Event(), threading.Event()
    early: list[bool] = []

    class Requests(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            assert loading.wait(30)
            return super().readline(size)

    class Listening(Events):
        def emit(self, id: Any, event: str, **data: Any) -> None:
            if id == "c" and event == "result":
                answering.set()
                early.append(ended.wait(0.5))
            super().emit(id, event, **data)
            if id == "start" and event in LAST:
                ended.set()
            elif id == "start":
                loading.set()
                assert answering.wait(30)

    out = io.BytesIO()
    asked = Requests(b'{"id": "c", "op": "cancel"}\n')
    Worker(asked, Listening(out), lambda name: (Path(name), None), (generator, None)).serve()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    told = next(one for one in events if one["id"] == "c" and one["event"] == "result")
    assert told["data"]["cancelled"] == ["start"]
    assert early == [False]
    assert events[-1]["event"] == "done"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"{not json", "bad-json"),
        (b"[1, 2]", "bad-json"),
        (b"\xff\xfe", "bad-json"),
        (b'{"id": NaN, "op": "ping"}', "bad-json"),
        (b"[" * 100_000, "bad-json"),
        (b'{"id": 1, "op": "generate", "prompt": "' + b"a" * protocol.MAX_LINE + b'"}', "too-long"),
        ({"op": "ping"}, "bad-request"),
        ({"id": True, "op": "ping"}, "bad-request"),
        ({"id": "x" * 300, "op": "ping"}, "bad-request"),
        ({"id": 1, "op": "genrate"}, "unknown-op"),
        ({"id": 1, "op": ["ping"]}, "unknown-op"),
        ({"id": 1, "v": 2, "op": "ping"}, "bad-version"),
        ({"id": 1, "op": "generate"}, "bad-request"),
        ({"id": 1, "op": "generate", "prompt": 3}, "bad-request"),
        ({"id": 1, "op": "generate", "messages": "a"}, "bad-request"),
        ({"id": 1, "op": "generate", "messages": [{"role": "user"}]}, "bad-request"),
        ({"id": 1, "op": "generate", "prompt": "a", "decoding": {"top_p": 7}}, "bad-request"),
        ({"id": 1, "op": "generate", "prompt": "a", "model": "other"}, "not-loaded"),
        ({"id": 1, "op": "generate", "prompt": "The film", "most_tokens": 1}, "too-many-tokens"),
        ({"id": 1, "op": "generate", "prompt": "a", "most_tokens": "all"}, "bad-request"),
        ({"id": 1, "op": "classify", "texts": ["a"]}, "task"),
        ({"id": 1, "op": "classify", "texts": "a"}, "bad-request"),
        ({"id": 1, "op": "load", "run": "nowhere", "model": "b"}, "run"),
        ({"id": 1, "op": "load", "step": -1, "model": "b"}, "bad-request"),
        ({"id": 1, "op": "load", "step": 99, "model": "b"}, "run"),
    ],
)
def test_a_wrong_request_gives_one_error_and_the_worker_lives(worker: Process, request_: Any, code: str) -> None:
    after = f"after {next(PINGS)}"
    worker.send(request_, {"id": after, "op": "ping"})
    answers: dict[bool, dict[str, Any]] = {}
    while len(answers) < 2:  # ping is answered at once, so either may be first; others are of the tests before
        event = worker.events.get(timeout=60)
        if event["event"] in LAST and event["id"] in (None, 1, after):
            answers[event["id"] == after] = event
    assert answers[True]["event"] == "done"
    found = answers[False]
    assert found["code"] == code and found["message"] and found["line"] > 0
    assert worker.process.poll() is None


def test_two_models_side_by_side_until_unload(worker: Process, classifier: Path) -> None:
    loaded = worker.ask({"id": 1, "op": "load", "run": str(classifier), "model": "second"})
    assert loaded[-2]["data"]["labels"] == ["negative", "neutral", "positive"]
    labelled = worker.ask({"id": 2, "op": "classify", "model": "second", "texts": ["a film", "good \ud800"]})
    assert len(labelled[-2]["data"]["predictions"]) == 2
    assert worker.ask({"id": 3, "op": "generate", "prompt": "a"})[-1]["event"] == "done"
    assert worker.ask({"id": 4, "op": "ping"})[0]["data"] == {"models": ["main", "second"], "busy": None}
    assert worker.ask({"id": 5, "op": "unload", "model": "second"})[0]["data"] == {"unloaded": True}
    assert worker.ask({"id": 6, "op": "classify", "model": "second", "texts": ["a"]})[-1]["code"] == "not-loaded"


def test_only_events_are_on_stdout_and_all_is_answered_after_stdin_closed(classifier: Path) -> None:
    code = (
        "import sys, os, subprocess\n"
        "import hftune.inference.predictor as predictor\n"
        "load = predictor.Predictor.load\n"
        "def noisy(*given):\n"
        "    print('printed'); os.write(1, b'written'); subprocess.run(['echo', 'child'])\n"
        "    return load(*given)\n"
        "predictor.Predictor.load = noisy\n"
        "from hftune.cli import main\n"
        f"main(['worker', {str(classifier)!r}])\n"
    )
    asked = b'{"id": 1, "op": "classify", "texts": ["a"]}\n{"id": 2, "op": "classify", "texts": ["b"]}'
    done = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, timeout=120, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in events if one["event"] == "done"] == ["start", 1, 2]
    assert done.returncode == 0 and all(word in done.stderr for word in (b"printed", b"written", b"child"))


def test_a_run_that_does_not_exist_ends_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hftune", "worker", "nowhere", "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"no run 'nowhere'" in done.stderr


def serve(run: Path, requests: bytes) -> list[dict[str, Any]]:
    """Answer requests in this process."""
    out = io.BytesIO()
    Worker(io.BytesIO(requests), Events(out), lambda reference: (Path(reference), None), (run, None)).serve()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_memory_that_runs_out_ends_one_request_only(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hftune.inference import predictor

    classify, calls = predictor.classify, iter([True, False])

    def once(*given: Any) -> Any:
        if next(calls):
            raise MemoryError
        return classify(*given)

    monkeypatch.setattr(predictor, "classify", once)
    ask = b'{"id": %d, "op": "classify", "texts": ["a"]}\n'
    events = serve(classifier, ask % 1 + ask % 2)
    assert next(one for one in events if one["id"] == 1)["code"] == "out-of-memory"
    assert [one["event"] for one in events if one["id"] == 2] == ["result", "done"]


def test_a_bug_is_an_error_of_its_request_only(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hftune.inference import predictor

    monkeypatch.setattr(predictor.Predictor, "classify", lambda *given: 1 / 0)
    events = serve(classifier, b'{"id": 1, "op": "classify", "texts": ["a"]}\n{"id": 2, "op": "unload"}\n')
    assert next(one for one in events if one["id"] == 1)["code"] == "internal"
    assert events[-1]["event"] == "done"


def test_more_requests_than_may_wait_are_refused(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hftune.inference.worker.MAX_WAITING", 3)
    gate, inner = threading.Event(), Worker._load

    def wait(self: Worker, request: Any) -> Any:
        assert gate.wait(30)
        return inner(self, request)

    class Requests(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            if not line:
                gate.set()
            return line

    monkeypatch.setattr(Worker, "_load", wait)
    asked = b"".join(b'{"id": %d, "op": "unload"}\n' % number for number in range(5))
    out = io.BytesIO()
    Worker(Requests(asked), Events(out), lambda reference: (Path(reference), None), (classifier, None)).serve()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["code"] for one in events if one["event"] == "error"] == ["busy"] * 3


def test_figures_that_are_not_finite_are_null() -> None:
    out = io.BytesIO()
    Events(out).emit(1, "result", data={"a": [float("nan"), 1.0], "b": {"c": float("inf")}})
    assert json.loads(out.getvalue())["data"] == {"a": [None, 1.0], "b": {"c": None}}


def test_a_line_of_any_length_costs_no_more_than_the_limit() -> None:
    stream = io.BytesIO(b"a" * 10 + b"\n" + b"b" * 1000 + b"\nc\n" + b"d" * 11)
    assert list(lines(stream, 10)) == [b"a" * 10, None, b"c", None]


def test_a_reader_that_has_gone_ends_the_worker(generator: Path) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-m", "hftune", "worker", str(generator)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.DEVNULL) as process:
        os.close(write)
        os.close(read)
        # stdin stays open: only the broken pipe can end it.
        assert process.wait(timeout=60) == 0
