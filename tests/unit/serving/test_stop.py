"""Told to stop: what runs comes to its end, or to an error that its client sees; nothing is left behind."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.unit.serving.conftest import GENERATOR
from tests.unit.serving.serving import SECONDS, Server, at_once

Serve = Callable[..., Server]
COMPLETE = "/v1/completions"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_server_stops_with_its_workers(fake: Serve, number) -> None:
    server = fake(gen=GENERATOR, cls={})
    workers = server.workers()
    assert server.stop(number) == 0
    assert psutil.wait_procs(workers, SECONDS)[1] == []
    assert "Traceback" not in server.log


def test_what_runs_and_what_waits_is_answered_and_nobody_else_is_let_in(fake: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fake("--grace", "60", gen=GENERATOR)
    with at_once(3) as pool:
        asked = [pool.submit(server.ask, COMPLETE, {"prompt": f"gate {gate}"}) for _ in range(3)]
        server.until(lambda states: states["gen"]["requests"] == 3)
        server.process.send_signal(signal.SIGTERM)
        gate.touch()
        assert [one.result().json["choices"][0]["text"] for one in asked] == [" 0"] * 3
        assert server.process.wait(SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_does_not_end_within_the_grace_is_ended_with_an_error(fake: Serve, number, code) -> None:
    server = fake("--grace", "0.2", gen=GENERATOR)
    with at_once(3) as pool:
        asked = [pool.submit(server.ask, COMPLETE, {"prompt": "endless", "stream": each}) for each in (False, True)]
        server.until(lambda states: states["gen"]["requests"] == 2)
        workers = server.workers()
        assert server.stop(number) == code
        statuses = {one.result().status for one in asked}
        assert statuses <= {200, 503} and all(b'"stopping"' in one.result().body for one in asked)
    assert psutil.wait_procs(workers, SECONDS)[1] == []


def test_a_second_signal_ends_at_once(fake: Serve) -> None:
    server = fake("--grace", "600", gen=GENERATOR)
    with at_once(1) as pool:
        asked = pool.submit(server.ask, COMPLETE, {"prompt": "endless"})
        server.until(lambda states: states["gen"]["requests"] == 1)
        server.process.send_signal(signal.SIGINT)
        while "ends them now" not in server.log:
            assert server.process.poll() is None
        assert server.stop(signal.SIGINT) == 130
        assert asked.result().status == 503


def test_it_stops_while_it_loads(fake: Serve) -> None:
    server = fake(ready=False, cls={})
    assert server.stop() == 0


def test_a_body_that_is_still_coming_does_not_keep_it(fake: Serve) -> None:
    server = fake("--grace", "0.1", ready=False)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(head + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # it reads
        assert server.stop() == 0
        assert connection.recv(100).startswith(b"HTTP/1.1 503")
