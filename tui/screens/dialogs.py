"""Dialogs: a question with yes and no, and a text to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from ..drawing import Words, line

if TYPE_CHECKING:
    from ..app import HftuneApp


class Confirm(ModalScreen[bool]):
    """A question; Enter or y is yes, Esc or n is no."""

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "no", id="confirm.no"),
    ]

    def __init__(self, question: str, yes: str = "Yes") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Words(self.question)
            yield Words(line((" Enter ", "bold $primary"), f"{self.yes}    ", (" Esc ", "bold $primary"), "No"))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Reading(ModalScreen[None]):
    """Text to read; Esc, Enter or ? closes it."""

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,question_mark,q", "close", "close", id="reading.close"),
        Binding("j,down", "scroll(1)", "down", id="reading.down"),
        Binding("k,up", "scroll(-1)", "up", id="reading.up"),
        Binding("pagedown,space", "scroll(10)", "a page down", id="reading.page_down"),
        Binding("pageup", "scroll(-10)", "a page up", id="reading.page_up"),
    ]

    def __init__(self, title: str, text: str | Content, wide: bool = False) -> None:
        """`wide`: lines of 79 columns have room in a terminal of 80."""
        super().__init__()
        self.heading, self.text, self.wide = title, text, wide

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog reading wide" if self.wide else "dialog reading"):
            yield Words(line((self.heading, "bold $primary"), ("   Esc closes", "$muted")))
            with VerticalScroll(can_focus=False):
                yield Words(self.text)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
