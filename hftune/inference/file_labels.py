"""Labels for a file of texts, a window of rows at a time.

A window is so many rows, or fewer when they are long: enough for batches of like length, and no more memory however
many rows there are. Where windows begin depends on the input alone, so that a work which goes on after a kill has the
batches, and so the digits, that it would have had.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hftune.errors import DataError, closest
from hftune.inference.answer_origin import origin_of
from hftune.inference.classification import Prediction
from hftune.inference.long_texts import LongTexts
from hftune.inference.partial_output import PartialOutput, Progress, partial_output
from hftune.inference.predictor import Predictor
from hftune.inference.row_files import TEXT_COLUMN, Row, Rows, TextRows, is_broken, kind_of, open_rows
from hftune.inference.row_formats import row_format
from hftune.tasks._labels import MULTI, REGRESSION

BATCHES_A_WINDOW = 16
WINDOW_CHARACTERS = 1 << 18  # of all columns; the row that has them ends its window
PREFIX = "predicted_"


def _ignore(*_: Any) -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Labelled:
    """How many rows are in the output, and how many of them could not be labelled; `stopped` before the last one."""

    rows: int = 0
    bad: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Listener:
    """Who hears of the work: each bad row; notes for people; how far it is; without an output each record.

    `rows(done, share of the input)` is called first with the rows that were there already. When `cancelled` turns true
    between two batches the work stops.
    """

    bad_row: Callable[[Row], None] = _ignore
    note: Callable[[str], None] = _ignore
    rows: Callable[[Labelled, float], None] = _ignore
    record: Callable[[Mapping[str, Any]], None] = _ignore
    cancelled: Callable[[], bool] = _never


@dataclass(frozen=True)
class Job:
    """What is to be labelled. `restart`: at the first row; `allow_inexact`: go on though last digits will differ."""

    source: Path
    sink: Path | None = None
    batch_size: int = 32
    restart: bool = False
    allow_inexact: bool = False


def label_file(predictor: Predictor, job: Job, listener: Listener) -> Labelled:
    """Label each row of a file and write it with all its columns to `job.sink`, or to `listener.record` (None).

    New columns are `label` and `error`, and `probabilities` (JSON Lines) or `probability_<label>` for each label; one
    whose name is taken is called `predicted_…`. A bad row keeps its place and its columns, with `error` instead of a
    label. The sink appears once it is whole. After a kill or an error the same job goes on where it was.

    Raises DataError when the text column is missing, UsageError when rows of another job are there, HftuneError when
    the output cannot be written or another process writes it.
    """
    labeller = _Labeller(predictor, job)
    if job.sink is None:
        for records in labeller.labelled(listener):
            for record in records:
                listener.record(record)
        return labeller.done
    origin = origin_of(predictor.loaded, labeller.reading(), job.batch_size)
    with partial_output(job.sink, job.source, origin) as output:
        labeller.take_up(output, listener)
        form = row_format(job.sink, labeller.rows, labeller.first, labeller.shape.types())
        begun = labeller.done.rows > 0
        for records in labeller.labelled(listener):
            output.write(form.encode(records, first=not begun), labeller.progress())
            begun = True
        if not labeller.done.stopped:
            output.finish(form)
    return labeller.done


class _Labeller:
    """The windows of an input, and their answers. What its first window decides (columns) is known at once."""

    def __init__(self, predictor: Predictor, job: Job) -> None:
        self._predictor, self._job = predictor, job
        self.rows = open_rows(job.source)
        self._text, self._pair = _text_columns(predictor, self.rows, job.source)
        self.done = Labelled()
        self.first = next(self._windows(), [])
        if not self.first:
            raise DataError(f"{job.source}: no rows in it")
        self.shape = _Shape(predictor, flat=job.sink is not None and kind_of(job.sink, output=True) != "jsonl")
        self.shape.name_columns(self.rows.columns or {key for row in self.first for key in row.values})
        self._long_texts = LongTexts(predictor.loaded)

    def reading(self) -> dict[str, str]:
        """Return how the input is read, for people."""
        delimiter = getattr(self.rows, "delimiter", None)
        kind = kind_of(self._job.source) + (f" parted by {delimiter!r}" if delimiter else "")
        return {"input format": kind, "text": self._text, **({"text_pair": self._pair} if self._pair else {})}

    def take_up(self, output: PartialOutput, listener: Listener) -> None:
        """Begin behind the rows that are in the output already."""
        job = self._job
        was = output.take_up(self.rows, listener.note, restart=job.restart, allow_inexact=job.allow_inexact)
        if was is not None:
            self.done = Labelled(was.rows, was.bad)

    def progress(self) -> Progress:
        """Return how far the last window that was given goes."""
        return Progress(self.done.rows, self.done.bad, self.rows.place)

    def labelled(self, listener: Listener) -> Iterator[list[dict[str, Any]]]:
        """Yield the records of one window after the other; `done` counts them."""
        listener.rows(self.done, self.rows.share if self.done.rows else 0.0)
        for window in self._windows():
            records = None if listener.cancelled() else self._label(window, listener.cancelled)
            if records is None:
                self.done = replace(self.done, stopped=True)
                return
            bad = [row for row in window if row.error]
            for row in bad:
                listener.bad_row(row)
            self.done = Labelled(self.done.rows + len(window), self.done.bad + len(bad))
            yield records
            listener.rows(self.done, self.rows.share)

    def _windows(self) -> Iterator[list[Row]]:
        window: list[Row] = []
        characters = 0
        for row in self.rows:
            window.append(row)
            characters += sum(map(_length, row.values.values()))
            if len(window) == self._job.batch_size * BATCHES_A_WINDOW or characters >= WINDOW_CHARACTERS:
                yield window
                window, characters = [], 0
        if window:
            yield window

    def _label(self, window: Sequence[Row], cancelled: Callable[[], bool]) -> list[dict[str, Any]] | None:
        columns = [self._text, *([self._pair] if self._pair else [])]
        for row in window:
            row.error = row.error or next(filter(None, (text_problem(row.values, name) for name in columns)), "")
        good = [row.values for row in window if not row.error]
        texts = [self._long_texts.cut(values[self._text]) for values in good]
        pairs = [values[self._pair] for values in good] if self._pair else None
        found = self._predictor.classify(texts, self._job.batch_size, pairs, cancelled) if good else []
        if len(found) < len(good):
            return None
        answers = iter(found)
        return [self.shape.row(row, None if row.error else next(answers)) for row in window]


def _length(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    return len(json.dumps(value, default=str)) if isinstance(value, list | dict) else 1


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
