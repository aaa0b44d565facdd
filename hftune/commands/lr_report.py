"""What `lr-find` found, as text that fits 80 columns and as one object for programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hftune.figures import figure
from hftune.output import finite
from hftune.sanitize import sanitize
from hftune.training.lr_curve import middle_rate, rate_name, round_rate

if TYPE_CHECKING:
    from hftune.preflight.trials import Trial
    from hftune.preflight.verdicts import Judged, Judgement
    from hftune.training.lr_curve import Curve

WIDTH = 80
_BY_TRIALS, _BY_RANGE_TEST, _BY_DEFAULT = "trials", "range test", "default"


@dataclass(frozen=True)
class Report:
    """All that a search found.

    `reference` and `overrides`: the recipe as it was given. `candidates`: rule -> rate, none where the loss never fell;
    `fallback`: the rate then. `judgement`: None without a finished trial. `missing`: trials that were to be made and
    are not. `rows`: held-out rows that trials are judged by. `usual`: the method's band.
    """

    recipe: str
    reference: str
    overrides: tuple[str, ...]
    method: str
    curve: Curve
    candidates: Mapping[str, float]
    fallback: float
    judgement: Judgement | None
    missing: tuple[Trial, ...]
    rows: int
    trial_steps: int
    usual: tuple[float, float] | None
    warnings: tuple[str, ...]
    interrupted: bool
    seconds: float
    png: Path | None = None

    @property
    def suggestion(self) -> tuple[float | None, str]:
        """The rate and what it rests on; no rate when every trial diverged.

        Trials have a say once each of the candidates has had its turn.
        """
        if self.judgement is not None and not any(trial.in_question for trial in self.missing):
            return self.judgement.suggestion, _BY_TRIALS
        if self.candidates:
            return round_rate(middle_rate(list(self.candidates.values()))), _BY_RANGE_TEST
        return self.fallback, _BY_DEFAULT

    def to_dict(self) -> dict[str, Any]:
        """Return what --json prints."""
        rate, by = self.suggestion
        curve, judgement = self.curve, self.judgement
        return {
            "recipe": self.recipe,
            "method": self.method,
            "range_test": {
                "steps": curve.steps,
                "rates": curve.rates,
                "losses": finite(curve.losses),
                "average_rates": curve.average_rates,
                "averages": finite(curve.averages),
                "diverged_at": curve.diverged_at,
                "candidates": dict(self.candidates),
            },
            "trials": [_record(one) for one in judgement.trials] if judgement else [],
            "trial_steps": self.trial_steps,
            "missing": [trial.rate for trial in self.missing],
            "held_out": {"rows": self.rows, "loss_before": judgement.loss_before if judgement else None},
            "suggestion": {"learning_rate": rate, "by": by, "tied": judgement.tied if judgement else ()},
            "usual": self.usual,
            "warnings": self.warnings,
            "interrupted": self.interrupted,
            "png": str(self.png) if self.png else None,
            "seconds": self.seconds,
        }


def verdict_lines(report: Report) -> list[str]:
    """Return the table of trials and what it rests on; none before two can be compared."""
    judgement = report.judgement
    if judgement is None or len(judgement.trials) < 2:
        return []
    head = f"  {'rate':<7}  {'verdict':<9}  {'loss':>7}  {'beyond the best':<25}  why"
    lines = [head, *(_row(one, report.suggestion[0]) for one in judgement.trials)]
    about = (
        f"loss of {report.rows} validation rows after {report.trial_steps} steps, "
        f"{figure(judgement.loss_before)} before; intervals: 95%, over these rows, paired (another seed moves them too)"
    )
    runs = "  ".join(f"{one.trial.name} {one.run[-4:]}" for one in judgement.trials)
    return [
        *lines,
        "",
        *wrapped(f"runs       {runs}  (hftune watch {judgement.trials[0].run[-4:]})", " " * 11),
        *wrapped(about, ""),
    ]


def closing_lines(report: Report) -> list[str]:
    """Return the suggestion, why it is that one, and what to be warned of."""
    rate, by = report.suggestion
    if rate is None:
        said = "every rate tried made training diverge: look at the data and the model with `hftune check`"
        return wrapped(f"no suggestion: {said}", "  ")
    why = {
        _BY_RANGE_TEST: "the middle of the range test's candidates; no trial has confirmed it",
        _BY_DEFAULT: "the range test saw no rate that lowers the loss, so this is only where one would begin",
    }.get(by) or _tie(report)
    lines = [f"suggested  training.learning_rate: {rate_name(rate)}", *wrapped(why, "  ", "  ")]
    if report.missing:
        names = ", ".join(trial.name for trial in report.missing)
        lines += wrapped(f"interrupted: {names} not tried to the end, so this may change", "  ", "  ")
    for warning in report.warnings:
        lines += wrapped(f"! {warning}", "  ")
    overrides = [*report.overrides, f"training.learning_rate={rate_name(rate)}"]
    command = shlex.join(["hftune", "run", report.reference, *(word for each in overrides for word in ("-s", each))])
    return [*lines, *wrapped(command, "        ", "  next  ")]


def wrapped(text: str, indent: str, first: str = "") -> list[str]:
    """Return a paragraph as lines of at most 80 characters; `first` stands before it, `indent` before later lines."""
    return fill(
        sanitize(text), WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    ).splitlines()  # fmt: skip


def _tie(report: Report) -> str:
    judgement = report.judgement
    assert judgement is not None
    if len(judgement.tied) == 1:
        return "it has the lowest held-out loss, beyond the interval"
    names = ", ".join(rate_name(rate) for rate in judgement.tied)
    return f"these rows cannot tell {names} apart; taken is the middle one (of two the smaller)"


def _row(one: Judged, suggestion: float | None) -> str:
    mark = ">" if one.trial.rate == suggestion else " "
    why = ", ".join(one.trial.reasons)
    line = f"{mark} {one.trial.name:<7}  {one.verdict:<9}  {figure(one.loss):>7}  {_beyond(one):<25}  {why}"
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _beyond(one: Judged) -> str:
    if one.beyond is None:
        return "-"
    value, low, high = one.beyond
    return "the best" if one.beyond == (0.0, 0.0, 0.0) else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _record(one: Judged) -> dict[str, Any]:
    value, low, high = one.beyond or (None, None, None)
    return {
        "learning_rate": one.trial.rate,
        "reasons": one.trial.reasons,
        "run": one.run,
        "verdict": one.verdict,
        "loss": one.loss,
        "beyond_best": value,
        "low": low,
        "high": high,
    }
