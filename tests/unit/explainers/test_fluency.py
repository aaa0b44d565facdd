"""How changed texts read, and words that a model of masked words puts in a place."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from hftune import cli
from hftune.explainers._counterfactual import Neighbourhood, find
from hftune.explainers._fluency import LANGUAGE_MODEL, Fluency
from hftune.explainers._infilling import Infiller, at_hand
from hftune.explainers._question import Question
from hftune.inference.predictor import Predictor, TaskError
from hftune.starters import model_folder

TEXT = "The man walked slowly down the road."


def quiet(_: str) -> None:
    return None


@pytest.fixture(scope="module")
def guesser(mask_run: Path) -> Predictor:
    return Predictor.load(mask_run)


def test_perplexities_are_those_of_plain_transformers() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = model_folder(LANGUAGE_MODEL)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in (TEXT, "The man walked slowly down the sweaty.", "Slowly"):
        ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
        with torch.no_grad():
            expected.append(math.exp(float(model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss)))
    found = Fluency().ratios(TEXT, [TEXT, "The man walked slowly down the sweaty.", "Slowly"])
    assert found == pytest.approx([1.0, expected[1] / expected[0], expected[2] / expected[0]], rel=1e-4)


def test_words_in_disorder_read_worse() -> None:
    (disorder,) = Fluency().ratios(TEXT, ["Road the down walked man slowly the."])
    assert disorder is not None
    assert disorder > 2


@pytest.mark.parametrize("text", ["这部电影很好看", "Фильм был хорош", "123 !"])
def test_what_the_model_cannot_read_has_no_fluency(text: str) -> None:
    assert Fluency().ratios(text, [text, "a"]) == [None, None]


def test_a_text_that_is_not_read_to_its_end_has_no_fluency() -> None:
    long = "The man walked down the road. " * 60
    assert Fluency().ratios(long, [long + "Slowly."]) == [None]
    assert Fluency().ratios(TEXT, [TEXT, long]) == [None, None]


def test_guesses_are_what_fill_says_less_the_word_itself(guesser: Predictor, reviews: Predictor) -> None:
    question = Question(reviews, "we loved it , the plot was never boring")
    ((first, *_), second) = Infiller(guesser).words(question, [5, 7], 3)
    (filling,) = guesser.fill(["we loved it , the [MASK] was never boring"])
    assert first == next(token for token, _ in filling.masks[0] if token.isalpha() and token != "plot")
    assert len(second) <= 3
    assert all(word.isalpha() and word != "never" for word in second)


def test_a_text_that_holds_a_mask_is_not_filled_in(guesser: Predictor, reviews: Predictor) -> None:
    assert Infiller(guesser).words(Question(reviews, "we loved [MASK]"), [0, 1], 3) == [[], []]


def test_places_beyond_what_is_read_are_not_filled_in(guesser: Predictor, reviews: Predictor) -> None:
    short = Infiller(guesser)
    data = guesser.loaded.recipe.data.model_copy(update={"max_length": 4})
    recipe = guesser.loaded.recipe.model_copy(update={"data": data})
    short._predictor = Predictor(dataclasses.replace(guesser.loaded, recipe=recipe))
    assert short.words(Question(reviews, "we loved it , the plot"), [0, 5], 3) == [[], []]


def based_on(predictor: Predictor, folder: Path) -> Predictor:
    """The same predictor, as if its run had begun from the model in a folder."""
    model = predictor.loaded.recipe.model.model_copy(update={"id": str(folder)})
    recipe = predictor.loaded.recipe.model_copy(update={"model": model})
    return Predictor(dataclasses.replace(predictor.loaded, recipe=recipe))


def test_a_base_that_guesses_words_is_at_hand(mask_run: Path, reviews: Predictor) -> None:
    question = Question(reviews, "the film was good")
    infiller = at_hand(based_on(reviews, mask_run / "model"), quiet)
    assert infiller is not None
    assert infiller.words(question, [3], 5) == Infiller(Predictor.load(mask_run)).words(question, [3], 5)


def test_a_base_that_guesses_no_words_is_left_alone(
    lstm_run: Path, reviews: Predictor, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny_bert_folder).save_pretrained(tmp_path / "body")
    assert at_hand(based_on(reviews, tmp_path / "body"), quiet) is None
    assert at_hand(based_on(reviews, tmp_path / "gone"), quiet) is None
    assert at_hand(Predictor.load(lstm_run), quiet) is None


def test_guessed_words_are_tried(reviews: Predictor, guesser: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(reviews, "the film was good")
    hood = Neighbourhood(reviews, quiet, guesser)
    monkeypatch.setattr(hood, "near", lambda word: [])
    (guessed,) = Infiller(guesser).words(question, [3], 12)
    assert hood.options(question, [3]) == {3: ["", *guessed]}
    for one in find(reviews, question, hood, quiet).found:
        assert one.perplexity_ratio is not None
        assert one.perplexity_ratio > 0


def test_a_fill_mask_run_is_named_on_the_command_line(
    full_run: Path, mask_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["explain", str(full_run), "the film was good", "--fill-mask"]
    assert cli.run([*asked, str(mask_run), "--method", "counterfactual"]) == 0
    assert "perplexity ×" in capsys.readouterr().out
    assert cli.run([*asked, str(full_run), "--method", "counterfactual"]) == 2
    assert "it guesses no masked words" in capsys.readouterr().err
    assert cli.run([*asked, str(mask_run)]) == 2
    assert "--fill-mask is for counterfactuals" in capsys.readouterr().err


def test_only_a_model_of_masked_words_guesses(reviews: Predictor) -> None:
    with pytest.raises(TaskError):
        Infiller(reviews)
