"""Every method of attribution: what is known in closed form is recovered, references agree, seeds repeat."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from hftune.explainers import CHANCE, methods, registry
from hftune.explainers._faithfulness import rank_correlation
from hftune.explainers._question import Question
from hftune.inference.predictor import Predictor
from hftune.tasks._answers import class_logits

METHODS = [name for name in methods() if name != CHANCE]
TEXT = "the plot was bad not awful very good film lovely"
SHORT = "the film was not bad"


def closed_form(predictor: Predictor, question: Question) -> np.ndarray:
    """What each word adds to the score of a bag of embeddings: w·e, of two classes (w - w')·e."""
    model = predictor.loaded.model
    weights = model.classifier.weight
    row = weights[question.target]
    if question.kind == "single_label_classification":
        row = row - weights[1 - question.target]
    return (model.embedding.weight[question.ids] @ row).double().numpy()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["two_classes", "several_labels"])
def test_a_bag_of_embeddings_is_explained_as_it_is(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    predictor = request.getfixturevalue(kind)
    question = Question(predictor, TEXT)
    expected = closed_form(predictor, question)
    found = registry.load(name).attribute(question, 0).values
    assert rank_correlation(found, expected) >= 0.95
    assert np.corrcoef(found, expected)[0, 1] >= 0.99


@pytest.mark.parametrize("name", ["integrated-gradients", "shap"])
def test_values_sum_to_what_the_text_adds(name: str, two_classes: Predictor, reviews: Predictor) -> None:
    for predictor, text in ((two_classes, TEXT), (reviews, "we loved it but the plot was boring")):
        question = Question(predictor, text)
        found = registry.load(name).attribute(question, 0)
        ends = question.scores(np.concatenate([question.whole(), ~question.whole()]))
        assert found.completeness_error is not None
        assert found.completeness_error < 0.01
        assert found.values.sum() == pytest.approx(ends[0] - ends[1], rel=0.02, abs=1e-3)


@pytest.mark.parametrize("name", methods())
def test_a_method_gives_a_value_a_word_and_the_same_for_the_same_seed(name: str, reviews: Predictor) -> None:
    plugin = registry.load(name)
    text = "we loved the film , it was never a boring plot and the actor was good"
    first, again = (plugin.attribute(Question(reviews, text), 3) for _ in range(2))
    assert first.values.shape == (len(text.split()),)
    assert np.isfinite(first.values).all()
    np.testing.assert_array_equal(first.values, again.values)
    other = plugin.attribute(Question(reviews, text), 4).values
    assert plugin.SEEDED is not np.array_equal(first.values, other)


@pytest.mark.parametrize("name", METHODS)
def test_a_text_of_one_word_is_explained(name: str, reviews: Predictor) -> None:
    question = Question(reviews, "good")
    ends = question.scores(np.array([[True], [False]]))
    # LIME's ridge draws its coefficient a little towards 0.
    assert registry.load(name).attribute(question, 0).values == pytest.approx([ends[0] - ends[1]], rel=0.2)


def test_shapley_values_are_those_of_all_orders(reviews: Predictor) -> None:
    question = Question(reviews, SHORT)
    count = len(question.words)
    expected = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        kept = np.zeros((1, count), dtype=bool)
        before = question.scores(kept)[0]
        for word in order:
            kept[0, word] = True
            now = question.scores(kept)[0]
            expected[word] += (now - before) / len(orders)
            before = now
    np.testing.assert_allclose(registry.load("shap").attribute(question, 0).values, expected, atol=1e-9)


def test_sampled_shapley_values_are_near_the_exact_ones(reviews: Predictor) -> None:
    from hftune.explainers import shap

    question = Question(reviews, "the film was not bad but dull and boring")
    exact, sampled = shap._exact(question), shap._sampled(question, 0)
    assert rank_correlation(sampled, exact) > 0.8
    assert np.corrcoef(sampled, exact)[0, 1] > 0.95


def plain_integrated_gradients(question: Question, steps: int) -> np.ndarray:
    """The midpoint rule over the straight way from the beginning's embeddings to the text's, nothing else."""
    model, layer = question.model, question.model.get_input_embeddings()
    ids = torch.tensor([question.ids])
    with torch.no_grad():
        end, begin = layer(ids).detach(), layer(question.baseline_ids()).detach()
    total = torch.zeros_like(end)
    point = torch.zeros(())

    def put_in(*_: object) -> torch.Tensor:
        return point

    hook = layer.register_forward_hook(put_in)
    try:
        for step in range(steps):
            point = (begin + (step + 0.5) / steps * (end - begin)).requires_grad_(True)
            logits = class_logits(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits, None)
            score = logits[0, question.target] - logits[0, 1 - question.target]
            total += torch.autograd.grad(score, point)[0]
    finally:
        hook.remove()
    return question.by_word((total / steps * (end - begin)).sum(-1)[0].double().tolist())


def test_integrated_gradients_are_a_plain_loops(reviews: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    from hftune.explainers import integrated_gradients

    monkeypatch.setattr(integrated_gradients, "STEPS", (256,))
    question = Question(reviews, SHORT)
    found = integrated_gradients.attribute(question).values
    np.testing.assert_allclose(found, plain_integrated_gradients(question, 1000), rtol=0.01, atol=1e-3)


def test_steps_are_added_until_the_values_are_complete(reviews: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    from hftune.explainers import integrated_gradients

    question = Question(reviews, "we loved it but the plot was boring")
    loose = integrated_gradients.attribute(question)
    monkeypatch.setattr(integrated_gradients, "CLOSE_ENOUGH", 1e-6)
    strict = integrated_gradients.attribute(question)
    assert strict.details["steps"] == integrated_gradients.STEPS[-1] > loose.details["steps"]
    assert not any(parameter.requires_grad for parameter in question.model.parameters())


@pytest.mark.parametrize("kind", ["lstm_run", "lora_run"])
def test_other_architectures_are_explained(kind: str, request: pytest.FixtureRequest) -> None:
    predictor = Predictor.load(request.getfixturevalue(kind))
    question = Question(predictor, "a good film")
    for name in METHODS:
        values = registry.load(name).attribute(question, 0).values
        assert np.isfinite(values).all()
        assert np.abs(values).max() > 0
