"""What goes wrong with a request, as OpenAI's clients read it: a status, and an `error` object."""

from __future__ import annotations

from typing import Any

from hftune.asking.client import WorkerDied
from hftune.asking.conversation import AskFailed
from hftune.errors import HftuneError

KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
# Code of the worker protocol -> status and OpenAI's code for it.
STATUSES = {
    "bad-request": (400, None),
    "task": (400, "wrong_task"),
    "too-many-tokens": (400, "context_length_exceeded"),
    "too-long": (413, "request_too_large"),
    "busy": (429, "queue_full"),
    "run": (422, "not_answerable"),
    "out-of-memory": (503, "out_of_memory"),
}
MESSAGE_LENGTH = 500  # of what a request said an error shows no more


class ApiError(Exception):
    """A request that is answered with an error. `param` is the field that is wrong, `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    def to_dict(self) -> dict[str, Any]:
        """Return the body of the answer."""
        kind = KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        message = self.message if len(self.message) <= MESSAGE_LENGTH else self.message[:MESSAGE_LENGTH] + "…"
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}


class ClientGone(Exception):  # noqa: N818 - it names what happened
    """Nobody waits for the answer any more."""


def bad(message: str, param: str | None = None) -> ApiError:
    """Return the error of a request that cannot be understood; `param` is the field."""
    return ApiError(400, message, param=param)


def bug(error: Exception) -> ApiError:
    """Return the error of what nobody expected. It says the kind alone: its words may be those of another request."""
    found = ApiError(500, f"a bug in hftune: {type(error).__name__}", code="internal")
    found.__cause__ = error
    return found


def sentence(error: HftuneError) -> str:
    """Return an error and its hint in one line."""
    return f"{error.message}. {error.hint}" if error.hint else error.message


def from_worker(error: HftuneError) -> ApiError:
    """Return what a request is answered with when the worker could not, or ended before it did."""
    if isinstance(error, WorkerDied):
        # Its last words are for the log of whoever runs the server.
        message = "the model's process ended while it worked on this request; it is being started again"
        return ApiError(503, message, code="worker_died", retry_after=1)
    code = error.code if isinstance(error, AskFailed) else getattr(error, "code", "")
    status, name = STATUSES.get(code, (500, "internal"))
    return ApiError(status, sentence(error), code=name)
