"""Is the Hub there? One question of at most three seconds in all, and its answer is kept for the process.

A network that lets names resolve but drops packets would otherwise make every file wait for its own time-out, and a
proxy that answers with a page of its own would be taken for the Hub.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from hftune.sanitize import hide_tokens

PROBE_SECONDS = 3.0
DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Verdict:
    """Whether the Hub answers, and if not, why, in words that fit after "the Hub was not used: "."""

    ok: bool
    reason: str = ""


_verdicts: dict[str, Verdict] = {}
_lock = threading.Lock()


def endpoint() -> str:
    """Return the address of the Hub: $HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def offline() -> bool:
    """Return whether the user asked for no Hub ($HF_HUB_OFFLINE, or transformers' older variable)."""
    asked = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in asked)


def reach(kind: str, name: str) -> Verdict:
    """Return whether the Hub can be asked; `kind` (model, dataset) and `name` are what the one probe asks about."""
    if offline():
        return Verdict(False, "HF_HUB_OFFLINE is set")
    address = endpoint()
    with _lock:  # a second thread waits for the first one's verdict rather than asking again
        if address not in _verdicts:
            _verdicts[address] = _probe(f"{address}/api/{kind}s/{name}")
        return _verdicts[address]


def forget() -> None:
    """Ask again the next time (`doctor`, tests)."""
    with _lock:
        _verdicts.clear()


def _probe(url: str) -> Verdict:
    """Ask in a thread: name resolution has no time-out of its own, and a trickling answer resets the socket's."""
    import huggingface_hub.utils  # noqa: F401 - takes a second itself, which is not the Hub's

    answers: list[Verdict] = []
    thread = threading.Thread(target=lambda: answers.append(_ask(url)), name="hub-probe", daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answers[0] if answers else Verdict(False, f"no answer from {endpoint()} within {PROBE_SECONDS:.0f} s")


def _ask(url: str) -> Verdict:
    try:
        from huggingface_hub.utils import build_hf_headers, get_session

        answer = get_session().get(url, headers=build_hf_headers(), timeout=PROBE_SECONDS)
        # The Hub names its errors in a header or answers in JSON; a page is a proxy, a portal or a block.
        if "x-error-code" in answer.headers or "json" in answer.headers.get("content-type", ""):
            return Verdict(True)
        return Verdict(False, f"{endpoint()} answered {answer.status_code} with something that is not the Hub")
    except Exception as error:  # whatever the network layer raises, the Hub is not there
        reason = hide_tokens(str(error)) or type(error).__name__
        return Verdict(False, f"{endpoint()} cannot be reached ({reason.splitlines()[0][:120]})")
