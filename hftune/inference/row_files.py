"""Files of rows, read a piece at a time and from any row on: constant memory, the order and every column kept.

CSV and TSV, JSON Lines, Parquet, and text (a row a line). A bad row is a `Row` with an `error`; it does not end the
file. Also where rows are written to: the file, and what it is called until it is whole, `F.partial`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hftune.data.files import FIELD_LIMIT, Lines, delimiter_of
from hftune.errors import DataError, UsageError, place
from hftune.figures import size
from hftune.inference.beginnings import Beginning, Tally, read_beginning, whole_file
from hftune.inference.byte_lines import LONGEST_LINE, ByteLines

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMN = "text"
KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
RAW_SHOWN = 2000  # characters of a line that is no JSON kept in the output
TOO_LONG = f"a line longer than {size(LONGEST_LINE)}, left out"


@dataclass
class Row:
    """One row: `number` is its line in the file (in Parquet its row), both from 1. `error` says what is wrong."""

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Place:
    """How far an input has been read: its lines (of Parquet its rows), and what they were read from.

    `beginning` is the file up to there; of Parquet, whose directory stands at its end, all of it.
    """

    number: int
    beginning: Beginning


class Rows(Protocol):
    """An opened input. `columns` is None where each row has its own (JSON Lines)."""

    columns: list[str] | None

    def __iter__(self) -> Iterator[Row]: ...

    @property
    def place(self) -> Place:
        """Where the row given last ends."""

    @property
    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""

    def go_on(self, place: Place) -> bool:
        """Begin behind `place` from now on; False, and nothing changes, when the file was another one up to there."""


def kind_of(path: Path, *, output: bool = False) -> str:
    """Return csv, jsonl, parquet or text by the file's ending; raises UsageError for another."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None or (output and kind == "text"):
        known = ", ".join(ending for ending, name in KINDS.items() if not (output and name == "text"))
        raise UsageError(f"{path}: cannot tell the format by the ending {path.suffix!r}", hint=f"Known: {known}.")
    return kind


def open_rows(path: Path) -> Rows:
    """Open a file of rows; raises DataError when it cannot be read, UsageError for an unknown ending."""
    kind = kind_of(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: it may not be read")
    readers: dict[str, Callable[[Path], Rows]] = {
        "csv": CsvRows,
        "jsonl": JsonRows,
        "parquet": ParquetRows,
        "text": TextRows,
    }
    return readers[kind](path)


def partial_of(path: Path) -> Path:
    """Return what a file is called until it is whole."""
    return path.with_name(path.name + ".partial")


def progress_of(path: Path) -> Path:
    """Return where it stands how far a file is that is not whole yet."""
    return path.with_name(path.name + ".partial.json")


def assembled_of(path: Path) -> Path:
    """Return what a Parquet file is called while it is put together from the rows in `F.partial`."""
    return path.with_name(path.name + ".partial.parquet")


def lock_of(path: Path) -> Path:
    """Return what the process holds that writes a file."""
    return path.with_name(path.name + ".partial.lock")


def files_of(path: Path) -> tuple[Path, ...]:
    """Return all files that writing to `path` makes."""
    return (path, partial_of(path), progress_of(path), assembled_of(path), lock_of(path))


def output_file(path: Path) -> Path:
    """Return the file that writing to `path` replaces or makes: at the end of a link, what the link means.

    Raises UsageError for what is there and no file: putting a file in the place of a pipe or a device would end it.
    """
    kind_of(path, output=True)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{path}: nothing may be written in {target.parent}")
    for one in files_of(target):
        if os.path.lexists(one) and (one.is_symlink() or not one.is_file()):
            what = "a folder" if one.is_dir() else "not a file"
            hint = "Name a file to make or replace. Without --output JSON Lines go to standard output."
            raise UsageError(f"{path}: {one.name} is {what}", hint=hint)
    return target


def use_memory_sparingly() -> None:
    """Let Arrow take its memory from the system, which gets it back: its own allocators keep what they once had."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


def is_broken(text: str) -> bool:
    """Tell whether a text holds bytes that were no UTF-8 (they are kept as they are in what is written)."""
    return any("\udc80" <= character <= "\udcff" for character in text) if not text.isascii() else False


class _LineFile:
    """What the files that are read line by line have in common."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._start: tuple[Tally, int] = Tally(), 0
        self._lines = ByteLines(io.BytesIO(), path)  # until it is read

    @property
    def place(self) -> Place:
        return Place(self._lines.number, self._lines.tally.beginning())

    @property
    def share(self) -> float:
        return min(1.0, self._lines.tally.bytes / max(1, self._size))

    def go_on(self, place: Place) -> bool:
        with self._path.open("rb") as file:
            tally = read_beginning(file, place.beginning)
        if tally is None:
            return False
        self._start = tally, place.number
        self._lines = ByteLines(io.BytesIO(), self._path, *self._start)  # until it is read
        return True

    @contextmanager
    def _reading(self) -> Iterator[ByteLines]:
        tally, number = self._start
        with self._path.open("rb", buffering=0) as file:
            file.seek(tally.bytes)
            self._lines = ByteLines(file, self._path, tally.copy(), number)
            yield self._lines


class CsvRows(_LineFile):
    """Rows of a CSV or TSV file with a header."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        csv.field_size_limit(FIELD_LIMIT)
        with self._reading() as lines:
            head = next(lines, "")
            self.delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(head)
        with self._reading() as lines:
            self.columns: list[str] | None = next(csv.reader(lines, delimiter=self.delimiter), [])
        if not self.columns:
            raise DataError(f"{path}: no header line", hint="The first line names the columns, for example text,label.")
        if len(set(self.columns)) < len(self.columns):
            raise DataError(f"{place(path, 1)}: two columns have the same name", hint=", ".join(self.columns))

    def __iter__(self) -> Iterator[Row]:
        assert self.columns is not None
        with self._reading() as source:
            lines = Lines(source)
            reader = csv.reader(lines, delimiter=self.delimiter)
            if not self._start[1]:
                next(reader)
            while True:
                start = source.number + 1
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(start, dict.fromkeys(self.columns, ""), f"not CSV: {error}")
                    continue
                if source.cut:
                    source.cut = False
                    yield Row(start, dict.fromkeys(self.columns, ""), TOO_LONG)
                    continue
                if not fields:
                    continue
                row = self._row(start, fields)
                if lines.ended:
                    row.error = row.error or "a quote opened here is never closed: the rest of the file is in this row"
                yield row

    def _row(self, number: int, fields: list[str]) -> Row:
        assert self.columns is not None
        error = ""
        if len(fields) != len(self.columns):
            error = f"{len(fields)} fields where the header names {len(self.columns)}"
            if extra := fields[len(self.columns) :]:
                error += f" (too many: {json.dumps(extra, ensure_ascii=False)[:RAW_SHOWN]})"
            fields += [""] * (len(self.columns) - len(fields))
        return Row(number, dict(zip(self.columns, fields, strict=False)), error)


class JsonRows(_LineFile):
    """Rows of a JSON Lines file; blank lines are no rows."""

    columns: list[str] | None = None

    def __iter__(self) -> Iterator[Row]:
        with self._reading() as lines:
            for line in lines:
                number, raw = lines.number, {"raw": line.rstrip("\r\n")[:RAW_SHOWN]}
                if lines.cut:
                    lines.cut = False
                    yield Row(number, raw, TOO_LONG)
                    continue
                if not line.strip():
                    continue
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield Row(number, raw, f"not JSON: {error}")
                    continue
                yield Row(number, values) if isinstance(values, dict) else Row(number, raw, "not an object of JSON")


class TextRows(_LineFile):
    """Rows of a text file: a line each, in the column `text`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.columns: list[str] | None = [TEXT_COLUMN]

    def __iter__(self) -> Iterator[Row]:
        with self._reading() as lines:
            for line in lines:
                yield Row(lines.number, {TEXT_COLUMN: line.rstrip("\r\n")}, TOO_LONG if lines.cut else "")
                lines.cut = False


class ParquetRows:
    """Rows of a Parquet file, read some at a time whatever its row groups are; `schema` is the file's own."""

    MOST_ROWS = 1024  # unpacked at a time
    MOST_BYTES = 4 << 20
    BUFFER = 1 << 20  # bytes of each column read at once

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        use_memory_sparingly()
        self._path = path
        try:
            # By default a row group is fetched whole before its first row is unpacked.
            self._file = parquet.ParquetFile(path, buffer_size=self.BUFFER, pre_buffer=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        self.schema: pa.Schema = self._file.schema_arrow
        self.columns: list[str] | None = list(self.schema.names)
        self._start = self._number = 0
        self._whole: Beginning | None = None

    def __iter__(self) -> Iterator[Row]:
        import pyarrow as pa

        self._number = self._start
        groups, skipped = self._groups_from(self._start)
        try:
            # In one thread: each has memory of its own, which it keeps.
            size = self._batch_size()
            for batch in self._file.iter_batches(batch_size=size, row_groups=groups, use_threads=False):
                if skipped >= len(batch):
                    skipped -= len(batch)
                    continue
                for values in batch.slice(skipped).to_pylist():
                    self._number += 1
                    yield Row(self._number, values)
                skipped = 0
        except (pa.ArrowInvalid, OSError) as error:
            message = f"{self._path}: row {self._number + 1} and those after it cannot be read: {error}"
            raise DataError(message) from error

    @property
    def place(self) -> Place:
        if self._whole is None:
            self._whole = self._read_whole()
        return Place(self._number, self._whole)

    @property
    def share(self) -> float:
        return self._number / max(1, int(self._file.metadata.num_rows))

    def go_on(self, place: Place) -> bool:
        if self._whole is None:
            self._whole = self._read_whole()
        if same := self._whole == place.beginning:
            self._start = self._number = place.number
        return same

    def _read_whole(self) -> Beginning:
        with self._path.open("rb") as file:
            return whole_file(file)

    def _groups_from(self, row: int) -> tuple[list[int], int]:
        """Return the row groups from the one that `row` (from 0) is in, and how many rows of it come before."""
        about = self._file.metadata
        groups = list(range(about.num_row_groups))
        while groups and row >= (rows := about.row_group(groups[0]).num_rows):
            row -= rows
            del groups[0]
        return groups, row

    def _batch_size(self) -> int:
        about = self._file.metadata
        unpacked = sum(int(about.row_group(group).total_byte_size) for group in range(about.num_row_groups))
        return max(1, min(self.MOST_ROWS, self.MOST_BYTES * int(about.num_rows) // max(1, unpacked)))
