"""A list of any length to choose one line from, with arrows and Enter; only the lines that are seen are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Blur, Click, Focus
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from ..drawing import clip, columns_of, line, pad, sanitize

MOST_TITLE = 34


@dataclass(frozen=True)
class Pick:
    """A line: what it is called, what is to be known of it, and the value it stands for.

    `why_not`: why it cannot be chosen.
    """

    title: str
    about: str = ""
    value: Any = None
    why_not: str = ""


class Picks(Widget, can_focus=True):
    """Lines to choose from."""

    DEFAULT_CSS = "Picks { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next line", id="picks.down", show=False),
        Binding("up,k", "move(-1)", "previous line", id="picks.up", show=False),
        Binding("pagedown", "page(1)", "a page down", id="picks.page_down", show=False),
        Binding("pageup", "page(-1)", "a page up", id="picks.page_up", show=False),
        Binding("g,home", "move(-1000000000)", "first line", id="picks.first", show=False),
        Binding("G,end", "move(1000000000)", "last line", id="picks.last", show=False),
        Binding("enter", "choose", "choose it", id="picks.choose", show=False),
    ]

    @dataclass
    class Picked(Message):
        """A line was chosen."""

        pick: Pick

    @dataclass
    class Moved(Message):
        """The cursor is on another line."""

        pick: Pick | None

    @dataclass
    class Paged(Message):
        """A page was asked for where all lines are seen."""

        pages: int

    def __init__(self, **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._picks: tuple[Pick, ...] = ()
        self._place = 0

    @property
    def current(self) -> Pick | None:
        """The line that the cursor is on."""
        return self._picks[self._place] if self._picks else None

    def show(self, picks: Sequence[Pick], place: int = 0) -> None:
        """Show other lines, the cursor on one of them."""
        self._picks = tuple(picks)
        self._place = max(0, min(place, len(self._picks) - 1))
        self.refresh(layout=True)
        self.post_message(self.Moved(self.current))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._picks))

    @property
    def _first(self) -> int:
        """The line at the top: the cursor stands in the middle where it can."""
        height = max(1, self.size.height)
        return max(0, min(self._place - height // 2, len(self._picks) - height))

    def render(self) -> RenderResult:
        height = max(1, self.size.height)
        shown = self._picks[self._first : self._first + height]
        width = min(MOST_TITLE, max((columns_of(sanitize(one.title)) for one in shown), default=0))
        room = max(0, self.size.width - width - 6)
        lines = []
        for place, one in enumerate(shown, self._first):
            under = place == self._place
            style = "bold $primary" if under and self.has_focus else "bold" if under else ""
            about = clip(sanitize(f"not now: {one.why_not}" if one.why_not else one.about), room)
            title = (f" {'▸' if under else ' '} {pad(sanitize(one.title), width)}", "$muted" if one.why_not else style)
            lines.append(line(title, (f"  {about}", "" if under else "$muted")))
        return Content("\n").join(lines)

    def action_move(self, by: int) -> None:
        place = max(0, min(self._place + by, len(self._picks) - 1))
        if self._picks and place != self._place:
            self._place = place
            self.refresh()
            self.post_message(self.Moved(self.current))

    def action_page(self, pages: int) -> None:
        if len(self._picks) <= self.size.height:
            self.post_message(self.Paged(pages))
        else:
            self.action_move(pages * max(1, self.size.height - 1))

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Picked(self.current))

    def on_click(self, event: Click) -> None:
        place = self._first + event.y
        if place < len(self._picks):
            self.action_move(place - self._place)
            self.action_choose()

    def on_focus(self, event: Focus) -> None:
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        self.refresh()
