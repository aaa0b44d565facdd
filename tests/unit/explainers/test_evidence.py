"""Words that look suspicious, and the intervals of what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from hftune.explainers import _intervals
from hftune.explainers._evidence import (
    LABEL,
    LETTER,
    NAME,
    NUMBER,
    PUNCTUATION,
    kinds_of,
    label_words,
    names_label,
)
from hftune.explainers._words import words_of
from hftune.inference.statistics import share


def kinds(text: str, label: str = "") -> dict[str, set[str]]:
    words = words_of(text)
    found = kinds_of(text, words, label_words(label))
    return {word.text: set(some) for word, some in zip(words, found, strict=True) if some}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a warm film !", {"!": {PUNCTUATION}}),
        ("it cost 20 or 3rd", {"20": {NUMBER}, "3rd": {NUMBER}}),
        ("we saw Kubrick there.", {"Kubrick": {NAME}, ".": {PUNCTUATION}}),
        ("We saw it. Then I left, I'm sure", {".": {PUNCTUATION}, ",": {PUNCTUATION}}),
        ("A Warm Film By Kubrick", {}),
        ("plan b of x", {"b": {LETTER}, "x": {LETTER}}),
        ("a film i saw", {}),
        ("good<br />bad &amp; more", {k: {PUNCTUATION} for k in "</>&;"} | {"br": {LETTER}, "amp": {LETTER}}),
        ("电影很好", {}),
        ("ΟΚ α", {"α": {LETTER}}),
    ],
)
def test_kinds_are_told_by_looks(text: str, expected: dict[str, set[str]]) -> None:
    assert kinds(text) == expected


def test_a_second_text_begins_as_a_sentence_does() -> None:
    assert kinds("it was good\nThen it was bad") == {}


@pytest.mark.parametrize(
    ("label", "word", "found"),
    [
        ("positive", "positive", True),
        ("positive", "positively", True),
        ("negative", "negativity", True),
        ("positive", "position", False),
        ("sport", "sports", True),
        ("anger", "angel", False),
        ("joy", "joy", True),
        ("joy", "joyride", False),
        ("sci/tech_news", "news", True),
        ("customerService", "customer", True),
        ("LABEL_0", "label", False),
        ("not spam", "not", False),
        ("1", "1", False),
    ],
)
def test_a_label_is_named_by_its_words_and_their_stems(label: str, word: str, found: bool) -> None:
    assert names_label(word, label_words(label)) is found
    assert (LABEL in kinds(f"the {word}", label).get(word, set())) is found


@pytest.mark.parametrize(("hits", "of"), [(0, 7), (3, 7), (7, 7), (40, 100)])
def test_shares_have_wilsons_interval(hits: int, of: int) -> None:
    from scipy.stats import binomtest

    found, expected = share(hits, of), binomtest(hits, of).proportion_ci(method="wilson")
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_means_have_students_interval() -> None:
    from scipy.stats import t

    values = np.random.default_rng(0).normal(size=9)
    found = _intervals.mean(values)
    low, high = t.interval(0.95, 8, values.mean(), values.std(ddof=1) / 3)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert _intervals.mean([2.0]).low is None
    assert np.isnan(_intervals.mean([]).value)


def test_correlations_have_fishers_interval() -> None:
    from scipy.stats import pearsonr

    draw = np.random.default_rng(0)
    one, other = draw.normal(size=20), draw.normal(size=20)
    found, expected = _intervals.correlation(one, other), pearsonr(one, other)
    ends = expected.confidence_interval()
    assert found.value == pytest.approx(expected.statistic)
    assert (found.low, found.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert np.isnan(_intervals.correlation([1, 1, 1, 1], [1, 2, 3, 4]).value)
