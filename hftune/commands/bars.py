"""Probabilities as bars, for terminals and pipes of any width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from hftune.output import can_hold
from hftune.sanitize import columns_of, pad, sanitize

WIDTH = 40
SHOWN = 8  # labels; the rest is one line
LONGEST_NAME = 24
LONGEST_LINE = 56  # characters of a name and its bar: with what stands around them 80 columns are enough


def prediction_lines(prediction: Mapping[str, object], stream: TextIO) -> list[str]:
    """Return a prediction (as `Prediction.to_dict` gives it) as lines: a bar a label, likeliest first."""
    probabilities = prediction["probabilities"]
    assert isinstance(probabilities, Mapping)
    if not probabilities:
        value = prediction["label"]
        return [f"{value:.4g}" if isinstance(value, float) else str(value), *_unread(prediction)]
    ranked = sorted(probabilities.items(), key=lambda item: -(item[1] if item[1] is not None else -1))
    chosen = prediction["label"]
    several = set(chosen) if isinstance(chosen, list) else None
    width = min(LONGEST_NAME, max(columns_of(sanitize(name)) for name, _ in ranked))
    room = min(WIDTH, LONGEST_LINE - width)
    lines = []
    for name, share in ranked[:SHOWN]:
        mark = "" if several is None else ("✓ " if name in several else "  ")
        shown = pad(sanitize(name), width)
        lines.append(f"{_plain(mark, stream)}{shown} {bar(share, stream, room)} {_share(share)}")
    if len(ranked) > SHOWN:
        rest = sum(share or 0.0 for _, share in ranked[SHOWN:])
        lines.append(
            f"({len(ranked) - SHOWN} more labels" + ("" if several is not None else f", {rest:.3f} in all") + ")"
        )
    if several is None and len(ranked) > 1 and ranked[1][1] is not None:
        lines[0] += f"   margin {ranked[0][1] - ranked[1][1]:.3f}"
    return lines + _unread(prediction)


def filling_lines(filling: Mapping[str, object], stream: TextIO) -> list[str]:
    """Return guesses (as `Filling.to_dict` gives them) as lines: a bar a token, likeliest first, mask after mask."""
    masks = filling["masks"]
    assert isinstance(masks, list)
    lines = []
    for number, guesses in enumerate(masks, 1):
        if len(masks) > 1:
            lines.append(f"mask {number}")
        width = min(LONGEST_NAME, max(columns_of(sanitize(guess["token"])) for guess in guesses))
        room = min(WIDTH, LONGEST_LINE - width)
        for guess in guesses:
            share = guess["probability"]
            lines.append(f"{pad(sanitize(guess['token']), width)} {bar(share, stream, room)} {_share(share)}")
    return lines + _unread(filling)


def _unread(prediction: Mapping[str, object]) -> list[str]:
    if not prediction.get("truncated"):
        return []
    return [f"(only the beginning was read: the text has {prediction['tokens']} tokens)"]


def bar(share: float | None, stream: TextIO, width: int = WIDTH) -> str:
    """Return a bar of `width` characters, in ASCII where the stream takes nothing else."""
    full = round((share or 0.0) * width)
    return _plain("█" * full + "░" * (width - full), stream)


def _plain(text: str, stream: TextIO) -> str:
    return text if can_hold(stream, text) else text.replace("█", "#").replace("░", ".").replace("✓", "*")


def _share(share: float | None) -> str:
    return "not a number" if share is None else f"{share:.3f}"
