"""How a frontier is told: one object for programs, or tables and a sentence that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from hftune.figures import count, many, size
from hftune.frontier.folder import PARENT, SCHEMA, Result
from hftune.frontier.grid import LeftOut
from hftune.frontier.speed import Spread
from hftune.frontier.verdict import Bounds, Verdict
from hftune.inference.statistics import Interval
from hftune.sanitize import sanitize

WIDTH = 80
NAME = 17  # the longest name of the grid
BUSY = 1.5  # times as long for the same texts in one round as in another: something else had the processor
MARKER = "*"  # of a model on the front


def as_object(
    parent: str,
    task: str,
    rows: Mapping[str, int],
    bounds: Bounds,
    results: Sequence[Result],
    others: Sequence[Result],
    left_out: Sequence[LeftOut],
    verdict: Verdict | None,
) -> dict[str, Any]:
    """Return what frontier.json holds; `verdict` None: not all of it was made and measured yet.

    `models`: the parent first, then what was made of it; `others`: what earlier calls looked at and this one did not.
    """
    first = next((one for result in results for one in result.quality.values()), None)
    recommended = verdict.recommended if verdict else None
    return {
        "schema": SCHEMA,
        "parent": parent,
        "task": task,
        "rows": dict(rows),
        "metric": first.metric if first else None,
        "relative": first.relative if first else None,
        "bounds": {"loss": bounds.loss, "bytes": bounds.bytes},
        "complete": verdict is not None,
        "chosen_on": verdict.chosen_on if verdict else None,
        "judged_on": verdict.judged_on if verdict else None,
        "recommended": recommended.name if recommended else None,
        "fits": recommended.fits if recommended else None,
        "verdict": verdict.sentence if verdict else None,
        "left_out": [asdict(one) for one in left_out],
        "models": [{**one.to_dict(), "front": verdict is not None and one.name in verdict.front} for one in results],
        "others": [one.to_dict() for one in others],
    }


def report(
    name: str,
    results: Sequence[Result],
    left_out: Sequence[LeftOut],
    verdict: Verdict,
    plot: Sequence[str] = (),
) -> list[str]:
    """Return the tables, what they mean, the plot and the sentence, as lines of at most 80 columns."""
    lines = [*_quality_table(name, results, verdict), "", *_speed_table(results), "", *_cost_table(results), ""]
    lines += _legend(results, verdict)
    for one in left_out:
        lines += _wrapped(f"left out: {one.name}: {sanitize(one.why)}", "  ")
    if plot:
        lines += ["", *plot]
    return [*lines, "", *_wrapped(sanitize(verdict.sentence))]


def _quality_table(name: str, results: Sequence[Result], verdict: Verdict) -> list[str]:
    split = verdict.judged_on
    first = results[0].quality[split]
    unit = "% more" if first.relative else "points"
    lines = [
        *_wrapped(f"{sanitize(name)}: {first.metric} on {many(first.rows, 'row')} of {split}"),
        f"{'':3}{'model':{NAME}} {first.metric[:10]:>10}  {'95% interval':<13} {'loss, ' + unit:>12}  "
        f"{'95% interval':<12} {'same':>6}",
    ]
    for number, result in enumerate(results):
        one = result.quality[split]
        value = f"{figure3(one.value.value):>10}  {_ends(one.value, figure3):<13}"
        if result.name == PARENT:
            lines.append(f"{_head(number, result, verdict)} {value}".rstrip())
            continue
        same = "" if one.agreement is None else f"{100 * one.agreement.value:.1f}%"
        lines.append(
            f"{_head(number, result, verdict)} {value} {hundredths(one.loss.value):>12}  "
            f"{_ends(one.loss, hundredths):<12} {same:>6}".rstrip()
        )
    return lines


def _head(number: int, result: Result, verdict: Verdict) -> str:
    mark = MARKER if result.name in verdict.front else " "
    return f"{number}{mark} {result.name:{NAME}}"


def _speed_table(results: Sequence[Result]) -> list[str]:
    known = [(number, one.name, one.cost) for number, one in enumerate(results) if one.cost is not None]
    if not known:
        return []
    unit = known[0][2].unit
    lines = [
        f"{'':{NAME + 3}} {'alone, ms a ' + unit:<30}  in batches, {unit}s/s",
        f"{'':3}{'model':{NAME}} {'p50':>6} {'p95':>6} {'x the parent':>16}  {'rate':>10} {'x the parent':>16}",
    ]
    for number, name, cost in known:
        times = f"{_thousandths(cost.p50.median):>6} {_thousandths(cost.p95.median):>6}"
        rate = f"{_rate(cost.rate.median):>10}"
        if name == PARENT:
            lines.append(f"{number}  {name:{NAME}} {times} {'':>16}  {rate}")
        else:
            lines.append(
                f"{number}  {name:{NAME}} {times} {_spread(cost.p50_ratio):>16}  {rate} {_spread(cost.rate_ratio):>16}"
            )
    return lines


def _cost_table(results: Sequence[Result]) -> list[str]:
    metered = next((one.cost for one in results if one.cost is not None and one.cost.energy is not None), None)
    heading = "" if metered is None else f"mWh/1,000 {metered.unit}s{'' if metered.counted else ' (estimate)'}"
    lines = [f"{'':3}{'model':{NAME}} {'size':>9} {'weights':>8} {'memory':>9}  {heading}".rstrip()]
    for number, one in enumerate(results):
        memory = size(one.cost.peak_bytes) if one.cost else ""
        cells = f"{size(one.bytes):>9} {count(one.parameters):>8} {memory:>9}  {_energy(one)}"
        lines.append(f"{number}  {one.name:{NAME}} {cells}".rstrip())
    return lines


def _legend(results: Sequence[Result], verdict: Verdict) -> list[str]:
    words = [f"{MARKER}: none of the others is better in {results[0].quality[verdict.judged_on].metric}, size and time"]
    one = results[-1].quality[verdict.judged_on]
    if one.agreement is not None:
        words.append("loss: against the parent on the same rows; same: answers as the parent's")
    costs = [result.cost for result in results if result.cost is not None]
    if costs:
        words.append(
            f"x the parent: in the same round, the median of {many(costs[0].rounds, 'round')} (smallest-largest)"
        )
        own = costs[0].p50
        if own.high > BUSY * own.low:
            words.append(
                f"the machine was busy: the parent took {own.high / own.low:.1f} times as long in one round as in "
                "another; --again measures anew"
            )
        words += _apart(results, costs[0].when)
        if any(cost.energy is not None and not cost.counted for cost in costs):
            words.append(f"mWh: an estimate; {costs[0].how.split(';')[0]}")
    return [line for each in words for line in _wrapped(each)]


def _apart(results: Sequence[Result], when: float) -> list[str]:
    """Return what to say of models that were not measured together with the parent's newest figures."""
    apart = [(one.name, one.cost.in_groups) for one in results if one.cost is not None and one.cost.when != when]
    words = []
    if names := ", ".join(name for name, in_groups in apart if in_groups):
        words.append(f"measured beside the parent before the rest, since memory did not hold all at once: {names}")
    if names := ", ".join(name for name, in_groups in apart if not in_groups):
        words.append(f"measured at another time than the rest: {names}; --again measures all anew")
    return words


def _energy(one: Result) -> str:
    if one.cost is None or one.cost.energy is None:
        return ""
    ratio = "" if one.name == PARENT or one.cost.energy_ratio is None else _spread(one.cost.energy_ratio)
    return f"{_thousandths(one.cost.energy.median):>6} {ratio:>18}"


def _spread(spread: Spread) -> str:
    return f"{_ratio(spread.median)} ({_ratio(spread.low)}-{_ratio(spread.high)})"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _thousandths(value: float) -> str:
    """Return milliseconds of seconds, or mWh of Wh, in six columns."""
    return f"{1000 * value:.3g}" if value < 0.9995 else f"{1000 * value:.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure3(value: float) -> str:
    """Return a metric with three digits after the point where it is small: columns of them are in line."""
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else _whole(value)


def hundredths(value: float) -> str:
    """Return a loss in points, or in per cent where it is a share of the parent's."""
    told = f"{100 * value:.1f}" if abs(value) < 9.9995 else _whole(100 * value)
    return "0.0" if told == "-0.0" else told


def _whole(value: float) -> str:
    """Return a large figure in five columns: a perplexity, which a ruined model has in millions."""
    return f"{value:.0f}" if abs(value) < 99_999.5 else f"{value:.0e}"


def _ends(interval: Interval, tell: Any) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"{tell(interval.low)} {tell(interval.high)}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    wrapped = fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return wrapped.splitlines()
