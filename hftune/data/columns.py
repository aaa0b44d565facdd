"""Columns of a data set: are the ones a recipe names there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hftune.errors import DataError, closest
from hftune.recipe.schema import DataSection

if TYPE_CHECKING:
    from datasets import Dataset


def input_columns(data: DataSection) -> list[str]:
    """Return the columns that an example's input is made of: a conversation, a prompt with its answer, or texts."""
    if data.messages is not None:
        return [data.messages]
    if data.prompt is not None and data.completion is not None:
        return [data.prompt, data.completion]
    return [data.text] if data.text_pair is None else [data.text, data.text_pair]


def require_columns(dataset: Dataset, data: DataSection, fields: Sequence[str], where: str) -> None:
    """Raise DataError naming the first column that is missing, those there are, and the nearest.

    `fields` are the keys of the data section that name the columns (`text`, `label`); keys without a value are left
    out. `where` says which data in the message: `the train split`.
    """
    for field in fields:
        name = getattr(data, field)
        if name is not None and name not in dataset.column_names:
            found = ", ".join(dataset.column_names) or "none"
            hint = f"Columns found: {found}. {closest(name, dataset.column_names)}"
            raise DataError(f"no column {name!r} in {where}", hint=hint, key=f"data.{field}")
