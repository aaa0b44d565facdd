"""A server as a process, and bare requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

FAKE = Path(__file__).with_name("fake_serve.py")
SECONDS = 90.0  # within which everything that is waited for has come
MODEL_FREE = {"text-classification": {"input": "good"}, "text-generation": {"prompt": "count 1"}}


class Answer:
    """An answer over a bare connection."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Server:
    """`hftune serve` on a free port; `log` is what it wrote to stderr."""

    def __init__(self, folder: Path, runs: Sequence[Path | str], *flags: str, fake: bool = False, **variables: str):
        self.log_file = folder / f"serve-{os.urandom(4).hex()}.log"
        entry = [str(FAKE)] if fake else ["-m", "hftune"]
        command = [sys.executable, *entry, "serve", *map(str, runs), "--json", *flags]
        if "--port" not in flags:
            command += ["--port", "0"]
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **variables}
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        self.hello = json.loads(line)
        self.key = variables.get("HFTUNE_API_KEY")

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def port(self) -> int:
        return int(self.hello["port"])

    @property
    def url(self) -> str:
        return str(self.hello["url"])

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str = "") -> Answer:
        """Send a request, a POST when it has a body (bytes as they are); return its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {} if body is None else {"Content-Type": "application/json"}
        if self.key:
            named["Authorization"] = f"Bearer {self.key}"
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, sent, {**named, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

    def raw(self, sent: bytes, *, shut: bool = False) -> bytes:
        """Send bytes as they are; return what comes back until the other side ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            connection.sendall(sent)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def states(self) -> dict[str, Any]:
        return dict(self.ask("/health").json["models"])

    def until(self, right: Any) -> dict[str, Any]:
        """Poll /health until `right(states)` holds; return the states."""
        pause = threading.Event()
        for _ in range(int(SECONDS / 0.02)):
            states = self.states()
            if right(states):
                return states
            assert self.process.poll() is None, self.log
            pause.wait(0.02)
        raise AssertionError(f"{self.states()}\n{self.log}")

    def ready(self) -> Server:
        """Wait until every model is."""
        self.until(lambda states: all(one["state"] == "ready" for one in states.values()))
        return self

    def requests(self) -> int:
        """How many requests wait or are being answered."""
        return sum(one["requests"] for one in self.states().values())

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def at_once(count: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool
