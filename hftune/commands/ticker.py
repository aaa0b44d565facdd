"""One line that says how far work is: painted over on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from hftune.commands.display import can_live
from hftune.figures import figure
from hftune.output import Output
from hftune.runs.events import Event
from hftune.sanitize import sanitize

LIVE_SECONDS, PLAIN_SECONDS = 0.1, 10.0
_WIDTH = 79


class Ticker:
    """Shows the newest of many lines on `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, can_live(stream)
        self._shown = -PLAIN_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show a line in place of the one before, unless that was a moment ago."""
        now = time.monotonic()
        if now - self._shown < (LIVE_SECONDS if self._live else PLAIN_SECONDS):
            return
        self._shown = now
        line = sanitize(text)[:_WIDTH]
        self._stream.write(f"\r\x1b[K{line}" if self._live else f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Make room for lines that stay; what is shown next is shown at once."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = -PLAIN_SECONDS


class RunTicker:
    """A run as one line of a ticker: what `Display` is, for one of several runs."""

    def __init__(self, people: Output, what: str) -> None:
        self.stopping = ""
        self._ticker, self._what = Ticker(people.stdout), what
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ticker.clear()

    def feed(self, event: Event) -> None:
        """Take in the next event."""
        data = event.data
        if event.kind == "plan":
            self._total = int(data.get("total_steps") or 0)
        elif event.kind == "train":
            loss = figure((data.get("metrics") or {}).get("loss"))
            self._say(f"step {data.get('step')}/{self._total}  loss {loss}")
        elif event.kind in ("phase", "status"):
            self._say(str(data.get("detail") or data.get("phase") or data.get("status")))
        elif event.kind == "progress":
            self._say(f"{data.get('phase')} {data.get('done')}/{data.get('total')}")

    def _say(self, text: str) -> None:
        self._ticker.show(f"{self._what}  {self.stopping or text}")
