"""The app on a real pseudo-terminal, with the fake worker of the chat's tests, and all that it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

SECONDS = 20
APP = Path(__file__).parent / "app_to_run.py"
SEQUENCE = re.compile(
    r"\x1b(?:[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)


class Terminal:
    """The app in a pseudo-terminal of 140x40; `raw` is all that it wrote."""

    def __init__(self, folder: Path) -> None:
        self._process, self._end = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execve(
                sys.executable,
                [sys.executable, str(APP), str(folder / "runs")],
                {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "140", "LINES": "40"},
            )
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        self._bytes, self._seen = b"", 0

    @property
    def raw(self) -> str:
        return self._bytes.decode("utf-8", "replace")

    def shows(self, *words: str) -> None:
        """Wait until all of these were written since the last key."""
        limit = time.monotonic() + SECONDS
        while not all(word in (text := SEQUENCE.sub("", self.raw[self._seen :])) for word in words):
            assert time.monotonic() < limit, f"{words} not in {text[-3000:]}"
            self._read(1)

    def press(self, keys: str) -> None:
        self._seen = len(self.raw)
        os.write(self._end, keys.encode())

    def leave(self) -> str:
        """Quit; return all that was written."""
        self.press("\x11")
        return self.ended()

    def terminate(self) -> str:
        """End the app with SIGTERM; return all that was written."""
        os.kill(self._process, signal.SIGTERM)
        return self.ended()

    def ended(self) -> str:
        """Wait until the app has ended; return all that was written."""
        limit = time.monotonic() + SECONDS
        while self._read(1):
            assert time.monotonic() < limit
        os.waitpid(self._process, 0)
        os.close(self._end)
        return self.raw

    def _read(self, seconds: float) -> bool:
        """Take in what is there; False once nothing more can come."""
        if not select.select([self._end], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._end, 65536)
        except OSError:  # the other end is closed
            return False
        self._bytes += data
        return bool(data)
