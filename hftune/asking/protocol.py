"""The lines of the worker protocol: reading and checking requests, writing events. worker.py says what they mean."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from hftune.errors import HftuneError, closest
from hftune.output import finite

VERSION = 1
MAX_LINE = 1 << 20  # bytes of one request
MAX_WAITING = 64
MAX_ID = 200
MAIN = "main"
START = "start"
IMPORT_SECONDS = 6.0  # about how long importing torch and transformers takes, for a first word to people
OPS = ("load", "classify", "fill", "generate", "explain", "cancel", "unload", "ping")
AT_ONCE = ("cancel", "ping")

Id = str | int | float | None


class RequestError(HftuneError):
    """A request that cannot be answered; `code` is one of the protocol's."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass
class Request:
    """One request that waits or runs; `cancelled` is set from the reading thread."""

    id: Id
    op: str
    body: Mapping[str, Any]
    line: int
    cancelled: threading.Event = field(default_factory=threading.Event)


class Events:
    """Writes events, one whole line at a time from any thread. A reader that has gone ends the process."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def emit(self, id: Id, event: str, **data: Any) -> None:
        """Write one event."""
        record = {"v": VERSION, "id": id, "event": event, **data}
        try:
            text = json.dumps(record, allow_nan=False)
        except ValueError:
            text = json.dumps(finite(record), allow_nan=False)
        # ASCII JSON: half of a surrogate pair that a request may hold survives the way there and back.
        with self._lock:
            try:
                self._stream.write(text.encode("ascii") + b"\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                os._exit(0)


def lines(stream: BinaryIO, limit: int = MAX_LINE) -> Iterator[bytes | None]:
    """Yield lines without their ends; None for one of more than `limit` bytes, of which no more than that is held."""
    while line := stream.readline(limit + 1):
        if line.endswith(b"\n") or len(line) <= limit:
            yield line.rstrip(b"\r\n")
            continue
        while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
            pass
        yield None


def parse_request(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise RequestError("too-long", f"a request has more than {MAX_LINE} bytes", "Send fewer texts at a time.")
    try:
        body = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError("bad-json", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RequestError("bad-json", "not an object of JSON")
    return body


def request_id(body: Mapping[str, Any]) -> Id:
    value = body.get("id")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise RequestError("bad-request", "no id", "Every request has an `id`, a text or a number.")
    if len(str(value)) > MAX_ID:
        raise RequestError("bad-request", f"an id has at most {MAX_ID} characters")
    return value


def request_op(body: Mapping[str, Any]) -> str:
    if body.get("v", VERSION) != VERSION:
        raise RequestError("bad-version", f"version {body.get('v')!r} is not spoken here", f"Use v: {VERSION}.")
    op = body.get("op")
    if op not in OPS:
        raise RequestError("unknown-op", f"no op {op!r}", closest(str(op), OPS))
    return str(op)


def text_field(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = body.get(key, default)
    if not isinstance(value, str):
        raise RequestError("bad-request", f"{key} is {'missing' if value is None else 'not a text'}")
    return value


def asked_field(body: Mapping[str, Any]) -> Any:
    """Return what a generator is asked: the text of `prompt`, or the list of `messages`."""
    messages = body.get("messages")
    if (messages is None) == (body.get("prompt") is None):
        raise RequestError("bad-request", "give either prompt or messages")
    if messages is not None and not isinstance(messages, list):
        raise RequestError("bad-request", "messages is not a list")
    return text_field(body, "prompt") if messages is None else messages


def texts_field(body: Mapping[str, Any], key: str) -> list[str]:
    value = body.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError("bad-request", f"{key} is not a list of texts")
    return value


def whole_field(body: Mapping[str, Any], key: str, least: int, default: int | None = None) -> int:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError("bad-request", f"{key} is not a whole number from {least}")
    return value


def flag_field(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise RequestError("bad-request", f"{key} is neither true nor false")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
