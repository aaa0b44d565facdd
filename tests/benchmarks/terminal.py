"""A process on a terminal of its own (a pty): what it paints, when that came, and keys for it.

The screen is kept as far as the app's output needs: text, moves of the cursor, erasing. Times are seconds of
time.monotonic, taken when the bytes were read, before anything is made of them.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rich.cells import cell_len

PIECE = 1 << 16
# A cursor move, another control sequence, a string for the terminal (title, clipboard), a short escape, one character
# of control, text. What is cut off at the end of a piece waits for the next one.
TOKEN = re.compile(
    r"\x1b\[(?P<row>\d*);(?P<column>\d*)H|\x1b\[(?P<csi>[0-?]*[ -/]*[@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])|(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
)


class GoneError(Exception):
    """The process ended while something was awaited; the end of what it wrote is its text."""


class LateError(Exception):
    """What was awaited did not come; the screen is its text."""


class Screen:
    """What stands where."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        """Take in what the process wrote."""
        text = self._rest + self._decoder.decode(data)
        place = 0
        while place < len(text):
            token = TOKEN.match(text, place)
            if token is None:
                break
            place = token.end()
            self._take(token)
        self._rest = text[place:]

    def _take(self, token: re.Match[str]) -> None:
        if (text := token["text"]) is not None:
            self._write(text)
        elif token["row"] is not None:
            self._row, self._column = int(token["row"] or 1) - 1, int(token["column"] or 1) - 1
        elif token["csi"] == "H":
            self._row = self._column = 0
        elif token["csi"] == "2J":
            self._cells = [[" "] * self.columns for _ in range(self.rows)]
        elif token["control"] == "\r":
            self._column = 0
        elif token["control"] == "\n":  # the terminal is raw but for its output: a new line begins at its left
            self._row, self._column = self._row + 1, 0

    def _write(self, text: str) -> None:
        if not 0 <= self._row < self.rows:
            return
        cells = self._cells[self._row]
        for character in text:
            width = 1 if " " <= character <= "~" else cell_len(character)
            if width and self._column + width <= self.columns:
                cells[self._column : self._column + width] = [character] + [""] * (width - 1)
                self._column += width

    @property
    def lines(self) -> list[str]:
        """The lines, without the spaces at their ends."""
        return ["".join(cells).rstrip() for cells in self._cells]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)


class Terminal:
    """Starts `command`; use it in `with`. `output` is every byte that reached the terminal, if `keeps`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        keeps: bool = False,
    ) -> None:
        self.screen = Screen(columns, rows)
        self.output = bytearray()
        self._keeps = keeps
        self._code: int | None = None
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            if folder is not None:
                os.chdir(folder)
            os.execve(command[0], list(command), dict(environment if environment is not None else os.environ))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._wait()
        os.close(self._fd)

    def send(self, keys: str) -> float:
        """Type; return when."""
        now = time.monotonic()
        os.write(self._fd, keys.encode())
        return now

    def read(self, seconds: float) -> float | None:
        """Read the next piece; return when it came, None when there was none. Raises GoneError."""
        if not select.select([self._fd], [], [], max(0.0, seconds))[0]:
            return None
        now = time.monotonic()
        try:
            data = os.read(self._fd, PIECE)
        except OSError:
            data = b""
        if not data:
            raise GoneError(self.screen.text)
        if self._keeps:
            self.output += data
        self.screen.feed(data)
        return now

    def drain(self, seconds: float) -> None:
        """Read for a while."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.read(rest)

    def until(self, seen: Callable[[Screen], object], seconds: float = 20.0) -> float:
        """Read until the screen is as awaited; return when that was so. Raises LateError, GoneError."""
        now, limit = time.monotonic(), time.monotonic() + seconds
        while not seen(self.screen):
            came = self.read(limit - time.monotonic())
            if came is None:
                raise LateError(self.screen.text)
            now = came
        return now

    def until_text(self, text: str, seconds: float = 20.0) -> float:
        """Read until a text is on the screen."""
        return self.until(lambda screen: text in screen.text, seconds)

    def end(self, seconds: float = 20.0) -> int:
        """Read until the process ends; return its exit code. Raises LateError."""
        limit = time.monotonic() + seconds
        with suppress(GoneError):
            while time.monotonic() < limit:
                self.read(limit - time.monotonic())
            raise LateError(self.screen.text)
        return self._wait()

    def _wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code
