"""What was asked and answered: only the rows on the screen are drawn, and of these only those that changed.

It stays at the end while answers come, unless the reader has scrolled up.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from ..answers import Item
from .rows import BESIDE_COLUMNS, KINDS, Block, Row, weight, words_of

SHOWN_CHARACTERS = 200_000  # of the newest items; older ones are not shown
OLDER: Row = (("… what was said before is not shown; /save keeps it", "muted"),)
MOST_STRIPS = 400


class Transcript(ScrollView, can_focus=True):
    """Shows the items of a conversation; finds words in them."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        & > .transcript--asked { text-style: bold; }
        & > .transcript--muted { color: $muted; }
        & > .transcript--first { color: $primary; text-style: bold; }
        & > .transcript--heading { color: $primary; }
        & > .transcript--warning { color: $warning; }
        & > .transcript--wrong { color: $error; }
        & > .transcript--for { color: $primary; text-style: bold; }
        & > .transcript--against { color: $accent; text-style: bold; }
        & > .transcript--match { text-style: bold reverse; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"transcript--{kind}" for kind in KINDS}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", id="transcript.down", show=False),
        Binding("up,k", "move(-1)", "up", id="transcript.up", show=False),
        Binding("pagedown", "page(1)", "a page down", id="transcript.page_down", show=False),
        Binding("pageup", "page(-1)", "a page up", id="transcript.page_up", show=False),
        Binding("g,home", "begin", "to the beginning", id="transcript.begin", show=False),
        Binding("G,end", "end", "to the end", id="transcript.end", show=False),
    ]

    def __init__(self, **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.looked_for = ""
        self._pattern: re.Pattern[str] | None = None
        self._match: int | None = None  # the row that was found last
        self._blocks: list[Block] = []
        self._ends: list[int] = [0]  # the row after each block, the line about older ones first
        self._items: Sequence[Item] = ()
        self._following = True
        self._strips: dict[Row, Strip] = {}
        self._painted: dict[int, Row] = {}
        self._styles: dict[str, Style] = {}

    @property
    def at_end(self) -> bool:
        """Whether what comes will be seen."""
        return self._following

    def show(self, items: Sequence[Item]) -> None:
        """Show these items as they are now."""
        self._items = items
        shown, left = list[Item](), SHOWN_CHARACTERS
        for item in reversed(items):
            left -= weight(item)
            if left < 0 and shown:
                break
            shown.append(item)
        known = {id(block.item): block for block in self._blocks}
        before = self._place_of_first()
        self._blocks = [known.get(id(item)) or Block(item) for item in reversed(shown)]
        self._lay_out(older=len(shown) < len(items), before=before)

    def _lay_out(self, older: bool, before: tuple[Block, int] | None) -> None:
        """Make the rows that changed; keep the end in sight, or what the reader looks at."""
        columns = max(20, self.scrollable_content_region.width)
        side_by_side = self.app.size.width >= BESIDE_COLUMNS
        for block in self._blocks:
            block.lay_out(columns, side_by_side)
        self._ends = list(accumulate((len(block.rows) for block in self._blocks), initial=int(older)))
        if self.virtual_size.height != self._ends[-1]:
            self.virtual_size = Size(0, self._ends[-1])
        if self._following:
            self._go(self.max_scroll_y)
        elif before is not None and before[0] in self._blocks:
            place = self._blocks.index(before[0])
            self._go(self._ends[place] + min(before[1], len(before[0].rows)))
        self._refresh_changed()

    def _place_of_first(self) -> tuple[Block, int] | None:
        """Return the block that the first row on the screen is of, and how far it is in it."""
        place = bisect_right(self._ends, self.scroll_offset.y) - 1
        if not 0 <= place < len(self._blocks):
            return None
        return self._blocks[place], self.scroll_offset.y - self._ends[place]

    def row(self, number: int) -> Row:
        """Return a row, empty beyond the end."""
        place = bisect_right(self._ends, number) - 1
        if place < 0:
            return OLDER
        if place >= len(self._blocks):
            return ()
        return self._blocks[place].rows[number - self._ends[place]]

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        if self._ends[0]:
            yield OLDER
        for block in self._blocks:
            yield from block.rows

    # Moving

    def page(self, pages: int) -> None:
        """Scroll by pages."""
        self.action_page(pages)

    def _go(self, row: int) -> None:
        if row != self.scroll_offset.y:
            self.scroll_to(y=row, animate=False, immediate=True, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y

    def action_move(self, by: int) -> None:
        self._go(max(0, min(self.scroll_offset.y + by, self.max_scroll_y)))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - 2))

    def action_begin(self) -> None:
        self._go(0)

    def action_end(self) -> None:
        self._following = True
        self._go(self.max_scroll_y)

    # Finding

    def look_for(self, text: str) -> int:
        """Look for a text, whatever its capitals; return how often it is there. Empty: nothing any more."""
        self.looked_for = text
        self._pattern = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._match = None
        self._strips.clear()
        self._painted.clear()
        self.refresh()
        return len(self._matches()) if text else 0

    def next_match(self, by: int) -> tuple[int, int] | None:
        """Show the next place (-1: the one before) where the text is, from the end on to the beginning.

        Returns which it is of how many, None when it is nowhere.
        """
        found = self._matches()
        if not found:
            return None
        if self._match in found:
            place = (found.index(self._match) + by) % len(found)
        else:  # the newest first
            place = len(found) - 1 if by < 0 else 0
        self._match = found[place]
        middle = self._match - self.size.height // 2
        self._following = False
        self._go(max(0, min(middle, self.max_scroll_y)))
        return place + 1, len(found)

    def _matches(self) -> list[int]:
        """Return the rows in which the text begins; it may go on in the row below."""
        if self._pattern is None:
            return []
        texts = [words_of(row) for row in self.rows()]
        found = []
        for number, text in enumerate(texts):
            below = texts[number + 1].strip() if number + 1 < len(texts) else ""
            tried = (self._pattern.search(f"{text}{between}{below}") for between in (" ", ""))  # Chinese has no spaces
            if any(match is not None and match.start() < len(text) for match in tried):
                found.append(number)
        return found

    # Painting

    def _refresh_changed(self) -> None:
        first = self.scroll_offset.y
        for line in range(self.size.height):
            if self._painted.get(line) != self.row(first + line):
                self.refresh(Region(0, line, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Return line `y` of the screen."""
        width, number = self.size.width, self.scroll_offset.y + y
        row = self.row(number)
        self._painted[y] = row
        if (selection := self.text_selection) is not None and (span := selection.get_span(number)) is not None:
            strip = self._selected(row, span)
        else:
            known = self._strips.get(row)
            if known is None:
                if len(self._strips) > MOST_STRIPS:
                    self._strips.clear()
                known = self._strips[row] = Strip(self._segments(row))
            strip = known
        return strip.adjust_cell_length(width, self._style("")).apply_offsets(0, number)

    def _segments(self, row: Row) -> list[Segment]:
        segments = []
        for text, kind in row:
            style, start = self._style(kind), 0
            for match in self._pattern.finditer(text) if self._pattern else ():
                segments.append(Segment(text[start : match.start()], style))
                segments.append(Segment(match[0], style + self._style("match")))
                start = match.end()
            segments.append(Segment(text[start:], style))
        return segments

    def _selected(self, row: Row, span: tuple[int, int]) -> Strip:
        text = Text.assemble(*((words, self._style(kind)) for words, kind in row), end="")
        start, end = span
        mark = self.screen.get_component_rich_style("screen--selection")
        text.stylize(mark, start, len(text) if end == -1 else end)
        return Strip(text.render(self.app.console))

    def _style(self, kind: str) -> Style:
        if kind not in self._styles:
            partly = self.get_component_rich_style(f"transcript--{kind}", partial=True) if kind else Style()
            self._styles[kind] = self.rich_style + partly
        return self._styles[kind]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return what is selected with the mouse."""
        return selection.extract("\n".join(map(words_of, self.rows()))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show another selection."""
        self._forget_painted()

    def notify_style_update(self) -> None:
        """Another theme: everything is painted anew."""
        super().notify_style_update()
        self._forget_painted()

    def _forget_painted(self) -> None:
        self._styles.clear()
        self._strips.clear()
        self._painted.clear()
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        self._painted.clear()
        self.show(self._items)
