"""Rows as the bytes of a file, some at a time: what is written after a kill follows what was written before it.

CSV and JSON Lines are written as they will stay. Parquet has its directory at the end and cannot be gone on with, so
its rows are first kept as a series of Arrow streams, one for each piece, and put together once all are there.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hftune.errors import DataError
from hftune.inference.row_files import Row, Rows, kind_of, use_memory_sparingly
from hftune.output import json_line

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS, GROUP_BYTES = 1 << 13, 8 << 20  # a row group of a Parquet file has so many, and is held in memory
Record = Mapping[str, Any]


class RowFormat(Protocol):
    """How rows are written. `assembled`: what was written has to be put together before it is the file."""

    assembled: bool

    def encode(self, records: Sequence[Record], first: bool) -> bytes:
        """Return the bytes of the next rows; `first`: those that a file begins with."""

    def assemble(self, pieces: Path, whole: Path) -> None:
        """Put what was written together."""


def row_format(sink: Path, rows: Rows, first: Sequence[Row], added: Mapping[str, str]) -> RowFormat:
    """Return the format that a file's ending names.

    `rows` is the input, whose columns and Parquet types are kept; where it names none, the `first` rows do. `added`
    are the new columns with their types ("string", "strings", "double").
    """
    kind = kind_of(sink, output=True)
    if kind == "jsonl":
        return JsonLines()
    own = rows.columns if rows.columns is not None else list(dict.fromkeys(key for row in first for key in row.values))
    if kind == "csv":
        tabs = sink.suffix.lower() == ".tsv"
        return Csv([*own, *added], getattr(rows, "delimiter", "\t" if tabs else ","), sink.suffix)
    return Parquet(own, added, getattr(rows, "schema", None), first, sink.suffix)


class JsonLines:
    """An object a line."""

    assembled = False

    def encode(self, records: Sequence[Record], first: bool) -> bytes:
        # What UTF-8 cannot hold is written as JSON's own \u escape.
        text = io.StringIO()
        text.writelines(json_line(record, text, default=str) + "\n" for record in records)
        return text.getvalue().encode()

    def assemble(self, pieces: Path, whole: Path) -> None:
        raise AssertionError("it is whole as it is")


class Csv:
    """A line of names, and a line a row; what is no text is written as JSON."""

    assembled = False

    def __init__(self, names: Sequence[str], delimiter: str, ending: str) -> None:
        self._names, self._delimiter, self._ending = list(names), delimiter, ending

    def encode(self, records: Sequence[Record], first: bool) -> bytes:
        _check_columns(records, self._names, self._ending)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="\n")
        if first:
            writer.writerow(self._names)
        writer.writerows([_cell(record.get(name)) for name in self._names] for record in records)
        return _bytes(text.getvalue())

    def assemble(self, pieces: Path, whole: Path) -> None:
        raise AssertionError("it is whole as it is")


class Parquet:
    """Arrow streams until it is whole; types are the input's own, or those of its first rows."""

    assembled = True

    def __init__(
        self, own: Sequence[str], added: Mapping[str, str], schema: pa.Schema | None, first: Sequence[Row], ending: str
    ) -> None:
        import pyarrow as pa

        use_memory_sparingly()
        self._names, self._ending = [*own, *added], ending
        if schema is None:
            kept = [{name: row.values.get(name) for name in own} for row in first]
            with _fitting():
                schema = pa.Table.from_pylist(kept).schema if kept else pa.schema([])
        fields = [pa.field(name, _arrow_type(kind)) for name, kind in added.items()]
        self._schema = pa.schema([*schema, *fields])

    def encode(self, records: Sequence[Record], first: bool) -> bytes:
        import pyarrow as pa

        _check_columns(records, self._names, self._ending)
        with _fitting():
            table = pa.Table.from_pylist([dict(record) for record in records], schema=self._schema)
        stream = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        with pa.ipc.new_stream(stream, self._schema, options=options) as writer:
            writer.write_table(table)
        encoded: bytes = stream.getvalue().to_pybytes()
        return encoded

    def assemble(self, pieces: Path, whole: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        with parquet.ParquetWriter(whole, self._schema) as writer:
            group: list[Any] = []
            for table in _tables(pieces):
                group.append(table)
                if sum(map(len, group)) >= GROUP_ROWS or sum(each.nbytes for each in group) >= GROUP_BYTES:
                    writer.write_table(pa.concat_tables(group))
                    group = []
            if group:
                writer.write_table(pa.concat_tables(group))


def _tables(pieces: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.OSFile(str(pieces)) as file:
        while file.tell() < file.size():
            with pa.ipc.open_stream(file) as stream:
                yield stream.read_all()


class _fitting:  # noqa: N801 - used as a statement
    """Turn what Arrow says of rows that do not fit into one error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowInvalid | pa.ArrowTypeError | UnicodeEncodeError | OverflowError):
            hint = "Write to a .jsonl file."
            raise DataError(f"rows do not fit one Parquet schema: {error}", hint=hint) from error


def _check_columns(records: Iterable[Record], names: Sequence[str], ending: str) -> None:
    known = set(names)
    if new := next((key for record in records for key in record if key not in known), None):
        raise DataError(
            f"the column {new!r} is not in the first rows, and {ending} needs every column at the start",
            hint="Write to a .jsonl file.",
        )


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    return pa.list_(pa.string()) if kind == "strings" else {"string": pa.string(), "double": pa.float64()}[kind]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _bytes(text: str) -> bytes:
    """Return text as UTF-8: bytes that were none as they came, and `?` for half of a character."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b"".join(
            letter.encode("utf-8", "surrogateescape" if "\udc80" <= letter <= "\udcff" else "replace")
            for letter in text
        )
