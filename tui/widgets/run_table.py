"""The list of runs: ten thousand rows, of which only those whose words changed are painted anew.

Not a DataTable: changing one of its cells makes it render every cell again, which cost 40 to 75 ms a frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Blur, Click, Focus, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..folder import RunRow
from ..messages import RunOpened
from . import run_columns
from .run_columns import Cell, Columns

KINDS = ("name", "muted", "working", "waiting", "done", "wrong", "heading", "match")
Key = tuple[object, ...]


class RunTable(ScrollView, can_focus=True):
    """Shows rows; knows which one the cursor is on, which are marked, and which match what is looked for."""

    DEFAULT_CSS = """
    RunTable {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        & > .run-table--heading { color: $muted; }
        & > .run-table--name { color: $foreground; }
        & > .run-table--muted { color: $muted; }
        & > .run-table--working { color: $primary; }
        & > .run-table--waiting { color: $warning; }
        & > .run-table--done { color: $success; }
        & > .run-table--wrong { color: $error; }
        & > .run-table--match { text-style: bold underline; }
        & > .run-table--cursor { background: $panel; text-style: bold; }
        & > .run-table--away { background: $surface; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"run-table--{name}" for name in (*KINDS, "cursor", "away")}
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Next run", id="list.down", show=False),
        Binding("up,k", "move(-1)", "Previous run", id="list.up", show=False),
        Binding("pagedown", "page(1)", "A page down", id="list.page-down", show=False),
        Binding("pageup", "page(-1)", "A page up", id="list.page-up", show=False),
        Binding("g,home", "top", "First run", id="list.first", show=False),
        Binding("G,end", "bottom", "Last run", id="list.last", show=False),
        Binding("enter", "open", "Open the run", id="list.open", show=False),
        Binding("space", "mark", "Mark the run", id="list.mark", show=False),
        Binding("n", "match(1)", "Next match", id="list.next-match", show=False),
        Binding("N", "match(-1)", "Previous match", id="list.previous-match", show=False),
    ]

    class CursorMoved(Message):
        """The cursor is on another run."""

    @dataclass
    class Refused(Message):
        """A key cannot act now."""

        why: str

    def __init__(self, **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.rows: Sequence[RunRow] = ()  # those that are shown
        self.looked_for = ""
        self.narrowed = False  # only what matches is shown
        self._all: Sequence[RunRow] = ()
        self._words: tuple[str, ...] = ()
        self._patterns: tuple[re.Pattern[str], ...] = ()  # one for each word
        self._found: dict[tuple[str, str], bool] = {}  # by name and status: does it match
        self._hits: list[bool] = []  # of each row: does it match; empty while nothing is looked for
        self._marked: dict[Path, None] = {}
        self._cursor = 0
        self._now = 0.0
        self._shown: tuple[int, tuple[Path, ...]] | None = None  # the second and the marks
        self._columns: Columns = run_columns.columns_for(80)
        self._styles: dict[str, Style] = {}
        self._painted: dict[int, Key] = {}  # what stands on each line of the screen
        self._strips: dict[str, tuple[Key, Strip]] = {}  # by run

    @property
    def current(self) -> RunRow | None:
        """The row that the cursor is on."""
        return self.rows[self._cursor] if self._cursor < len(self.rows) else None

    @property
    def marked(self) -> list[Path]:
        """The marked runs, in their order; those that are gone are left out."""
        return [row.path for row in self._all if row.path in self._marked] if self._marked else []

    def share_marks(self, marks: dict[Path, None]) -> None:
        """Use the marks that another keeps, in the order they were made; `show` paints what changed in them."""
        self._marked = marks

    def show(self, rows: Sequence[RunRow], now: float) -> None:
        """Show these rows at time `now`; the cursor stays on its run, and only lines that changed are painted."""
        self._now = now
        if rows is not self._all:
            self._choose(rows)
        self._refresh_changed()

    def look_for(self, text: str, narrow: bool = True) -> None:
        """Look for runs that match each of these words; with `narrow` show no others.

        A word matches a name that has its letters in this order, and a status that begins with it.
        """
        self.looked_for, self.narrowed = text.strip(), narrow and bool(text.strip())
        self._words = tuple(self.looked_for.lower().split())
        self._patterns, self._found = tuple(_pattern(word) for word in self._words), {}
        self._hits = []
        self._choose(self._all)
        if self.narrowed and self.rows and not self._matches(self.rows[self._cursor]):
            self._cursor = 0
        self._show_cursor()
        self._refresh_changed()

    @property
    def total(self) -> int:
        """How many runs there are, shown or not."""
        return len(self._all)

    @property
    def matches(self) -> int:
        """How many of all runs match what is looked for."""
        return sum(self._hits)

    def select(self, run: Path) -> bool:
        """Put the cursor on a run; return whether it is shown."""
        place = next((place for place, row in enumerate(self.rows) if row.path == run), None)
        if place is not None:
            self._go(place)
        return place is not None

    def clear_marks(self) -> None:
        """Take all marks away."""
        self._marked.clear()
        self._refresh_changed()

    # Keys and the mouse

    def action_move(self, by: int) -> None:
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self._cursor + by * max(1, self._lines - 1))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(len(self.rows) - 1)

    def action_open(self) -> None:
        if (row := self.current) is not None:
            self.post_message(RunOpened(row.path))
        else:
            self.post_message(self.Refused("no run is shown"))

    def action_mark(self) -> None:
        if (row := self.current) is None:
            self.post_message(self.Refused("no run is shown"))
            return
        if row.path in self._marked:
            del self._marked[row.path]
        else:
            self._marked[row.path] = None
        self._refresh_changed()

    def action_match(self, by: int) -> None:
        """Go to the next run that matches, from the end on to the beginning."""
        count = len(self.rows)
        for distance in range(1, count + 1) if self._words else ():
            place = (self._cursor + by * distance) % count
            if self._matches(self.rows[place]):
                self._go(place)
                return
        why = f"no run matches {self.looked_for!r}" if self._words else "nothing is looked for: f begins"
        self.post_message(self.Refused(why))

    def on_click(self, event: Click) -> None:
        place = self._first + event.y - 1
        if event.y >= 1 and 0 <= place < len(self.rows):
            self._go(place)
            if event.chain == 2:
                self.action_open()

    # What is where

    @property
    def _lines(self) -> int:
        """How many rows fit under the heading."""
        return max(1, self.size.height - 1)

    @property
    def _first(self) -> int:
        """The place of the first row on the screen."""
        return self.scroll_offset.y

    def _choose(self, rows: Sequence[RunRow]) -> None:
        """Choose which of these rows to show, with the cursor on the same run."""
        before = self.current
        self._hits = self._hits_of(rows)
        self._all = rows
        self.rows = list(compress(rows, self._hits)) if self.narrowed else rows
        if before is not None and (self.current is None or self.current.path != before.path):
            places = (place for place, row in enumerate(self.rows) if row.path == before.path)
            self._cursor = next(places, self._cursor)
        self._cursor = max(0, min(self._cursor, len(self.rows) - 1))
        if self.virtual_size.height != len(self.rows) + 1:
            self.virtual_size = Size(0, len(self.rows) + 1)
        self._show_cursor()
        self._tell(before)

    def _go(self, place: int) -> None:
        before = self.current
        self._cursor = max(0, min(place, len(self.rows) - 1))
        self._show_cursor()
        self._refresh_changed()
        self._tell(before)

    def _tell(self, before: RunRow | None) -> None:
        now = self.current
        if (before and before.path) != (now and now.path):
            self.post_message(self.CursorMoved())

    def _show_cursor(self) -> None:
        """Scroll as little as it takes."""
        first = min(self._first, self._cursor)
        first = max(first, self._cursor - self._lines + 1)
        if first != self._first:
            self.scroll_to(y=first, animate=False, immediate=True)

    def _hits_of(self, rows: Sequence[RunRow]) -> list[bool]:
        """Return of each row whether it matches; of a row that is still the same object that is known."""
        if not self._words:
            return []
        if len(rows) != len(self._hits):
            return [self._matches(row) for row in rows]
        known = zip(rows, self._all, self._hits, strict=True)
        return [hit if row is before else self._matches(row) for row, before, hit in known]

    def _matches(self, row: RunRow) -> bool:
        if not self._words:
            return False
        key = (row.name, row.status)
        found = self._found.get(key)
        if found is None:
            name, words = row.name.lower(), zip(self._words, self._patterns, strict=True)
            found = all(
                pattern.search(row.short) or word in name or row.status.startswith(word) for word, pattern in words
            )
            self._found[key] = found
        return found

    # Painting

    def _refresh_changed(self) -> None:
        """Paint the lines anew whose words are not those on the screen."""
        for line in range(1, self.size.height):
            place = self._first + line - 1
            key = self._key(place) if place < len(self.rows) else ()
            if self._painted.get(line) != key:
                self.refresh(Region(0, line, self.size.width, 1))

    def _key(self, place: int) -> Key:
        """Return all that a painted row depends on."""
        row = self.rows[place]
        under = place == self._cursor
        age = run_columns.age_or_eta(row, self._now)
        return row, age, row.path in self._marked, under and (1 + self.has_focus), self._words, self._columns

    def render_line(self, y: int) -> Strip:
        """Return line `y` of the screen: the heading, or a row from the cache."""
        width = self.size.width
        if y == 0:
            return _strip([Segment(run_columns.heading(self._columns), self._style("heading"))], width, self._style(""))
        place = self._first + y - 1
        if place >= len(self.rows):
            self._painted[y] = ()
            return Strip.blank(width, self._style(""))
        key, name = self._key(place), self.rows[place].name
        self._painted[y] = key
        known = self._strips.get(name)
        if known is None or known[0] != key:
            if len(self._strips) > 4 * self._lines:
                self._strips.clear()
            known = self._strips[name] = (key, self._row_strip(place, width))
        return known[1]

    def _row_strip(self, place: int, width: int) -> Strip:
        row, under = self.rows[place], place == self._cursor
        base = self._style("")
        if under:
            base += self._style("cursor" if self.has_focus else "away")
        left = ("▸" if under else " ") + ("*" if row.path in self._marked else " ")
        segments = [Segment(left, base + self._style("working"))]
        first, *rest = run_columns.cells(row, self._columns, self._now)
        segments += self._name_segments(first, base, self._matches(row))
        for cell in rest:
            segments += [Segment(" ", base), Segment(cell.text, base + self._style(cell.kind) if cell.kind else base)]
        return _strip(segments, width, base)

    def _name_segments(self, cell: Cell, base: Style, matches: bool) -> Iterable[Segment]:
        style = base + self._style("name")
        found = [hit for pattern in self._patterns if (hit := pattern.search(cell.text))] if matches else []
        places = {hit.start(group + 1) for hit in found for group in range(hit.re.groups)}
        if not places:
            return [Segment(cell.text, style)]
        match = style + self._style("match")
        return [Segment(letter, match if at in places else style) for at, letter in enumerate(cell.text)]

    def _style(self, kind: str) -> Style:
        if kind not in self._styles:
            name = f"run-table--{kind}" if kind else ""
            self._styles[kind] = self.get_component_rich_style(name, partial=True) if name else self.rich_style
        return self._styles[kind]

    def notify_style_update(self) -> None:
        """Another theme: everything is painted anew."""
        super().notify_style_update()
        self._forget_painted()

    def on_resize(self, event: Resize) -> None:
        self._columns = run_columns.columns_for(self.scrollable_content_region.width)
        self._forget_painted()
        self._show_cursor()

    def on_focus(self, event: Focus) -> None:
        self._refresh_changed()

    def on_blur(self, event: Blur) -> None:
        self._refresh_changed()

    def _forget_painted(self) -> None:
        self._styles.clear()
        self._strips.clear()
        self._painted.clear()
        self.refresh()


def _pattern(word: str) -> re.Pattern[str]:
    """Return what finds the letters of a word in this order, each in a group of its own, as early as they come."""
    first, *rest = map(re.escape, word)
    # Between two letters stands nothing like the second: there is one way to match, so no name takes long to refuse.
    return re.compile(f"({first})" + "".join(f"[^{letter}]*({letter})" for letter in rest), re.IGNORECASE)


def _strip(segments: list[Segment], width: int, base: Style) -> Strip:
    strip = Strip(segments)
    return strip.adjust_cell_length(width, base)
