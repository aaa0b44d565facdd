"""Text on the screen: everything that comes from data, models, recipes and paths passes through here.

`plain` and `line` clean it (hftune.sanitize) and never read it as markup; `Words` is the widget that shows it. No other
module of the app may use Textual's own Static, Label or markup (tests/architecture/test_app.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual.content import Content
from textual.widgets import Static

from hftune.sanitize import clip, columns_of, pad, sanitize

Part = str | tuple[str, str]


def plain(text: object, style: str = "") -> Content:
    """Return text as it may be drawn, several lines if it has them; `style` is a Textual style (`bold $error`)."""
    clean = sanitize(text, lines=True).expandtabs(4)
    return Content.styled(clean, style) if style else Content(clean)


def line(*parts: Part) -> Content:
    """Return one line of parts, each a text or (text, style)."""
    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    return Content.assemble(*((sanitize(text), style) if style else sanitize(text) for text, style in pieces))


def spread(left: Iterable[Part], right: Iterable[Part], columns: int) -> Content:
    """Return a line of exactly `columns`: `left` at its left end, clipped to make room for `right` at its right end."""
    first, last = line(*left), line(*right)
    room = columns - last.cell_length - (1 if last.cell_length else 0)
    if room < 0:
        return Content(clip(last.plain, columns))
    if first.cell_length > room:
        first = first.truncate(room, ellipsis=True)
    return Content.assemble(first, " " * (columns - first.cell_length - last.cell_length), last)


def bar(share: float | None, columns: int) -> str:
    """Return a share from 0 to 1 as a bar of exactly `columns` characters."""
    full = round(min(1.0, max(0.0, share or 0.0)) * columns)
    return "█" * full + "░" * (columns - full)


class Words(Static):
    """A Static that takes texts and cleaned content alone, and never markup."""

    def __init__(self, text: str | Content = "", **options: Any) -> None:
        self._said = _clean(text)
        super().__init__(self._said, markup=False, **options)

    def say(self, text: str | Content) -> None:
        """Show something else; the same again costs nothing, though timers say it ten times a second.

        The screen is laid out again only when the new text needs other room than the old one did.
        """
        said, before = _clean(text), self._said
        if not said.is_same(before):
            self._said = said
            self.update(said, layout=self._needs_other_room(before, said))

    def _needs_other_room(self, before: Content, said: Content) -> bool:
        old, new = ([each.cell_length for each in text.split("\n", allow_blank=True)] for text in (before, said))
        if max(*old, *new) > self.content_size.width:  # it is broken into lines, who knows how many
            return True
        width = self.styles.width
        return new != old if width is not None and width.is_auto else len(new) != len(old)


def _clean(text: str | Content) -> Content:
    return text if isinstance(text, Content) else plain(text)


__all__ = ["Part", "Words", "bar", "clip", "columns_of", "line", "pad", "plain", "sanitize", "spread"]
