"""Text from data, models, paths and recipes, safe to print: no control sequences, no more columns than there are."""

from __future__ import annotations

import re

# Whole sequences first, so that no `[31m` or window title is left over: OSC/DCS/APC/PM/SOS strings, CSI, other escapes.
# A string that nothing ends loses only its introducer: the rest is text that a person should see.
_SEQUENCES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 and C1 controls, line and paragraph separators, marks that turn the direction of writing, lone surrogates.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_TOKENS = re.compile(r"hf_[A-Za-z0-9]{6,}")


def sanitize(text: object, *, lines: bool = False) -> str:
    """Return `text` without control characters; on one line unless `lines` keeps newlines and tabs."""
    clean = _SEQUENCES.sub("", str(text).replace("\r\n", "\n"))
    if not lines:
        clean = re.sub(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+", " ", clean)
    return _CONTROLS.sub("", clean)


def hide_tokens(text: str) -> str:
    """Return a text without what could be a token of the Hub: errors quote what they were given."""
    return _TOKENS.sub("hf_…", text)


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a line takes: two for each Chinese character and most emoji."""
    from rich.cells import cell_len

    return cell_len(text)


def clip(text: str, columns: int) -> str:
    """Return a line of at most `columns` columns; one that is cut ends in `…`."""
    from rich.cells import set_cell_size

    return text if columns_of(text) <= columns else set_cell_size(text, columns - 1) + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return a line in exactly `columns` columns, `right` at their right end."""
    text = clip(text, columns)
    space = " " * (columns - columns_of(text))
    return space + text if right else text + space


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """Return text as lines of at most `columns` columns, broken between words, within those that are longer."""
    from rich.console import Console
    from rich.text import Text

    found = Text(text).wrap(Console(width=columns), columns - columns_of(indent))
    return [indent + str(line).rstrip() for line in found]
