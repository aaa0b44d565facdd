"""Files of rows, read and written a piece at a time: constant memory, the order and every column kept.

CSV and TSV, JSON Lines, Parquet, and text (a row a line). A bad row is a `Row` with an `error`; it does not end the
file. What is written replaces its file only once it is whole: until then it is `F.partial`.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hftune.data.files import FIELD_LIMIT, Lines, delimiter_of
from hftune.errors import DataError, UsageError, place
from hftune.output import json_line
from hftune.runs.files import fsync_file, fsync_folder

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


@dataclass
class Row:
    """One row: `number` is its line in the file (in Parquet its row), both from 1. `error` says what is wrong."""

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Rows(Protocol):
    """An opened input. `columns` is None where each row has its own (JSON Lines)."""

    columns: list[str] | None

    def __iter__(self) -> Iterator[Row]: ...


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
    for one in (target, partial_of(target)):
        if os.path.lexists(one) and (one.is_symlink() or not one.is_file()):
            what = "a folder" if one.is_dir() else "not a file"
            hint = "Name a file to make or replace. Without --output JSON Lines go to standard output."
            raise UsageError(f"{path}: {one.name} is {what}", hint=hint)
    return target


def chunks(rows: Rows, size: int) -> Iterator[list[Row]]:
    """Yield lists of at most `size` rows."""
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some


def is_broken(text: str) -> bool:
    """Tell whether a text holds bytes that were no UTF-8 (they are kept as they are in what is written)."""
    return any("\udc80" <= character <= "\udcff" for character in text) if not text.isascii() else False


class CsvRows:
    """Rows of a CSV or TSV file with a header."""

    def __init__(self, path: Path) -> None:
        csv.field_size_limit(FIELD_LIMIT)
        self._path = path
        with self._open() as file:
            head = file.readline()
        self.delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(head)
        with self._open() as file:
            self.columns: list[str] | None = next(csv.reader(file, delimiter=self.delimiter), [])
        if not self.columns:
            raise DataError(f"{path}: no header line", hint="The first line names the columns, for example text,label.")
        if len(set(self.columns)) < len(self.columns):
            raise DataError(f"{place(path, 1)}: two columns have the same name", hint=", ".join(self.columns))

    def _open(self) -> Any:
        # Bytes that are no UTF-8 pass through as they are, so that a bad row is written as it came.
        return self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def __iter__(self) -> Iterator[Row]:
        assert self.columns is not None
        with self._open() as file:
            lines = Lines(file)
            reader = csv.reader(lines, delimiter=self.delimiter)
            next(reader)
            while True:
                start = reader.line_num + 1
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(start, dict.fromkeys(self.columns, ""), f"not CSV: {error}")
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


class JsonRows:
    """Rows of a JSON Lines file; blank lines are no rows."""

    columns: list[str] | None = None

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Row]:
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                raw = {"raw": line.rstrip("\r\n")[:RAW_SHOWN]}
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield Row(number, raw, f"not JSON: {error}")
                    continue
                yield Row(number, values) if isinstance(values, dict) else Row(number, raw, "not an object of JSON")


class TextRows:
    """Rows of a text file: a line each, in the column `text`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.columns: list[str] | None = [TEXT_COLUMN]

    def __iter__(self) -> Iterator[Row]:
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                yield Row(number, {TEXT_COLUMN: line.rstrip("\r\n")})


class ParquetRows:
    """Rows of a Parquet file, read a batch at a time; `schema` is the file's own."""

    BATCH = 1024

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        self._path = path
        try:
            self._file = parquet.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        self.schema: pa.Schema = self._file.schema_arrow
        self.columns: list[str] | None = list(self.schema.names)

    def __iter__(self) -> Iterator[Row]:
        import pyarrow as pa

        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=self.BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self._path}: row {number + 1} and those after it cannot be read: {error}") from error


class RowWriter:
    """Writes rows to `path` (by its ending), first as `F.partial`; `finish` puts it in place.

    `columns` are those of the input (None: those of the first rows), `added` the new ones with their Arrow types as
    text ("string", "double"), `like` the input, whose Parquet types are kept.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None, added: Mapping[str, str], like: Rows) -> None:
        self.path = output_file(path)
        self.partial = partial_of(self.path)
        self._kind = kind_of(path, output=True)
        self._columns = None if columns is None else list(columns)
        self._added, self._like = dict(added), like
        self._writer: Any = None
        self._schema: pa.Schema | None = None
        self._file: Any = None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows; raises DataError when one does not fit the columns of the first."""
        if self._kind == "jsonl":
            file = self._opened()
            # What UTF-8 cannot hold is written as JSON's own \\u escape.
            file.writelines(json_line(row, file, default=str) + "\n" for row in rows)
        elif self._kind == "csv":
            self._write_csv(rows)
        else:
            self._write_parquet(rows)

    def finish(self) -> None:
        """Put the file in place, whole and on disk."""
        if self._kind == "parquet":
            if self._writer is None:
                self._write_parquet([])
            self._writer.close()
        else:
            if self._kind == "csv" and self._writer is None:
                self._write_csv([])
            self._opened().close()
        fsync_file(self.partial)
        os.replace(self.partial, self.path)  # noqa: PTH105 - says what it is
        fsync_folder(self.path.parent)

    def abandon(self) -> None:
        """Close what is open; `F.partial` stays with the rows so far."""
        for one in (self._writer if self._kind == "parquet" else None, self._file):
            # What a full disk refused is tried once more here, and refused again: the first error is the one to tell.
            with suppress(OSError):
                if one is not None:
                    one.close()

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self.partial.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        return self._file

    def _names(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        if self._columns is None:
            self._columns = list(dict.fromkeys(key for row in rows for key in row if key not in self._added))
        return [*self._columns, *self._added]

    def _check(self, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
        if new := next((key for row in rows for key in row if key not in set(names)), None):
            raise DataError(
                f"the column {new!r} is not in the first rows, and {self.path.suffix} needs every column at the start",
                hint="Write to a .jsonl file.",
            )

    def _write_csv(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = self._names(rows)
        if self._writer is None:
            delimiter = getattr(self._like, "delimiter", "\t" if self.path.suffix.lower() == ".tsv" else ",")
            self._writer = csv.writer(self._opened(), delimiter=delimiter, lineterminator="\n")
            self._writer.writerow(names)
        self._check(rows, names)
        self._writer.writerows([_cell(row.get(name)) for name in names] for row in rows)

    def _write_parquet(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        names = self._names(rows)
        self._check(rows, names)
        try:
            if self._schema is None:
                own = getattr(self._like, "schema", None)
                if own is None:
                    kept = [{name: row.get(name) for name in self._columns or []} for row in rows]
                    own = pa.Table.from_pylist(kept).schema if kept else pa.schema([])
                fields = [pa.field(name, _arrow_type(kind)) for name, kind in self._added.items()]
                self._schema = pa.schema([*own, *fields])
                self._writer = parquet.ParquetWriter(self.partial, self._schema)
            self._writer.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=self._schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise DataError(f"rows do not fit one Parquet schema: {error}", hint="Write to a .jsonl file.") from error


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    return pa.list_(pa.string()) if kind == "strings" else {"string": pa.string(), "double": pa.float64()}[kind]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
