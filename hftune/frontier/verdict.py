"""Which model to use, and in a sentence what that costs and wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hftune.figures import many, size
from hftune.frontier.folder import PARENT, Result
from hftune.frontier.pareto import Choice, Recommended, front, recommend
from hftune.frontier.quality import Quality
from hftune.frontier.speed import Spread
from hftune.inference.statistics import Interval

DEFAULT_LOSS = 0.01


@dataclass(frozen=True)
class Bounds:
    """What a model may lose (a share; None: anything) and take on disk (bytes; None: anything)."""

    loss: float | None = DEFAULT_LOSS
    bytes: int | None = None


@dataclass(frozen=True)
class Verdict:
    """`front`: names of the models that no other is better than in quality, size and latency together.

    `chosen_on`: the split that picked the recommended one, `judged_on` the split whose figures are told.
    """

    front: tuple[str, ...]
    recommended: Recommended | None
    chosen_on: str
    judged_on: str
    bounds: Bounds
    sentence: str


def judge(results: Sequence[Result], bounds: Bounds) -> Verdict:
    """Return the verdict on the parent and what was made of it; `results` hold the parent's."""
    splits = list(results[0].quality)
    chosen_on, judged_on = splits[0], splits[-1]  # validation, where there is one, and test
    points = [
        (_finite(one.quality[judged_on].loss.value), one.bytes, one.cost.p50_ratio.median if one.cost else math.inf)
        for one in results
    ]
    ahead = tuple(one.name for one, is_ahead in zip(results, front(points), strict=True) if is_ahead)
    parent = next(one for one in results if one.name == PARENT)
    smaller = [one for one in results if one.name != PARENT and one.bytes < parent.bytes]
    choices = [Choice(one.name, _finite(one.quality[chosen_on].loss.value), one.bytes) for one in smaller]
    found = recommend(choices, bounds.loss, bounds.bytes)
    by_name = {one.name: one for one in results}
    verdict = Verdict(ahead, found, chosen_on, judged_on, bounds, "")
    sentence = (
        "Nothing that was made is smaller than the model itself."
        if found is None
        else _sentence(verdict, by_name[found.name], parent, found.fits)
    )
    return Verdict(ahead, found, chosen_on, judged_on, bounds, sentence)


def _sentence(verdict: Verdict, one: Result, parent: Result, fits: bool) -> str:
    chosen, judged = one.quality[verdict.chosen_on], one.quality[verdict.judged_on]
    parts = [_why(verdict, one, chosen, fits)]
    rows, told = many(judged.rows, "row"), f"{_lost(judged)}{told_ends(judged.loss)}"
    if verdict.judged_on != verdict.chosen_on:
        parts.append(f"On {verdict.judged_on}, whose {rows} had no part in the choice, {told}.")
    else:
        parts.append(f"These {rows} of {judged.split} both chose it and judge it, which flatters it: {told}.")
    if verdict.bounds.loss is not None:
        parts.append(certainty(judged.loss, verdict.bounds.loss, judged.relative))
    parts.append(_won(one, parent))
    return " ".join(part for part in parts if part)


def _why(verdict: Verdict, one: Result, chosen: Quality, fits: bool) -> str:
    limits = []
    if verdict.bounds.loss is not None:
        limits.append(f"loses at most {told_loss(verdict.bounds.loss, chosen.relative)} of {_of(chosen)}")
    if verdict.bounds.bytes is not None:
        limits.append(f"takes at most {told_bytes(verdict.bounds.bytes)}")
    lost = f"on {verdict.chosen_on} {_lost(chosen)}"
    if verdict.bounds.bytes is not None:
        lost = f"it takes {size(one.bytes)}, and {lost}"
    asked = " and ".join(limits)
    if not fits:
        return f"No model {asked}; {one.name} comes nearest: {lost}."
    kind = "smallest" if verdict.bounds.loss is not None else "best"
    return f"{one.name} is the {kind} model that {asked}: {lost}."


def _of(quality: Quality) -> str:
    return "quality" if quality.relative else quality.metric


def _lost(quality: Quality) -> str:
    value = told_loss(abs(quality.loss.value), quality.relative)
    if value in ("0%", "0 points"):
        return f"its {quality.metric} is the same"
    if quality.relative:
        return f"its {quality.metric} is {value} {'higher' if quality.loss.value >= 0 else 'lower'}"
    return f"it loses {value}" if quality.loss.value >= 0 else f"it wins {value}"


def certainty(loss: Interval, bound: float, relative: bool) -> str:
    """Return in a sentence what the interval of a loss says of its bound."""
    allowed = told_loss(bound, relative)
    if loss.low is None or loss.high is None:
        return f"Whether it is more than {allowed} these rows cannot tell."
    if loss.high <= bound:
        return f"That it is no more than {allowed} is certain (at 95%)."
    if loss.low > bound:
        return f"So it is certainly more than {allowed} (at 95%)."
    if loss.value <= bound:
        return f"More than {allowed} is not excluded."
    return f"That is more than {allowed}, but less is not excluded."


def told_bytes(most: int) -> str:
    """Return a bound as it was probably written, with what other sizes are told in."""
    decimal = f"{most / 1e6:g} MB"
    return f"{decimal} ({size(most)})" if most % 100_000 == 0 else size(most)


def told_loss(value: float, relative: bool) -> str:
    """Return a loss as `0.8 points`, of losses and errors as `0.8%`; a negative one is won."""
    number = f"{100 * value:.1f}".removesuffix(".0")
    number = "0" if number == "-0" else number
    return f"{number}%" if relative else f"{number} {'point' if number == '1' else 'points'}"


def told_ends(loss: Interval) -> str:
    """Return the interval of a loss in parentheses, in the unit of the loss."""
    if loss.low is None or loss.high is None:
        return ""
    return f" (95% interval of the loss: {100 * loss.low:.1f} to {100 * loss.high:.1f})"


def _won(one: Result, parent: Result) -> str:
    share = f"It has {size(one.bytes)} instead of {size(parent.bytes)} ({100 * one.bytes / parent.bytes:.0f}%)"
    if one.cost is None:
        return f"{share}."
    alone, many_at_once = one.cost.p50_ratio, one.cost.rate_ratio
    return (
        f"{share}, takes {_times(alone)} of the parent's time for {_alone(one.cost.unit)}, and "
        f"{'scores' if one.cost.unit == 'token' else 'answers'} {_times(many_at_once)} times as many "
        f"{one.cost.unit}s a second in batches."
    )


def _alone(unit: str) -> str:
    return "each token that it writes" if unit == "token" else f"a single {unit}"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf
