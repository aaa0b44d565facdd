"""Numbered texts to embed: of a file, or of a split of a run's data, a piece at a time; and those nearest to a text."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, closest
from hftune.inference.embedding import unit
from hftune.inference.row_files import TEXT_COLUMN, Row, TextRows, open_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from datasets import Dataset

    from hftune.recipe.schema import DataSection

    Floats = npt.NDArray[np.float32]

CHUNK = 1024  # texts held at once


@dataclass(frozen=True)
class Numbered:
    """A text with its place: its line in a file (of Parquet its row) from 1, its row in a split from 0."""

    row: int
    text: str


def file_texts(path: Path, data: DataSection, report: Callable[[Row], None]) -> Iterator[Numbered]:
    """Yield the texts of a file's rows, in the column that the recipe calls its text; rows without one are reported.

    Raises DataError when there is no such column, or no such file.
    """
    from hftune.inference.file_labels import text_problem

    rows = open_rows(path)
    column = TEXT_COLUMN if isinstance(rows, TextRows) else data.text
    if rows.columns is not None:
        by_name = {name.strip(): name for name in rows.columns}
        if column not in by_name:
            raise DataError(f"{path}: no column {column!r}", hint=closest(column, by_name))
        column = by_name[column]
    for row in rows:
        row.error = row.error or text_problem(row.values, column)
        if row.error:
            report(row)
        else:
            yield Numbered(row.number, row.values[column])


def split_texts(dataset: Dataset, data: DataSection, most: int | None = None) -> Iterator[Numbered]:
    """Yield the texts of a split as the task reads them; `most`: only so many, spread evenly over it."""
    from hftune.data.texts import Texts

    texts = Texts(dataset, data)
    for row in spread(len(texts), most):
        if (text := texts[row]).strip():
            yield Numbered(row, text)


def spread(count: int, most: int | None) -> list[int]:
    """Return at most `most` of the numbers below `count`, evenly spaced."""
    return list(range(count)) if most is None or count <= most else [place * count // most for place in range(most)]


def pieces(texts: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    """Yield the texts some at a time."""
    while part := list(islice(texts, CHUNK)):
        yield part


class NearestTexts:
    """The texts with the largest cosines to some queries, of all that were shown; held are `top` a query."""

    def __init__(self, queries: Floats, top: int) -> None:
        """`queries` [queries, width]."""
        self._queries, self._top = unit(queries), top
        self._best: list[list[tuple[float, int, str]]] = [[] for _ in queries]

    def show(self, texts: Sequence[Numbered], vectors: Floats) -> None:
        """Take in texts and their vectors [texts, width]."""
        cosines = unit(vectors) @ self._queries.T
        for query, best in enumerate(self._best):
            for place in (-cosines[:, query]).argsort(kind="stable")[: self._top].tolist():
                # Among equals the earlier row is the nearer one.
                entry = (float(cosines[place, query]), -texts[place].row, texts[place].text)
                heapq.heappush(best, entry) if len(best) < self._top else heapq.heappushpop(best, entry)

    def result(self) -> list[list[dict[str, Any]]]:
        """Return for each query row, text and cosine of the nearest, the nearest first."""
        return [
            [{"row": -row, "text": text, "cosine": cosine} for cosine, row, text in sorted(best, reverse=True)]
            for best in self._best
        ]
