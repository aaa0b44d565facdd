"""Texts of unlike lengths are read in the batches that cost least."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hftune.inference.classification import PASS_IN_TOKENS, cheapest_batches


def cost(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(PASS_IN_TOKENS + max(lengths[index] for index in batch) * len(batch) for batch in batches)


def least(lengths: list[int], batch_size: int) -> int:
    """Return the least cost of all ways to cut the sorted lengths."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    found = []
    for cuts in itertools.product((False, True), repeat=max(0, len(order) - 1)):
        ends = [0, *(index + 1 for index, cut in enumerate(cuts) if cut), len(order)]
        batches = [order[start:end] for start, end in itertools.pairwise(ends) if end > start]
        if all(len(batch) <= batch_size for batch in batches):
            found.append(cost(batches, lengths))
    return min(found)


@given(st.lists(st.integers(1, 90), max_size=9), st.integers(1, 5))
def test_every_text_is_read_once_in_the_cheapest_batches(lengths: list[int], batch_size: int) -> None:
    batches = cheapest_batches(lengths, batch_size, PASS_IN_TOKENS)
    assert sorted(itertools.chain.from_iterable(batches)) == list(range(len(lengths)))
    assert all(0 < len(batch) <= batch_size for batch in batches)
    assert cost(batches, lengths) == least(lengths, batch_size)


def test_the_longest_come_first_so_that_what_does_not_fit_fails_at_once() -> None:
    assert cheapest_batches([3, 90, 4, 88], 8, PASS_IN_TOKENS) == [[1, 3], [2, 0]]
