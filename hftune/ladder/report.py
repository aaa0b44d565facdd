"""How a ladder is told: one object for programs, or a table and a sentence that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from hftune.figures import count, duration, many, size
from hftune.inference.comparison import Scores
from hftune.inference.statistics import LEVEL, RESAMPLES, Interval
from hftune.ladder.folder import SCHEMA, Result
from hftune.ladder.rows import SPLITS, Rows
from hftune.ladder.verdict import Standing, Verdict, number
from hftune.recipe.schema import Recipe
from hftune.sanitize import sanitize

WIDTH = 80


def as_object(
    recipe: Recipe,
    rows: Rows,
    metric: str,
    greater: bool,
    seeds: Sequence[int],
    results: Sequence[Result],
    verdict: Verdict | None,
) -> dict[str, Any]:
    """Return what ladder.json holds: results as far as there are, `rungs`, `best`, `cheapest`, `verdict` in the end.

    Costs stand in each result (seconds, parameters_trained, parameters, bytes, base_bytes); a rung's are in
    `rungs[].cost`, the median over its seeds.
    """
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "recipe": recipe.model_dump(mode="json"),
        "problem_type": rows.kind,
        "labels": list(rows.names),
        "rows": {split: rows.count(split) for split in SPLITS},
        "data": rows.fingerprint,
        "metric": metric,
        "greater_is_better": greater,
        "seeds": list(seeds),
        "complete": verdict is not None,
        "rungs": [_rung(standing, verdict, metric) for standing in verdict.standings] if verdict else [],
        "best": verdict.best if verdict else None,
        "cheapest": verdict.cheapest if verdict else None,
        "within": verdict.within if verdict else None,
        "verdict": verdict.sentence if verdict else None,
        "results": [asdict(result) for result in results],
    }


def report(record: Mapping[str, Any], verdict: Verdict) -> list[str]:
    """Return the table, what its intervals mean, the comparison with the best, and the sentence."""
    metric, test = record["metric"], record["rows"]["test"]
    seeds = [str(seed) for seed in record["seeds"]]
    lines = [
        f"{sanitize(record['name'])}: {metric} on {many(test, 'test row')}, seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(seeds)}",
        f"{'rung':9}{metric[:11]:>11}   {'over seeds':<15}{'test rows':<15}{'trained':>9}{'disk':>10}{'time':>8}",
    ]
    lines += [_row(standing) for standing in verdict.standings]
    lines.append("")
    lines += _legend(verdict)
    if any(standing.behind for standing in verdict.standings):
        lines += ["", f"behind {verdict.best}, the best, over the same rows (95% interval of rows and seeds):"]
        lines += [
            f"  {standing.rung:9}{number(standing.behind.value):>9}   {_ends(standing.behind)}"
            for standing in verdict.standings
            if standing.behind is not None
        ]
    return [*lines, "", *_wrapped(verdict.sentence)]


def _row(standing: Standing) -> str:
    scores, one = standing.scores, standing.results[0]
    base = "*" if one.base_bytes else " "
    return (
        f"{standing.rung:9}{number(scores.mean):>11}   {_ends(scores.over_seeds()):<15}{_ends(scores.over_rows()):<15}"
        f"{count(one.parameters_trained):>9}{size(one.bytes):>9}{base}{duration(standing.seconds):>8}"
    )


def _legend(verdict: Verdict) -> list[str]:
    drawn = [standing for standing in verdict.standings if len(standing.scores.values) > 1]
    words = []
    if drawn:
        free = many(len(drawn[0].scores.values) - 1, "degree")
        words.append(f"over seeds: 95% t-interval of the mean ({free} of freedom, so it is wide)")
    elif any(result.seed is not None for standing in verdict.standings for result in standing.results):
        words.append("over seeds: one seed tells nothing of how much seeds matter; give --seeds 0,1,2")
    words.append(f"test rows: 95% bootstrap interval ({RESAMPLES:,} draws of the rows), for these seeds")
    base = max(result.base_bytes for standing in verdict.standings for result in standing.results)
    about_base = f"; * plus its base, {size(base)}" if base else ""
    words.append(f"time: the median of the seeds, loading included{about_base}")
    return [line for each in words for line in _wrapped(each)]


def _rung(standing: Standing, verdict: Verdict, metric: str) -> dict[str, Any]:
    scores, first = standing.scores, standing.results[0]
    return {
        "rung": standing.rung,
        "metric": metric,
        "mean": scores.mean,
        "values": list(scores.values),
        "over_seeds": _interval(scores.over_seeds(), "t", seeds=scores),
        "over_rows": _interval(scores.over_rows(), "bootstrap percentiles"),
        "behind_best": _interval(standing.behind, "t, paired rows and seeds"),
        "cost": {
            "seconds": standing.seconds,
            "parameters_trained": first.parameters_trained,
            "parameters": first.parameters,
            "bytes": first.bytes,
            "base_bytes": first.base_bytes,
        },
        "best": standing.rung == verdict.best,
        "cheapest_as_good": standing.rung == verdict.cheapest,
    }


def _interval(interval: Interval | None, kind: str, seeds: Scores | None = None) -> dict[str, Any] | None:
    if interval is None:
        return None
    found = {**interval.to_dict(), "level": LEVEL, "kind": kind}
    return found if seeds is None else {**found, "degrees_of_freedom": len(seeds.values) - 1}


def _ends(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{number(interval.low)} {number(interval.high)}"


def _wrapped(text: str) -> list[str]:
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False).splitlines()
