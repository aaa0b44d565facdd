"""Cutting validation and test out of train: seeded, grouped, stratified, the same on every machine.

Rows that must not be parted (equal group, equal text) form a unit; units are dealt to the splits whole.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from hftune.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

MAX_CLASSES = 100  # more different labels than that are numbers or names, not classes to balance
HELD_OUT = ("test", "validation")


def cut(
    rows: int,
    shares: Mapping[str, float],
    seed: int,
    keys: Sequence[Sequence[Hashable]] = (),
    labels: Sequence[Hashable] | None = None,
) -> dict[str, list[int]]:
    """Deal `rows` row numbers to `train` and the splits in `shares` (split -> share of all rows, below 1 in all).

    `keys` are columns of values; rows with an equal value in any of them stay together (None never binds).
    `labels`, one a row, are kept in proportion. Row numbers come back sorted, so every split keeps the file's order.
    Raises DataError when a split would be empty.
    """
    strata = _strata(_units(rows, keys), labels)
    dealt: dict[str, list[int]] = {split: [] for split in shares if shares[split] > 0}
    owed = dict.fromkeys(dealt, 0.0)
    train: list[int] = []
    draw = random.Random(seed)
    for stratum in strata:
        draw.shuffle(stratum)
        size = sum(len(unit) for unit in stratum)
        remaining = list(stratum)
        for split, share in ((split, shares[split]) for split in HELD_OUT if split in dealt):
            owed[split] += share * size  # what rounding leaves over is carried to the next stratum
            remaining = _take(remaining, dealt[split], owed, split)
        train += [row for unit in remaining for row in unit]
    result = {split: sorted(members) for split, members in dealt.items()} | {"train": sorted(train)}
    _fill_empty(result, strata, draw)
    return result


def sample(rows: int, limit: int | None, seed: int, split: str) -> list[int] | None:
    """Return at most `limit` sorted row numbers drawn at random, None when all may stay."""
    if limit is None or limit >= rows:
        return None
    return sorted(random.Random(f"{seed}:{split}").sample(range(rows), limit))


def classes(values: Sequence[object]) -> list[Hashable] | None:
    """Return the labels to keep in proportion, None when they are numbers, lists, or too many to be classes."""
    if not values or any(isinstance(value, (list, dict, float)) for value in values):
        return None
    hashable = [str(value) for value in values]
    return list(hashable) if len(set(hashable)) <= min(MAX_CLASSES, max(2, len(values) // 4)) else None


def select(dataset: Dataset, rows: Sequence[int]) -> Dataset:
    """Return the rows of a data set as one of its own."""
    return dataset.select(rows)


def _units(rows: int, keys: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Join rows that share a value in any key column (union-find); units come in order of their first row."""
    parent = list(range(rows))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for values in keys:
        first: dict[Hashable, int] = {}
        for row, value in enumerate(values):
            if value is not None:
                one, other = root(first.setdefault(value, row)), root(row)
                parent[max(one, other)] = min(one, other)
    units: dict[int, list[int]] = {}
    for row in range(rows):
        units.setdefault(root(row), []).append(row)
    return list(units.values())


def _strata(units: list[list[int]], labels: Sequence[Hashable] | None) -> list[list[list[int]]]:
    """Put units with the same first label together, in order of appearance."""
    if labels is None:
        return [list(units)]
    strata: dict[Hashable, list[list[int]]] = {}
    for unit in units:
        strata.setdefault(labels[unit[0]], []).append(unit)
    return list(strata.values())


def _take(units: list[list[int]], into: list[int], owed: dict[str, float], split: str) -> list[list[int]]:
    """Move units to a split while it is owed at least half of one; return the others.

    A unit larger than what is owed is passed over rather than let one large group swallow the split.
    """
    left = []
    for unit in units:
        if owed[split] >= max(0.5, len(unit) / 2):
            into += unit
            owed[split] -= len(unit)
        else:
            left.append(unit)
    return left


def _fill_empty(result: dict[str, list[int]], strata: list[list[list[int]]], draw: random.Random) -> None:
    """Few rows round to none: give an empty split one unit of train, the smallest there is."""
    for split in [name for name in HELD_OUT if name in result and not result[name]]:
        in_train = set(result["train"])
        spare = [unit for stratum in strata for unit in stratum if unit[0] in in_train]
        if len(spare) < 2:
            raise DataError(
                f"train is too small to cut a {split} split from it",
                hint=f"Give more examples or groups, a {split} split of its own, or set `data.{split}_share: 0`.",
            )
        draw.shuffle(spare)
        unit = min(spare, key=len)
        result[split] = sorted(unit)
        result["train"] = sorted(in_train - set(unit))
    if not result["train"]:
        raise DataError("nothing is left to train on", hint="Lower `data.validation_share` and `data.test_share`.")
