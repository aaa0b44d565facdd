"""Where the words of a job go: file descriptors 1 and 2 into log.txt, the display to the real terminal."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from hftune.output import Output


class Terminal(io.TextIOWrapper):
    """A stream that goes quiet when its terminal or reader has gone: that must not end the training behind it."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def into_log(log: Path, output: Output) -> Iterator[Output]:
    """Send this process's stdout and stderr to `log`, C libraries' and children's too; yield an Output to people.

    Descriptors 1 and 2 come back afterwards.
    """
    _flush()
    kept = (os.dup(1), os.dup(2))
    streams = [_outside(stream, kept) for stream in (output.stdout, output.stderr)]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    before = (sys.stdout, sys.stderr)
    # Line by line, or the log would lag behind by kilobytes; and what printed elsewhere (an app, a test) prints here.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", "replace", closefd=False) for number in (1, 2))
    try:
        yield Output(as_json=output.json, stdout=streams[0], stderr=streams[1])
    finally:
        _flush()
        sys.stdout, sys.stderr = before
        for target, original in enumerate(kept, start=1):
            os.dup2(original, target)
            os.close(original)
        for stream in streams:
            if isinstance(stream, Terminal):
                stream.close()


def _outside(stream: TextIO, kept: tuple[int, int]) -> TextIO:
    """Return a stream to where `stream` led before descriptors 1 and 2 were taken."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return stream  # not a file of the system (a test's buffer)
    if descriptor not in (1, 2):
        return stream
    raw = os.fdopen(os.dup(kept[descriptor - 1]), "wb")
    return Terminal(raw, encoding=stream.encoding or "utf-8", errors="replace", line_buffering=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def give_up_stdout() -> None:
    """Send what is left for a reader that has gone to nowhere, so that Python does not complain about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
