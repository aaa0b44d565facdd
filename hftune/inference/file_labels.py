"""Labels for a file of texts, a piece at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hftune.errors import DataError, HftuneError, closest
from hftune.inference.classification import Prediction
from hftune.inference.predictor import Predictor
from hftune.inference.row_files import (
    TEXT_COLUMN,
    Row,
    Rows,
    RowWriter,
    TextRows,
    chunks,
    is_broken,
    kind_of,
    open_rows,
)
from hftune.tasks._labels import MULTI, REGRESSION

BATCHES_A_CHUNK = 16
PREFIX = "predicted_"


@dataclass(frozen=True)
class Labelled:
    """How many rows were read, and how many of them could not be labelled."""

    rows: int
    bad: int


def label_file(
    predictor: Predictor,
    source: Path,
    sink: Path | None,
    batch_size: int,
    report: Callable[[Row], None],
    emit: Callable[[Mapping[str, Any]], None],
) -> Labelled:
    """Label each row of `source` and write it with all its columns to `sink`, or to `emit` as a record (None).

    New columns are `label` and `error`, and `probabilities` (JSON Lines) or `probability_<label>` for each label; one
    whose name is taken is called `predicted_…`. A bad row keeps its place and its columns, with `error` instead of a
    label, and goes to `report`. Raises DataError when the text column is missing or the output cannot be written.
    """
    rows = open_rows(source)
    text, pair = _text_columns(predictor, rows, source)
    shape = _Shape(predictor, flat=sink is not None and kind_of(sink, output=True) != "jsonl")
    writer: RowWriter | None = None
    done = bad = 0
    try:
        for chunk in chunks(rows, batch_size * BATCHES_A_CHUNK):
            if done == 0:
                shape.name_columns(rows.columns or {key for row in chunk for key in row.values})
                if sink is not None:
                    writer = RowWriter(sink, rows.columns, shape.types(), rows)
            labelled = _label(predictor, chunk, text, pair, batch_size, shape)
            for row in chunk:
                if row.error:
                    bad += 1
                    report(row)
            if writer is not None:
                writer.write(labelled)
            else:
                for record in labelled:
                    emit(record)
            done += len(chunk)
        if done == 0:
            raise DataError(f"{source}: no rows in it")
        if writer is not None:
            writer.finish()
    except BaseException as error:
        if writer is None:
            raise
        writer.abandon()
        if isinstance(error, OSError):
            raise HftuneError(
                f"{writer.partial} cannot be written: {error.strerror or error}",
                hint=f"{done} rows of {source} were labelled before that. Is the disk full?",
            ) from error
        raise
    return Labelled(done, bad)


class _Shape:
    """What is added to a row, and under which names."""

    def __init__(self, predictor: Predictor, flat: bool) -> None:
        self._labels = [] if predictor.problem_type == REGRESSION else predictor.labels
        self._several = predictor.problem_type == MULTI
        self._number = predictor.problem_type == REGRESSION
        self._flat = flat
        self._names: dict[str, str] = {}

    def name_columns(self, taken: Sequence[str] | set[str]) -> None:
        shares = (
            [f"probability_{label}" for label in self._labels] if self._flat else ["probabilities"] * bool(self._labels)
        )
        for name in ["label", *shares, "error"]:
            free = name
            while free in taken:
                free = PREFIX + free
            self._names[name] = free

    def types(self) -> dict[str, str]:
        """Return the added columns with the types that Parquet needs; all of them stand in every row."""
        kinds = dict.fromkeys(self._names, "double")
        label = "double" if self._number else ("strings" if self._several else "string")
        return {
            column: {"label": label, "error": "string"}.get(name, kinds[name]) for name, column in self._names.items()
        }

    def row(self, row: Row, prediction: Prediction | None) -> dict[str, Any]:
        """Return a row's own columns and what is added to it."""
        added: dict[str, Any] = {}
        if prediction is not None:
            added["label"] = prediction.answer
            if self._flat:
                added |= {f"probability_{name}": share for name, share in prediction.probabilities.items()}
            elif self._labels:
                added["probabilities"] = prediction.probabilities
        if row.error or self._flat:
            added["error"] = row.error or None
        named = {self._names[name]: value for name, value in added.items()}
        # JSON Lines may bring a name later that was free at first: the row's own value is moved, never lost.
        own = {(f"input_{key}" if key in named else key): value for key, value in row.values.items()}
        return {**own, **named}


def _text_columns(predictor: Predictor, rows: Rows, source: Path) -> tuple[str, str | None]:
    data = predictor.loaded.recipe.data
    if isinstance(rows, TextRows):
        if data.text_pair:
            raise DataError(f"{source}: the model takes two texts, a text file has one a line", hint="Give a CSV file.")
        return TEXT_COLUMN, None
    if rows.columns is None:
        return data.text, data.text_pair
    by_name = {column.strip(): column for column in rows.columns}
    for wanted in filter(None, (data.text, data.text_pair)):
        if wanted not in by_name:
            raise DataError(f"{source}: no column {wanted!r}", hint=closest(wanted, by_name))
    return by_name[data.text], by_name[data.text_pair] if data.text_pair else None


def _label(
    predictor: Predictor, chunk: Sequence[Row], text: str, pair: str | None, batch_size: int, shape: _Shape
) -> list[dict[str, Any]]:
    for row in chunk:
        row.error = row.error or next(
            filter(None, (text_problem(row.values, name) for name in (text, pair) if name)), ""
        )
    good = [row for row in chunk if not row.error]
    pairs = [row.values[pair] for row in good] if pair else None
    found = iter(predictor.classify([row.values[text] for row in good], batch_size, pairs) if good else ())
    return [shape.row(row, None if row.error else next(found)) for row in chunk]


def text_problem(values: Mapping[str, Any], column: str) -> str:
    """Return what keeps a row from being labelled, or nothing."""
    if column not in values:
        return f"no {column!r}"
    value = values[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        return f"{column!r} is empty"
    if not isinstance(value, str):
        return f"{column!r} is {json.dumps(value, default=str)[:60]}, not a text"
    return f"{column!r} is not UTF-8" if is_broken(value) else ""


def typed_lines() -> Iterator[str]:
    """Yield the lines of standard input without their ends."""
    yield from (line.rstrip("\r\n") for line in sys.stdin)
