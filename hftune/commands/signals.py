"""Signals: the first asks a training process to save its state and stop, the second ends it at once; others unwind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from hftune.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

# A terminal that vanishes ends the run as a polite kill does.
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Which signal came first, if any."""

    def __init__(self) -> None:
        self.first: int | None = None

    @property
    def exit_code(self) -> int:
        """130 without a signal (the run was asked through its control folder) and for Ctrl-C, else 143."""
        return EXIT_INTERRUPTED if self.first in (None, signal.SIGINT) else EXIT_TERMINATED


@contextmanager
def asking_to_stop(ask: Callable[[str], None]) -> Iterator[Signals]:
    """Call `ask` (which must neither lock nor print) with words for people at the first signal.

    The second raises KeyboardInterrupt. Outside the main thread signals are left alone.
    """
    signals = Signals()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if signals.first is not None:
            raise KeyboardInterrupt
        signals.first = number
        ask(f"stopping after this step (state will be saved); {_again(number)} ends at once")

    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    # nohup has SIGHUP ignored, and means it.
    taken = [number for number in ASKING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in taken}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a polite kill end the command as an error would, so that what it keeps for a moment is put away."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _again(number: int) -> str:
    return "Ctrl-C again" if number == signal.SIGINT else "another signal"
