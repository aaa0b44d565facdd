"""The line over the list of runs that says what is looked for, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from ..drawing import Words, line
from .run_table import RunTable


class FilterLine(Horizontal):
    """Shown while something is looked for. Letters narrow the list; Enter keeps that, Esc takes it away."""

    DEFAULT_CSS = """
    FilterLine { display: none; height: 1; padding: 0 1; background: $surface; }
    FilterLine .name { width: 6; color: $primary; }
    FilterLine Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    FilterLine #filter-found { width: auto; color: $muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "show all runs again", id="filter.clear"),
        Binding("enter,down", "keep", "go to the list", id="filter.keep", priority=True),
    ]

    @dataclass
    class Changed(Message):
        """Something else is looked for; an empty text: nothing is."""

        text: str

    class Left(Message):
        """The keys of the list shall act again."""

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Words("find", classes="name")
        yield Input(compact=True, select_on_focus=False)
        yield Words(id="filter-found")

    @property
    def writing(self) -> bool:
        """Whether letters go here."""
        return self.query_one(Input).has_focus

    def open(self) -> None:
        """Begin to write, after what is looked for already."""
        self.display = True
        self.query_one(Input).focus()

    def clear(self) -> None:
        """Look for nothing, and go."""
        self.query_one(Input).value = ""
        self.post_message(self.Left())

    def say(self, table: RunTable, shown: bool = True) -> None:
        """Say how many runs match, and the keys; the line is there only while it is needed."""
        self.display = shown and (bool(table.looked_for) or self.writing)
        if not self.display:
            return
        found = f"{table.matches:,} of {table.total:,}"
        keys = (
            "Enter keeps · Esc clears" if self.writing else f"n N · F {'all' if table.narrowed else 'only these'} · Esc"
        )
        self.query_one("#filter-found", Words).say(line((f" {found}", ""), (f"  {keys}", "$muted")))

    @on(Input.Changed)
    def _written(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def action_clear(self) -> None:
        self.clear()

    def action_keep(self) -> None:
        self.post_message(self.Left())
