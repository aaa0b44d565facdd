"""Windows of a document become one answer, in whatever order they come."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hftune.data.windows import Pooling, WindowPool


@settings(max_examples=30)
@given(
    windows=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    pooling=st.sampled_from(["mean", "max", "first"]),
    seed=st.integers(0, 1000),
)
def test_order_and_batches_do_not_matter(windows: list[int], pooling: Pooling, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    places = [(row, window) for row, count in enumerate(windows) for window in range(count)]
    logits = torch.randn(len(places), 3, generator=generator)
    expected = []
    for row in range(len(windows)):
        own = torch.stack([vector for vector, place in zip(logits, places, strict=True) if place[0] == row])
        expected.append({"mean": own.mean(0), "max": own.max(0).values, "first": own[0]}[pooling])
    order = torch.randperm(len(places), generator=generator).tolist()
    pool = WindowPool(pooling)
    for start in range(0, len(order), 2):
        some = order[start : start + 2]
        rows, numbers = torch.tensor([places[index] for index in some]).T
        pool.add(logits[some], rows, numbers)
    rows_found, pooled = pool.result()
    assert rows_found == list(range(len(windows)))
    torch.testing.assert_close(pooled, torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_rows_need_not_follow_each_other() -> None:
    pool = WindowPool("mean")
    pool.add(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([7, 2, 7]), torch.tensor([0, 0, 1]))
    rows, pooled = pool.result()
    assert rows == [2, 7]
    assert pooled.tolist() == [[3.0], [3.0]]


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_one_window_is_its_own_answer(pooling: Pooling) -> None:
    pool = WindowPool(pooling)
    pool.add(torch.tensor([[0.1, -0.2]]), torch.tensor([0]), torch.tensor([0]))
    assert torch.equal(pool.result()[1], torch.tensor([[0.1, -0.2]]))
