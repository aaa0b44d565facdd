"""Columns of a data set: are the ones a recipe names there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hftune.errors import DataError, closest

if TYPE_CHECKING:
    from datasets import Dataset


def require_columns(dataset: Dataset, wanted: Sequence[str], where: str) -> None:
    """Raise DataError naming the first column of `wanted` that is missing, those there are, and the nearest.

    `where` says which data in the message: `data.text: train split of reviews.csv`.
    """
    for name in wanted:
        if name not in dataset.column_names:
            found = ", ".join(dataset.column_names) or "none"
            raise DataError(
                f"{where}: no column {name!r}", hint=f"Columns found: {found}. {closest(name, dataset.column_names)}"
            )
