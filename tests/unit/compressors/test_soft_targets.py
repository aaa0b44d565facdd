"""The loss of learning from a parent is the one of the paper, whatever the task, the batch and the missing labels."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, softmax

from hftune import tasks
from hftune.compressors import LearningOptions
from hftune.compressors._soft_targets import NO_LABEL, SoftTargets
from hftune.recipe.load import parse_recipe
from hftune.tasks import Prepared
from tests.unit.compressors.conftest import bert, gpt2

T, HARD = 3.0, 0.3
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]])


def soft(task: str, teacher: Any, hard_weight: float = HARD) -> SoftTargets:
    options = LearningOptions(parent="-", temperature=T, hard_weight=hard_weight)
    return SoftTargets(tasks.registry.load(task), teacher, options)


def recipe(task: str = "text-classification") -> Any:
    return parse_recipe({
        "name": "r", "task": task, "model": "a/b", "data": {"files": "a.csv"}, "training": {"precision": "fp32"},
    })  # fmt: skip


def prepared(**config: Any) -> Prepared:
    return Prepared(splits={}, tokenizer=None, collate=lambda examples: {}, model_config=config)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def kl(theirs: torch.Tensor, ours: torch.Tensor) -> torch.Tensor:
    """The sum of p log(p / q), from probabilities."""
    p, q = softmax(theirs / T, -1), softmax(ours / T, -1)
    return T * T * (p * (p / q).log()).sum()


def test_classes_are_learned_by_the_formula_of_hinton_vinyals_and_dean():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    logits, labels = drawn(3, 3), torch.tensor([0, 2, 1])
    batch = {"input_ids": IDS, "labels": labels}
    found = soft("text-classification", teacher).loss(
        recipe(), prepared(problem_type="single_label_classification"), logits, batch
    )
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    expected = HARD * cross_entropy(logits, labels, reduction="sum") + (1 - HARD) * kl(theirs, logits)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_who_answers_as_the_parent_does_has_nothing_to_learn_from_it():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    batch = {"input_ids": IDS, "labels": torch.tensor([0, 2, 1])}
    found = soft("text-classification", teacher, hard_weight=0.0).loss(
        recipe(), prepared(problem_type="single_label_classification"), theirs, batch
    )
    assert float(found) == pytest.approx(0.0, abs=1e-5)


def test_with_labels_alone_it_is_the_tasks_own_loss():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    made = prepared(problem_type="single_label_classification")
    batch = {"input_ids": IDS, "labels": torch.tensor([0, 2, 1])}
    found = soft("text-classification", teacher, hard_weight=1.0).loss(recipe(), made, drawn(3, 3), batch)
    plain = tasks.registry.load("text-classification").loss(recipe(), made, drawn(3, 3), batch)
    assert float(found) == pytest.approx(float(plain))


def test_several_labels_have_a_sigmoid_each():
    teacher = bert(num_labels=2, problem_type="multi_label_classification")
    logits, labels = drawn(3, 2), torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    found = soft("text-classification", teacher).loss(
        recipe(), prepared(problem_type="multi_label_classification"), logits, {"input_ids": IDS, "labels": labels}
    )
    with torch.no_grad():
        p, q = (teacher(input_ids=IDS).logits / T).sigmoid(), (logits / T).sigmoid()
    # KL is the cross-entropy less the parent's own entropy.
    divergence = binary_cross_entropy(q, p, reduction="sum") - binary_cross_entropy(p, p, reduction="sum")
    hard = binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    assert float(found) == pytest.approx(float(HARD * hard + (1 - HARD) * T * T * divergence), rel=1e-4)


def test_numbers_are_drawn_to_the_parents():
    teacher = bert(num_labels=1, problem_type="regression")
    logits, labels = drawn(3, 1), torch.tensor([0.5, -1.0, 2.0])
    found = soft("text-classification", teacher).loss(
        recipe(), prepared(problem_type="regression"), logits, {"input_ids": IDS, "labels": labels}
    )
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    expected = HARD * ((logits[:, 0] - labels) ** 2).sum() + (1 - HARD) * ((logits - theirs) ** 2).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_generator_learns_each_learned_token_and_no_other():
    teacher = gpt2()
    labels = IDS.clone()
    labels[:, :2] = -100  # the prompt, and the token that nothing comes before
    logits = drawn(3, 4, 60)
    found = soft("text-generation", teacher).loss(
        recipe("text-generation"), prepared(), logits, {"input_ids": IDS, "labels": labels}
    )
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    hard = cross_entropy(logits[:, 1:3].reshape(-1, 60), IDS[:, 2:].reshape(-1), reduction="sum")
    assert float(found) == pytest.approx(float(HARD * hard + (1 - HARD) * kl(theirs[:, 1:3], logits[:, 1:3])), rel=1e-4)


def test_a_text_without_a_label_is_learned_from_the_parent_alone_and_weighs_as_one_with():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    made, logits = prepared(problem_type="single_label_classification"), drawn(3, 3)
    batch = {"input_ids": IDS, "labels": torch.tensor([0, NO_LABEL, 1])}
    task = soft("text-classification", teacher)
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    hard = cross_entropy(logits[[0, 2]], torch.tensor([0, 1]), reduction="sum")
    expected = HARD * hard + (1 - HARD) * kl(theirs, logits)
    assert float(task.loss(recipe(), made, logits, batch)) == pytest.approx(float(expected), rel=1e-5)
    assert float(task.weight(recipe(), made, batch)) == 3
    nothing = {"input_ids": IDS, "labels": torch.full((3,), NO_LABEL)}
    assert float(task.weight(recipe(), made, nothing)) == 3
    assert float(task.loss(recipe(), made, logits, nothing)) == pytest.approx(float((1 - HARD) * kl(theirs, logits)))


def test_weights_of_classes_weigh_both_parts():
    teacher = bert(num_labels=2, problem_type="single_label_classification")
    weights = [1.0, 4.0]
    made = prepared(problem_type="single_label_classification", class_weights=weights)
    logits, labels = drawn(3, 2), torch.tensor([0, 1, NO_LABEL])
    task = soft("text-classification", teacher)
    with torch.no_grad():
        theirs = teacher(input_ids=IDS).logits
    hard = cross_entropy(logits[:2], labels[:2], weight=torch.tensor(weights), reduction="sum")
    parts = sum(w * kl(theirs[i : i + 1], logits[i : i + 1]) for i, w in enumerate((1.0, 4.0, 1.0)))
    found = task.loss(recipe(), made, logits, {"input_ids": IDS, "labels": labels})
    assert float(found) == pytest.approx(float(HARD * hard + (1 - HARD) * parts), rel=1e-5)
    assert float(task.weight(recipe(), made, {"labels": labels})) == 6


def test_missing_numbers_and_lists_of_labels_are_told_by_nan():
    teacher = bert(num_labels=1, problem_type="regression")
    task, made = soft("text-classification", teacher), prepared(problem_type="regression")
    batch = {"input_ids": IDS, "labels": torch.tensor([0.5, math.nan, 2.0])}
    loss = task.loss(recipe(), made, drawn(3, 1), batch)
    assert math.isfinite(float(loss))
    assert float(task.weight(recipe(), made, batch)) == 3


def test_two_halves_of_a_batch_add_up_to_the_whole():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    made, logits = prepared(problem_type="single_label_classification"), drawn(3, 3)
    batch = {"input_ids": IDS, "labels": torch.tensor([0, NO_LABEL, 1])}
    task = soft("text-classification", teacher)
    halves = [{name: tensor[part] for name, tensor in batch.items()} for part in (slice(0, 1), slice(1, 3))]
    parts = [
        float(task.loss(recipe(), made, logits[part], half))
        for part, half in zip((slice(0, 1), slice(1, 3)), halves, strict=True)
    ]
    assert sum(parts) == pytest.approx(float(task.loss(recipe(), made, logits, batch)), rel=1e-5)


def test_no_gradient_reaches_the_parent():
    teacher = bert(num_labels=3, problem_type="single_label_classification")
    logits = drawn(3, 3).requires_grad_(True)
    batch = {"input_ids": IDS, "labels": torch.tensor([0, 2, 1])}
    made = prepared(problem_type="single_label_classification")
    torch.autograd.backward(soft("text-classification", teacher).loss(recipe(), made, logits, batch))
    assert logits.grad is not None and bool(logits.grad.any())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_figures_are_the_tasks_own():
    task = tasks.registry.load("text-classification")
    made = soft("text-classification", SimpleNamespace())
    assert (made.METRICS, made.DEFAULT_METRIC, made.Config) == (task.METRICS, task.DEFAULT_METRIC, task.Config)
