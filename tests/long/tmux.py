"""A terminal of its own, through tmux: keys in, what is shown out."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Terminal:
    """A session of 80x24 on a tmux server of its own. `keep` is a folder for pictures of what was shown, or None."""

    def __init__(self, folder: Path, environment: Mapping[str, str], keep: Path | None = None) -> None:
        self._folder, self._keep = folder, keep
        self._opened = 0
        self._environment = {
            **environment,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }

    def open(self, *command: str) -> int:
        """Start a command in a new session; return its process id."""
        self._opened += 1  # a server that was told to end may still take a session, and take it with it
        words = ("new-session", "-d", "-s", "app", "-x", "80", "-y", "24", "-c", str(self._folder), *command)
        self._tmux("-f", os.devnull, *words)
        self._tmux("set-option", "-g", "remain-on-exit", "on")
        return int(self._tmux("display-message", "-p", "-t", "app", "#{pane_pid}"))

    @property
    def _socket(self) -> str:
        return str(self._folder / f"tmux-{self._opened}.sock")

    def kill(self, pid: int) -> None:
        """Kill the app as `kill -9` does, and its session."""
        os.kill(pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """End the session, whatever is in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True)

    def send(self, *keys: str) -> None:
        """Press keys, by tmux's names (Enter, Escape, Down, a letter)."""
        for key in keys:
            self._tmux("send-keys", "-t", "app", key)

    def write(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-t", "app", "-l", text)

    def text(self) -> str:
        """Return what is shown."""
        return self._tmux("capture-pane", "-p", "-t", "app")

    def until(self, shown: str | Callable[[str], bool], seconds: float) -> str:
        """Wait until a text is shown, or something is true of what is; return it."""
        true = shown if callable(shown) else lambda text: shown in text
        limit = time.monotonic() + seconds
        while not true(text := self.text()):
            assert time.monotonic() < limit, f"not shown in {seconds:.0f} s: {shown}\n{text}"
            time.sleep(0.1)  # of a terminal, only its picture can be looked at
        return text

    def keep(self, name: str, title: str) -> None:
        """Draw what is shown into a picture, where pictures are kept."""
        if self._keep is None:
            return
        from io import StringIO

        from rich.console import Console
        from rich.text import Text

        console = Console(record=True, width=80, file=StringIO(), force_terminal=True, color_system="truecolor")
        shown = self._tmux("capture-pane", "-e", "-p", "-t", "app").rstrip("\n")
        console.print(Text.from_ansi(shown), soft_wrap=True)
        self._keep.mkdir(parents=True, exist_ok=True)
        console.save_svg(str(self._keep / f"{name}.svg"), title=title)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words], capture_output=True, text=True, env=self._environment, check=True
        )
        return done.stdout
