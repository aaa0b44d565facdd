"""Place: what every screen of the app has: header, body, a line that says what happened, the prompt, the keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen

from ..counts import counted
from ..drawing import Words, line, plain
from ..messages import PromptLeft, PromptSubmitted, TranscriptScrolled
from ..widgets.header import Header
from ..widgets.prompt import PromptLine

if TYPE_CHECKING:
    from ..app import HftuneApp
    from ..commands import Line

Level = Literal["info", "warning", "error"]
SMALLEST = (80, 20)
MARKS = {"info": "·", "warning": "!", "error": "✗"}
STYLES = {"info": "$muted", "warning": "$warning", "error": "bold $error"}


class Place(Screen[None]):
    """A screen that is always there: `arrive` shows something in it, `refresh_place` keeps it true on a timer."""

    AUTO_FOCUS = ""  # `arrive` says where the focus goes
    NAME: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = ()
    REFRESH_SECONDS: ClassVar[float] = 0.25
    BLURRED_SECONDS: ClassVar[float] = 1.0
    STARTS_IN_PROMPT: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "enter_prompt", "write in the prompt", id="place.prompt", show=False),
        Binding("slash", "enter_prompt('/')", "a command", id="place.command", show=False),
    ]

    app: HftuneApp

    def __init__(self) -> None:
        super().__init__(id=f"place-{self.NAME.replace('_', '-')}")
        self._last_refresh = 0.0
        self._arrival: dict[str, Any] | None = {}

    # For screens to fill in.

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between header and prompt."""
        yield from ()

    def arrive(self, **what: Any) -> None:
        """Show something: called each time the place is gone to."""

    def refresh_place(self) -> None:
        """Compare versions and draw what changed: called on the place's timer while it is shown."""

    def breadcrumb(self) -> str:
        """Return what the header says on its left."""
        return self.TITLE

    def take_text(self, text: str) -> None:
        """Take plain text from the prompt: it is for the model of the run in front."""
        run = self.run_in_front()
        if run is None:
            self.cannot("there is no run to ask: text goes to the model of a run, / begins a command")
        else:
            self.app.go("chat", run=run, ask=text)

    def run_in_front(self) -> Path | None:
        """Return the run that keys and commands without a name mean."""
        return self.app.run_here

    def focus_body(self) -> None:
        """Put the focus where the place's keys act."""
        self.set_focus(None)

    def scroll_transcript(self, pages: int) -> None:
        """Scroll by pages: PgUp and PgDn from the prompt."""

    def copied(self) -> str:
        """Return what /copy takes: what the place shows, as text."""
        return ""

    def obey(self, command: Line) -> None:
        """Carry out one of the commands that are the place's own."""

    def unsaved(self) -> str:
        """Return what would be lost with the app, empty when nothing: it is asked about first."""
        return ""

    def leave(self) -> None:
        """End what the place has started and nobody else needs: called when the app ends."""

    def stop_answer(self) -> bool:
        """Stop what is being written; tell whether there was anything."""
        return False

    def status_line(self) -> str:
        """Return the one line that a terminal too small for the place shows."""
        return self.breadcrumb()

    # What screens have.

    def say(self, text: str, level: Level = "info") -> None:
        """Show a line above the prompt until the next one."""
        self._notice.say(line((f"{MARKS[level]} ", STYLES[level]), (" ".join(text.split()), "")))
        self._notice.display = bool(text)

    def cannot(self, why: str) -> None:
        """Say why a key cannot act now."""
        self.say(why, "warning")

    def fail(self, error: Exception) -> None:
        """Show an error for people."""
        self.say(" · ".join(part.strip() for part in str(error).splitlines() if part.strip()), "error")

    @property
    def prompt(self) -> PromptLine:
        """The prompt with its hints."""
        return self.query_one(PromptLine)

    # Below: how it works.

    def compose(self) -> ComposeResult:
        """Lay the place out."""
        yield Words(id="too-small")
        with Vertical(id="whole"):
            yield Header()
            with Vertical(id="body"):
                yield from self.compose_body()
            yield Words(id="notice")
            yield PromptLine(self.HINTS)

    @property
    def _notice(self) -> Words:
        return self.query_one("#notice", Words)

    def on_mount(self) -> None:
        self._notice.display = False
        self._timer = self.set_interval(self.REFRESH_SECONDS, self._tick)
        self._fit(self.app.size.width, self.app.size.height)

    def on_screen_suspend(self) -> None:
        self._timer.pause()

    def on_screen_resume(self) -> None:
        self._timer.resume()
        self.take_arrival()

    def expect(self, what: dict[str, Any]) -> None:
        """Keep what is to be shown until the place is there."""
        self._arrival = what

    def take_arrival(self) -> None:
        """Show what is expected, and draw what is true now."""
        what, self._arrival = self._arrival, None
        if what is not None:
            self.arrive(**what)
            if self.STARTS_IN_PROMPT:
                self.prompt.enter()
            else:
                self.focus_body()
            self.app.call_later(self.app.turns.release)  # after the focus, which waits in the same queue
        self.update_now()

    def update_now(self) -> None:
        """Draw what is true now, without waiting for the timer."""
        self._last_refresh = self.app.monotonic()
        self.query_one(Header).show(self.breadcrumb(), counted(self.app.store.counts), self.app.machine_text)
        if self.has_class("-too-small"):
            self._say_too_small()
        else:
            self.refresh_place()

    def _tick(self) -> None:
        slow = self.BLURRED_SECONDS if self.app.blurred else 0.0
        if self.is_current and self.app.monotonic() - self._last_refresh >= slow:
            self.update_now()

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size.width, event.size.height)

    def _fit(self, columns: int, rows: int) -> None:
        small = columns < SMALLEST[0] or rows < SMALLEST[1]
        self.set_class(small, "-too-small")
        self.set_class(columns >= 110, "-wide")
        self.set_class(columns >= 140, "-widest")
        if small:
            self._say_too_small()

    def _say_too_small(self) -> None:
        size = self.app.size
        small = self.query_one("#too-small", Words)
        small.say(plain(f"{self.status_line()}\n(needs 80x20, this is {size.width}x{size.height})"))

    def action_enter_prompt(self, text: str = "") -> None:
        self.prompt.enter(text)

    @on(PromptSubmitted)
    def _submitted(self, message: PromptSubmitted) -> None:
        message.stop()
        if message.text.startswith("/") and not message.text.startswith("//"):
            self.app.execute(message.text)
        else:
            self.take_text(message.text.removeprefix("/") if message.text.startswith("//") else message.text)
        if self.is_current:
            self.update_now()

    @on(PromptLeft)
    def _left(self, message: PromptLeft) -> None:
        message.stop()
        self.focus_body()

    @on(TranscriptScrolled)
    def _scrolled(self, message: TranscriptScrolled) -> None:
        message.stop()
        self.scroll_transcript(message.pages)
