"""Near-duplicate texts by MinHash and locality-sensitive hashing (Broder 1997; Leskovec et al., *Mining of Massive
Datasets*, chapter 3), written out here because it is 60 lines of numpy, where a package for it would be one more
dependency, slower on short texts and sized for an index of everything.

A text's shingles are all windows of 8 bytes of its normalised UTF-8: each is one uint64 with no loop in Python. Two
texts of 120 characters that differ in one word share about 0.8 of them, unrelated ones about 0.02.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, TypeAlias

import numpy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Hashes: TypeAlias = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint64]]

WINDOW = 8
BANDS, ROWS = 16, 4  # finds a pair that shares 0.7 of its shingles in 98.8% of cases: 1 - (1 - 0.7**4)**16
LONGEST = 4000  # characters compared: more than any model here reads, and it bounds the work on whole books
CANDIDATES = 16  # compared exactly for one text; boilerplate would otherwise make the work quadratic

_odd = numpy.random.default_rng(20240229).integers(1, 2**63, size=(1, BANDS * ROWS), dtype=numpy.uint64)
_MULTIPLIERS = _odd * numpy.uint64(2) + numpy.uint64(1)
_ROW_FACTORS = _MULTIPLIERS[:, :ROWS]


def normalize(text: str) -> str:
    """Return the text as duplicates are compared: compatibility forms, case and runs of space made equal."""
    return " ".join(unicodedata.normalize("NFKC", text[:LONGEST]).casefold().split())


def shingles(normalized: str) -> Hashes:
    """Return the well-mixed 64-bit shingles of a normalised text, uint64 [n], repeats among them, n ≥ 1."""
    data = normalized.encode("utf-8", "surrogatepass").ljust(WINDOW, b"\0")
    windows: Hashes = numpy.ndarray((len(data) - WINDOW + 1,), dtype=numpy.uint64, buffer=data, strides=(1,))
    return _mix(windows)


def similarity(one: Hashes, other: Hashes) -> float:
    """Return the Jaccard index of two texts' shingles."""
    mine, theirs = numpy.unique(one), numpy.unique(other)
    shared = numpy.intersect1d(mine, theirs, assume_unique=True).size
    return shared / (mine.size + theirs.size - shared)


def bands(shingled: Hashes) -> Hashes:
    """Return the band hashes of a text's shingles, uint64 [BANDS]: equal in a band means likely similar."""
    smallest = (shingled[:, None] * _MULTIPLIERS).min(axis=0).reshape(BANDS, ROWS)
    # Odd factors apart from each other, so that a band is equal only where all of its rows are.
    combined: Hashes = (smallest * _ROW_FACTORS).sum(axis=1, dtype=numpy.uint64)
    return combined


class Index:
    """Band hashes of the texts that others are looked up in; 16 numbers of 8 bytes, and as many row numbers, a text."""

    def __init__(self, hashes: Hashes) -> None:
        """`hashes`: uint64 [texts, BANDS]."""
        order = numpy.argsort(hashes, axis=0, kind="stable")
        self._rows = order
        self._sorted = numpy.take_along_axis(hashes, order, axis=0)

    def candidates(self, hashes: Hashes) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield (row of `hashes` [n, BANDS], rows of the index that share a band with it), without empty ones."""
        found: dict[int, list[int]] = {}
        for band in range(BANDS):
            column = self._sorted[:, band]
            start = numpy.searchsorted(column, hashes[:, band], side="left")
            stop = numpy.searchsorted(column, hashes[:, band], side="right")
            for row in numpy.flatnonzero(stop > start).tolist():
                near = found.setdefault(row, [])
                near.extend(self._rows[start[row] : min(stop[row], start[row] + CANDIDATES), band].tolist())
        for row, rows in found.items():
            yield row, sorted(set(rows))[:CANDIDATES]


def _mix(keys: Hashes) -> Hashes:
    """Return the keys scrambled one to one, so that their minimum under a multiplier is a fair draw (splitmix64)."""
    keys = (keys ^ (keys >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> numpy.uint64(31))
