"""The order of examples: complete, seeded, and the same however a global batch is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hftune.data.batches import batch_plan, micro_batches, steps_per_epoch

LENGTHS = st.lists(st.integers(1, 128), min_size=1, max_size=400)


@given(LENGTHS, st.integers(), st.integers(0, 5), st.integers(1, 40), st.booleans())
def test_every_example_stands_in_exactly_one_batch(lengths, seed, epoch, batch_size, grouped):
    batches = batch_plan(lengths, seed=seed, epoch=epoch, batch_size=batch_size, group_by_length=grouped)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == steps_per_epoch(len(lengths), batch_size)
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


@given(LENGTHS, st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60)
def test_micro_batches_share_out_a_global_batch(lengths, per_device, accumulation, world_size):
    size = per_device * accumulation * world_size
    for batch in batch_plan(lengths, seed=1, epoch=0, batch_size=size, group_by_length=True):
        shares = [
            micro_batches(batch, rank=rank, world_size=world_size, per_device_batch_size=per_device)
            for rank in range(world_size)
        ]
        assert len({len(share) for share in shares}) == 1, "every rank has as many rounds"
        assert max(len(part) for share in shares for part in share) <= per_device
        parts = [index for share in shares for part in share for index in part.tolist()]
        assert sorted(parts) == sorted(batch.tolist())
        totals = [sum(map(len, share)) for share in shares]
        assert max(totals) - min(totals) <= len(shares[0]), "shares differ by one example a round at most"


def test_one_process_two_processes_and_accumulation_have_the_same_global_batches():
    lengths = np.arange(100) % 17 + 1

    def batches(per_device: int, accumulation: int, world_size: int) -> list[list[int]]:
        size = per_device * accumulation * world_size
        plan = batch_plan(lengths, seed=3, epoch=1, batch_size=size, group_by_length=True)
        return [
            sorted(
                index
                for rank in range(world_size)
                for part in micro_batches(batch, rank=rank, world_size=world_size, per_device_batch_size=per_device)
                for index in part.tolist()
            )
            for batch in plan
        ]

    assert batches(8, 1, 1) == batches(4, 1, 2) == batches(4, 2, 1) == batches(1, 2, 4)


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = [5, 9, 2, 7, 7, 1, 3, 8]
    kept = batch_plan(lengths, seed=0, epoch=0, batch_size=3, group_by_length=True)
    again = batch_plan(lengths, seed=0, epoch=0, batch_size=3, group_by_length=True)
    assert [batch.tolist() for batch in kept] == [batch.tolist() for batch in again]
    orders = {
        tuple(np.concatenate(batch_plan(range(1, 99), seed=seed, epoch=epoch, batch_size=3, group_by_length=True)))
        for seed in (-1, 0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(orders) == 9


def test_the_order_is_the_one_of_other_versions():
    """Stored: a library that changes its shuffle must not change what a resumed run trains on."""
    plain = batch_plan([1] * 6, seed=0, epoch=0, batch_size=2, group_by_length=False)
    grouped = batch_plan([3, 1, 2, 1, 3, 2], seed=0, epoch=0, batch_size=2, group_by_length=True)
    assert [batch.tolist() for batch in plain] == PLAIN
    assert [batch.tolist() for batch in grouped] == GROUPED


def test_grouped_batches_hold_texts_of_like_length():
    lengths = np.random.default_rng(0).integers(5, 120, size=2000)

    def padding(grouped: bool) -> float:
        plan = batch_plan(lengths, seed=0, epoch=0, batch_size=16, group_by_length=grouped)
        padded = sum(int(lengths[batch].max()) * len(batch) for batch in plan)
        return padded / int(lengths.sum()) - 1

    assert padding(grouped=True) < 0.05 < 0.5 < padding(grouped=False)


PLAIN = [[3, 2], [1, 0], [4, 5]]
GROUPED = [[2, 5], [3, 1], [0, 4]]
