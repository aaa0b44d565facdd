"""The n-gram baseline: its estimates are the equations of modified Kneser-Ney, and sum to one."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "kneser_ney.py"
spec = importlib.util.spec_from_file_location("kneser_ney", FILE)
assert spec is not None and spec.loader is not None
kneser_ney = importlib.util.module_from_spec(spec)
sys.modules["kneser_ney"] = kneser_ney
spec.loader.exec_module(kneser_ney)

END, VOCABULARY = 0, 12
BEGIN = "begin"


def corpus(seed: int, documents: int = 150) -> list[list[int]]:
    """Documents with some structure; token 11 never occurs in them."""
    chance = random.Random(seed)
    result = []
    for _ in range(documents):
        tokens = [chance.randint(1, 4)]
        while len(tokens) < chance.randint(1, 20):
            tokens.append(chance.choice([tokens[-1] % 10 + 1, tokens[-1] * 3 % 10 + 1, chance.randint(1, 10)]))
        result.append([*tokens, END])
    return result


class Reference:
    """The same model from dictionaries, one equation a method."""

    def __init__(self, documents: list[list[int]], order: int) -> None:
        self.order = order
        texts = [(BEGIN, *document) for document in documents]
        self.adjusted: dict[int, Counter] = {}
        for n in range(1, order + 1):
            counts = Counter(text[i : i + n] for text in texts for i in range(len(text) - n + 1))
            longer = {text[i : i + n + 1] for text in texts for i in range(len(text) - n)}
            before = Counter(gram[1:] for gram in longer)
            self.adjusted[n] = Counter(
                {
                    gram: count if n == order or gram[0] == BEGIN else before[gram]
                    for gram, count in counts.items()
                    if gram[-1] != BEGIN
                }
            )

    def discount(self, n: int, count: int) -> float:
        if count == 0:
            return 0.0
        of = Counter(self.adjusted[n].values())
        i = min(count, 3)
        y = of[1] / (of[1] + 2 * of[2]) if of[1] else 0.0
        if not all(of[k] for k in (1, 2, 3, 4)):
            return kneser_ney.FALLBACK[i - 1]
        values = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
        if not all(0 < value <= k for k, value in enumerate(values, start=1)):
            return kneser_ney.FALLBACK[i - 1]
        return values[i - 1]

    def probability(self, token: int, history: tuple) -> float:
        if len(history) >= self.order:
            history = history[len(history) - self.order + 1 :]
        n = len(history) + 1
        lower = self.probability(token, history[1:]) if history else 1 / VOCABULARY
        after = {gram: count for gram, count in self.adjusted[n].items() if gram[:-1] == history}
        if not after:
            return lower
        total = sum(after.values())
        count = after.get((*history, token), 0)
        weight = sum(self.discount(n, found) for found in after.values()) / total
        return (count - self.discount(n, count)) / total + weight * lower


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_estimates_are_those_of_the_equations(order):
    documents, others = corpus(1), corpus(2, documents=8)
    model, reference = kneser_ney.KneserNey(documents, VOCABULARY, order), Reference(documents, order)
    for document, found in zip(others, model.log2_probabilities(others), strict=True):
        text = (BEGIN, *document)
        expected = [np.log2(reference.probability(text[i], text[:i])) for i in range(1, len(text))]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_some_orders_have_discounts_of_their_own_and_not_the_fallback():
    levels = kneser_ney.KneserNey(corpus(1), VOCABULARY, 5).levels
    own = [level.discounts for level in levels if level.discounts != kneser_ney.FALLBACK]
    assert len(own) >= 3


@pytest.mark.parametrize(
    "context",
    [
        pytest.param([], id="beginning of a document"),
        pytest.param([2], id="its second token"),
        pytest.param([1, 2, 3, 4, 5, 6], id="seen"),
        pytest.param([10, 1, 9, 2, 10, 7, 1], id="seen in part"),
        pytest.param([11, 11, 11, 11, 11], id="never seen"),
        pytest.param([5, END], id="after an end that nothing follows"),
    ],
)
def test_probabilities_sum_to_one_over_the_vocabulary(context):
    model = kneser_ney.KneserNey(corpus(3), VOCABULARY, 5)
    found = model.log2_probabilities([[*context, token] for token in range(VOCABULARY)])
    probabilities = 2.0 ** np.array([one[-1] for one in found])
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_an_order_beyond_the_longest_document_is_the_longest_there_is():
    documents = [[1, END], [2, END], [1, END]]
    highest, enough = (kneser_ney.KneserNey(documents, VOCABULARY, order) for order in (9, 3))
    assert len(highest.levels) == 3
    np.testing.assert_array_equal(highest.log2_probabilities([[1, END]])[0], enough.log2_probabilities([[1, END]])[0])


def test_scoring_leaves_the_documents_as_they_are_and_does_not_depend_on_their_order():
    model, documents = kneser_ney.KneserNey(corpus(4), VOCABULARY, 4), [np.array(one) for one in corpus(5, documents=6)]
    copies = [one.copy() for one in documents]
    forward, backward = model.log2_probabilities(documents), model.log2_probabilities(documents[::-1])
    for one, copy, here, there in zip(documents, copies, forward, backward[::-1], strict=True):
        np.testing.assert_array_equal(one, copy)
        np.testing.assert_array_equal(here, there)
