"""Local files to tables: CSV, TSV, JSON Lines, JSON, Parquet and text, with the line of whatever is wrong.

Read here rather than by the builders of `datasets`: those report no line, read the text "NA" as nothing, guess a
column's type from its first rows, and leave a copy of the file in a cache. What comes back is a `Dataset` in memory.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hftune.errors import DataError, closest, place
from hftune.recipe.paths import expand

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

BATCH = 1_000  # rows of a Parquet file unpacked at a time where not all are wanted
FIELD_LIMIT = 64 << 20  # bytes of one CSV field or one line; csv's own 128 KiB is less than a long document
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def load_file(path: str | Path, as_text: Collection[str] = (), most: int | None = None) -> Dataset:
    """Return a file's rows in order; raises DataError with file and line for what cannot be read.

    Of CSV and TSV, a column that holds nothing but numbers becomes numbers, those named in `as_text` excepted. The
    ending tells the format: .csv, .tsv, .jsonl/.ndjson, .json (a list of objects), .parquet, and .txt (a column
    `text`, one example a line, blank lines left out). Text is UTF-8, with or without a byte-order mark.

    `most` bytes (of Parquet: once unpacked) are enough: whole rows from the beginning until there are so many.
    """
    from datasets import Dataset

    file = expand(path)
    try:
        _require_file(file)
        reader = READERS.get(file.suffix.lower())
        if reader is None:
            ending = file.suffix or "(no ending)"
            raise DataError(f"{path}: unknown file type {ending!r}", hint=f"Known: {', '.join(READERS)}.")
        table = reader(file, as_text, most)
    except UnicodeDecodeError:
        raise _wrong_encoding(file) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows in it", hint="The file is empty or has only a header.")
    return Dataset(table)


def _read_csv(file: Path, as_text: Collection[str], most: int | None) -> pa.Table:
    with _open(file) as stream:
        source = _lines(stream, file, most)
        head = next(source, "")
        if not head.strip():
            raise DataError(f"{file}: no header line", hint="The first line names the columns: text,label")
        delimiter = "\t" if file.suffix.lower() == ".tsv" else delimiter_of(head)
        csv.field_size_limit(FIELD_LIMIT)
        lines = Lines(chain([head], source))
        reader = csv.reader(lines, delimiter=delimiter)
        header = _header(next(reader), file)
        columns: list[list[str | None]] = [[] for _ in header]
        for line, fields in _csv_rows(reader, lines, file, most):
            if len(fields) != len(header):
                raise _wrong_width(file, line, fields, header, delimiter)
            for column, value in zip(columns, fields, strict=True):
                column.append(value if value != "" else None)  # an empty cell is no value
    cells = dict(zip(header, columns, strict=True))
    return _table({name: column if name in as_text else _typed(column) for name, column in cells.items()})


class Lines(Iterator[str]):
    """The lines of a CSV file; `ended` once a reader asked for one more than there are.

    Only within quotes does a row ask for more than its own lines: such a row holds the rest of the file as one text.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.ended = False

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        return line


def _csv_rows(reader: Any, lines: Lines, file: Path, most: int | None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line the row starts on, fields), blank lines left out."""
    line = first = reader.line_num + 1
    try:
        for fields in reader:
            if lines.ended:
                if most is not None and file.stat().st_size > most and line > first:
                    return  # cut within a row
                message = f"{place(file, line)}: a quote opened in this row is never closed, down to the file's end"
                raise DataError(message, hint='A quote inside a quoted field is doubled: "".')
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        hint = 'Is a quote opened on this line and never closed? A quote inside a quoted field is doubled: "".'
        raise DataError(f"{place(file, line)}: not CSV: {error}", hint=hint) from None


def delimiter_of(head: str) -> str:
    """Return what parts the columns of a header line: a comma where it has one, else a tab or semicolon.

    Spreadsheets in much of Europe write semicolons.
    """
    return next((mark for mark in (",", "\t", ";") if mark in head), ",")


def _header(names: list[str], file: Path) -> list[str]:
    header = [name.strip() for name in names]
    for number, name in enumerate(header):
        if not name and number == 0:
            header[0] = "index"  # what pandas writes for its unnamed index
        elif not name:
            raise DataError(f"{place(file, 1)}: column {number + 1} has no name")
        elif name in header[:number]:
            raise DataError(f"{place(file, 1)}: two columns are called {name!r}")
    return header


def _wrong_width(file: Path, line: int, fields: list[str], header: list[str], delimiter: str) -> DataError:
    found = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    if len(fields) > len(header):
        hint = f'A text that holds {delimiter!r} must stand in quotes: "like this{delimiter} for example".'
    else:
        hint = "Is a quote opened on this line and not closed, or a column missing?"
    return DataError(
        f"{place(file, line)}: {found}, but the header names {len(header)} ({', '.join(header)})", hint=hint
    )


def _typed(column: list[str | None]) -> list[Any]:
    """Return integers or floats when every value is one ("007" is not a number), else the strings."""
    values = [value for value in column if value is not None]
    if values and all(_INTEGER.fullmatch(value) for value in values):
        return [None if value is None else int(value) for value in column]
    if values and all(_NUMBER.fullmatch(value) for value in values) and not any(map(_is_code, values)):
        return [None if value is None else float(value) for value in column]
    return column


def _is_code(value: str) -> bool:
    """Whether digits name something rather than count it: zeros in front, or more of them than a number keeps."""
    digits = value.lstrip("+-")
    return (digits[0] == "0" and digits[1:2].isdigit()) or (digits.isdigit() and len(digits) > 18)


def _read_jsonl(file: Path, _: Collection[str], most: int | None) -> pa.Table:
    rows: list[Mapping[str, Any]] = []
    lines: list[int] = []
    with _open(file) as stream:
        for number, line in enumerate(_lines(stream, file, most), start=1):
            if line.strip():
                rows.append(_json_row(line, file, number))
                lines.append(number)
    return _rows_table(rows, lambda row: place(file, lines[row]))


def _json_row(line: str, file: Path, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        hint = "In JSON Lines each line is one object."
        if number == 1 and line.lstrip().startswith("["):
            hint = "This looks like one JSON list: call the file .json."
        raise DataError(f"{place(file, number, error.colno)}: not JSON: {error.msg}", hint=hint) from None
    except RecursionError:
        raise DataError(f"{place(file, number)}: nested too deeply") from None
    if not isinstance(row, Mapping):
        raise DataError(
            f"{place(file, number)}: {type(row).__name__} found where an object is expected",
            hint='Each line looks like {"text": "…", "label": "…"}.',
        )
    return row


def _read_json(file: Path, _: Collection[str], most: int | None) -> pa.Table:
    with _open(file) as stream:
        content = stream.read() if most is None or file.stat().st_size <= most else _whole_objects(stream.read(most))
    try:
        rows = json.loads(content)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and content.lstrip().startswith("{"):
            return _read_jsonl(file, (), most)  # JSON Lines under the other name
        raise DataError(f"{place(file, error.lineno, error.colno)}: not JSON: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{file}: nested too deeply") from None
    if isinstance(rows, Mapping) and len(rows) == 1 and isinstance(inner := next(iter(rows.values())), list):
        rows = inner  # {"data": [...]}
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise DataError(f"{file}: not a list of objects", hint='Write [{"text": "…", "label": "…"}, …].')
    return _rows_table(rows, lambda row: f"{file}: object {row + 1}")


def _whole_objects(beginning: str) -> str:
    """Return the beginning of a long list of objects as a list that ends: with the last object that is whole.

    What does not begin as a list comes back as it is, to be reported.
    """
    opened = re.match(r'\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:\s*)?\[\s*', beginning)
    if opened is None:
        return beginning
    decoder, separator = json.JSONDecoder(), re.compile(r"\s*,\s*")
    start = end = opened.end()
    comma: re.Match[str] | None = opened
    while comma is not None:
        try:
            _, end = decoder.raw_decode(beginning, comma.end())
        except (json.JSONDecodeError, RecursionError):
            break
        comma = separator.match(beginning, end)
    return f"[{beginning[start:end]}]" if end > start else beginning


def _read_text(file: Path, _: Collection[str], most: int | None) -> pa.Table:
    with _open(file) as stream:
        lines = (line.rstrip("\r\n") for line in _lines(stream, file, most))
        return _table({"text": [line for line in lines if line.strip()]})


def _read_parquet(file: Path, _: Collection[str], most: int | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file) if most is None else _first_batches(file, most)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{file}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    index = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(index)


def _first_batches(file: Path, most: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    batches, size = [], 0
    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches(batch_size=BATCH):
            batches.append(batch)
            size += batch.nbytes
            if size >= most:
                break
        return pa.Table.from_batches(batches, source.schema_arrow)


def rows_dataset(rows: Sequence[Mapping[str, Any]], where: str) -> Dataset:
    """Return rows that stand in the recipe itself as a data set; `where` names them in messages."""
    from datasets import Dataset

    if not rows:
        raise DataError(f"{where}: no rows")
    return Dataset(_rows_table(rows, lambda row: f"{where}[{row}]"))


def _rows_table(rows: Sequence[Mapping[str, Any]], where: Callable[[int], str]) -> pa.Table:
    """Return a table with every key as a column; a row without it has null there."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _table({name: [row.get(name) for row in rows] for name in names}, where)


def _table(columns: Mapping[str, list[Any]], where: Callable[[int], str] | None = None) -> pa.Table:
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"the column {name!r} is called by half of a character (a lone surrogate)")
        try:
            array = pa.array(values)
        except UnicodeEncodeError:
            raise _half_character(name, values, where) from None
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise _mixed_types(name, values, where, error) from None
        arrays[name] = array.cast(pa.string()) if pa.types.is_null(array.type) else array
    return pa.table(arrays)


def _mixed_types(name: str, values: list[Any], where: Callable[[int], str] | None, error: Exception) -> DataError:
    """Name the first row whose value has another type than the first value."""
    present = [(row, value) for row, value in enumerate(values) if value is not None]
    first = present[0][1]
    alike = (int, float) if type(first) in (int, float) else (type(first),)  # Arrow takes these two together
    odd = next((row for row, value in present if type(value) not in alike), None)
    if odd is None or where is None:
        return DataError(f"column {name!r}: {str(error).splitlines()[0]}")
    found, expected = type(values[odd]).__name__, type(first).__name__
    return DataError(
        f"{where(odd)}: {name} is {found} ({values[odd]!r:.60}) where earlier rows have {expected}",
        hint="A column holds one type of value: write all of them as numbers, or all in quotes.",
    )


def _half_character(name: str, values: list[Any], where: Callable[[int], str] | None) -> DataError:
    """Name the first row with a surrogate that stands alone: JSON can say it, no text can hold it."""
    written = (json.dumps(value, ensure_ascii=False) for value in values)
    row = next(row for row, text in enumerate(written) if any("\ud800" <= letter <= "\udfff" for letter in text))
    return DataError(
        f"{where(row) if where else f'row {row}'}: {name} holds half of a character (a lone surrogate)",
        hint="A program cut the text in the middle of a character: mend the row, or drop it.",
    )


def _open(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", newline="")


def _lines(stream: TextIO, file: Path, most: int | None) -> Iterator[str]:
    """Yield the lines of a file, `most` bytes of them; raises DataError for one that is no line any more."""
    number, size = 0, 0
    while line := stream.readline(FIELD_LIMIT):
        number += 1
        if len(line) == FIELD_LIMIT and not line.endswith("\n"):
            hint = "Is this file what its ending says? One row a line."
            raise DataError(f"{place(file, number)}: a line of more than {FIELD_LIMIT >> 20} MiB", hint=hint)
        yield line
        if most is not None:
            size += len(line) if line.isascii() else len(line.encode("utf-8"))
            if size >= most:
                return


def _require_file(file: Path) -> None:
    if file.is_file():
        return
    if file.is_dir():
        raise DataError(f"{file} is a folder", hint="Name the files: `files: {train: …, test: …}`.")
    folder = file.parent
    if not folder.is_dir():
        raise DataError(f"no file {file}", hint=f"There is no folder {folder} either; looked from {Path.cwd()}.")
    near = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in READERS]
    hint = closest(file.name, near[:50]) if near else f"No data files are in {folder.absolute()}."
    raise DataError(f"no file {file}", hint=hint)


def _wrong_encoding(file: Path) -> DataError:
    """Find the line of the first byte that is not UTF-8, and say what the file probably is."""
    content = file.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        line, guess = 1, "UTF-16"
    else:
        try:
            content.decode("utf-8")
            bad = 0
        except UnicodeDecodeError as error:
            bad = error.start
        line, guess = content[:bad].count(b"\n") + 1, "WINDOWS-1252"
    return DataError(
        f"{place(file, line)}: not UTF-8 (it looks like {guess})",
        hint=f"Convert it: iconv -f {guess} -t UTF-8 {file.name} > utf8-{file.name}",
    )


# The second argument matters for CSV alone: the other formats say themselves what is a number.
READERS: dict[str, Callable[[Path, Collection[str], int | None], Any]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
