"""Chosen by validation, judged on test; the sentence claims no more than the rows tell."""

from __future__ import annotations

import pytest

from hftune.frontier.verdict import Bounds, certainty, judge, told_loss
from hftune.inference.statistics import Interval
from tests.unit.frontier.made_up import parent, result


def test_validation_rows_choose_and_test_rows_are_told() -> None:
    # On test `a` would lose too much; test had no part in the choice, so it is chosen, and what it loses there is said.
    models = [parent(), result("a", 0.005, 0.03, size=10_000_000), result("b", 0.002, 0.002, size=20_000_000)]
    found = judge(models, Bounds(0.01))
    assert found.recommended is not None and (found.recommended.name, found.recommended.fits) == ("a", True)
    assert (found.chosen_on, found.judged_on) == ("validation", "test")
    assert (
        "a is the smallest model that loses at most 1 point of accuracy: on validation it loses 0.5" in found.sentence
    )
    assert "On test, whose 1,000 rows had no part in the choice, it loses 3 points" in found.sentence
    assert "(95% interval of the loss: 2.0 to 4.0)" in found.sentence
    assert "So it is certainly more than 1 point" in found.sentence
    assert "0.50 (0.50 to 0.50) of the parent's time for a single text" in found.sentence


def test_without_a_test_split_the_sentence_says_that_the_choice_flatters_itself() -> None:
    found = judge([parent(test=False), result("a", 0.005)], Bounds(0.01))
    assert (found.chosen_on, found.judged_on) == ("validation", "validation")
    assert "both chose it and judge it, which flatters it: it loses 0.5 points" in found.sentence


def test_with_only_a_size_the_best_of_that_size_is_chosen_and_nothing_is_claimed_of_a_bound() -> None:
    models = [parent(), result("a", 0.05, 0.05, size=5_000_000), result("b", 0.03, 0.03, size=9_000_000)]
    found = judge(models, Bounds(None, 10_000_000))
    assert found.recommended is not None and found.recommended.name == "b"
    assert (
        "b is the best model that takes at most 10 MB (9.54 MiB): it takes 8.58 MiB, and on validation"
        in found.sentence
    )
    assert "certain" not in found.sentence and "excluded" not in found.sentence


def test_where_nothing_fits_that_is_said_with_what_comes_nearest() -> None:
    found = judge([parent(), result("a", 0.05, 0.05), result("b", 0.03, 0.03)], Bounds(0.01, 9_000_000))
    assert found.recommended is not None and not found.recommended.fits
    asked = "loses at most 1 point of accuracy and takes at most 9 MB (8.58 MiB)"
    assert found.sentence.startswith(f"No model {asked}; b comes nearest: it takes 9.54 MiB")


def test_what_is_no_smaller_than_the_parent_is_never_recommended() -> None:
    found = judge([parent(), result("a", -0.1, -0.1, size=80_000_000)], Bounds(0.01))
    assert found.recommended is None and found.sentence == "Nothing that was made is smaller than the model itself."


def test_the_front_is_by_quality_size_and_time_together() -> None:
    models = [
        parent(),
        result("quick", 0.02, 0.02, size=70_000_000, seconds=0.001),
        result("small", 0.02, 0.02, size=10_000_000, seconds=0.015),
        result("worse", 0.03, 0.03, size=20_000_000, seconds=0.016),
        result("slow", 0.01, 0.01, size=79_000_000, seconds=0.03),
    ]
    assert judge(models, Bounds()).front == ("parent", "quick", "small", "slow")


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (Interval(0.002, -0.004, 0.009), "That it is no more than 1 point is certain (at 95%)."),
        (Interval(0.005, -0.004, 0.02), "More than 1 point is not excluded."),
        (Interval(0.015, 0.004, 0.03), "That is more than 1 point, but less is not excluded."),
        (Interval(0.03, 0.02, 0.04), "So it is certainly more than 1 point (at 95%)."),
        (Interval(0.0, None, None), "Whether it is more than 1 point these rows cannot tell."),
    ],
)
def test_a_bound_is_certain_broken_or_not_excluded(loss: Interval, said: str) -> None:
    assert certainty(loss, 0.01, relative=False) == said


def test_a_loss_is_points_of_a_share_and_per_cent_of_an_error() -> None:
    assert (told_loss(0.0123, False), told_loss(0.01, False), told_loss(0.5, True)) == ("1.2 points", "1 point", "50%")
    assert (told_loss(-0.0001, False), told_loss(-0.004, False)) == ("0 points", "-0.4 points")
    models = [parent(relative=True), result("a", 0.005, 0.02, half=0.01, relative=True)]
    sentence = judge(models, Bounds(0.01)).sentence
    assert "loses at most 1% of quality: on validation its perplexity is 0.5% higher." in sentence
    assert "its perplexity is 2% higher (95% interval of the loss: 1.0 to 3.0)" in sentence
