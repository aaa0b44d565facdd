"""The model's score of a text with words left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hftune.errors import UsageError
from hftune.explainers import CHANCE, methods, registry
from hftune.explainers._counterfactual import Edit, edited
from hftune.explainers._question import Question, Stopped
from hftune.inference.predictor import Predictor, TaskError
from tests.unit.inference.conftest import byte_tokenizer, classifier_run, gpt2_config, make_run

METHODS = [name for name in methods("text-classification") if name != CHANCE]


def test_the_whole_text_is_scored_as_predict_does(reviews: Predictor) -> None:
    text = "we loved it but the plot was boring"
    question = Question(reviews, text)
    (prediction,) = reviews.classify([text])
    share = prediction.to_dict()["probabilities"][question.label]
    assert question.label == prediction.answer
    assert question.shares(question.whole())[0] == pytest.approx(share, abs=1e-6)
    assert question.scores(question.whole())[0] == pytest.approx(np.log(share / (1 - share)), abs=1e-4)


def test_left_out_words_are_masks_where_there_is_one(reviews: Predictor) -> None:
    question = Question(reviews, "the film was good")
    kept = np.array([[True, True, False, True]])
    (prediction,) = reviews.classify(["the film [MASK] good"])
    share = prediction.to_dict()["probabilities"][question.label]
    assert question.shares(kept)[0] == pytest.approx(share, abs=1e-6)


def test_left_out_words_are_taken_out_where_there_is_none(lstm_run: Path) -> None:
    predictor = Predictor.load(lstm_run)
    question = Question(predictor, "a good film")
    kept = np.array([[True, False, True]])
    (prediction,) = predictor.classify(["a film"])
    share = prediction.to_dict()["probabilities"][question.label]
    # The space after a word left out belongs to the next word, and stays with it.
    assert question.shares(kept)[0] == pytest.approx(share, abs=1e-6)


def test_a_combination_is_read_once(reviews: Predictor) -> None:
    question = Question(reviews, "the film was good")
    before = question.passes
    kept = np.array([[True, False, True, True], [True, False, True, True], [False, False, True, True]])
    first = question.scores(kept)
    assert question.passes == before + 2
    np.testing.assert_array_equal(question.scores(kept), first)
    assert question.passes == before + 2


def test_a_batch_of_unlike_lengths_is_scored_as_each_alone(lstm_run: Path) -> None:
    predictor = Predictor.load(lstm_run)
    question = Question(predictor, "a good film , but a dull plot")
    kept = np.array([[True] * 8, [True] * 4 + [False] * 4, [False] * 7 + [True]])
    together = question.scores(kept)
    alone = [Question(predictor, question.text).scores(kept[row : row + 1])[0] for row in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_label_can_be_asked_for(reviews: Predictor) -> None:
    asked = [Question(reviews, "the film was good", label) for label in ("negative", "positive")]
    scores = [float(question.scores(question.whole())[0]) for question in asked]
    assert scores[0] == pytest.approx(-scores[1], abs=1e-6)
    with pytest.raises(UsageError, match="no label 'positiv'") as caught:
        Question(reviews, "the film was good", "positiv")
    assert "'positive'" in caught.value.hint


def test_one_output_is_two_classes(lstm_run: Path) -> None:
    predictor = Predictor.load(lstm_run)
    shares = [Question(predictor, "a good film", label) for label in predictor.labels]
    assert sum(float(one.shares(one.whole())[0]) for one in shares) == pytest.approx(1, abs=1e-6)


def test_what_was_cut_off_is_no_word_to_explain(reviews: Predictor) -> None:
    question = Question(reviews, "good " * 100)
    assert len(question.words) == reviews.loaded.recipe.data.max_length - 2
    assert {owner for owner in question.owners if owner is not None} == set(range(len(question.words)))


@pytest.mark.parametrize("text", ["", "   "])
def test_a_text_without_words_is_refused(reviews: Predictor, text: str) -> None:
    with pytest.raises(UsageError, match="no word"):
        Question(reviews, text)


def test_a_generator_is_not_explained_so(language_run: Path) -> None:
    with pytest.raises(TaskError):
        Question(Predictor.load(language_run), "the film")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    rows = [{"text": "the film was good", "other": "bad", "label": name} for name in ("a", "b")]
    folder = tmp_path_factory.mktemp("pairs") / "cls-20260101-000000-a1b2"
    run = classifier_run(folder, ["a", "b"], {"rows": rows, "text_pair": "other", "max_length": 16})
    return Predictor.load(run)


def test_two_texts_are_scored_as_predict_does(pairs: Predictor) -> None:
    question = Question(pairs, "the film was good", pair="not very bad")
    assert [word.text for word in question.words] == ["the", "film", "was", "good", "not", "very", "bad"]
    assert [question.text[word.start : word.end] for word in question.words] == [one.text for one in question.words]
    kept = np.array(
        [[True] * 7, [True, True, True, False, True, True, True], [True, True, True, True, False, True, True]]
    )
    texts, others = ["the film was good", "the film was [MASK]", "the film was good"], ["not very bad"] * 2
    predictions = pairs.classify(texts, pairs=[*others, "[MASK] very bad"])
    shares = [one.to_dict()["probabilities"][question.label] for one in predictions]
    np.testing.assert_allclose(question.shares(kept), shares, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_words_of_both_texts_get_values(pairs: Predictor, name: str) -> None:
    question = Question(pairs, "the film was good", pair="not bad")
    values = registry.load(name).attribute(question).values
    assert values.shape == (6,)
    ends = question.scores(np.concatenate([question.whole(), ~question.whole()]))
    if name in ("integrated-gradients", "shap"):
        assert values.sum() == pytest.approx(ends[0] - ends[1], rel=0.02, abs=1e-3)


def test_words_of_both_texts_are_changed(pairs: Predictor) -> None:
    question = Question(pairs, "the film was good", pair="not bad")
    assert edited(question, [Edit(0, "the", "a"), Edit(4, "not", "")]) == ("a film was good", "bad")


def test_of_a_cut_pair_only_what_was_read_is_explained(pairs: Predictor) -> None:
    question = Question(pairs, "good " * 9 + "bad", pair="the film was fine")
    assert [word.text for word in question.words] == ["good"] * 9 + ["the", "film", "was", "fine"]
    assert question.notes == ["only the first 16 of 17 tokens are explained"]


@pytest.mark.parametrize(("text", "pair"), [("a film", None), ("", "")])
def test_texts_that_do_not_fit_the_model_are_refused(pairs: Predictor, text: str, pair: str | None) -> None:
    with pytest.raises(UsageError, match="two texts" if pair is None else "no word"):
        Question(pairs, text, pair=pair)


def test_a_question_that_nobody_waits_for_any_more_is_given_up(reviews: Predictor) -> None:
    asked = [False]
    question = Question(reviews, "the film was good", cancelled=lambda: asked[0])
    asked[0] = True
    for name in METHODS:
        with pytest.raises(Stopped):
            registry.load(name).attribute(question)


def test_a_model_that_says_no_numbers_is_not_explained(full_run: Path) -> None:
    predictor = Predictor.load(full_run)
    predictor.loaded.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(UsageError, match="weights are not finite"):
        Question(predictor, "a good film")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A GPT-2 that classifies by its state at the last token that is no padding; it has no mask."""
    import torch
    from transformers import GPT2ForSequenceClassification

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(pad=True)
    names = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    kind = {"problem_type": "single_label_classification", "pad_token_id": tokenizer.pad_token_id}
    model = GPT2ForSequenceClassification(gpt2_config(len(tokenizer), **names, **kind))
    rows = [{"text": "The film was good.", "label": label} for label in "ab"]
    folder = tmp_path_factory.mktemp("decoder") / "cls-20260101-000000-a1b2"
    return Predictor.load(make_run(folder, model, tokenizer, "text-classification", {"rows": rows, "max_length": 32}))


@pytest.mark.parametrize("name", METHODS)
def test_a_decoder_is_explained(decoder: Predictor, name: str) -> None:
    question = Question(decoder, "The film was very good!")
    found = registry.load(name).attribute(question)
    assert np.abs(found.values).max() > 0
    if name == "integrated-gradients":
        assert found.completeness_error is not None
        assert found.completeness_error < 0.01
        assert found.details["steps"] < 256
