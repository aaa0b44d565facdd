"""A self-contained HTML page: no script, no request, every value of data or models shown as text and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from hftune.errors import UsageError
from hftune.runs.files import write_atomic
from hftune.sanitize import sanitize

_STYLE = """
:root { color-scheme: light dark; --for: 37, 99, 235; --against: 217, 119, 6; --line: #8884; --quiet: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { padding: .15rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
p.text { font-size: 1.1rem; line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere; }
p.text span { padding: .1rem .15rem; border-radius: .2rem; }
p.text sub { font-size: .6rem; opacity: .75; font-variant-numeric: tabular-nums; }
.quiet { color: var(--quiet); } .bar { display: inline-block; height: .7rem; border-radius: .1rem; }
td span.shade { display: block; margin: -.15rem -.7rem; padding: .15rem .7rem; }
.for { background: rgb(var(--for)); } .against { background: rgb(var(--against)); }
"""
_BAR = 12  # rem of the longest


def document(title: str, body: Iterable[str]) -> str:
    """Return a page of parts that this module's functions made."""
    # What a page may load is nothing: a value that got through as a tag could not send anything anywhere.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    lines = [
        "<!doctype html>",
        "<html lang='en'><head><meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{text(title)}</h1>",
        *body,
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Return a value as text of a page."""
    return escape(sanitize(value, lines=True))


def heading(value: object, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{text(value)}</h{level}>"


def paragraph(value: object, quiet: bool = False) -> str:
    """Return a paragraph; `quiet`: in grey."""
    return f"<p{' class=quiet' if quiet else ''}>{text(value)}</p>"


def table(heads: Sequence[object], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """Return a table; the first `words` columns stand at the left, the rest are numbers. A `Raw` stays as it is."""
    lines = [_row("th", heads, words), *(_row("td", row, words) for row in rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


class Raw(str):
    """What is already part of a page."""


def bar(share: float) -> Raw:
    """Return a bar as long as `share`, -1 to 1, of the longest: for in one colour, against in another."""
    side = "for" if share > 0 else "against"
    return Raw(f'<span class="bar {side}" style="width:{_BAR * abs(share):.2f}rem"></span>')


def marked_text(pieces: Iterable[tuple[str, float, str]]) -> str:
    """Return a text of pieces, each on the colour of its share, -1 to 1, with a small number behind; 0: as it is."""
    parts = []
    for piece, share, number in pieces:
        if share == 0:
            parts.append(text(piece))
            continue
        parts.append(f'<span style="{_colour(share)}">{text(piece)}<sub>{text(number)}</sub></span>')
    return f'<p class="text">{"".join(parts)}</p>'


def shaded(value: object, share: float) -> Raw:
    """Return a cell of a table on the colour of its share, -1 to 1; 0: as it is."""
    style = f' style="{_colour(share)}"' if share else ""
    return Raw(f'<span class="shade"{style}>{text(value)}</span>')


def _colour(share: float) -> str:
    side = "for" if share > 0 else "against"
    return f"background:rgba(var(--{side}),{0.12 + 0.5 * abs(share):.2f})"


def require_folder(path: Path) -> None:
    """Raise UsageError where a page could not be written: to be asked before anything is computed."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--html: there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise UsageError(f"--html: {path} is a folder", hint="Give the name of a file.")


def write_page(path: Path, page: str) -> None:
    """Write a page in one step; raises UsageError when it cannot be."""
    try:
        write_atomic(path.absolute(), page)
    except OSError as error:
        raise UsageError(f"--html: {path} cannot be written: {error.strerror}") from error


def _row(tag: str, cells: Sequence[object], words: int) -> str:
    found = [
        f"<{tag}{'' if place < words else ' class=n'}>{cell if isinstance(cell, Raw) else text(cell)}</{tag}>"
        for place, cell in enumerate(cells)
    ]
    return "<tr>" + "".join(found) + "</tr>"
