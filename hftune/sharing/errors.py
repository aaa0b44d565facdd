"""What goes wrong on the way to the Hub, in words that say what to do."""

from __future__ import annotations

from typing import Any

from hftune.errors import HftuneError
from hftune.hub import endpoint
from hftune.sanitize import hide_tokens, sanitize

RETRY = "Nothing of the run was changed: push again later."


class PushError(HftuneError):
    """A push that did not take place, or may not have; the run is as it was."""


def explain(error: BaseException, doing: str, repo: str) -> PushError:
    """Return the error for people of what the Hub's client raised while `doing`."""
    status, said = status_of(error), _said(error)
    where = f"{endpoint()}: {doing} failed"
    if status is None:
        return PushError(f"{where} ({said})", hint=RETRY)
    message, hint = _STATUS.get(status, ("the Hub answered {status}", RETRY if status >= 500 else ""))
    detail = f" ({said})" if said else ""
    return PushError(f"{where}: {message.format(status=status, repo=repo)}{detail}", hint.format(endpoint=endpoint()))


_STATUS: dict[int, tuple[str, str]] = {
    400: ("the Hub refuses this (400)", "It says why above; if that is about the model card, please report it."),
    401: ("the token is not accepted (401)", "It may have expired: `hf auth login`, or set HF_TOKEN to another one."),
    403: (
        "the token may not do this (403)",
        "Make one that can write to this repository at {endpoint}/settings/tokens.",
    ),
    404: ("{repo} is not there, or the token may not see it (404)", "Check the name, and whose token it is."),
    409: ("{repo} is being changed by somebody else (409)", "Look at what is there, then push again."),
    412: ("{repo} was changed by somebody else (412)", "Look at what is there, then push again."),
    413: ("the files are too large for the Hub (413)", ""),
    429: ("the Hub asks to wait (429)", RETRY),
}


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status that an error, or one that it came from, is about; None when there was no answer."""
    while error is not None:
        response: Any = getattr(error, "response", None)
        if isinstance(status := getattr(response, "status_code", None), int):
            return status
        error = error.__cause__
    return None


def root_of(error: BaseException) -> BaseException:
    """Return the error that an error came from first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def is_network(error: BaseException) -> bool:
    """Return whether an error is one of the connection: refused, broken off, too slow."""
    from huggingface_hub.errors import HTTPError  # of the HTTP library that the client was built with

    chain: BaseException | None = error
    while chain is not None and not isinstance(chain, (HTTPError, OSError)):
        chain = chain.__cause__
    return chain is not None


def _said(error: BaseException) -> str:
    root = root_of(error)
    said = getattr(error, "server_message", None) or getattr(root, "server_message", None)
    if said is None and status_of(error) is None:
        said = str(root).strip() or type(root).__name__
    return hide_tokens(" ".join(sanitize(said or "").split()))[:200]
