"""One request and its answer: a body read within limits, an answer whole or event by event, a client that goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from hftune.output import finite
from hftune.serving.limits import Limits
from hftune.serving.problems import ApiError, ClientGone, bad

BODY_SECONDS = 20.0  # in which a request's body must have come
LAST_SECONDS = 5.0  # that an error has to get to a client which reads slowly
LINGER_SECONDS = 1.0  # that a client has to notice that no more of its body is read
LINGER_BYTES = 8 << 20
GONE = "http.disconnect"
STATUS_GONE = 499  # as nginx logs a client that did not wait

Result = TypeVar("Result")


class Exchange:
    """A request that is being answered. `notes` are for the log: figures and names, never text of a request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.method: str = scope["method"]
        self.status = 0
        self.notes: list[str] = []
        self._receive, self._send = receive, send
        self._streams = False
        # Whether there is nothing of a body left that has not come.
        self._read = self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers

    async def json_body(self, limits: Limits, stopping: asyncio.Future[None]) -> dict[str, Any]:
        """Return the body, an object of JSON; raises ApiError, as early as it can, and ClientGone."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # what a page may send anywhere without being asked is never this
            raise ApiError(415, "the body must be JSON: send Content-Type: application/json", code="unsupported_media")
        length = self.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 18 or int(length) > limits.max_body:
            raise _too_large(limits)
        body = await until(self._body(limits), BODY_SECONDS, stopping)
        if body is None:
            raise ApiError(408, f"the body did not come within {BODY_SECONDS:.0f} s", code="timeout")
        return parse(body)

    async def attended(self, work: Coroutine[Any, Any, None], limits: Limits, stopping: asyncio.Future[None]) -> None:
        """Do `work`, unless time is up, the client has gone or the server ends: then it is cancelled."""
        gone = asyncio.ensure_future(self._gone())
        try:
            done = await until(_done(work), limits.timeout, stopping, gone)
        finally:
            gone.cancel()
        if done is None:
            raise ApiError(504, f"not answered within {limits.timeout:g} s", code="timeout")

    async def json(self, record: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an object of JSON."""
        body = as_json(record)
        named = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        await self._start(status, named)
        await self._send({"type": "http.response.body", "body": body, "more_body": not self._read})
        if not self._read:
            await self._finish_unread()

    async def event(self, record: Any) -> None:
        """Send one event of a stream, which begins with the first."""
        if not self._streams:
            self._streams = True
            await self._start(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"})
        body = b"data: " + as_json(record) + b"\n\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end_events(self) -> None:
        """End a stream as OpenAI does."""
        await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def error(self, error: ApiError) -> None:
        """Answer with an error: alone, or as the last event of a stream."""
        self.notes.append(error.code or f"error {error.status}")
        with suppress(TimeoutError):  # a client that does not read is left alone
            async with asyncio.timeout(LAST_SECONDS):
                if self._streams:
                    await self.event(error.to_dict())
                    await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                elif not self.status:
                    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
                    await self.json(error.to_dict(), error.status, headers)

    async def _body(self, limits: Limits) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == GONE:
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > limits.max_body:
                raise _too_large(limits)
            more = message.get("more_body", False)
        self._read = True
        return bytes(body)

    async def _gone(self) -> None:
        """Wait until the client has gone."""
        while (await self._receive())["type"] != GONE:
            pass

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        named = {**headers, **({} if self._read else {"connection": "close"})}
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _finish_unread(self) -> None:
        """End an answer to a request that was not read to its end.

        Closing at once would make the kernel throw away an answer that the client, still sending, has not read.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                passed = 0
                while passed < LINGER_BYTES:
                    message = await self._receive()
                    passed += len(message.get("body", b""))
                    if message["type"] == GONE or not message.get("more_body", False):
                        break
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def until(
    work: Coroutine[Any, Any, Result],
    seconds: float,
    stopping: asyncio.Future[None],
    gone: asyncio.Future[None] | None = None,
) -> Result | None:
    """Return what `work` returns, None when time is up; raises ClientGone, and ApiError when the server stops."""
    working = asyncio.ensure_future(work)
    awaited: list[asyncio.Future[Any]] = [working, stopping, *([] if gone is None else [gone])]
    try:
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
    if not working.cancelled():
        return working.result()
    if gone is not None and gone.done():
        raise ClientGone
    if stopping.done():
        raise ApiError(503, "the server is stopping", code="stopping")
    return None


def as_json(record: Any) -> bytes:
    """Return a record as JSON: NaN is null, half of a surrogate pair a question mark."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(record), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


def parse(body: bytes) -> dict[str, Any]:
    """Return the object of JSON that a body holds; raises ApiError."""
    try:
        record = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise bad(f"the body is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise bad("the body is nested too deeply") from None
    except ValueError as error:
        raise bad(f"the body is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise bad("the body is not an object of JSON")
    return record


async def _done(work: Coroutine[Any, Any, None]) -> bool:
    await work
    return True


def _too_large(limits: Limits) -> ApiError:
    return ApiError(413, f"the body has more than {limits.max_body} bytes", code="request_too_large")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
