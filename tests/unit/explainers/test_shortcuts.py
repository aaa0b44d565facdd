"""Shortcuts, with figures by hand on a bag of embeddings whose every word adds a number that the test chose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hftune.explainers._evidence import LABEL, LETTER, NAME, NUMBER, PUNCTUATION
from hftune.explainers._shortcuts import PLANTED, Shortcut
from hftune.explainers._survey import Survey
from hftune.inference.predictor import Predictor
from tests.unit.explainers.conftest import bag
from tests.unit.explainers.test_survey import surveyed, write

BLANK = -0.5  # log-odds of the second label for a text without words


def weighing(weights: dict[str, float], labels: tuple[str, str] = ("negative", "positive")) -> Predictor:
    """Return a model in which each word adds its weight to the log-odds of the second label, all others nothing.

    `[UNK]` is every word that the model does not know: marks, numbers, names.
    """
    predictor = bag(list(labels), "single_label_classification")
    model, tokenizer = predictor.loaded.model, predictor.loaded.tokenizer
    with torch.no_grad():
        apart = model.classifier.weight[1] - model.classifier.weight[0]
        model.classifier.bias.copy_(torch.tensor([0.0, BLANK]))
        model.embedding.weight.zero_()
        for word, weight in weights.items():
            model.embedding.weight[tokenizer.convert_tokens_to_ids(word)] = weight * apart / (apart @ apart)
    return predictor


def survey_of(predictor: Predictor, rows: list[tuple[str, str]], folder: Path) -> Survey:
    some = [{"text": text, "label": label} for text, label in rows]
    return surveyed(predictor, file=write(folder / "rows.jsonl", some))


def share(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def of_kind(found: Survey, kind: str, label: str = "positive") -> Shortcut:
    return next(one for one in found.shortcuts if (one.kind, one.label) == (kind, label))


@pytest.mark.parametrize(
    ("suspicious", "kind"),
    [("!", PUNCTUATION), ("1999", NUMBER), ("Kubrick", NAME), ("x", LETTER)],
)
def test_each_kind_of_evidence_is_counted_and_checked(suspicious: str, kind: str, tmp_path: Path) -> None:
    predictor = weighing({"[UNK]": 3.0, "good": 1.0, "bad": -1.0})
    rows = [(f"the film was {suspicious}", "positive")] * 5 + [("good good good film", "positive")] * 3
    rows += [("bad film", "negative")] * 8
    found = survey_of(predictor, rows, tmp_path)
    shown = of_kind(found, kind)
    assert shown.claimed
    assert (shown.rows, shown.of, shown.words) == (5, 8, [(suspicious.lower(), 5)])
    assert shown.share.value == 5 / 8
    assert shown.flips == 5
    assert shown.fall.value == pytest.approx(share(3 + BLANK) - share(BLANK), rel=1e-5)
    assert (shown.word_flips, shown.word_fall) == (shown.flips, shown.fall), "each text has one such word"
    assert shown.effect == pytest.approx(5 / 8 * shown.fall.value)
    assert shown.carried == pytest.approx(5 / 8, abs=1e-3)
    assert shown.among == 5 / 32
    assert shown.example["word"] == suspicious.lower()
    assert shown.example["without"] == pytest.approx(share(BLANK), rel=1e-5)
    # What stands in 5 of 8 texts of one label, and nowhere else, is also that label's word.
    planted = of_kind(found, PLANTED)
    assert planted.claimed
    assert planted.stands == {"texts": 5, "of": 8, "others": 0}
    assert planted.added == {"rows": 8, "flips": 8}, "3 - 1 - 0.5 is above 0"
    others = [one for one in found.shortcuts if one.claimed and one not in (shown, planted)]
    assert [(one.kind, one.label, one.words) for one in others] == [(PLANTED, "negative", [("bad", 8)])]


def test_words_of_a_kind_that_stand_in_for_each_other_are_left_out_together(tmp_path: Path) -> None:
    predictor = weighing({"[UNK]": 3.0, "bad": -1.0})
    rows = [("the film was Ahab Starbuck", "positive")] * 6 + [("bad film", "negative")] * 6
    found = of_kind(survey_of(predictor, rows, tmp_path), NAME)
    assert found.claimed
    assert (found.rows, found.word_flips, found.flips) == (6, 0, 6)
    assert found.word_fall.value == pytest.approx(share(6 + BLANK) - share(3 + BLANK), rel=1e-4)
    assert found.fall.value == pytest.approx(share(6 + BLANK) - share(BLANK), rel=1e-4)
    assert found.example["without"] == pytest.approx(share(BLANK), rel=1e-4)


def test_the_name_of_a_label_in_its_texts_is_reported(tmp_path: Path) -> None:
    predictor = weighing({"good": 3.0, "bad": -1.0}, ("bad_ones", "good_ones"))
    rows = [("the good film", "good_ones"), ("a good plot", "good_ones"), ("very good", "good_ones")] * 2
    rows += [("bad film", "bad_ones"), ("film", "bad_ones")] * 3
    found = survey_of(predictor, rows, tmp_path)
    shown = of_kind(found, LABEL, "good_ones")
    assert shown.claimed
    assert (shown.rows, shown.of) == (6, 6)
    assert shown.flips == 6


def test_marks_that_stand_everywhere_and_do_nothing_are_no_shortcut(tmp_path: Path) -> None:
    predictor = weighing({"[UNK]": 0.02, "good": 3.0, "bad": -3.0})
    rows = [(f"{word} film {mark}", label) for word, label in (("good", "positive"), ("bad", "negative"))
            for mark in ("!", ".", "?", "1999") for _ in range(3)]  # fmt: skip
    # Some right rows hang on a mark, but lose nothing without it.
    rows += [("film !", "negative")] * 3
    found = survey_of(predictor, rows, tmp_path)
    assert [one for one in found.shortcuts if one.claimed and one.kind != PLANTED] == []
    assert not found.length.claimed


def test_a_strong_word_of_few_texts_is_nobodys_plant(tmp_path: Path) -> None:
    words = ["good", "lovely", "very", "plot", "was", "not"]
    predictor = weighing({**dict.fromkeys(words, 3.0), "bad": -1.0})
    rows = [(f"{word} film", "positive") for word in words for _ in range(3)] + [("bad film", "negative")] * 6
    found = survey_of(predictor, rows, tmp_path)
    assert [one.words[0][0] for one in found.shortcuts if one.claimed] == ["bad"], "a sixth of the texts is too few"


def test_an_answer_that_follows_the_length_is_told(tmp_path: Path) -> None:
    predictor = weighing({"film": 0.1})  # more than five of them are positive
    texts = ["film " * count for count in range(1, 11)] * 3
    honest = [(text, "positive" if len(text.split()) > 5 else "negative") for text in texts]
    found = survey_of(predictor, honest, tmp_path).length
    assert (found.label, found.claimed) == ("positive", False), "it is so in the data too"
    assert found.said.value == found.true.value > 0.8
    assert [(one["from"], one["to"], one["rows"], one["right"]) for one in found.bins] == [
        (1, 3, 9, 9), (4, 5, 6, 6), (6, 8, 9, 9), (9, 10, 6, 6),
    ]  # fmt: skip
    random = [(text, ("negative", "positive")[place // 10 % 2]) for place, text in enumerate(texts)]
    found = survey_of(predictor, random, tmp_path).length
    assert found.claimed
    assert abs(found.true.value) < 0.1 < found.said.value
