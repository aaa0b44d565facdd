"""The editor of recipes: keys and comments told apart, problems marked where they stand, completion at the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from hftune.errors import Problem
from hftune.sanitize import sanitize

from ..completion import Candidate
from ..recipe_place import KEY, comment_start
from ..recipe_text import Completion, complete

INDENT = "  "


class RecipeEditor(TextArea):
    """Keys that mean something else here than in a text area are taken first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"editor--key", "editor--comment", "editor--problem"}
    DEFAULT_CSS = """
    RecipeEditor { border: none; padding: 0; background: $background; }
    RecipeEditor:focus { border: none; }
    RecipeEditor .editor--key { color: $primary; }
    RecipeEditor .editor--comment { color: $muted; }
    RecipeEditor .editor--problem { color: $error; text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,ctrl+space,ctrl+@", "complete", "complete", id="editor.complete", priority=True),
        Binding("enter", "enter", "new line, or take what is offered", id="editor.enter", priority=True),
        Binding("escape", "escape", "close what is offered; back to the list", id="editor.back", priority=True),
        Binding("up", "step(-1)", "line above, or what is offered before", id="editor.up", priority=True),
        Binding("down", "step(1)", "line below, or what is offered next", id="editor.down", priority=True),
    ]

    class OfferChanged(Message):
        """Something else is offered, or another of it is chosen, or nothing is."""

    class Left(Message):
        """Esc: back to the list."""

    class NothingOffered(Message):
        """Nothing can be completed here."""

    def __init__(self) -> None:
        super().__init__(
            show_line_numbers=True, tab_behavior="indent", soft_wrap=False, compact=True, id="recipe-editor"
        )
        self.folder: Path | None = None  # where data files are looked for
        self.offer = Completion()
        self.chosen = 0
        self._offered_at: tuple[str, tuple[int, int]] | None = None
        self._problems: dict[int, list[int]] = {}  # row -> columns

    # What is drawn.

    def get_line(self, line_index: int) -> Text:
        """Return a line with its key, its comment and its problems marked."""
        text = Text(self.document.get_line(line_index), end="", no_wrap=True)
        words = text.plain
        begin = len(words) - len(words.lstrip(" -"))
        if key := KEY.match(words, begin):
            text.stylize(self.get_component_rich_style("editor--key", partial=True), begin, key.end())
        if (start := comment_start(words)) < len(words):
            text.stylize(self.get_component_rich_style("editor--comment", partial=True), start)
        for column in self._problems.get(line_index, ()):
            end = max(word_end(words, column), column + 1)
            text.stylize(self.get_component_rich_style("editor--problem", partial=True), column, end)
        return text

    def mark(self, problems: Sequence[Problem]) -> None:
        """Mark where these problems stand."""
        marked: dict[int, list[int]] = {}
        for one in problems:
            if one.line:
                marked.setdefault(one.line - 1, []).append(max(0, one.column - 1))
        if marked != self._problems:
            self._problems = marked
            self._line_cache.clear()
            self.refresh()

    # What is offered.

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What is offered at the cursor now."""
        return self.offer.candidates

    def action_complete(self) -> None:
        if self.candidates:
            self._take()
            return
        row, column = self.cursor_location
        offer = complete(self.text, row, column, self.folder)
        before = self.document.get_line(row)[:column]
        if len(offer.candidates) == 1:
            self.offer = offer
            self._take()
        elif offer.candidates:
            self._offer(offer)
        elif not before.strip():
            self.insert(INDENT)
        else:
            self.post_message(self.NothingOffered())

    def _offer(self, offer: Completion, chosen: int = 0) -> None:
        self.offer, self.chosen = offer, chosen
        self._offered_at = (self.text, self.cursor_location)
        self.post_message(self.OfferChanged())

    def _take(self) -> None:
        row = self.cursor_location[0]
        one, offer = self.candidates[self.chosen], self.offer
        rest = self.document.get_line(row)[offer.end :]
        text = one.text.rstrip() if rest.startswith((" ", ":")) else one.text
        text = text.rstrip(":") if rest.startswith(":") else text
        self.replace(text, (row, offer.start), (row, offer.end))
        self.move_cursor((row, offer.start + len(text)))
        self._offer(Completion())

    def close_offer(self) -> None:
        """Offer nothing."""
        if self.candidates:
            self._offer(Completion())

    # Keys.

    def action_enter(self) -> None:
        if self.candidates:
            self._take()
            return
        row, column = self.cursor_location
        words = self.document.get_line(row)
        indent = words[: len(words) - len(words.lstrip(" "))][:column]
        key = KEY.match(words, len(indent))
        opens = key is not None and key.end() <= column and not words[key.end() : comment_start(words)].strip()
        self._replace_via_keyboard("\n" + indent + (INDENT if opens else ""), *self.selection)

    def action_escape(self) -> None:
        if self.candidates:
            self.close_offer()
        else:
            self.post_message(self.Left())

    def action_step(self, by: int) -> None:
        if self.candidates:
            self._offer(self.offer, (self.chosen + by) % len(self.candidates))
        elif by < 0:
            self.action_cursor_up()
        else:
            self.action_cursor_down()

    def on_text_area_changed(self) -> None:
        self._close_stale_offer()

    def on_text_area_selection_changed(self) -> None:
        self._close_stale_offer()

    def _close_stale_offer(self) -> None:
        """Close what was offered for another text or place: these messages may come late."""
        if self.candidates and self._offered_at != (self.text, self.cursor_location):
            self.close_offer()

    async def _on_paste(self, event: events.Paste) -> None:
        """Take pasted text without what could steer the terminal, tabs as spaces: YAML takes no tabs."""
        event.prevent_default()
        event.stop()
        text = sanitize(event.text.replace("\r\n", "\n").replace("\r", "\n"), lines=True).expandtabs(2)
        self._replace_via_keyboard(text, *self.selection)


def word_end(text: str, column: int) -> int:
    """Return where the word at a column ends."""
    end = column
    while end < len(text) and text[end] not in " ,}]:":
        end += 1
    return end
