"""The palette: everything that can be done or gone to, found by a few of its letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from ..completion import Candidate, best
from ..drawing import Words, clip, columns_of, pad, plain, sanitize

if TYPE_CHECKING:
    from ..app import HftuneApp

SHOWN = 12
NAME_COLUMNS = 36
BORDERS = 10  # of the dialog, its padding, the mark and the space between


@dataclass(frozen=True)
class Entry:
    """One thing to do: its name, what it is, and the command that does it; `ask`: the prompt opens with it first."""

    name: str
    help: str
    command: str
    ask: bool = False


class Palette(ModalScreen[Entry | None]):
    """Letters narrow the list, arrows choose, Enter does it."""

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", id="palette.close", priority=True),
        Binding("down,ctrl+n", "move(1)", "down", id="palette.down", priority=True),
        Binding("up,ctrl+p", "move(-1)", "up", id="palette.up", priority=True),
        Binding("pagedown", "move(10)", "ten down", id="palette.page_down", priority=True),
        Binding("pageup", "move(-10)", "ten up", id="palette.page_up", priority=True),
        Binding("enter", "choose", "do it", id="palette.choose", priority=True),
    ]

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = list(entries)
        self._found = self._entries
        self._chosen = 0

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog palette"):
            yield Input(placeholder="what to do, or a run, or a recipe", compact=True)
            yield Words(id="found")

    def on_mount(self) -> None:
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        by_text = {f"{entry.name} {entry.help}": entry for entry in self._entries}
        found = best(event.value, [Candidate(text) for text in by_text]) if event.value else []
        self._found = [by_text[one.text] for one in found] if event.value else self._entries
        self._chosen = 0
        self._show()

    def action_move(self, step: int) -> None:
        if self._found:
            one_by_one = abs(step) == 1
            place = self._chosen + step
            last = len(self._found) - 1
            self._chosen = place % len(self._found) if one_by_one else min(last, max(0, place))
            self._show()

    def action_choose(self) -> None:
        self.dismiss(self._found[self._chosen] if self._found else None)

    def action_close(self) -> None:
        self.dismiss(None)

    def _show(self) -> None:
        first = max(0, min(self._chosen - SHOWN // 2, len(self._found) - SHOWN))
        shown = self._found[first : first + SHOWN]
        width = max((min(NAME_COLUMNS, columns_of(sanitize(entry.name))) for entry in shown), default=0)
        room = min(100, int(0.9 * self.app.size.width)) - width - BORDERS
        lines = []
        for number, entry in enumerate(shown, first):
            mark = "▸" if number == self._chosen else " "
            text = f"{mark} {pad(sanitize(entry.name), width)}  {clip(sanitize(entry.help), max(10, room))}"
            lines.append(plain(text, "bold $primary" if number == self._chosen else ""))
        nothing = plain("nothing has these letters in this order", "$muted")
        self.query_one("#found", Words).say(plain("\n").join(lines) if lines else nothing)
