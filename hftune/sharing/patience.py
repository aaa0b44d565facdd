"""How long a push waits for the Hub in all, and the Hub's client kept to it.

The client by itself waits without end: no time-out, and a `Retry-After` is obeyed however far off it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hftune.figures import duration
from hftune.hub import endpoint
from hftune.sharing.errors import RETRY, PushError

ANSWER_SECONDS = 60.0  # for one answer, or for the next piece of one
LONGEST_PAUSE = 15.0
BUSY = frozenset({408, 429, 500, 502, 503, 504})

Tell = Callable[[str], None]


class Patience:
    """Seconds that are left to wait; those in which bytes went out were no waiting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = self.now() + seconds

    @staticmethod
    def now() -> float:
        """Seconds of the clock that all of this goes by."""
        return time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left, 0 when there are none."""
        return max(0.0, self._ends - self.now())

    def bytes_went(self, seconds: float) -> None:
        """Do not count the last `seconds`."""
        self._ends += seconds

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


@contextmanager
def kept_to(patience: Patience, tell: Tell) -> Iterator[None]:
    """Let the Hub's client ask only while there is time, and say when the Hub is busy."""
    from huggingface_hub.utils import get_session, logging, set_client_factory

    plain = get_session()
    kind: Any = type(plain)
    hooks = plain.event_hooks

    def before(_: Any) -> None:
        patience.check()

    def after(response: Any) -> None:
        if response.status_code not in BUSY:
            return
        if (wait := asked_to_wait(response.headers)) >= patience.left:
            patience.pause(wait)  # raises
        tell(f"the Hub is busy ({response.status_code}): trying again")

    def client(before: Any = before, after: Any = after, timeout: float | None = ANSWER_SECONDS) -> Any:
        extended = {"request": [*hooks["request"], before], "response": [*hooks["response"], after]}
        return kind(event_hooks=extended, follow_redirects=True, timeout=timeout)

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it says of retries is said above
    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=None))
        logging.set_verbosity(verbosity)


def asked_to_wait(headers: Any) -> float:
    """Return the seconds that an answer's headers ask to wait, 0 when they ask nothing."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    asked = str(headers.get("retry-after", ""))
    return float(asked) if asked.isdigit() else 0.0
