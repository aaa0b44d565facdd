"""Columns of a data set: are the ones a recipe names there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hftune.errors import Problem, RecipeError, closest
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
    """Raise RecipeError naming every column that is missing, those there are, and the nearest of them.

    `fields` are the keys of the data section that name the columns (`text`, `label`); keys without a value are left
    out. `where` says which data in the message: `the train split`.
    """
    found = dataset.column_names
    named = {field: name for field in fields if (name := getattr(data, field)) is not None}
    problems = [
        Problem(f"data.{field}", f"no column {name!r} in {where}", _those_there(name, found))
        for field, name in named.items()
        if name not in found
    ]
    if problems:
        raise RecipeError(problems)


def _those_there(name: str, found: Sequence[str]) -> str:
    columns, near = f"Columns found: {', '.join(found) or 'none'}.", closest(name, found)
    return f"{columns} {near}" if near.startswith("Did you mean") else columns
