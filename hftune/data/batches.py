"""The order of training examples: a pure function of seed, epoch, lengths and sizes, so nothing is replayed on resume.

*Global* batches are formed first, then cut into micro-batches for processes and accumulation. So one process with
batch 2B, two processes with batch B, and B accumulated twice all train on the very same global batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

# Lengths are sorted within so many batches: enough that a batch holds texts of like length, few enough to stay random.
_BATCHES_SORTED_TOGETHER = 50


def batch_plan(
    lengths: Sequence[int] | Indices, *, seed: int, epoch: int, batch_size: int, group_by_length: bool
) -> list[Indices]:
    """Return the global batches of one epoch: index arrays of `batch_size` examples, one of them perhaps smaller.

    Every example stands in exactly one batch. Grouped, examples are shuffled, sorted by length within a stretch of
    50 batches, cut, and the batches shuffled; inside a batch they stay sorted, so micro-batches have little padding.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = _shuffled(len(sizes), seed, epoch, stream=0)
    if not group_by_length:
        return _cut(order, batch_size)
    stretches = _cut(order, batch_size * _BATCHES_SORTED_TOGETHER)
    by_length = [stretch[np.argsort(sizes[stretch], kind="stable")] for stretch in stretches]
    batches = [batch for stretch in by_length for batch in _cut(stretch, batch_size)]
    return [batches[index] for index in _shuffled(len(batches), seed, epoch, stream=1)]


def micro_batches(batch: Indices, *, rank: int, world_size: int, per_device_batch_size: int) -> list[Indices]:
    """Return the parts of a global batch that process `rank` runs, one forward pass each.

    The batch is cut into pieces of nearly equal size, at most `per_device_batch_size`; neighbouring pieces (of like
    length) go to different processes in the same round. A rank's piece is empty when a last batch has fewer examples
    than there are processes; every rank has equally many pieces.
    """
    rounds = -(-len(batch) // (per_device_batch_size * world_size))
    pieces = np.array_split(batch, rounds * world_size)
    return pieces[rank::world_size]


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Return how many global batches `batch_plan` makes of so many examples."""
    return -(-examples // batch_size)


def _cut(order: Indices, size: int) -> list[Indices]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _shuffled(count: int, seed: int, epoch: int, stream: int) -> Indices:
    """Return a permutation of range(count).

    Sorted raw output of PCG64: numpy keeps that stream for good, unlike the algorithm behind `permutation`.
    """
    bits = np.random.PCG64(np.random.SeedSequence((seed % 2**64, epoch, stream)))
    return np.argsort(bits.random_raw(count), kind="stable").astype(np.int64)
