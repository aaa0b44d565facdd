"""Which rung is worth it: each compared with the best over the same test rows, in a sentence."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hftune.figures import duration
from hftune.inference.comparison import Scores, difference
from hftune.inference.statistics import Interval
from hftune.ladder.folder import Result


@dataclass(frozen=True)
class Standing:
    """A rung with all its results: its scores, what a run of it cost, and how far it is behind the best rung.

    `seconds`: the median over seeds. `behind`: best - this rung, positive where this one is worse, whatever the metric;
    None for the best itself.
    """

    rung: str
    scores: Scores
    results: tuple[Result, ...]
    behind: Interval | None

    @property
    def seconds(self) -> float:
        return float(statistics.median(result.seconds for result in self.results))


@dataclass(frozen=True)
class Verdict:
    """`cheapest`: the rung of least time that is as good as the best, as far as these rows and seeds tell.

    With `within` it is one that is certainly not worse by more than that; without, one that cannot be told apart.
    """

    standings: tuple[Standing, ...]
    best: str
    cheapest: str
    within: float | None
    sentence: str


def judge(
    scores: Mapping[str, Scores],
    results: Mapping[str, Sequence[Result]],
    metric: str,
    greater: bool,
    rows: int,
    within: float | None = None,
) -> Verdict:
    """Compare every rung (name -> scores on `metric`, and its results, from the bottom) with the best.

    Each comparison stands alone at 95%: with many rungs one in twenty that are equal is told apart by chance.
    """
    sign = 1.0 if greater else -1.0
    best = max(scores, key=lambda rung: sign * scores[rung].mean)
    standings = tuple(
        Standing(
            rung,
            own,
            tuple(results[rung]),
            None if rung == best else _oriented(difference(scores[best], own, rows), sign),
        )
        for rung, own in scores.items()
    )
    good = [standing for standing in standings if _as_good(standing, within)]
    cheapest = min(good, key=lambda standing: standing.seconds)
    found = Verdict(standings, best, cheapest.rung, within, "")
    return Verdict(standings, best, cheapest.rung, within, _sentence(found, metric, greater))


def _oriented(interval: Interval, sign: float) -> Interval:
    """Return an interval whose greater values are the worse ones."""
    if sign > 0 or interval.low is None or interval.high is None:
        return interval if sign > 0 else Interval(-interval.value, None, None)
    return Interval(-interval.value, -interval.high, -interval.low)


def _as_good(standing: Standing, within: float | None) -> bool:
    behind = standing.behind
    if behind is None:
        return True
    if behind.low is None or behind.high is None:
        return False
    return behind.high <= within if within is not None else behind.low <= 0


def _sentence(verdict: Verdict, metric: str, greater: bool) -> str:
    by_name = {standing.rung: standing for standing in verdict.standings}
    best, cheapest = by_name[verdict.best], by_name[verdict.cheapest]
    if cheapest is best:
        return _best_alone(verdict, best, metric, greater)
    assert cheapest.behind is not None
    if verdict.within is not None:
        claim = f"that is at most {verdict.within:g} worse than the best, {best.rung}"
    else:
        claim = f"that cannot be told from the best, {best.rung}"
    return (
        f"{cheapest.rung} is the cheapest rung {claim}: its {metric} is {_gap(cheapest.behind, greater)}. "
        f"It took {duration(cheapest.seconds)}, {best.rung} {duration(best.seconds)} a run."
    )


def _best_alone(verdict: Verdict, best: Standing, metric: str, greater: bool) -> str:
    others = [standing for standing in verdict.standings if standing is not best]
    cheaper = [standing for standing in others if standing.seconds < best.seconds]
    dearer = [standing.rung for standing in others if standing not in cheaper]
    more = f" What takes longer ({', '.join(dearer)}) did no better." if dearer else ""
    if not cheaper:
        return f"{best.rung} is the best rung and the cheapest, at {duration(best.seconds)} a run.{more}"
    nearest = min(cheaper, key=lambda one: one.behind.value if one.behind else 0.0)
    assert nearest.behind is not None
    if verdict.within is not None:
        claim = f"no cheaper rung is certainly within {verdict.within:g} of it"
    else:
        claim = "every cheaper rung is measurably worse"
    return (
        f"{best.rung} is worth its {duration(best.seconds)} a run: {claim}; of the nearest, {nearest.rung}, the "
        f"{metric} is {_gap(nearest.behind, greater)}.{more}"
    )


def _gap(behind: Interval, greater: bool) -> str:
    """Return how a rung stands to the best, such as `0.012 lower (95% interval: 0.003 to 0.021 lower)`."""
    worse, better = ("lower", "higher") if greater else ("higher", "lower")

    def side(value: float) -> str:
        return worse if value >= 0 else better

    value = f"{number(abs(behind.value))} {side(behind.value)}"
    if behind.low is None or behind.high is None:
        return value
    low, high = number(abs(behind.low)), number(abs(behind.high))
    first = f"{low} {side(behind.low)}" if side(behind.low) != side(behind.high) else low
    return f"{value} (95% interval: {first} to {high} {side(behind.high)})"


def number(value: float) -> str:
    """Return a figure in at most eight characters: three digits after the point, none where it is large."""
    if abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.2g}"
