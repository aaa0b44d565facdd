"""A model explained over many rows: shortcuts that are planted are found, and figures are those by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hftune.explainers import CHANCE, methods
from hftune.explainers._counterfactual import Neighbourhood, find
from hftune.explainers._labelled import LabelledRows, label_rows
from hftune.explainers._question import Question
from hftune.explainers._shortcuts import PLANTED as KIND
from hftune.explainers._survey import Survey, survey
from hftune.inference.predictor import CLASSIFIES, Predictor
from hftune.inference.scoring import load_rows
from tests.unit.explainers.conftest import PLANTED

METHODS = [name for name in methods(CLASSIFIES) if name != CHANCE]


def quiet(_: str) -> None:
    return None


def rows_of(
    predictor: Predictor, split: str | None = "test", file: Path | None = None, most: int = 100
) -> LabelledRows:
    return label_rows(predictor, *load_rows(predictor, split, file, quiet), most, quiet)


def surveyed(predictor: Predictor, names: list[str] | None = None, **which: Any) -> Survey:
    return survey(predictor, rows_of(predictor, **which), names or METHODS[:1], 0, quiet)


@pytest.mark.parametrize("name", METHODS)
def test_a_planted_word_is_found_by_every_method(name: str, planted: Predictor) -> None:
    found = surveyed(planted, [name])
    assert found.figure.value > 0.9, "the model has to have learned it"
    (method,) = found.methods
    by_label = {one.label: one for one in method.labels}
    assert by_label["good"].words[0].word == PLANTED
    assert by_label["bad"].words[-1].word == PLANTED, "of two labels it speaks against the other one"
    assert by_label["good"].words[0].mean.low > 0
    first = found.shortcuts[0]
    assert first.claimed
    assert (first.kind, first.label, first.words[0][0]) == (KIND, "good", PLANTED)
    assert first.rows == first.of, "it stands in each text"
    assert first.flips >= 0.9 * first.rows
    assert first.fall.low > 0.5
    assert first.added is not None
    assert first.added["flips"] >= 0.9 * first.added["rows"] > 0
    assert [one.words for one in found.shortcuts if one.claimed and one is not first] == []


def test_a_counterfactual_removes_the_planted_word(planted: Predictor) -> None:
    hood = Neighbourhood(planted, quiet)
    texts = [row.text for row in rows_of(planted).rows if row.said == "good"]
    assert texts
    for text in texts:
        found = find(planted, Question(planted, text), hood, quiet)
        assert found.found, text
        for one in found.found:
            assert PLANTED not in one.text.split()
            assert PLANTED in [edit.old for edit in one.edits]


def test_an_honest_model_is_not_accused(reviews: Predictor) -> None:
    """Its texts have as many marks on the one side as on the other, and no word stands in most texts of a label."""
    for split in ("test", "train"):
        found = surveyed(reviews, split=split)
        assert [one for one in found.shortcuts if one.claimed] == []
        assert not found.length.claimed


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    import json

    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def adds(predictor: Predictor, word: str, label: int = 1) -> float:
    """What a word adds to the score of a bag of embeddings: w·e, of two classes (w - w')·e."""
    model = predictor.loaded.model
    weights = model.classifier.weight[label]
    if predictor.problem_type == "single_label_classification":
        weights = weights - model.classifier.weight[1 - label]
    index = predictor.loaded.tokenizer.convert_tokens_to_ids(word)
    return float(model.embedding.weight[index] @ weights)


TEXTS = ["good film", "bad good plot", "good good film", "the awful plot", "bad film was awful", "plot was the film"]


def test_means_counts_and_intervals_are_those_by_hand(two_classes: Predictor, tmp_path: Path) -> None:
    """In a bag of embeddings a word adds the same everywhere, twice as much where it stands twice."""
    rows = [{"text": text, "label": "positive"} for text in TEXTS]
    found = surveyed(two_classes, file=write(tmp_path / "rows.jsonl", rows))
    (method,) = found.methods
    negative, positive = method.labels
    assert found.least == 3
    assert [one.rows for one in method.labels] == [6, 6]
    words = {one.word: one for one in positive.words}
    assert set(words) == {"good", "film", "plot"}
    assert {word: (one.texts, one.times) for word, one in words.items()} == {
        "good": (3, 4), "film": (4, 4), "plot": (3, 3),
    }  # fmt: skip
    good = adds(two_classes, "good")
    values = np.array([good, good, 2 * good])
    assert words["good"].mean.value == pytest.approx(values.mean(), rel=1e-3)
    half = 4.302653 * values.std(ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
    assert words["good"].mean.low == pytest.approx(values.mean() - half, rel=1e-3)
    assert words["good"].mean.high == pytest.approx(values.mean() + half, rel=1e-3)
    assert words["plot"].mean.value == pytest.approx(adds(two_classes, "plot"), rel=1e-3)
    opposite = {one.word: one for one in negative.words}
    assert opposite["good"].mean.value == pytest.approx(-words["good"].mean.value)
    assert [one.word for one in negative.words] == [one.word for one in reversed(positive.words)]
    total = sum(max(0.0, adds(two_classes, word)) for text in TEXTS for word in text.split())
    assert words["good"].share == pytest.approx(4 * max(0.0, good) / total, rel=1e-3)


def test_mistakes_are_the_wrong_rows_with_the_highest_loss(two_classes: Predictor, tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text in TEXTS for label in two_classes.labels]
    found = surveyed(two_classes, file=write(tmp_path / "rows.jsonl", rows))
    assert found.wrong == 6
    assert found.figure.value == 0.5
    predictions = two_classes.classify(TEXTS)
    losses = {  # of the label that was not given
        2 * place + two_classes.labels.index(name): -np.log(one.probabilities[name])
        for place, one in enumerate(predictions)
        for name in two_classes.labels
        if name != one.answer
    }
    expected = sorted(losses, key=lambda row: -losses[row])[:5]
    assert [one.row for one in found.mistakes] == expected
    assert [one.loss for one in found.mistakes] == pytest.approx([losses[row] for row in expected], rel=1e-4)
    for one in found.mistakes:
        assert one.label == one.said != one.right
        assert [one.text[start:end] for start, end in one.spans] == one.text.split()
        assert all(value > 0 for _, value in one.drove)


def test_faithfulness_is_that_of_the_measured_rows(two_classes: Predictor, tmp_path: Path) -> None:
    from hftune.explainers import registry
    from hftune.explainers._faithfulness import measure

    rows = [{"text": text, "label": "positive"} for text in TEXTS]
    found = surveyed(two_classes, file=write(tmp_path / "rows.jsonl", rows)).methods[0].faithfulness
    questions = [Question(two_classes, text) for text in TEXTS]
    chance = [
        measure(one, registry.load("chance").attribute(one, row).values).deletion for row, one in enumerate(questions)
    ]
    own = [measure(one, registry.load("integrated-gradients").attribute(one).values).deletion for one in questions]
    assert found is not None
    assert found.rows == 6
    assert (found.deletion, found.chance) == (pytest.approx(np.mean(own)), pytest.approx(np.mean(chance)))
    assert found.difference.value == pytest.approx(np.mean(own) - np.mean(chance))


def test_labels_that_apply_together_are_each_explained_by_all_rows(several_labels: Predictor, tmp_path: Path) -> None:
    rows = [{"text": text, "label": ["a"] if place % 2 else ["b", "c"]} for place, text in enumerate(TEXTS)]
    found = surveyed(several_labels, METHODS, file=write(tmp_path / "rows.jsonl", rows))
    assert found.figure_name == "exact match"
    for method in found.methods:
        assert [one.rows for one in method.labels] == [6, 6, 6]
        for place, label in enumerate(method.labels):
            film = next(one for one in label.words if one.word == "film")
            assert film.mean.value == pytest.approx(adds(several_labels, "film", place), abs=0.02)


@pytest.fixture
def number(tmp_path: Path) -> Predictor:
    from tests.unit.explainers.conftest import bag

    return bag(["score"], "regression")


def test_a_regression_is_explained(number: Predictor, tmp_path: Path) -> None:
    rows = [{"text": text, "label": len(text) / 10} for text in TEXTS]
    found = surveyed(number, file=write(tmp_path / "rows.jsonl", rows))
    assert found.figure_name == "mean absolute error"
    said = np.array([one.value for one in number.classify(TEXTS)])
    right = np.array([row["label"] for row in rows])
    assert found.figure.value == pytest.approx(np.abs(said - right).mean())
    (label,) = found.methods[0].labels
    film = next(one for one in label.words if one.word == "film")
    assert film.mean.value == pytest.approx(adds(number, "film", 0), rel=1e-3)
    assert found.wrong == (np.abs(said - right) > right.std() / 2).sum()
    assert not any(one.kind == KIND for one in found.shortcuts)
    assert found.to_dict()["problem"] == "regression"


def test_short_and_long_texts_of_masks_are_told_apart(reviews: Predictor, tmp_path: Path) -> None:
    rows = [{"text": "the film was good " * (1 + place % 5), "label": "positive"} for place in range(24)]
    found = surveyed(reviews, file=write(tmp_path / "rows.jsonl", rows)).length
    assert found.blank is not None
    shares = []
    for count in (1, 5):
        question = Question(reviews, "the film was good " * count, found.label)
        shares.append(question.shares(~question.whole())[0])
    assert found.blank[0] == pytest.approx(shares[0], abs=0.2)
    assert found.blank[1] == pytest.approx(shares[1], abs=0.2)


def test_pairs_tell_whether_both_texts_are_read(tmp_path: Path) -> None:
    from tests.unit.inference.conftest import classifier_run

    rows = [{"text": text, "other": "bad plot", "label": "ab"[place % 2]} for place, text in enumerate(TEXTS)]
    folder = tmp_path / "cls-20260101-000000-a1b2"
    predictor = Predictor.load(
        classifier_run(folder, ["a", "b"], {"rows": rows, "text_pair": "other", "max_length": 16})
    )
    found = surveyed(predictor, split="train")
    right = [row for row in rows_of(predictor, "train").rows if not row.wrong]
    assert right
    assert len(found.alone) == 2
    stays = 0
    for row in right:
        question = Question(predictor, row.text, pair=row.pair)
        kept = np.array([[word.start > question.ends[0] for word in question.words]])
        stays += bool(question.shares(kept)[0] >= 0.5)
    assert found.alone[0]["value"] == pytest.approx(stays / len(right))
    assert "bad" in {one.word for one in found.methods[0].labels[0].words}


@pytest.mark.parametrize("kind", ["lstm_run", "lora_run"])
def test_other_architectures_are_surveyed(kind: str, request: pytest.FixtureRequest) -> None:
    found = surveyed(Predictor.load(request.getfixturevalue(kind)), most=6)
    assert found.rows == 6
    assert all(label.rows == 6 for label in found.methods[0].labels)
    assert found.length.blank is None, "six texts are too few to tell short from long"
    assert not found.length.claimed


def test_a_run_that_is_repeated_says_the_same(planted: Predictor) -> None:
    def told() -> dict[str, Any]:
        record = surveyed(planted, ["lime"], most=6).to_dict()
        for one in (record, *record["methods"]):
            del one["seconds"]
        return record

    assert told() == told()
