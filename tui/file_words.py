"""A column's values and a recipe's lines, as the walk through a file of one's own shows them."""

from __future__ import annotations

from textual.content import Content

from .columns import Column
from .drawing import clip, line, sanitize


def details_of(column: Column, columns: int) -> Content:
    """Return the values of a column: with their rows where they are few, else examples."""
    if column.use == "label" and column.counts:
        named = "  ".join(f"{value} {rows:,}" for value, rows in column.counts)
        head = f"{column.name}: {column.distinct:,} different values, with their rows"
        return Content("\n").join([line((clip(sanitize(head), columns), "bold")), line(clip(sanitize(named), columns))])
    title = line((clip(sanitize(f"{column.name}, for example"), columns), "bold"))
    return Content("\n").join([title, *(line(("  ", ""), clip(sanitize(one), columns)) for one in column.examples)])


def colored(recipe: str) -> Content:
    """Return a recipe with its keys and remarks told apart."""
    lines = []
    for text in recipe.split("\n"):
        before, mark, remark = (text, "", "") if '"' in text else text.partition("  # ")
        key, colon, value = before.partition(":")
        lines.append(line((key + colon, "$primary"), value, (mark + remark, "$muted")))
    return Content("\n").join(lines)
