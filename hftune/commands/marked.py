"""A text in a terminal with its words marked: in colours, or in brackets where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from hftune.asking.explanations import bracketed, marked_pieces
from hftune.sanitize import sanitize

# Foreground of a word for and against the answer: colour-blind safe, and the numbers say the same.
FOR, AGAINST = "bold blue", "bold dark_orange"


def say_marked(text: str, spans: Sequence[Sequence[int]], values: Sequence[float], stream: TextIO) -> None:
    """Print a text with what speaks for the answer in one colour, against it in another; or in brackets."""
    from rich.console import Console
    from rich.text import Text

    console, shown = Console(file=stream, highlight=False, soft_wrap=True), Text()
    plain = console.color_system is None or console.no_color
    for piece, share in marked_pieces(text, spans, values):
        clean = sanitize(piece, lines=True)
        if plain:
            shown.append(bracketed(clean, share))
        else:
            shown.append(clean, style="" if share == 0 else FOR if share > 0 else AGAINST)
    console.print(shown)
