"""Explanations of the starter BERT on 200 real reviews can be believed, by the functions of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from hftune.inference.predictor import Predictor
from tests.benchmarks.faithfulness import faithfulness, flip_counts, interval, texts_of

TEXTS, FLIPS = 200, 40
LONGEST = 24  # words: as three quarters of the reviews; the benchmark asks longer ones too, which take most of the time

pytestmark = pytest.mark.long


@pytest.fixture
def reviews(bert_cls: Path, all_threads: None) -> Predictor:
    return Predictor.load(bert_cls, device="cpu")


def test_every_method_is_better_than_chance_and_gradients_are_complete(reviews: Predictor) -> None:
    texts = texts_of(reviews, TEXTS, LONGEST)
    assert len(texts) == TEXTS
    tallies = faithfulness(reviews, texts, insertion=False)
    for name, tally in tallies.items():
        low, _ = interval(tally.gained)
        assert low > 0, name
    assert max(tallies["integrated-gradients"].errors) < 0.01


def test_few_changed_words_flip_what_the_model_is_sure_of(reviews: Predictor) -> None:
    counts = flip_counts(reviews, texts_of(reviews, None), FLIPS)
    assert len(counts) == FLIPS
    assert sum(map(bool, counts)) >= 0.8 * FLIPS
