"""Answers as lines for people: probabilities as bars, how an answer ended and how fast it came. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hftune.figures import figure, many
from hftune.sanitize import columns_of, pad, sanitize

WIDTH = 40
SHOWN = 8  # labels; the rest is one line
LONGEST_NAME = 24
LONGEST_LINE = 56  # columns of a name and its bar: with what stands around them 80 columns are enough


def prediction_lines(prediction: Mapping[str, object], longest: int = LONGEST_LINE) -> list[str]:
    """Return a prediction (as `Prediction.to_dict` gives it) as lines: a bar a label, likeliest first.

    `longest` is the columns that a name and its bar take; about 24 stand around them.
    """
    probabilities = prediction["probabilities"]
    assert isinstance(probabilities, Mapping)
    if not probabilities:
        value = prediction["label"]
        return ["not a number" if value is None else figure(value), *_unread(prediction)]
    ranked = sorted(probabilities.items(), key=lambda item: -(item[1] if item[1] is not None else -1))
    chosen = prediction["label"]
    several = set(chosen) if isinstance(chosen, list) else None
    width, room = _columns([name for name, _ in ranked], longest)
    lines = []
    for name, share in ranked[:SHOWN]:
        mark = "" if several is None else ("✓ " if name in several else "  ")
        lines.append(f"{mark}{pad(sanitize(name), width)} {bar(share, room)} {_share(share)}")
    if len(ranked) > SHOWN:
        rest = sum(share or 0.0 for _, share in ranked[SHOWN:])
        lines.append(
            f"({len(ranked) - SHOWN} more labels" + ("" if several is not None else f", {rest:.3f} in all") + ")"
        )
    if several is None and len(ranked) > 1 and ranked[1][1] is not None:
        lines[0] += f"   margin {ranked[0][1] - ranked[1][1]:.3f}"
    return lines + _unread(prediction)


def filling_lines(filling: Mapping[str, object], longest: int = LONGEST_LINE) -> list[str]:
    """Return guesses (as `Filling.to_dict` gives them) as lines: a bar a token, likeliest first, mask after mask."""
    masks = filling["masks"]
    assert isinstance(masks, list)
    lines = []
    for number, guesses in enumerate(masks, 1):
        if len(masks) > 1:
            lines.append(f"mask {number}")
        width, room = _columns([guess["token"] for guess in guesses], longest)
        for guess in guesses:
            share = guess["probability"]
            lines.append(f"{pad(sanitize(guess['token']), width)} {bar(share, room)} {_share(share)}")
    return lines + _unread(filling)


def answer_line(answer: Mapping[str, Any]) -> str:
    """Return how a written answer ended and how fast it came, as one line."""
    rate = f"{answer['tokens_per_second']:.1f}/s, first after {answer['time_to_first_token']:.2f} s"
    seed = "" if answer["seed"] is None else f", seed {answer['seed']}"
    return f"[{answer['finish_reason']}: {many(answer['tokens'], 'token')}, {rate}{seed}]"


def bar(share: float | None, width: int = WIDTH) -> str:
    """Return a bar of `width` characters."""
    full = round((share or 0.0) * width)
    return "█" * full + "░" * (width - full)


def _columns(names: list[str], longest: int) -> tuple[int, int]:
    """Return the columns of the names and of the bars beside them."""
    width = min(LONGEST_NAME, max(columns_of(sanitize(name)) for name in names))
    return width, max(1, min(WIDTH, longest - width))


def _unread(prediction: Mapping[str, object]) -> list[str]:
    if not prediction.get("truncated"):
        return []
    return [f"(only the beginning was read: the text has {prediction['tokens']} tokens)"]


def _share(share: float | None) -> str:
    return "not a number" if share is None else f"{share:.3f}"
