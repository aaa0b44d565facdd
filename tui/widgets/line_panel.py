"""Lines of a run, newest at the bottom: its events or its log, with a filter, and a line to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual.app import RenderResult
from textual.content import Content
from textual.events import Blur, Click, Focus, MouseScrollDown, MouseScrollUp
from textual.widget import Widget

from ..drawing import columns_of, line, sanitize, spread
from .wrapped import wrap

MOST_ROWS = 4  # of one line that is too long
STYLES = {"": "", "quiet": "$muted", "strong": "bold", "info": "", "warning": "$warning", "error": "$error"}


class PanelLine(NamedTuple):
    """A line: what stands before it (a time), what it says, how loud it is."""

    before: str
    text: str
    level: str = ""


class LinePanel(Widget, can_focus=True):
    """Follows the newest line until one scrolls up; `looked_for` shows only lines with that text in them."""

    DEFAULT_CSS = "LinePanel { height: 6; }"
    ALLOW_SELECT = False

    def __init__(self, empty: str = "nothing yet", **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.title = ""
        self.hint = ""
        self.looked_for = ""
        self.narrowed = False
        self._empty = empty
        self._key: object = None
        self._all: Sequence[PanelLine] = ()
        self._lines: Sequence[PanelLine] = ()
        self._lowest = -1  # the last line that is on the screen
        self._last: int | None = None  # the lowest line shown; None: the newest, whatever comes

    def show(
        self, key: object, title: str, make: Callable[[], Sequence[PanelLine]], hint: str = "", empty: str = ""
    ) -> bool:
        """Show what `make` returns when `key` is another than the last time, and tell; where one reads stays there."""
        if key == self._key:
            return False
        if title != self.title:
            self._last, self._lowest = None, -1
        self._key, self.title, self.hint, self._all = key, title, hint, make()
        self._empty = empty or self._empty
        self._choose()
        return True

    @property
    def lines(self) -> Sequence[PanelLine]:
        """The lines that are shown, or would be if there were room."""
        return self._lines

    @property
    def following(self) -> bool:
        """Whether the newest line is shown, whatever comes."""
        return self._last is None

    def look_for(self, text: str, narrow: bool = True) -> None:
        """Look for a text; with `narrow` only lines that have it are shown."""
        self.looked_for, self.narrowed = text.strip(), narrow and bool(text.strip())
        self._last, self._lowest = None, -1
        self._choose()

    def next_match(self, by: int) -> bool:
        """Go to the next (-1: an older) line with the text among all lines; return whether there is one."""
        if self.narrowed:
            self.narrowed = False
            self._last = None
            self._choose()
        here = self._bottom
        count = len(self._lines)
        for distance in range(1, count + 1):
            place = (here + by * distance) % count
            if self._matches(self._lines[place]):
                self._last = place
                self.refresh()
                return True
        return False

    def move(self, by: int) -> None:
        """Show lines further down, or up when `by` is below 0."""
        last = len(self._lines) - 1
        to = max(0, max(self._bottom, self._lowest) + by)
        self._last = None if to >= last else to
        self.refresh()

    def page(self, by: int) -> None:
        """Show the next lines, or those before."""
        self.move(by * max(1, self.size.height - 2))

    def top(self) -> None:
        """Show the first lines."""
        self._last, self._lowest = 0, -1
        self.refresh()

    def bottom(self) -> None:
        """Show the newest line, whatever comes."""
        self._last, self._lowest = None, -1
        self.refresh()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self.move(-3)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self.move(3)

    def on_click(self, event: Click) -> None:
        self.focus()

    @property
    def _bottom(self) -> int:
        last = len(self._lines) - 1
        return last if self._last is None else min(self._last, last)

    def _choose(self) -> None:
        self._lines = [each for each in self._all if self._matches(each)] if self.narrowed else self._all
        self.refresh()

    def _matches(self, each: PanelLine) -> bool:
        return bool(self.looked_for) and self.looked_for.lower() in f"{each.before} {each.text}".lower()

    def render(self) -> RenderResult:
        """Draw the title and as many lines as there is room for, the lowest last."""
        width, height = self.size.width, self.size.height
        room = height - 1
        rows: list[Content] = []
        above, below = self._bottom, self._bottom + 1
        while above >= 0 and len(rows) < room:
            rows[:0] = self._rows_of(self._lines[above], width)
            above -= 1
        rows = rows[-room:] if room > 0 else rows[-1:]
        while len(rows) < room and below < len(self._lines):
            rows += self._rows_of(self._lines[below], width)
            below += 1
        self._lowest = below - 1
        if not self._lines:
            rows = [line((f"nothing with “{self.looked_for}”" if self.narrowed else self._empty, "$muted"))]
        return Content("\n").join([self._heading(width, len(self._lines) - below), *rows[:room]] if room > 0 else rows)

    def _heading(self, width: int, below: int) -> Content:
        found = f"  “{self.looked_for}” in {len(self._lines)} of {len(self._all)}" if self.narrowed else ""
        if self.looked_for and not self.narrowed:
            found = f"  “{self.looked_for}”: n N"
        more = f"{below} more below  " if below > 0 else ""
        style = "bold underline" if self.has_focus else "bold"
        return spread([(self.title, style), (found, "$primary")], [(more + self.hint, "$muted")], width)

    def _rows_of(self, each: PanelLine, width: int) -> list[Content]:
        before = f"{sanitize(each.before)} " if each.before else ""
        pieces = wrap(" ".join(each.text.splitlines()), max(10, width - columns_of(before))) or [""]
        if len(pieces) > MOST_ROWS:
            pieces = [*pieces[: MOST_ROWS - 1], pieces[MOST_ROWS - 1][:-1] + "…"]
        style = STYLES.get(each.level, "")
        matches = self._matches(each) and not self.narrowed
        if matches:
            style = f"{style} underline".strip()
        first = line((before, "$muted"), (pieces[0], style))
        return [first, *(line(" " * columns_of(before), (piece, style)) for piece in pieces[1:])]

    def on_focus(self, event: Focus) -> None:
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        self.refresh()
