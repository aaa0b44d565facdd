"""The lines of a text file and how far it has been read, to the byte: a text stream that reads ahead cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hftune.data.files import FIELD_LIMIT
from hftune.errors import DataError
from hftune.inference.beginnings import BLOCK, Tally

LONGEST_LINE = FIELD_LIMIT
_MARK = b"\xef\xbb\xbf"


class ByteLines(Iterator[str]):
    """Yields lines with their ends (LF, CR LF or CR). Bytes that are no UTF-8 come as surrogates, as they are.

    `number` is that of the line given last, from 1, and `tally` counts its bytes and all before. A line longer than
    LONGEST_LINE comes empty, and `cut` turns true: it stays so until the one who reads has seen it.
    """

    def __init__(self, file: BinaryIO, path: Path, tally: Tally | None = None, number: int = 0) -> None:
        """Begin where `file` stands, `number` lines and the bytes of `tally` from its start."""
        self.number, self.tally = number, tally or Tally()
        self.cut = False
        self._file, self._path = file, path
        self._lines: list[bytes] = []  # the next one last
        self._rest = b""  # the beginning of a line that has not been read to its end

    def __next__(self) -> str:
        while not self._lines:
            if len(self._rest) > LONGEST_LINE:
                return self._skip()
            self._fill()
        line = self._lines.pop()
        first = self.tally.bytes == 0
        self.tally.add(line)
        self.number += 1
        return (line.removeprefix(_MARK) if first else line).decode("utf-8", "surrogateescape")

    def _fill(self) -> None:
        """Read some more; raises StopIteration where there is no more."""
        block = self._read()
        lines = (self._rest + block).splitlines(keepends=True)
        if not lines:
            raise StopIteration
        # A line may go on in the next block, and after a CR a LF may follow there.
        self._rest = lines.pop() if block and not lines[-1].endswith(b"\n") else b""
        self._lines = lines[::-1]

    def _skip(self) -> str:
        """Leave out a line that is none any more."""
        block = self._rest
        while block and (end := block.find(b"\n")) < 0:
            self.tally.add(block)
            block = self._read()
        self.tally.add(block[: end + 1])
        self._rest = block[end + 1 :]
        self.number += 1
        self.cut = True
        return ""

    def _read(self) -> bytes:
        try:
            return self._file.read(BLOCK)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error
