"""Which rows of the loaded splits can be used, and what a person should know about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError
from hftune.recipe.schema import DataSection
from hftune.tasks import Notice
from hftune.tasks._labels import column_values, is_missing

if TYPE_CHECKING:
    from datasets import Dataset


def usable_rows(
    data: DataSection, splits: Mapping[str, Dataset]
) -> tuple[dict[str, tuple[list[int], list[Any]]], tuple[Notice, ...]]:
    """Return split -> (rows that have text and label, their labels), and how many have not."""
    usable: dict[str, tuple[list[int], list[Any]]] = {}
    dropped: dict[str, str] = {}
    for split, dataset in splits.items():
        values, texts = column_values(dataset, data.label), dataset[data.text][:]
        pairs = dataset[data.text_pair][:] if data.text_pair else texts
        rows = [
            row
            for row, value in enumerate(values)
            if not is_missing(value) and texts[row] is not None and pairs[row] is not None
        ]
        if not rows:
            reason = "is empty" if not values else f"has no row with both {data.text!r} and {data.label!r}"
            raise DataError(
                f"the {split} split {reason}", hint="Each split needs at least one labelled text.", key="data"
            )
        if len(rows) < len(values):
            dropped[split] = f"{split} {len(values) - len(rows)} of {len(values)}"
        usable[split] = rows, [values[row] for row in rows]
    if not dropped:
        return usable, ()
    message = f"rows without a label or text are left out: {', '.join(dropped.values())}"
    return usable, (Notice("info", "unlabelled", message),)


def text_column(dataset: Dataset, column: str, rows: Sequence[int], split: str) -> list[str]:
    texts = dataset[column][:]
    for row in rows:
        if not isinstance(texts[row], str):
            kind = type(texts[row]).__name__
            raise DataError(f"{split}, row {row} (from 0): column {column!r} holds {kind}, not text")
    return [texts[row] for row in rows]


def filled_rows(dataset: Dataset, columns: Sequence[str]) -> list[int]:
    """Return the rows that have something in every one of `columns`."""
    table = [dataset[column][:] for column in columns]
    return [row for row in range(len(dataset)) if all(values[row] is not None for values in table)]


def keys(dataset: Dataset, columns: Sequence[str]) -> set[str]:
    """Return each row's content in `columns` as one comparable value."""
    return set(map(repr, zip(*(dataset[column][:] for column in columns), strict=True)))


# From half of a split on, its figures are about memory; below, preflight counts the duplicates.
HALF = 0.5


def held_out_notices(found: Mapping[str, set[str]]) -> tuple[Notice, ...]:
    """Return a warning for each split of whose rows (as `keys` gives them) half or more stand in train too."""
    if "train" not in found:
        return ()
    return tuple(
        Notice(
            "warning",
            "not-held-out",
            f"{len(rows & found['train'])} of {len(rows)} {split} texts are also train texts: "
            "its figures say nothing about new texts",
            f"Give a {split} split of other texts.",
        )
        for split, rows in found.items()
        if split != "train" and len(rows & found["train"]) >= HALF * len(rows)
    )
