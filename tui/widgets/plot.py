"""The plot: a picture of curves in the colours of the theme, drawn anew only when there is another picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Blur, Focus
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from ..curves import COLOURS, Picture, draw

CURVES = tuple(f"{kind}-{number}" for kind in ("curve", "raw", "letter") for number in range(COLOURS))
ROLES = (*CURVES, "axis", "title", "mark", "bad")


class Plot(Widget, can_focus=True):
    """Shows a picture. Without colours its lines differ by pattern and letter, and raw values are dim."""

    DEFAULT_CSS = """
    Plot {
        width: 1fr;
        height: 1fr;
        & > .plot--axis { color: $muted; }
        & > .plot--title { text-style: bold; }
        & > .plot--focused { text-style: bold underline; }
        & > .plot--mark { color: $foreground; text-style: bold; }
        & > .plot--bad { color: $error; text-style: bold; }
        & > .plot--curve-0, & > .plot--raw-0, & > .plot--letter-0 { color: $primary; }
        & > .plot--curve-1, & > .plot--raw-1, & > .plot--letter-1 { color: $accent; }
        & > .plot--curve-2, & > .plot--raw-2, & > .plot--letter-2 { color: $secondary; }
        & > .plot--curve-3, & > .plot--raw-3, & > .plot--letter-3 { color: $error; }
        & > .plot--curve-4, & > .plot--raw-4, & > .plot--letter-4 { color: $curve-4; }
        & > .plot--curve-5, & > .plot--raw-5, & > .plot--letter-5 { color: $curve-5; }
        & > .plot--curve-6, & > .plot--raw-6, & > .plot--letter-6 { color: $foreground; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"plot--{role}" for role in (*ROLES, "focused")}
    ALLOW_SELECT = False

    def __init__(self, **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.picture = Picture()
        self.drawn = 0  # how often a picture has been drawn
        self._key: object = None
        self._shown = 0
        self._strips: list[Strip] = []
        self._drawn_for: tuple[object, ...] = ()
        self._styles: dict[str, Style] = {}

    def show(self, key: object, make: Callable[[], Picture]) -> None:
        """Show what `make` returns, which is called only when `key` is another than the last time."""
        if key != self._key:
            self._key = key
            picture = make()
            if picture != self.picture:
                self.picture = picture
                self._shown += 1
                self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return line `y` of the picture."""
        size = self.size
        wanted = (self._shown, size, self.has_focus)
        if wanted != self._drawn_for:
            self._strips, self._drawn_for = self._draw(size), wanted
        return self._strips[y] if y < len(self._strips) else Strip.blank(size.width, self.rich_style)

    def _draw(self, size: Size) -> list[Strip]:
        self.drawn += 1
        rows = draw(self.picture, size.width, size.height)
        return [Strip([Segment(text, self._style(role)) for text, role in row], size.width) for row in rows]

    def _style(self, role: str) -> Style:
        if role == "title" and self.has_focus:
            role = "focused"
        if role not in self._styles:
            style = self.rich_style + self.get_component_rich_style(f"plot--{role}", partial=True)
            if role.startswith("raw-"):
                style += Style(dim=True)
            elif role.startswith("letter-"):
                style += Style(bold=True, reverse=True)
            self._styles[role] = style
        return self._styles[role]

    def notify_style_update(self) -> None:
        """Another theme: everything is drawn anew."""
        super().notify_style_update()
        self._styles.clear()
        self._drawn_for = ()

    def on_focus(self, event: Focus) -> None:
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        self.refresh()
