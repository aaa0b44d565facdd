"""Verdicts on trials: which rates are too small, good, too large, or made training diverge, by held-out loss.

All trials are scored on the same rows, so each is compared with the best one row by row: what makes a row hard takes
no part in the difference. Its interval is over rows, for these runs; another seed would move them as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hftune.preflight.trials import Trial

if TYPE_CHECKING:
    from hftune.training.row_losses import RowLosses

Verdict = Literal["too small", "good", "too large", "diverged"]


@dataclass(frozen=True)
class Scored:
    """A finished trial: summed loss and weight of each held-out row [rows, 2]; None when its training diverged."""

    trial: Trial
    run: str
    losses: RowLosses | None


@dataclass(frozen=True)
class Judged:
    """A trial with its verdict.

    `loss`: of the held-out rows, None when it is no number. `beyond`: how much more than that of the best trial, with
    the ends of its 95% interval; (0, 0, 0) for the best itself, None when the trial diverged.
    """

    trial: Trial
    run: str
    loss: float | None
    beyond: tuple[float, float, float] | None
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    """All trials by rate, the one with the lowest loss, and the rate they suggest; None when each of them diverged.

    `tied`: the candidates that these rows cannot tell from the best. `loss_before`: of the same rows, before training.
    """

    trials: tuple[Judged, ...]
    best: float | None
    suggestion: float | None
    tied: tuple[float, ...]
    loss_before: float


def judge(scored: Sequence[Scored], before: RowLosses) -> Judgement:
    """Return the verdicts on at least one trial; `before` are the row losses of the weights that all began with.

    Diverged: the loss is no number, or ends above that of before training, beyond the interval. Good: the interval of
    the difference from the best holds 0. What is worse than that is too small or too large, by the side of the
    suggestion it is on.

    The suggestion is the middle of the good candidates. They tie: any of them may be the best, and the middle is at
    most half of their span away from it. Of two in the middle it is the smaller one: a trial has fewer steps than the
    training it stands for, which flatters rates that go the same way in fewer.
    """
    alive = {one.trial.rate: one for one in scored if not _has_diverged(one, before)}
    loss_before = float(before[:, 0].sum() / before[:, 1].sum())
    if not alive:
        return Judgement(_by_rate(scored, {}, {}), None, None, (), loss_before)
    best = min(alive, key=lambda rate: _loss(alive[rate]))
    beyond = {
        rate: (0.0, 0.0, 0.0) if rate == best else _difference(one.losses, alive[best].losses)
        for rate, one in alive.items()
    }
    good = sorted(rate for rate, (_, low, _high) in beyond.items() if low <= 0)
    candidates = [rate for rate in good if not alive[rate].trial.probe]
    # A probe that is the best by itself is what these runs say; one that only ties is not worth leaving the candidates.
    tied = candidates or good
    suggestion = tied[(len(tied) - 1) // 2]
    verdicts: dict[float, Verdict] = {
        rate: "good" if rate in good else "too small" if rate < suggestion else "too large" for rate in alive
    }
    return Judgement(_by_rate(scored, beyond, verdicts), best, suggestion, tuple(tied), loss_before)


def _by_rate(
    scored: Sequence[Scored],
    beyond: Mapping[float, tuple[float, float, float]],
    verdicts: Mapping[float, Verdict],
) -> tuple[Judged, ...]:
    ordered = sorted(scored, key=lambda one: one.trial.rate)
    return tuple(
        Judged(
            one.trial,
            one.run,
            _loss(one) if one.losses is not None and math.isfinite(_loss(one)) else None,
            beyond.get(one.trial.rate),
            verdicts.get(one.trial.rate, "diverged"),
        )
        for one in ordered
    )


def _has_diverged(one: Scored, before: RowLosses) -> bool:
    if one.losses is None or not math.isfinite(_loss(one)):
        return True
    return _difference(one.losses, before)[1] > 0


def _loss(one: Scored) -> float:
    assert one.losses is not None
    return float(one.losses[:, 0].sum() / one.losses[:, 1].sum())


def _difference(losses: RowLosses | None, others: RowLosses | None) -> tuple[float, float, float]:
    """Return how much larger the first loss is than the second on the same rows, and its 95% bootstrap interval."""
    import numpy as np

    from hftune.inference.statistics import bootstrap, ratio

    assert losses is not None and others is not None
    features = np.column_stack([losses[:, 0] - others[:, 0], losses[:, 1]])
    found = bootstrap(features, lambda sums: {"loss": ratio(sums[..., 0], sums[..., 1])})["loss"]
    assert found.low is not None and found.high is not None  # both losses are numbers
    return found.value, found.low, found.high
