"""A text in a terminal with its words marked: in colours, or in brackets where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from hftune.asking.explanations import bracketed, marked_pieces
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Foreground of a word for and against the answer: colour-blind safe, and the numbers say the same.
FOR, AGAINST = "bold blue", "bold dark_orange"


def say_marked(text: str, spans: Sequence[Sequence[int]], values: Sequence[float], stream: TextIO) -> None:
    """Print a text with what speaks for the answer in one colour, against it in another; or in brackets."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print(marked_words(text, spans, values, has_colours(console), lines=True))


def has_colours(console: Console) -> bool:
    """Tell whether words can be marked by colours."""
    return console.color_system is not None and not console.no_color


def marked_words(
    text: str, spans: Sequence[Sequence[int]], values: Sequence[float], colours: bool, *, lines: bool = False
) -> Text:
    """Return a text with its words marked; `lines`: it keeps its lines."""
    from rich.text import Text

    shown = Text()
    for piece, share in marked_pieces(text, spans, values):
        clean = sanitize(piece, lines=lines)
        if colours:
            shown.append(clean, style="" if share == 0 else FOR if share > 0 else AGAINST)
        else:
            shown.append(bracketed(clean, share))
    return shown
