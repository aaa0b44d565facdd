"""What the columns of a data file hold, and what each could be used for: the text, a label, a number, nothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.data.files import load_file
from hftune.recipe.paths import expand
from hftune.sanitize import clip, sanitize

if TYPE_CHECKING:
    from datasets import Dataset

WHOLE_BYTES = 32 << 20  # up to so many the figures are those of the whole file, beyond it of so much of its beginning
EXAMPLES = 5
EXAMPLE_COLUMNS = 60
MOST_CLASSES = 50  # more different values than that are names or numbers, not classes
COUNTED = 20  # most frequent values told with their counts
SHORT = 40  # characters on average that a label may have
SENTENCE = 15  # characters on average from which on words are taken for a text
LABEL_NAMES = re.compile(r"label|class|categor|target|sentiment|topic|intent|标签|类别|分类|情感", re.IGNORECASE)
TEXT_NAMES = re.compile(r"text|review|sentence|comment|content|body|文本|评论|内容|句子", re.IGNORECASE)
NUMBER_NAMES = re.compile(r"rating|score|stars?$|grade|price|评分|分数|星级|得分", re.IGNORECASE)
ID_NAMES = re.compile(r"(^|[^a-z])(id|idx|uuid|guid|index|nr|no)$|编号|序号", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column; `type` is text, integer, number, boolean, list, messages, object, date, bytes or nothing.

    `missing` are rows with no value or a blank text, `distinct` the different values among the others, `counts` the
    most frequent of them with their rows (only where they are few), `rarest` the rows of the rarest one, `length` and
    `longest` characters of the texts (None where the values are none). `use` is a guess: text, label, number, id or
    unused.
    """

    name: str
    type: str
    missing: int
    distinct: int
    examples: Sequence[str] = ()
    counts: Sequence[tuple[str, int]] = ()
    rarest: int = 0
    length: float | None = None
    longest: int | None = None
    wide: bool = False  # mostly of characters that are a word each, as in Chinese
    use: str = "unused"


@dataclass(frozen=True)
class Profile:
    """A file's columns; `rows` are those looked at, `whole` when they are all, `rows_in_file` what there are (about).

    `text` and `label` name the columns that a recipe would most likely mean, None where there is none.
    """

    file: str
    bytes: int
    rows: int
    whole: bool
    rows_in_file: int
    columns: Sequence[Column]
    text: str | None
    label: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return what --json prints."""
        return asdict(self)


def profile(path: str | Path, most: int = WHOLE_BYTES) -> Profile:
    """Return what the columns of a file hold; raises DataError for what a recipe could not read either.

    A file of up to `most` bytes is read whole, of a larger one its beginning.
    """
    rows = load_file(path, most=most)
    file = expand(path)
    size = file.stat().st_size
    total = _rows_in_file(file, len(rows), size, most)
    columns = _with_text([_column(rows, name) for name in rows.column_names], len(rows))
    texts = [column for column in columns if column.use == "text"]
    text = max(texts, key=_likeness, default=None)
    label = min((column for column in columns if column.use in ("label", "number")), key=_doubt, default=None)
    named = [column.name if column else None for column in (text, label)]
    return Profile(str(path), size, len(rows), total == len(rows), total, columns, *named)


def _likeness(column: Column) -> tuple[bool, bool, float]:
    """Order the columns that could be the text, the likeliest last: by length, by name, a conversation before all."""
    return column.type == "messages", bool(TEXT_NAMES.search(column.name)), column.length or 0


def _doubt(column: Column) -> tuple[bool, bool, int]:
    """Order the columns that could be what is to be learned: labels first, those called so, those of few values."""
    names = LABEL_NAMES if column.use == "label" else NUMBER_NAMES
    return column.use == "number", not names.search(column.name), column.distinct


def _rows_in_file(file: Path, rows: int, size: int, most: int) -> int:
    if file.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(file).num_rows)
    # Of the others nobody knows without reading them: as many as there would be if all were as long as these.
    return rows if size <= most else max(rows + 1, round(rows * size / most))


def _column(rows: Dataset, name: str) -> Column:
    kind = _kind(rows.data.schema.field(name).type)
    values = rows.data.column(name).to_pylist()
    present = [value for value in values if not _is_missing(value)]
    if kind == "list" and any(isinstance(item, dict) and "role" in item for value in present[:20] for item in value):
        kind = "messages"
    keys = present if kind in ("text", "integer", "number", "boolean") else [repr(value) for value in present]
    counts = Counter(keys)
    texts = [value for value in present if isinstance(value, str)] if kind == "text" else []
    column = Column(
        name,
        kind if present else "nothing",
        len(values) - len(present),
        len(counts),
        tuple(_examples(present)),
        tuple((_short(key), n) for key, n in counts.most_common(COUNTED)) if len(counts) <= MOST_CLASSES else (),
        min(counts.values(), default=0),
        sum(map(len, texts)) / len(texts) if texts else None,
        max(map(len, texts)) if texts else None,
        _is_wide(texts[:200]),
    )
    return replace(column, use=_use(column, len(present)))


def _kind(type_: Any) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    tests = {
        "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        "boolean": (pa.types.is_boolean,),
        "integer": (pa.types.is_integer,),
        "number": (pa.types.is_floating, pa.types.is_decimal),
        "date": (pa.types.is_temporal,),
        "list": (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
        "bytes": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    }
    return next((name for name, any_of in tests.items() if any(test(type_) for test in any_of)), "object")


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and (not value or value.isspace()))
    )


def _is_wide(texts: Iterable[str]) -> bool:
    letters = [letter for text in texts for letter in text[:500] if letter.isalnum()]
    return sum("\u3040" <= letter <= "\u9fff" for letter in letters) * 2 > len(letters)


def _examples(values: Sequence[Any]) -> Iterable[str]:
    """Yield the first different values, as they may be shown."""
    seen: set[str] = set()
    for value in values[:1000]:
        text = _short(value)
        if text not in seen:
            seen.add(text)
            yield text
        if len(seen) == EXAMPLES:
            return


def _short(value: Any) -> str:
    return clip(sanitize(value if isinstance(value, str) else repr(value))[:1000], EXAMPLE_COLUMNS)


def _use(column: Column, present: int) -> str:
    """Return what a column could be used for, looked at by itself."""
    if column.distinct < 2 or column.type in ("object", "date", "bytes", "nothing"):
        return "unused"
    if column.type == "messages":
        return "text"
    few = column.distinct <= min(MOST_CLASSES, max(2, present // 2))
    if column.type == "list":
        return "label" if few else "unused"
    if column.type == "text":
        length = column.length or 0
        if few and length <= SHORT:
            return "label"
        if length >= (SENTENCE / 3 if column.wide else SENTENCE) and not ID_NAMES.search(column.name):
            return "text"
        return "id" if column.distinct == present else "text"
    if column.type == "integer" and (ID_NAMES.search(column.name) or (column.distinct == present and not few)):
        return "number" if NUMBER_NAMES.search(column.name) else "id"
    if column.type == "number" and not few:
        return "number"
    return "label" if few and not NUMBER_NAMES.search(column.name) else "number"


def _with_text(columns: Sequence[Column], rows: int) -> tuple[Column, ...]:
    """Return the columns with a text among them where one can be: of a few rows every text may look like a label."""
    if any(column.use == "text" for column in columns):
        return tuple(columns)
    several = [column for column in columns if column.type == "text" and column.distinct > 1]
    words = [column for column in several if not LABEL_NAMES.search(column.name)]
    longest = max(words, key=lambda column: column.length or 0, default=None)
    if longest is None or (longest.use == "label" and longest.distinct * 2 < rows):
        return tuple(columns)
    return tuple(replace(one, use="text") if one is longest else one for one in columns)
