"""The prompt: text for the model in front, or a command after a slash, with completion and history."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import TextArea

from ..completion import Candidate
from ..drawing import Words, clip, columns_of, line, pad, plain, sanitize
from ..messages import PromptLeft, PromptSubmitted, TranscriptScrolled

if TYPE_CHECKING:
    from ..app import HftuneApp

SHOWN = 6  # candidates at once
MOST_LINES = 6
NAME_COLUMNS = 34


class Prompt(TextArea):
    """Where one writes. Keys that mean something else here than in a text area are taken first."""

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "send", id="prompt.send", priority=True),
        Binding("shift+enter,ctrl+j", "new_line", "new line", id="prompt.new_line", priority=True),
        Binding("tab", "take", "take the suggestion", id="prompt.take", priority=True),
        Binding("escape", "leave", "leave the prompt", id="prompt.leave", priority=True),
        Binding("up", "move(-1)", "suggestion or older line", id="prompt.up", priority=True),
        Binding("down", "move(1)", "suggestion or newer line", id="prompt.down", priority=True),
        Binding("pageup", "scroll_transcript(-1)", "scroll up", id="prompt.page_up", priority=True),
        Binding("pagedown", "scroll_transcript(1)", "scroll down", id="prompt.page_down", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(compact=True, highlight_cursor_line=False, id="prompt", tab_behavior="focus")
        self.cursor_blink = False  # it is half of what an idle app costs, and a write to the terminal each time
        self.candidates: list[Candidate] = []
        self.chosen = 0
        self._moved = False  # the suggestion was chosen by hand: Enter takes it

    def write(self, text: str) -> None:
        """Put text in place of what is written, the cursor at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    def action_send(self) -> None:
        if self._moved and self.candidates:
            self.action_take()
            if not self._complete():
                return
        text = self.text.strip("\n")
        self.app.history.add(text)
        self.write("")
        self.post_message(PromptSubmitted(text))

    def _complete(self) -> bool:
        """Tell whether a command that was taken needs nothing more."""
        return self.text.startswith("/") and not self.app.commands.wants_more(self.text)

    def action_new_line(self) -> None:
        self.insert("\n")

    def action_take(self) -> None:
        if not self.candidates:
            if not self.text:
                self.action_leave()
            return
        one = self.candidates[self.chosen]
        self.write(self.text[: one.start] + one.text + " ")

    def action_leave(self) -> None:
        if self.screen.stop_answer():  # type: ignore[attr-defined]
            return
        if self.text.startswith("/"):
            self.write("")
        self.post_message(PromptLeft())

    def action_move(self, step: int) -> None:
        if self.candidates:
            self.chosen = (self.chosen + step) % len(self.candidates)
            self._moved = True
            self._show_candidates()
            return
        row, last = self.cursor_location[0], self.document.line_count - 1
        if (step < 0 and row > 0) or (step > 0 and row < last):
            self.action_cursor_up() if step < 0 else self.action_cursor_down()
            return
        found = self.app.history.move(step, self.text)
        if found is not None:
            self.write(found)
            self._set_candidates([])

    def action_scroll_transcript(self, pages: int) -> None:
        self.post_message(TranscriptScrolled(pages))

    def on_text_area_changed(self) -> None:
        self.styles.height = min(MOST_LINES, max(1, self.wrapped_document.height))
        text = self.text
        self._set_candidates(self.app.commands.complete(text) if text.startswith("/") and "\n" not in text else [])

    def on_focus(self, event: events.Focus) -> None:
        self._show_candidates()

    def on_blur(self, event: events.Blur) -> None:
        self.query_ancestor(PromptLine).show_candidates([], 0)

    def _set_candidates(self, candidates: list[Candidate]) -> None:
        self.candidates, self.chosen, self._moved = candidates, 0, False
        self._show_candidates()

    def _show_candidates(self) -> None:
        self.query_ancestor(PromptLine).show_candidates(self.candidates if self.has_focus else [], self.chosen)


class PromptLine(Vertical):
    """The prompt with its suggestions above and the keys of the place at its right."""

    def __init__(self, hints: tuple[tuple[str, str], ...]) -> None:
        super().__init__()
        self._hints = hints

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Words(id="suggestions")
        with Horizontal(id="prompt-row"):
            yield Words("›", id="prompt-mark")
            yield Prompt()
            yield Words(id="hints")

    def on_mount(self) -> None:
        self.query_one("#suggestions").display = False
        self.set_hints(self._hints)

    def set_hints(self, hints: tuple[tuple[str, str], ...]) -> None:
        """Show keys at the right of the prompt; `?` is always there."""
        parts: list[str | tuple[str, str]] = []
        for key, what in (*hints, ("?", "Keys")):
            parts += [(f" {key}", "bold $primary"), (f" {what} ", "$muted")]
        words, said = self.query_one("#hints", Words), line(*parts)
        words.styles.width = said.cell_length  # left to `auto`, longer keys after shorter ones were once cut off
        words.say(said)

    @property
    def text(self) -> str:
        """What is written."""
        return self.query_one(Prompt).text

    def enter(self, text: str = "") -> None:
        """Go into the prompt; `text` takes the place of what is written, unless it is empty."""
        prompt = self.query_one(Prompt)
        if text:
            prompt.write(text)
        prompt.focus()

    def show_candidates(self, candidates: list[Candidate], chosen: int) -> None:
        """Show suggestions, the chosen one marked."""
        words = self.query_one("#suggestions", Words)
        words.display = bool(candidates)
        if not candidates:
            return
        first = max(0, min(chosen - SHOWN // 2, len(candidates) - SHOWN))
        shown = candidates[first : first + SHOWN]
        width = min(NAME_COLUMNS, max(columns_of(sanitize(one.text)) for one in shown))
        room = max(10, self.size.width - width - 6)
        lines = []
        for number, one in enumerate(shown, first):
            mark = "▸" if number == chosen else " "
            text = f"{mark} {pad(sanitize(one.text), width)}  {clip(sanitize(one.help), room)}"
            lines.append(plain(text, "bold $primary" if number == chosen else "$muted"))
        words.say(plain("\n").join(lines))
