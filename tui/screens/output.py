"""What a command of the command line says, shown in the app: the command runs as a process of its own."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from hftune.figures import duration

from .. import subcommand
from ..drawing import Words, line, plain

if TYPE_CHECKING:
    from ..app import HftuneApp

MOST_LINES = 2_000
LONGEST_LINE = 2_000
COLUMNS = 76


class Command:
    """A command of hftune in a process of its own; a thread reads what it says. Nothing here waits."""

    def __init__(self, words: Sequence[str], runs_dir: Path, columns: int = COLUMNS) -> None:
        self.words = tuple(words)
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.version = 0
        self.code: int | None = None
        named = [] if "--runs-dir" in words else ["--runs-dir", str(runs_dir)]
        # The words after `--` would all be texts, so our flag stands right behind the command.
        placed = [words[0], *_placed(words[1:], named)]
        environment = {**os.environ, "COLUMNS": str(columns), "PYTHONUNBUFFERED": "1"}
        self._process = subcommand.start(placed, subprocess.STDOUT, environment)
        threading.Thread(target=self._read, name="command-output", daemon=True).start()

    def stop(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while part := self._process.stdout.readline(LONGEST_LINE):
            self.lines.append(part.decode("utf-8", "replace").rstrip("\r\n"))
            self.version += 1
        self.code = self._process.wait()
        self.version += 1


def _placed(words: Sequence[str], named: Sequence[str]) -> list[str]:
    """Return the words with ours before them, behind the name of a subcommand (`recipes list`)."""
    split = 1 if words and words[0] in ("list", "show", "copy", "schema") else 0
    return [*words[:split], *named, *words[split:]]


class OutputScreen(ModalScreen[None]):
    """The lines of a command as they come; x stops it, Esc goes back while it goes on."""

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back; the command goes on", id="output.close"),
        Binding("x", "stop", "stop the command", id="output.stop"),
        Binding("y", "copy", "copy what it said", id="output.copy"),
        Binding("j,down", "scroll(1)", "down", id="output.down"),
        Binding("k,up", "scroll(-1)", "up", id="output.up"),
        Binding("pagedown", "scroll(10)", "a page down", id="output.page_down"),
        Binding("pageup", "scroll(-10)", "a page up", id="output.page_up"),
    ]

    def __init__(self, command: Command) -> None:
        super().__init__()
        self.command = command
        self._version = -1

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog output"):
            yield Words(id="output-title")
            with VerticalScroll(can_focus=False):
                yield Words(id="output-lines")

    def on_mount(self) -> None:
        self._began = self.app.monotonic()
        self.query_one(VerticalScroll).anchor()
        self.set_interval(0.1, self._show)
        self._show()

    def _show(self) -> None:
        command = self.command
        if command.code is None:
            state, style = f"works, {duration(self.app.monotonic() - self._began)}", "$accent"
        else:
            state, style = ("done", "$success") if command.code == 0 else (f"ended with {command.code}", "$error")
        name = "/" + " ".join(command.words)
        title = line((name, "bold"), "  ", (state, style), ("   x stop · y copy · Esc back", "$muted"))
        self.query_one("#output-title", Words).say(title)
        if command.version != self._version:
            self._version = command.version
            self.query_one("#output-lines", Words).say(plain("\n".join(list(command.lines))))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_stop(self) -> None:
        self.command.stop()

    def action_copy(self) -> None:
        self.app.copy("\n".join(list(self.command.lines)))

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
