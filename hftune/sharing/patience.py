"""How long a push waits for the Hub in all, and the Hub's client kept to it.

The client by itself waits without end: no time-out, and a `Retry-After` is obeyed however far off it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hftune.errors import HftuneError
from hftune.figures import duration
from hftune.hub import endpoint
from hftune.sharing.errors import RETRY, PushError, explain, is_network, status_of

ANSWER_SECONDS = 60.0  # for one answer, or for the next piece of one
LONGEST_PAUSE = 15.0
MOVING_SECONDS = 10.0  # bytes that come further apart than this do not flow
BUSY = frozenset({408, 429, 500, 502, 503, 504})

Tell = Callable[[str], None]
Answer = TypeVar("Answer")


class Patience:
    """Seconds that are left to wait; those in which bytes went out were no waiting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._moved = 0.0  # when bytes went last
        self._lock = threading.Lock()  # several files go out at once

    @property
    def left(self) -> float:
        """Seconds left, 0 when there are none."""
        return max(0.0, self._ends - time.monotonic())

    def bytes_went(self, begins: bool) -> None:
        """Do not count the time since bytes went last, where they flow; `begins`: these are the first of a file."""
        with self._lock:
            now = time.monotonic()
            if not begins and now - self._moved < MOVING_SECONDS:
                self._ends += now - self._moved
            self._moved = now
        self.check()

    def check(self) -> None:
        """Raise PushError when no time is left."""
        if not self.left:
            hint = f"{RETRY} --timeout gives it more time."
            raise PushError(f"{endpoint()} did not take everything within {duration(self._seconds)}", hint)

    def pause(self, seconds: float) -> None:
        """Wait, where there is time for it; raises PushError where there is not."""
        if seconds >= self.left:
            hint = f"Push again later; --timeout {int(seconds) + 60} would wait for it."
            raise PushError(f"{endpoint()} asks to wait {duration(seconds)}", hint)
        time.sleep(seconds)

    def ask(self, doing: str, repo: str, call: Callable[[], Answer]) -> Answer:
        """Return what `call`, which may be made twice, returns; asks again while the Hub is busy or breaks off.

        Raises PushError for every other trouble, and when no time is left.
        """
        pause = 1.0
        while True:
            try:
                return call()
            except HftuneError:
                raise
            except Exception as error:
                if not worth_another_try(error) or pause >= self.left:
                    raise explain(error, doing, repo) from error
                self.pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


def worth_another_try(error: BaseException) -> bool:
    """Return whether the Hub was busy or did not answer; anything else would only happen again."""
    status = status_of(error)
    return is_network(error) if status is None else status in BUSY


@contextmanager
def kept_to(patience: Patience, tell: Tell) -> Iterator[None]:
    """Let the Hub's client ask only while there is time, and say when the Hub is busy."""
    from huggingface_hub import utils

    plain = utils.get_session()
    kind: Any = type(plain)
    hooks = plain.event_hooks

    def before(request: Any) -> None:
        patience.check()
        seconds = min(ANSWER_SECONDS, patience.left)  # some calls of the client ask for none at all
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), seconds)

    def after(response: Any) -> None:
        if response.status_code == 409 and response.request.url.path.endswith("/repos/create"):
            patience.pause(1.0)  # "another operation is in progress": the client asks again at once, for ever
        if response.status_code not in BUSY:
            return
        if (wait := asked_to_wait(response.headers)) >= patience.left:
            patience.pause(wait)  # raises
        tell(f"the Hub is busy ({response.status_code})")

    def client() -> Any:
        extended = {"request": [*hooks["request"], before], "response": [*hooks["response"], after]}
        return kind(event_hooks=extended, follow_redirects=True, timeout=ANSWER_SECONDS)

    verbosity, bars = utils.logging.get_verbosity(), not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()  # what it says of retries is said above
    utils.disable_progress_bars()
    utils.set_client_factory(client)
    try:
        yield
    finally:
        utils.set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=None))
        utils.logging.set_verbosity(verbosity)
        if bars:
            utils.enable_progress_bars()


def within(seconds: float, call: Callable[[], object]) -> None:
    """Make a call for at most so many seconds; raises PushError when it takes longer, and what it raises.

    In a thread: resolving a name has no time-out, and an answer that trickles in begins each one anew.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="hub-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise PushError(f"{endpoint()} did not answer within {duration(seconds)}", hint=RETRY)


def asked_to_wait(headers: Any) -> float:
    """Return the seconds that an answer's headers ask to wait, 0 when they ask nothing."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    asked = str(headers.get("retry-after", ""))
    return float(asked) if asked.isdigit() else 0.0
