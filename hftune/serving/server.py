"""The server's life: its models are loaded, it answers, it is told to stop and lets what runs come to its end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from hftune.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_TERMINATED
from hftune.serving.access import Access
from hftune.serving.app import make_app
from hftune.serving.limits import Limits
from hftune.serving.models import Models, Reference

MOST_CONNECTIONS = 512
HEAD_SECONDS = 20.0  # in which the head of a request must have come
KEEP_ALIVE_SECONDS = (
    75  # longer than clients keep theirs: who ends a connection first decides whether a request is lost
)
LAST_RESORT_SECONDS = 10  # after the grace: what does not end by itself then is cancelled by uvicorn
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Server:
    """A server of `references` on a socket that listens. `run` is its whole life."""

    def __init__(
        self,
        references: Sequence[Reference],
        listening: socket.socket,
        access: Access,
        limits: Limits,
        log: Callable[[str], None],
        *,
        debug: bool = False,
    ) -> None:
        self._references, self._listening, self._access = references, listening, access
        self._limits, self._log, self._debug = limits, log, debug
        self._signal: signal.Signals | None = None
        self._cut_short = False  # whether requests were ended before they were answered
        self._at_once = False

    def run(self, greet: Callable[[], None]) -> int:
        """Serve until told to stop; return the exit code: 0 when everything that was asked was answered.

        `greet` is called once the server takes requests and can be told to stop. Raises HftuneError when a run cannot
        be loaded.
        """
        return asyncio.run(self._run(greet))

    async def _run(self, greet: Callable[[], None]) -> int:
        loop = asyncio.get_running_loop()
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._models = Models(self._references, self._limits, self._log)
        app = make_app(self._models, self._limits, self._access, self._log, self._stopping, debug=self._debug)
        self._uvicorn = _Uvicorn(_config(app, self._limits))
        for number in SIGNALS:
            # nohup has SIGHUP ignored, and means it.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._told, number)
        served = list(self._models.all.values())
        labelling = [asyncio.create_task(each.labeller.run()) for each in served]
        loading = asyncio.gather(*(each.model.load() for each in served))
        serving = asyncio.create_task(self._uvicorn.serve(sockets=[self._listening]))
        try:
            greet()
            awaited: list[asyncio.Future[Any]] = [serving, loading]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if loading.done() and loading.exception() is not None:
                self._uvicorn.should_exit = True
                self._cut()
            await serving
            if loading.done():
                loading.result()
        finally:
            await self._end([*labelling, loading, serving])
        if not self._cut_short:
            return EXIT_DONE
        return EXIT_INTERRUPTED if self._signal == signal.SIGINT else EXIT_TERMINATED

    async def _end(self, tasks: Sequence[asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        models = [served.model for served in self._models.all.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(model.close(at_once=self._at_once) for model in models))

    def _told(self, number: signal.Signals) -> None:
        """Stop: the first time when what runs is done, the second time now."""
        first = self._signal is None
        self._signal = self._signal or number
        self._uvicorn.should_exit = True
        running = sum(served.model.inside for served in self._models.all.values())
        if first:
            if running:
                again = "Ctrl-C again" if number == signal.SIGINT else "another signal"
                self._log(f"stopping: {running} requests have {self._limits.grace:g} s; {again} ends them now")
            asyncio.get_running_loop().call_later(self._limits.grace, self._cut)
            return
        self._at_once = self._uvicorn.force_exit = True
        self._cut()

    def _cut(self) -> None:
        """End what runs; each is answered with an error."""
        if not self._stopping.done():
            self._cut_short = any(served.model.inside for served in self._models.all.values())
            self._stopping.set_result(None)


class _Uvicorn(uvicorn.Server):
    """uvicorn, whose signals are handled by who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class _Protocol(H11Protocol):
    """uvicorn's HTTP, where a request whose head does not come to its end is not waited for."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a head is whole; wait again when another begins."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave nothing behind."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # its lines hold paths as they were asked for
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(limits.grace) + LAST_RESORT_SECONDS,
    )
