"""The verdict: the cheapest rung that is as good as the best, in a sentence that is true."""

from __future__ import annotations

import numpy as np
import pytest

from hftune.inference.comparison import Scores, difference
from hftune.ladder.folder import Result
from hftune.ladder.report import report
from hftune.ladder.verdict import Verdict, judge

ROWS = 400


def result(rung: str, seconds: float, seed: int | None = None, base: int = 0) -> Result:
    return Result(rung, seed, "", seconds, 10, 1000, 2048, base, {"accuracy": 0.5})


def scores(values: list[float], noise: float, seed: int = 0) -> Scores:
    """Accuracies by seed, and draws around their mean."""
    drawn = np.random.default_rng(seed).normal(np.mean(values), noise, 1000)
    return Scores(tuple(values), drawn)


def verdict(within: float | None = None, greater: bool = True, **rungs: tuple[list[float], float]) -> Verdict:
    """Judge rungs given as name=(values by seed, seconds); draws of all rungs go together but for a little."""
    sign = 1.0 if greater else -1.0
    found = {
        name: scores([sign * value for value in values], 0.005, seed)
        for seed, (name, (values, _)) in enumerate(rungs.items())
    }
    results = {name: [result(name, seconds)] for name, (_, seconds) in rungs.items()}
    return judge(found, results, "accuracy" if greater else "loss", greater, ROWS, within)


def test_the_cheapest_that_cannot_be_told_from_the_best_is_named() -> None:
    found = verdict(majority=([0.5], 0.1), tfidf=([0.835], 3.0), full=([0.84], 100.0))
    assert (found.best, found.cheapest) == ("full", "tfidf")
    begins = "tfidf is the cheapest rung that cannot be told from the best, full: its accuracy is 0.005 lower (95% "
    assert found.sentence.startswith(begins)
    assert " higher to 0." in found.sentence
    assert found.sentence.endswith("lower). It took 3.0s, full 1m40s a run.")


def test_the_best_is_worth_it_when_every_cheaper_rung_is_measurably_worse() -> None:
    found = verdict(majority=([0.5], 0.1), tfidf=([0.78], 3.0), full=([0.84], 100.0), lora=([0.83], 120.0))
    assert (found.best, found.cheapest) == ("full", "full")
    assert found.sentence.startswith(
        "full is worth its 1m40s a run: every cheaper rung is measurably worse; of the nearest, tfidf, the accuracy is "
        "0.060 lower (95% interval: 0.0"
    )
    assert found.sentence.endswith("What takes longer (lora) did no better.")


def test_with_a_distance_good_enough_is_what_is_certainly_within_it() -> None:
    rungs = {"tfidf": ([0.835], 3.0), "full": ([0.84], 100.0)}
    assert verdict(within=0.03, **rungs).cheapest == "tfidf"
    strict = verdict(within=0.01, **rungs)
    assert strict.cheapest == "full"
    assert "no cheaper rung is certainly within 0.01 of it" in strict.sentence
    assert "at most 0.03 worse than the best" in verdict(within=0.03, **rungs).sentence


def test_cheap_goes_by_the_seconds_and_not_by_the_place_on_the_ladder() -> None:
    found = verdict(lora=([0.84], 200.0), full=([0.841], 100.0))
    assert found.cheapest == "full"
    found = verdict(lora=([0.842], 200.0), full=([0.841], 100.0))
    assert (found.best, found.cheapest) == ("lora", "full")


def test_of_a_loss_the_smallest_is_the_best() -> None:
    found = verdict(greater=False, tfidf=([-0.5], 3.0), full=([-0.3], 100.0))
    assert found.best == "full"
    behind = found.standings[0].behind
    assert behind is not None
    assert behind.value == pytest.approx(0.2)
    assert behind.low is not None and behind.high is not None and 0 < behind.low < 0.2 < behind.high
    assert "the loss is 0.200 higher (95% interval: 0.1" in found.sentence


def test_seeds_that_scatter_hide_a_difference() -> None:
    steady = verdict(lora=([0.82, 0.82, 0.82], 50.0), full=([0.85, 0.85, 0.85], 100.0))
    scattered = verdict(lora=([0.79, 0.82, 0.85], 50.0), full=([0.82, 0.85, 0.88], 100.0))
    assert (steady.cheapest, scattered.cheapest) == ("full", "lora")


def test_the_only_rung_is_the_best_and_a_figure_that_is_none_is_not_good() -> None:
    alone = verdict(full=([0.84], 100.0))
    assert alone.sentence == "full is the best rung and the cheapest, at 1m40s a run."
    unknown = {"majority": Scores((0.1,), np.full(1000, np.nan)), "full": scores([0.84], 0.01)}
    results = {name: [result(name, seconds)] for name, seconds in (("majority", 0.1), ("full", 100.0))}
    assert judge(unknown, results, "pearson", True, ROWS).cheapest == "full"


def test_a_rung_is_compared_as_the_difference_says() -> None:
    values = {"lora": scores([0.82, 0.83, 0.81], 0.01, 1), "full": scores([0.84, 0.85, 0.86], 0.01, 2)}
    results = {name: [result(name, 1.0, seed) for seed in range(3)] for name in values}
    found = judge(values, results, "accuracy", True, ROWS)
    assert found.standings[0].behind == difference(values["full"], values["lora"], ROWS)
    assert found.standings[1].behind is None


def test_the_table_fits_80_columns_and_says_what_kind_of_intervals_these_are() -> None:
    values = {
        "majority": scores([123456.789], 9.0),
        "lora": scores([0.82, 0.83, 0.81], 0.01),
        "full": scores([1.0], 0.0),
    }
    results = {
        "majority": [result("majority", 0.0)],
        "lora": [result("lora", 7200.0, seed, base=10**8) for seed in range(3)],
        "full": [result("full", 100.0, 0)],
    }
    record = {"name": "a" * 64, "metric": "matthews_correlation", "rows": {"test": 1056}, "seeds": [0, 1, 2]}
    found = judge(values, results, "matthews_correlation", True, ROWS)
    lines = report({**record, "name": "abc"}, found)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    text = " ".join(" ".join(lines).split())
    assert "95% t-interval of the mean (2 degrees of freedom, so it is wide)" in text
    assert "on 1,056 test rows, seeds 0, 1, 2" in text
    assert "* plus its base, 95.4 MiB" in text
    assert lines[-1].endswith(found.sentence[-20:])
