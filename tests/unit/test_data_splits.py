"""Cutting splits: nothing lost, nothing parted that belongs together, the same everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftune.data.splits import classes, cut, sample
from hftune.errors import DataError

BOTH = {"test": 0.1, "validation": 0.1}


@given(
    groups=st.lists(st.integers(0, 30), min_size=40, max_size=200),
    texts=st.integers(2, 200),
    seed=st.integers(0, 5),
)
def test_every_row_lands_once_and_no_unit_is_parted(groups, texts, seed):
    keys = [groups, [row * 7 % texts for row in range(len(groups))]]
    try:
        result = cut(len(groups), BOTH, seed, keys)
    except DataError:
        return  # all rows hang together: there is nothing to cut
    assert sorted(row for rows in result.values() for row in rows) == list(range(len(groups)))
    for values in keys:
        homes: dict[int, set[str]] = {}
        for split, rows in result.items():
            for row in rows:
                homes.setdefault(values[row], set()).add(split)
        assert all(len(splits) == 1 for splits in homes.values())


def test_sizes_and_classes_are_in_proportion():
    labels = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    result = cut(1000, BOTH, 0, labels=labels)
    assert {split: Counter(labels[row] for row in rows) for split, rows in result.items()} == {
        "train": {"a": 560, "b": 200, "c": 40},
        "validation": {"a": 70, "b": 25, "c": 5},
        "test": {"a": 70, "b": 25, "c": 5},
    }


def test_many_small_classes_still_give_splits_of_the_asked_size():
    result = cut(300, BOTH, 0, labels=[row // 3 for row in range(300)])
    assert abs(len(result["test"]) - 30) <= 1
    assert abs(len(result["validation"]) - 30) <= 1


def test_the_cut_is_the_same_on_every_machine_and_differs_by_seed():
    assert cut(20, BOTH, 0) == {
        "test": [10, 18],
        "validation": [14, 16],
        "train": [row for row in range(20) if row not in [10, 14, 16, 18]],
    }
    assert cut(200, BOTH, 0) != cut(200, BOTH, 1)


def test_rows_without_a_group_are_free():
    result = cut(100, BOTH, 0, [[None] * 100])
    assert {split: len(rows) for split, rows in result.items()} == {"train": 80, "validation": 10, "test": 10}


def test_one_large_group_does_not_swallow_a_split():
    result = cut(1000, BOTH, 3, [["big"] * 500 + list(range(500))])
    assert 90 <= len(result["test"]) <= 110
    assert 90 <= len(result["validation"]) <= 110


def test_few_rows_still_give_each_split_one():
    result = cut(4, BOTH, 0)
    assert {split: len(rows) for split, rows in result.items()} == {"train": 2, "validation": 1, "test": 1}


def test_too_few_rows_are_an_error():
    with pytest.raises(DataError, match="train is too small to cut a validation split"):
        cut(2, BOTH, 0)
    with pytest.raises(DataError, match="train is too small to cut a test split"):
        cut(50, BOTH, 0, [["one author"] * 50])


def test_samples_are_sorted_and_only_drawn_when_asked():
    assert sample(10, None, 0, "train") is None
    assert sample(10, 10, 0, "train") is None
    rows = sample(1000, 5, 0, "train")
    assert rows == sorted(rows)
    assert rows == sample(1000, 5, 0, "train") != sample(1000, 5, 0, "test")


def test_what_counts_as_a_class():
    assert classes(["a", "b"] * 10) == ["a", "b"] * 10
    assert classes([0, 1] * 10) == ["0", "1"] * 10
    assert classes([0.5, 1.5] * 10) is None
    assert classes([["a"], ["b"]]) is None
    assert classes([f"name {n}" for n in range(50)]) is None
    assert classes([]) is None
