"""Which models are worth a thought, and which of them to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A model as it is chosen by: `loss` against its parent on the rows that are chosen by, smaller is better."""

    name: str
    loss: float
    bytes: int


@dataclass(frozen=True)
class Recommended:
    """The model to use, and whether it keeps the bounds; where none does, it is what comes nearest."""

    name: str
    fits: bool


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Return which points [points][figures], smaller is better, no other dominates (Pareto 1906).

    One dominates another that is nowhere better and somewhere worse; equal ones do not dominate each other.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(other: Sequence[float], point: Sequence[float]) -> bool:
    pairs = list(zip(other, point, strict=True))
    return all(theirs <= own for theirs, own in pairs) and any(theirs < own for theirs, own in pairs)


def recommend(choices: Sequence[Choice], max_loss: float | None, max_bytes: int | None) -> Recommended | None:
    """Return the smallest model that loses and takes no more than the bounds; with only a size, the best of its size.

    Of equals the other figure decides, then the order. Where none keeps the bounds: of those that are small enough the
    best, else (or with only a loss) the one that is over its bound by the least. None where there is nothing to choose.
    """
    if not choices:
        return None
    small = [one for one in choices if max_bytes is None or one.bytes <= max_bytes]
    good = [one for one in small if max_loss is None or one.loss <= max_loss]
    if good and max_loss is None:
        return Recommended(min(good, key=lambda one: (one.loss, one.bytes)).name, True)
    if good:
        return Recommended(min(good, key=lambda one: (one.bytes, one.loss)).name, True)
    if small:
        return Recommended(min(small, key=lambda one: (one.loss, one.bytes)).name, False)
    return Recommended(min(choices, key=lambda one: (one.bytes, one.loss)).name, False)
