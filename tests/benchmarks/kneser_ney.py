"""Interpolated modified Kneser-Ney n-grams over token ids, counted and scored with numpy.

Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", Computer Speech and Language 13
(1999): modified Kneser-Ney smoothing. N-grams that begin a document keep their counts at every order, as in Heafield
et al., "Scalable Modified Kneser-Ney Language Model Estimation", ACL 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Documents = Sequence[Sequence[int] | Ids]

# For corpora so small that counts of counts give no discount between 0 and the count; the same as KenLM's.
FALLBACK = (0.5, 1.0, 1.5)
UNKNOWN = -1  # number of an n-gram that was not seen


@dataclass(frozen=True)
class Level:
    """The n-grams of one order; n-gram number i has the i-th of the sorted `keys`.

    A key is (number of the n-gram without its last token) * (vocabulary + 1) + (last token); a token is its own number.
    `share` is (a - D(a)) / (sum of a after the context). `backoff`, by number of the context, is the weight of the
    order below: 1 where nothing ever followed.
    """

    keys: Ids
    share: Floats
    backoff: Floats
    discounts: tuple[float, float, float]


class KneserNey:
    """p(w | h) = (a(hw) - D(a(hw))) / a(h·) + γ(h) p(w | h'), h' = h without its first token; p(w | nothing) = 1 / V.

    a(hw) is the count at the highest order, and for n-grams that begin a document; else how many different tokens were
    seen before hw. D has three values an order, by a = 1, 2, 3 or more, from that order's counts of counts; γ(h) is
    what they take away. Documents are token ids below `vocabulary_size`, ended by end-of-text; a token of its own,
    which is never predicted, stands before the first.
    """

    def __init__(self, documents: Documents, vocabulary_size: int, order: int = 5) -> None:
        self._width = vocabulary_size + 1  # the last one is begin-of-document
        self.levels: list[Level] = []
        stream, depth = self._stream(documents)
        numbers, keys, contexts = stream, np.arange(vocabulary_size), 1
        counts = np.bincount(stream[depth > 0], minlength=vocabulary_size)
        for n in range(2, min(order, int(depth.max()) + 1) + 1):
            ends = np.flatnonzero(depth >= n - 1)  # where an n-gram within one document ends
            longer, where, inverse, longer_counts = np.unique(
                numbers[ends - 1] * self._width + stream[ends],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            before = np.bincount(numbers[ends[where]], minlength=len(keys))
            # Nothing stands before what begins a document, and something before everything else.
            self.levels.append(_level(keys, np.where(before > 0, before, counts), contexts, self._width))
            contexts = self._width if n == 2 else len(keys)
            keys, counts = longer, longer_counts
            numbers = np.full(len(stream), UNKNOWN)
            numbers[ends] = inverse
        self.levels.append(_level(keys, counts, contexts, self._width))

    def log2_probabilities(self, documents: Documents) -> list[Floats]:
        """Return for each document log2 p(token | the document before it) of every token, its first one included."""
        stream, depth = self._stream(documents)
        predicted = np.flatnonzero(depth)
        tokens = stream[predicted]
        probability = np.full(len(tokens), 1 / (self._width - 1))
        context = np.zeros(len(tokens), dtype=np.int64)
        for n, level in enumerate(self.levels, start=1):
            key = context * self._width + tokens
            number = np.minimum(np.searchsorted(level.keys, key), len(level.keys) - 1)
            seen = (context != UNKNOWN) & (level.keys[number] == key)
            backoff = np.where(context != UNKNOWN, level.backoff[context], 1.0)
            probability = np.where(seen, level.share[number], 0.0) + backoff * probability
            numbers = stream if n == 1 else np.full(len(stream), UNKNOWN)
            if n > 1:
                numbers[predicted] = np.where(seen, number, UNKNOWN)
            context = numbers[predicted - 1]
        return np.split(np.log2(probability), np.cumsum([len(document) for document in documents])[:-1])

    def _stream(self, documents: Documents) -> tuple[Ids, Ids]:
        """Return all tokens, begin-of-document before each document, and each one's distance from there."""
        begin = np.array([self._width - 1])
        stream = np.concatenate([part for one in documents for part in (begin, np.asarray(one, dtype=np.int64))])
        starts = np.cumsum([0, *(len(one) + 1 for one in documents)])
        depth = np.arange(len(stream)) - np.repeat(starts[:-1], np.diff(starts))
        return stream, depth


def _level(keys: Ids, counts: Ids, contexts: int, width: int) -> Level:
    """Return the estimates of one order from its adjusted counts; `contexts` is how many numbers contexts have."""
    discounts = _discounts(counts)
    taken = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    context = keys // width
    total = np.bincount(context, counts, contexts)
    backoff = np.divide(np.bincount(context, taken, contexts), total, out=np.ones(contexts), where=total > 0)
    return Level(keys, (counts - taken) / total[context], backoff, discounts)


def _discounts(counts: Ids) -> tuple[float, float, float]:
    """Return D1, D2, D3+ = i - (i + 1) Y n_(i+1) / n_i, Y = n1 / (n1 + 2 n2), n_i: how many n-grams have count i."""
    n1, n2, n3, n4 = (int((counts == i).sum()) for i in range(1, 5))
    if min(n1, n2, n3, n4) == 0:
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < discount <= i for i, discount in enumerate(found, start=1)) else FALLBACK
