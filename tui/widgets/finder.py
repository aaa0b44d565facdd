"""A line to type what is looked for; it appears with `f` and goes with Enter or Esc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class Finder(Input):
    """Tells what is typed as it is typed; Enter keeps it, Esc forgets it."""

    DEFAULT_CSS = "Finder { height: 1; border: none; padding: 0; background: $panel; display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "forget", "forget what was looked for", id="finder.forget", priority=True),
        Binding("enter", "keep", "keep it", id="finder.keep", priority=True),
    ]

    @dataclass
    class Typed(Message):
        """Something else is looked for; `ended` when that is the last word."""

        text: str
        ended: bool = False

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, compact=True)

    def open(self) -> None:
        """Show it, empty."""
        self.value = ""
        self.display = True
        self.focus()

    def action_keep(self) -> None:
        self._close(self.value)

    def action_forget(self) -> None:
        self._close("")

    def _close(self, text: str) -> None:
        self.display = False
        self.post_message(self.Typed(text, ended=True))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self.post_message(self.Typed(event.value))
