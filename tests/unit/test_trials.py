"""Which rates are tried, by what recipe, and what the held-out rows say about them."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from ruamel.yaml import YAML

from hftune.preflight.trials import CANDIDATES, OWN, Trial, choose_trials, next_rate, one_more, trial_recipe
from hftune.preflight.verdicts import Scored, judge
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.runs.layout import LONGEST_NAME
from hftune.tasks import text_classification
from hftune.training.progress import make_plan

RULES = ("steepest", "minimum/10", "valley")


def rates(trials: list[Trial], probe: bool) -> list[float]:
    return [trial.rate for trial in trials if trial.probe is probe]


# Which


@pytest.mark.parametrize(
    ("found", "own", "candidates", "probes"),
    [
        ((1.1e-4, 1.2e-5, 4.4e-5), None, [1e-5, 5e-5, 1e-4], [1e-3, 1e-6]),
        ((1.1e-4, 1.2e-5, 9e-5), 1e-4, [1e-5, 5e-5, 1e-4], [1e-3, 1e-6]),  # two fall together: one between is added
        ((1e-4, 1e-4, 1e-4), None, [5e-5, 1e-4, 2e-4], [2e-3, 5e-6]),  # all do: its neighbours
        ((1e-4, 2e-4, 1e-4), None, [5e-5, 1e-4, 2e-4], [2e-3, 5e-6]),
        ((1e-4, 1e-5, 5e-5), 2e-3, [1e-5, 1e-4, 2e-3], [2e-2, 1e-6]),  # four: the most crowded goes
        ((3.1e-4, 3e-5, 1e-4), 3e-4, [2e-5, 1e-4, 3e-4], [2e-3, 2e-6]),  # the recipe's own is not rounded
    ],
)
def test_candidates_are_three_with_a_decade_on_each_side(
    found: tuple[float, ...], own: float | None, candidates: list[float], probes: list[float]
) -> None:
    trials = choose_trials(dict(zip(RULES, found, strict=True)), own)
    assert rates(trials, probe=False) == pytest.approx(candidates)
    assert rates(trials, probe=True) == pytest.approx(probes)
    assert [trial.probe for trial in trials] == [False] * CANDIDATES + [True] * 2


def test_a_rate_keeps_every_reason_it_has() -> None:
    trials = choose_trials({"steepest": 1.1e-4, "minimum/10": 1e-5, "valley": 0.9e-4}, 1e-4)
    assert {trial.rate: trial.reasons for trial in trials}[1e-4] == (OWN, "steepest", "valley")


def test_without_a_rule_the_own_rate_has_its_neighbours_and_without_any_rate_there_is_nothing() -> None:
    assert rates(choose_trials({}, 1e-3), probe=False) == [5e-4, 1e-3, 2e-3]
    assert choose_trials({}, None) == []


def test_a_best_rate_at_an_end_asks_for_one_more_beyond_it() -> None:
    trials = choose_trials({}, 1e-3)
    assert one_more(trials, 1e-3) is None
    beyond = one_more(trials, 2e-3)
    assert beyond is not None and beyond.rate == 5e-3 and not beyond.probe
    below = one_more(trials, 5e-4)
    assert below is not None and below.rate == 2e-4
    assert one_more([*trials, Trial(5e-3, (), probe=True)], 2e-3) is None, "it was tried already"
    assert one_more(trials, max(rates(trials, probe=True))) is not None


def test_the_next_rate_is_about_twice_or_half() -> None:
    assert [next_rate(rate, up=True) for rate in (1e-4, 2e-4, 5e-4, 3e-4)] == [2e-4, 5e-4, 1e-3, 5e-4]
    assert [next_rate(rate, up=False) for rate in (1e-4, 2e-4, 5e-4)] == [5e-5, 1e-4, 2e-4]


# By what recipe


def recipe(**training: Any) -> Recipe:
    return parse_recipe(
        {
            "name": "reviews",
            "task": "text-classification",
            "model": "a/b",
            "data": {"source": "hftune:movie-reviews"},
            "training": {"learning_rate": 1e-4, "per_device_train_batch_size": 10, **training},
        }
    )


def trial_of(whole: Recipe, rate: float = 2e-4, steps: int = 50, rows: int = 300, examples: int = 1000) -> Recipe:
    plan = make_plan(whole, text_classification, examples, 1)
    return trial_recipe(whole, Trial(rate, ("valley",)), plan, steps, rows)


def test_a_trial_is_a_recipe_that_says_what_it_is_and_runs_again() -> None:
    whole = recipe(warmup_steps=0.06, early_stopping_patience=2, target_loss=0.1, seed=3)
    trial = trial_of(whole)
    assert trial.name == "reviews-lr-2e-4"
    assert trial.description == "a trial of lr-find: reviews for 50 steps at 2e-4 (valley)"
    training = trial.training
    assert (training.learning_rate, training.max_steps, training.warmup_steps) == (2e-4, 50, 0.06)
    assert (training.early_stopping_patience, training.target_loss, training.seed) == (None, None, 3)
    assert trial.data.max_eval_samples == 300
    written = YAML(typ="safe").load(dump_recipe(trial))
    assert parse_recipe(written) == trial


def test_two_trials_differ_in_their_rate_and_name_alone() -> None:
    one, other = trial_of(recipe(), 1e-4), trial_of(recipe(), 1e-3)
    same = {"name": "", "description": "", "training": one.training.model_copy(update={"learning_rate": 0.0})}
    assert one.model_copy(update=same) == other.model_copy(
        update={**same, "training": other.training.model_copy(update={"learning_rate": 0.0})}
    )


def test_warm_up_keeps_its_share_and_evaluations_are_few() -> None:
    whole = recipe(warmup_steps=60, max_steps=300, eval_steps=2)
    training = trial_of(whole).training
    assert training.warmup_steps == pytest.approx(0.2)
    assert training.eval_steps == 10
    assert trial_of(recipe()).training.eval_steps == 100, "an epoch is longer than the trial: once, at its end"
    assert trial_of(recipe(max_steps=20)).training.max_steps == 20, "no longer than the training itself"
    assert trial_of(recipe(), rows=10_000).data.max_eval_samples == 10_000


def test_a_long_name_makes_room_for_the_rate() -> None:
    long = recipe().model_copy(update={"name": "x" * LONGEST_NAME})
    name = trial_of(long, 2.5e-4).name
    assert name.endswith("-lr-2.5e-4") and len(name) == LONGEST_NAME


# What the rows say

ROWS = 400
HARD = numpy.random.default_rng(0).exponential(0.5, ROWS)  # what makes a row hard, whatever the model


def scored(rate: float, worse: float, spread: float = 0.02, probe: bool = False) -> Scored:
    """A trial whose loss is `worse` than the best possible, give or take, on rows of which some are hard."""
    draw = numpy.random.default_rng(round(rate * 1e9))
    losses = HARD + worse + draw.normal(0, spread, ROWS)
    return Scored(Trial(rate, (), probe), f"run-{rate:g}", numpy.column_stack([losses, numpy.ones(ROWS)]))


BEFORE = numpy.column_stack([HARD + 0.3, numpy.ones(ROWS)])


def verdicts(*trials: Scored) -> tuple[dict[float, str], float | None]:
    judgement = judge(trials, BEFORE)
    assert [one.trial.rate for one in judgement.trials] == sorted(one.trial.rate for one in trials)
    return {one.trial.rate: one.verdict for one in judgement.trials}, judgement.suggestion


def test_what_is_surely_worse_is_too_small_or_too_large_and_no_better_than_before_is_diverged() -> None:
    found, suggestion = verdicts(
        scored(1e-6, 0.25), scored(1e-5, 0.1), scored(1e-4, 0.0), scored(1e-3, 0.1), scored(1e-2, 0.4)
    )
    assert found == {1e-6: "too small", 1e-5: "too small", 1e-4: "good", 1e-3: "too large", 1e-2: "diverged"}
    assert suggestion == 1e-4


def test_small_differences_show_because_rows_are_paired() -> None:
    """0.01 against rows that differ by 0.5: unpaired, the standard error alone would be 0.035."""
    found, _ = verdicts(scored(1e-5, 0.01), scored(1e-4, 0.0), scored(1e-3, 0.01))
    assert found == {1e-5: "too small", 1e-4: "good", 1e-3: "too large"}


def test_what_the_rows_cannot_tell_apart_ties_and_the_middle_is_taken() -> None:
    found, suggestion = verdicts(scored(1e-5, 0.0), scored(1e-4, 0.0), scored(1e-3, 0.0), scored(1e-2, 0.1))
    assert found == {1e-5: "good", 1e-4: "good", 1e-3: "good", 1e-2: "too large"}
    assert suggestion == 1e-4
    assert verdicts(scored(1e-5, 0.0), scored(1e-4, 0.0))[1] == 1e-5, "of two the smaller"


def test_a_probe_that_only_ties_is_not_suggested_and_one_that_is_the_best_is() -> None:
    assert verdicts(scored(1e-4, 0.0), scored(1e-6, 0.0, probe=True), scored(1e-5, 0.0))[1] == 1e-5
    assert verdicts(scored(1e-4, 0.1), scored(1e-3, 0.0, probe=True))[1] == 1e-3


@pytest.mark.parametrize("loss", [numpy.nan, numpy.inf])
def test_losses_that_are_no_numbers_are_diverged(loss: float) -> None:
    broken = Scored(Trial(1e-1, ()), "run-broken", numpy.column_stack([numpy.full(ROWS, loss), numpy.ones(ROWS)]))
    found, suggestion = verdicts(scored(1e-4, 0.0), broken, Scored(Trial(1.0, ()), "run-ended", None))
    assert found == {1e-4: "good", 1e-1: "diverged", 1.0: "diverged"}
    assert suggestion == 1e-4


def test_when_every_rate_diverged_nothing_is_suggested() -> None:
    judgement = judge([scored(1e-2, 0.5), Scored(Trial(1.0, ()), "run", None)], BEFORE)
    assert (judgement.suggestion, judgement.best, judgement.tied) == (None, None, ())
    assert {one.verdict for one in judgement.trials} == {"diverged"}
    assert judgement.trials[0].loss == pytest.approx(HARD.mean() + 0.5, abs=0.01)


def test_the_interval_holds_the_true_difference_nineteen_times_of_twenty() -> None:
    inside = 0
    for seed in range(200):
        draw = numpy.random.default_rng(seed)
        hard = draw.exponential(0.5, 150)
        one, other = (
            numpy.column_stack([hard + draw.normal(shift, 0.2, 150), numpy.ones(150)]) for shift in (0.0, 0.05)
        )
        # The worse one is told from its own loss and weights: 0.05 more on average.
        judgement = judge([Scored(Trial(1e-4, ()), "a", one), Scored(Trial(1e-3, ()), "b", other)], BEFORE[:150] + 10)
        beyond = judgement.trials[1].beyond if judgement.best == 1e-4 else tuple(-x for x in judgement.trials[0].beyond)  # type: ignore[union-attr]
        assert beyond is not None
        low, high = sorted(beyond[1:])
        inside += low <= 0.05 <= high
    assert inside / 200 == pytest.approx(0.95, abs=0.04)
