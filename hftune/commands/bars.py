"""Bars of probabilities in a terminal or a pipe that may not hold every character."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from hftune.output import can_hold

_ASCII = str.maketrans("█░✓", "#.*")


def drawable(lines: Iterable[str], stream: TextIO) -> list[str]:
    """Return lines of bars as `stream` takes them: with bars and marks in ASCII where it holds nothing else."""
    return [line if can_hold(stream, line) else line.translate(_ASCII) for line in lines]
