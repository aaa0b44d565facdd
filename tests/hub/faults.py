"""What a test server notes of a request, and what a test can let happen to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from .protocol import Answer

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"

Moment = Literal["before", "after"]
Hook = Callable[[], object]


@dataclass
class Request:
    """One request; `status` is None for as long as it has no answer, and for ever if none is given."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)
    status: int | None = None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Fault:
    """What happens to some requests instead of the usual; HubServer.fail says what each means."""

    method: str = "*"
    path: str = ""
    times: int | None = None
    skip: int = 0
    answer: Answer | None = None
    drop: Moment | None = None
    hang: Moment | None = None
    cut: int | None = None
    trickle: float | None = None
    before: Hook | None = None
    after: Hook | None = None

    def takes(self, request: Request) -> bool:
        """Return whether it happens to this request, and count it."""
        target = f"{request.path}?{request.query}" if request.query else request.path
        if self.times == 0 or self.method not in ("*", request.method) or not re.search(self.path, target):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


def made_up(
    status: int, error: str | None, code: str | None, body: Any, page: bool | bytes, headers: Mapping[str, str]
) -> Answer:
    """Return an answer that the protocol does not give by itself; HubServer.fail says what the arguments mean."""
    if page:
        shown = PAGE if page is True else page
        return Answer(status, shown, {"Content-Type": "text/html; charset=utf-8", **headers})
    told = Answer.error(status, error or HTTPStatus(status).phrase, code)
    if body is not None:
        told.body = json.dumps(body).encode()
    told.headers.update(headers)
    return told
