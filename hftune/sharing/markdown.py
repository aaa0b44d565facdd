"""Values as Markdown that shows them and nothing else: no value makes a heading, a link, a tag or a template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hftune.sanitize import sanitize

# What means something inside of a line.
_INLINE = re.compile(r"[\\`*_\[\]<>|~&$]")
# What does so at its beginning alone: a backslash belongs before it, of a number (1. 1)) behind the digits.
_FIRST = re.compile(r"^(?=[#=]|[-+](?:[\s-]|$))|^\d+(?=[.)](?:\s|$))")
_HTML = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
# What GitHub and the Hub make a link of by themselves.
_LINKS = re.compile(r"://|(?<=www)\.|@", re.IGNORECASE)


def text(value: object) -> str:
    """Return a value on one line as text, also where a paragraph, a list's item or a table's cell begins with it."""
    clean = " ".join(sanitize(value).split())
    escaped = _INLINE.sub(lambda sign: _HTML.get(sign[0], "\\" + sign[0]), clean)
    escaped = _FIRST.sub(r"\g<0>\\", escaped)
    return _LINKS.sub(lambda sign: "".join(f"&#{ord(one)};" for one in sign[0]), escaped)


def block(content: str, language: str) -> str:
    """Return lines as a block of code, in a fence longer than any in it."""
    clean = sanitize(content, lines=True).rstrip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", clean)), default=0))
    return f"{fence}{language}\n{clean}\n{fence}"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], numbers: int = 0) -> str:
    """Return a table of values; the last `numbers` columns stand at the right."""
    words = len(head) - numbers
    lines = [[text(one) for one in head], ["---"] * words + ["---:"] * numbers]
    lines += [[text(one) for one in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
