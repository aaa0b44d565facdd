"""Duplicates across splits: found exactly, found nearly, told once, in bounded memory."""

from __future__ import annotations

import random

import numpy
import pytest

from hftune.preflight.leakage import NEAR, compare, find_leaks
from hftune.preflight.minhash import BANDS, Index, bands, normalize, shingles, similarity

WORDS = [f"{start}{middle}{end}" for start in "bdfgklm" for middle in ("ar", "el", "oni", "ust") for end in "aeiy"]


def _texts(count: int, seed: int, words: int = 20) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=words)) for _ in range(count)]


def _one_word_changed(text: str) -> str:
    words = text.split()
    words[len(words) // 2] = "changed"
    return " ".join(words)


def test_texts_equal_but_for_case_space_and_width_are_exact_duplicates() -> None:
    overlap = compare(["A Fine\u00a0Film ", "another one altogether"], ["some text", "a  fine ｆｉｌｍ"])
    assert overlap.exact == {0}
    assert overlap.near == {}


def test_every_copy_of_a_held_out_text_counts() -> None:
    assert compare(["same text", "other text here", "same text"], ["same text"]).exact == {0, 2}


def test_a_text_with_one_word_changed_is_a_near_duplicate() -> None:
    held_out = _texts(200, seed=1)
    seen = [*_texts(400, seed=2), *(_one_word_changed(text) for text in held_out[:100])]
    overlap = compare(held_out, seen)
    alike = {row for row in range(100) if _alike(held_out[row], _one_word_changed(held_out[row])) >= NEAR}
    assert len(alike) > 90
    assert set(overlap.near) <= alike, "what was found really is that similar"
    assert len(overlap.near) >= 0.97 * len(alike), "and hardly any is missed"


def test_unrelated_and_short_texts_are_not_duplicates() -> None:
    overlap = compare([*_texts(100, seed=3), "", "no", "ok"], [*_texts(300, seed=4), "yes", "hm"])
    assert not overlap.exact and not overlap.near


def test_chinese_texts_are_compared_too() -> None:
    text = "这部电影的故事情节非常精彩演员的表演也很出色值得一看推荐给大家"
    overlap = compare([text], [text.replace("推荐", "介绍")])
    assert set(overlap.near) == {0}


@pytest.mark.parametrize("shared", [0.5, 0.9])
def test_similarity_is_the_jaccard_index_of_8_byte_windows(shared: float) -> None:
    text, other = "x" * 0 + "".join(_texts(1, 5)), "".join(_texts(1, 6))
    mixed = text[: int(len(text) * shared)] + other
    windows = [{part[i : i + 8] for i in range(len(part) - 7)} for part in (text, mixed)]
    expected = len(windows[0] & windows[1]) / len(windows[0] | windows[1])
    assert similarity(shingles(text), shingles(mixed)) == pytest.approx(expected)


def test_share_of_equal_minima_estimates_similarity() -> None:
    # The probability that a band agrees is similarity**4: over many pairs the mean number of agreeing bands tells.
    pairs = [(text, _one_word_changed(text)) for text in _texts(300, seed=7)]
    expected = numpy.mean([_alike(*pair) ** 4 for pair in pairs])
    agreeing = numpy.mean([(bands(shingles(one)) == bands(shingles(other))).mean() for one, other in pairs])
    assert agreeing == pytest.approx(expected, abs=0.05)


def test_the_index_bounds_candidates_of_boilerplate() -> None:
    same = bands(shingles("the very same text")).reshape(1, BANDS)
    index = Index(numpy.repeat(same, 500, axis=0))
    ((row, candidates),) = index.candidates(same)
    assert row == 0 and len(candidates) == 16


def test_a_held_out_split_that_is_all_in_train_is_one_loud_warning() -> None:
    texts = _texts(30, seed=8)
    notices = find_leaks({"train": texts, "validation": texts[:10], "test": _texts(10, seed=9)})
    assert [(notice.level, notice.code) for notice in notices] == [("warning", "not-held-out")]
    assert "validation" in notices[0].message


def test_overlaps_are_told_for_each_pair_of_splits() -> None:
    train, validation, test = _texts(50, seed=10), _texts(20, seed=11), _texts(20, seed=12)
    validation[3], test[5], test[6] = train[0].upper(), validation[7], _one_word_changed(train[9])
    codes = {notice.code: notice for notice in find_leaks({"train": train, "validation": validation, "test": test})}
    assert set(codes) == {"duplicates-validation-train", "near-duplicates-test-train", "duplicates-test-validation"}
    assert codes["duplicates-validation-train"].level == "warning"
    assert codes["duplicates-validation-train"].message.startswith("1 of 20 validation texts (5%)")
    assert "changed" in codes["near-duplicates-test-train"].message


def test_one_duplicate_in_a_thousand_is_only_a_remark() -> None:
    held_out = [f"{text} {row}" for row, text in enumerate(_texts(1000, seed=13, words=6))]
    (notice,) = find_leaks({"train": [held_out[0].title()], "test": held_out})
    assert notice.level == "info"


def test_splits_that_are_missing_or_empty_are_left_out() -> None:
    assert find_leaks({"train": ["a text"]}) == []
    assert find_leaks({"train": [], "test": ["a text"]}) == []


def _alike(one: str, other: str) -> float:
    return similarity(shingles(normalize(one)), shingles(normalize(other)))
