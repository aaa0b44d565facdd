"""A short list of things to do, one a line: what it is called, what it takes, a word beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Blur, Click, Focus
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from ..drawing import line, pad, sanitize

TITLE_COLUMNS, ABOUT_COLUMNS = 23, 32


@dataclass(frozen=True)
class Entry:
    """A thing to do."""

    name: str
    title: str
    about: str
    beside: str = ""


class Entries(Widget, can_focus=True):
    """Entries chosen with arrows and Enter, or by a click."""

    DEFAULT_CSS = "Entries { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next entry", id="entries.down", show=False),
        Binding("up,k", "move(-1)", "previous entry", id="entries.up", show=False),
        Binding("g,home", "move(-1000)", "first entry", id="entries.first", show=False),
        Binding("G,end", "move(1000)", "last entry", id="entries.last", show=False),
        Binding("enter", "choose", "do it", id="entries.choose", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """An entry was chosen."""

        entry: Entry

    def __init__(self, entries: Sequence[Entry], **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._entries = tuple(entries)
        self._place = 0

    @property
    def current(self) -> Entry:
        """The entry that the cursor is on."""
        return self._entries[self._place]

    def show(self, entries: Sequence[Entry]) -> None:
        """Show other entries, or the same with other words; the cursor stays in its place."""
        if tuple(entries) != self._entries:
            self._entries = tuple(entries)
            self._place = min(self._place, len(self._entries) - 1)
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return a line for each entry."""
        return len(self._entries)

    def render(self) -> RenderResult:
        lines = []
        for place, entry in enumerate(self._entries):
            under = place == self._place
            title = pad(sanitize(entry.title), TITLE_COLUMNS)
            about = pad(sanitize(entry.about), ABOUT_COLUMNS) + " " if entry.beside else entry.about
            strong = "bold $primary" if under and self.has_focus else "bold" if under else ""
            said = line((f" {'▸' if under else ' '} {title}", strong), about, (entry.beside, "$muted"))
            lines.append(said.truncate(self.size.width, ellipsis=True))
        return Content("\n").join(lines)

    def action_move(self, by: int) -> None:
        self._place = max(0, min(self._place + by, len(self._entries) - 1))
        self.refresh()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.current))

    def on_click(self, event: Click) -> None:
        if event.y < len(self._entries):
            self._place = event.y
            self.refresh()
            self.action_choose()

    def on_focus(self, event: Focus) -> None:
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        self.refresh()
