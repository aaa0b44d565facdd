"""`hftune columns FILE`: how many rows a data file has, what its columns hold, and what each could be used for.

Reads what a recipe's `data.files` reads, by the same code. Up to 32 MiB the figures are those of the whole file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hftune.errors import EXIT_DONE
from hftune.figures import many, size
from hftune.output import Output
from hftune.sanitize import clip, pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.data.profile import Column, Profile

WIDTH = 80
NAME = 24
SHOWN = 100  # columns in the text for people; --json has all


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Describe the columns of a file; raises DataError for a file that a recipe could not read."""
    wait_politely_when_busy()
    from hftune.data.profile import profile

    found = profile(arguments.file)
    if not output.json:
        output.say(_head(found))
        for column in found.columns[:SHOWN]:
            output.say("\n".join(_lines(column)))
        if len(found.columns) > SHOWN:
            output.say(f"… and {len(found.columns) - SHOWN:,} more; --json tells all")
        output.say("\n" + _next(found))
    output.emit(found.to_dict())
    return EXIT_DONE


def _head(found: Profile) -> str:
    named = f"{sanitize(found.file)}: {many(found.rows, 'row')}, {many(len(found.columns), 'column')}"
    if found.whole:
        return named + "\n"
    of = f"about {found.rows_in_file:,}" if not found.file.lower().endswith(".parquet") else f"{found.rows_in_file:,}"
    return (
        f"{named}\nOf {size(found.bytes)} the beginning was read: figures are those of {found.rows:,} of {of} rows.\n"
    )


def _lines(column: Column) -> Iterator[str]:
    """Yield a line of figures and one of examples."""
    missing = f"{column.missing:,} missing" if column.missing else "none missing"
    length = f"{column.length:.0f} characters" if column.length is not None else ""
    figures = f"{pad(column.type, 9)}{pad(missing, 16)}{pad(f'{column.distinct:,} distinct', 17)}"
    yield f"{pad(sanitize(column.name), NAME)} {figures}{pad(column.use, 7)}".rstrip()
    shown = " · ".join(column.examples)
    if shown or length:
        yield "    " + clip(f"{length}: {shown}" if length else shown, WIDTH - 4).replace("……", "…")


def _next(found: Profile) -> str:
    """Return what to do with it: the data section that this looks like."""
    if found.text is None:
        return "No column looks like a text: the text to learn from is a column of words."
    conversation = any(column.name == found.text and column.type == "messages" for column in found.columns)
    keys = {"files": found.file, "messages" if conversation else "text": found.text}
    if found.label is not None and not conversation:
        keys["label"] = found.label
    section = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"In a recipe:  data: {{{sanitize(section)}}}\nThe app (My file) makes a recipe of it step by step."
