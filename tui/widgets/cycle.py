"""One of a few values on one line: Space, → and ← take the next and the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.events import Blur, Click, Focus
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from ..drawing import line


@dataclass(frozen=True)
class Value:
    """A value: what it stands for, what it is called, and what it would mean; `grave`: to be chosen with care."""

    value: str
    title: str
    about: str
    grave: bool = False


class Cycle(Widget, can_focus=True):
    """A value among few."""

    DEFAULT_CSS = "Cycle { height: 1; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,right,l", "step(1)", "the next value", id="cycle.next", show=False),
        Binding("left,h", "step(-1)", "the value before", id="cycle.previous", show=False),
    ]

    class Changed(Message):
        """Another value was taken."""

    def __init__(self, values: Sequence[Value], **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._values = tuple(values)
        self._place = 0

    @property
    def current(self) -> Value:
        """The value that is taken now."""
        return self._values[self._place]

    def offer(self, values: Sequence[Value], taken: str) -> None:
        """Offer other values, and take one of them where it is there."""
        self._values = tuple(values)
        self._place = next((place for place, one in enumerate(self._values) if one.value == taken), 0)
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line."""
        return 1

    def render(self) -> RenderResult:
        one, arrows = self.current, "$primary" if self.has_focus else "$muted"
        strong = "bold $warning" if one.grave else "bold $primary" if self.has_focus else "bold"
        return line(("‹ ", arrows), (one.title, strong), (" ›", arrows))

    def action_step(self, by: int) -> None:
        self._place = (self._place + by) % len(self._values)
        self.refresh()
        self.post_message(self.Changed())

    def on_click(self, event: Click) -> None:
        self.action_step(1)

    def on_focus(self, event: Focus) -> None:
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        self.refresh()
