"""The beginning of a file, known by its bytes: what was read or written before a kill is there again, or is not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 1 << 20


@dataclass(frozen=True)
class Beginning:
    """The first `bytes` of a file, with their SHA-256."""

    bytes: int
    sha256: str


class Tally:
    """Counts and hashes bytes in the order in which they stand in a file."""

    def __init__(self) -> None:
        self.bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Count the next bytes."""
        self.bytes += len(data)
        self._hash.update(data)

    def beginning(self) -> Beginning:
        """Return what has been counted."""
        return Beginning(self.bytes, self._hash.hexdigest())

    def copy(self) -> Tally:
        """Return a tally that goes on by itself."""
        other = Tally()
        other.bytes, other._hash = self.bytes, self._hash.copy()
        return other


def read_beginning(file: BinaryIO, expected: Beginning) -> Tally | None:
    """Read a file from its start; return the tally to go on with, or None when it does not begin as `expected`."""
    file.seek(0)
    tally = Tally()
    while tally.bytes < expected.bytes and (block := file.read(min(BLOCK, expected.bytes - tally.bytes))):
        tally.add(block)
    return tally if tally.beginning() == expected else None


def whole_file(file: BinaryIO) -> Beginning:
    """Return all of a file."""
    file.seek(0)
    tally = Tally()
    while block := file.read(BLOCK):
        tally.add(block)
    return tally.beginning()
