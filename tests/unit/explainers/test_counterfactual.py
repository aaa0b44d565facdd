"""Counterfactuals: texts that the model answers otherwise, with few words changed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hftune import cli
from hftune.errors import UsageError
from hftune.explainers._counterfactual import Edit, Neighbourhood, edited, find
from hftune.explainers._question import Question
from hftune.inference.predictor import Predictor
from tests.unit.inference.conftest import classifier_run

TEXT = "we loved it , the plot was never boring"


def quiet(_: str) -> None:
    return None


@pytest.fixture(scope="module")
def hood(reviews: Predictor) -> Neighbourhood:
    return Neighbourhood(reviews, quiet)


def test_each_is_answered_otherwise_by_the_model_itself(reviews: Predictor, hood: Neighbourhood) -> None:
    for text in (TEXT, "the film was good", "a dull and awful scene"):
        found = find(reviews, Question(reviews, text), hood, quiet)
        assert found.found, text
        assert len({len(one.edits) for one in found.found}) == 1
        assert len(found.found[0].edits) <= 3
        for one in found.found:
            (prediction,) = reviews.classify([one.text])
            assert prediction.answer == one.label != found.label
            assert prediction.to_dict()["probabilities"][one.label] == pytest.approx(one.share, abs=1e-6)
            assert (one.text,) == edited(Question(reviews, text), one.edits)


def test_the_fewest_edits_are_found(reviews: Predictor, hood: Neighbourhood) -> None:
    """No text with fewer of the edits that were tried is answered otherwise."""
    found = find(reviews, Question(reviews, TEXT), hood, quiet)
    question = Question(reviews, TEXT)
    for one in found.found:
        for left_out in one.edits:
            fewer = [edit for edit in one.edits if edit != left_out]
            if fewer:
                (prediction,) = reviews.classify(edited(question, fewer))
                assert prediction.answer == found.label


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ([], "A dull, cold film."),
        ([Edit(1, "dull", "warm")], "A warm, cold film."),
        ([Edit(1, "dull", "")], "A, cold film."),
        ([Edit(0, "A", "")], "dull, cold film."),
        ([Edit(5, ".", ""), Edit(3, "cold", "")], "A dull, film"),
        ([Edit(4, "film", "plot"), Edit(0, "A", "The")], "The dull, cold plot."),
    ],
)
def test_edits_are_made_in_the_text(reviews: Predictor, edits: list[Edit], text: str) -> None:
    assert edited(Question(reviews, "A dull, cold film."), edits) == (text,)


def test_words_are_written_as_those_they_take_the_place_of(hood: Neighbourhood) -> None:
    near = hood.near("Good")
    assert near
    assert all(word[0].isupper() for word in near)
    assert "Good" not in near
    assert hood.near("GOOD")[0].isupper()
    assert hood.near("bad") != []


def test_a_model_of_several_labels_has_none(tmp_path: Path) -> None:
    run = classifier_run(tmp_path / "cls-20260101-000000-a1b2", problem_type="multi_label_classification")
    predictor = Predictor.load(run)
    with pytest.raises(UsageError, match="one label of several"):
        find(predictor, Question(predictor, "the film was good"), Neighbourhood(predictor, quiet), quiet)


def test_of_a_text_in_windows_only_what_changes_the_whole_answer_is_a_flip(
    reviews: Predictor, hood: Neighbourhood
) -> None:
    """The first window is bad, what is said of all of it is good: no edit that leaves that as it is counts."""
    data = reviews.loaded.recipe.data
    windows = data.window.model_copy(update={"stride": 0})
    data = data.model_copy(update={"too_long": "window", "max_length": 10, "window": windows})
    recipe = reviews.loaded.recipe.model_copy(update={"data": data})
    predictor = Predictor(dataclasses.replace(reviews.loaded, recipe=recipe))
    text = "a dull and awful scene , " + "we loved it , a good film . " * 4
    (given,) = predictor.classify([text])
    question = Question(predictor, text)
    assert given.answer != question.label, "or this shows nothing"
    found = find(predictor, question, hood, quiet)
    assert (found.label, found.share) == (given.answer, pytest.approx(given.probabilities[str(given.answer)]))
    for one in found.found:
        assert predictor.classify([one.text])[0].answer != given.answer


def test_people_are_told_what_was_changed(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "the film was good", "--method", "counterfactual"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "the film was good"
    assert "it would have been" in said
    assert "'good' → " in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_programs_get_them_beside_the_attributions(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "the film was good", "--method", "all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["methods"]
    assert told["counterfactuals"]["found"][0]["edits"]
    assert cli.run(["explain", str(full_run), "a film", "--method", "counterfactual", "--target", "positive"]) == 2
