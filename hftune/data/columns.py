"""Columns of a data set: are the ones a recipe names there? Those that it describes in words are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hftune.errors import Problem, RecipeError, closest
from hftune.recipe.schema import DataSection, template_columns

if TYPE_CHECKING:
    from datasets import Dataset


def input_columns(data: DataSection) -> list[str]:
    """Return the columns that an example's input is made of: a conversation, a prompt with its answer, or texts."""
    if data.messages is not None:
        return [data.messages]
    if data.prompt is not None and data.completion is not None:
        return [data.prompt, data.completion]
    return [data.text] if data.text_pair is None else [data.text, data.text_pair]


def text_columns(data: DataSection) -> list[str]:
    """Return the columns of the data as they are stored that hold text, whatever it looks like."""
    columns = input_columns(data)
    if data.prompt is None:
        return columns
    return [name for column in columns for name in template_columns(column) or [column]]


def fill_templates(dataset: Dataset, data: DataSection, where: str) -> Dataset:
    """Return the data set with a column for each template among prompt and completion, named by the template.

    A row without a value for one of its columns has no text there. Raises RecipeError for columns that are not there.
    """
    for field in ("prompt", "completion"):
        template = getattr(data, field)
        if template is None or template in dataset.column_names or not (names := template_columns(template)):
            continue
        found = dataset.column_names
        problems = [
            Problem(f"data.{field}", f"no column {name!r} in {where}", _those_there(name, found))
            for name in names
            if name not in found
        ]
        if problems:
            raise RecipeError(problems)
        columns = dict(zip(names, (dataset[name][:] for name in names), strict=True))
        dataset = dataset.add_column(template, [_filled(template, columns, row) for row in range(len(dataset))])
    return dataset


def _filled(template: str, columns: dict[str, list[Any]], row: int) -> str | None:
    values = {name: column[row] for name, column in columns.items()}
    return None if None in values.values() else template.format(**values)


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
