"""The range test: the losses of a plain loop at the same rates, and no trace of it afterwards."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from datasets import Dataset

from hftune import methods
from hftune.data.batches import batch_plan
from hftune.errors import HftuneError
from hftune.pipeline import make_setup
from hftune.recipe.load import parse_recipe
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import with_training
from hftune.tasks import Batch, Prepared
from hftune.training import lr_find
from hftune.training.evaluation import fetch
from hftune.training.lr_curve import STEPS, exponential_rates
from hftune.training.lr_find import choose_rate, outside_the_usual, range_test, rates_to_try, untouched, usual_rates
from hftune.training.optimizer import optimizer_tensors
from hftune.training.precision import choose_precision
from hftune.training.progress import Progress, make_plan
from hftune.training.silent import SilentRun
from hftune.training.step import Setup, make_learner, train_step

LORA = {"name": "lora", "r": 4}


class Quadratic(torch.nn.Module):
    """One weight w from 0, logits w x: with x = 1 and target 3 the loss is (w - 3)^2, whose curvature is 2."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=input_ids * self.w)


class QuadraticTask:
    """The task of the quadratic; `broken`: examples whose loss is NaN."""

    METRICS, DEFAULT_METRIC = {"loss": False}, "loss"

    def weight(self, recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
        return batch["labels"].sum() * 0 + len(batch["labels"])

    def loss(self, recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return ((logits - batch["labels"]) ** 2).sum()


def collate(examples: Any) -> Batch:
    return {name: torch.tensor([row[name] for row in examples]) for name in ("input_ids", "labels")}


def quadratic(accelerator: Any, labels: list[float]) -> Setup:
    recipe = parse_recipe(
        {
            "name": "q",
            "task": "text-classification",
            "model": "a/b",
            "data": {"rows": [{"text": "a", "label": "b"}]},
            "training": {"optim": "sgd", "max_grad_norm": 0, "precision": "fp32", "per_device_train_batch_size": 1},
        }
    )
    rows = Dataset.from_dict({"input_ids": [1.0] * len(labels), "labels": labels, "length": [1] * len(labels)})
    task: Any = QuadraticTask()
    prepared = Prepared({"train": rows}, None, collate)  # type: ignore[arg-type]
    plan = make_plan(recipe, task, len(labels), 1)
    method = methods.registry.load("full")
    precision = choose_precision("fp32", torch.device("cpu"))
    return Setup(recipe, task, method, prepared, plan, precision, accelerator, SilentRun(Path()))


@pytest.fixture(scope="module")
def accelerator() -> Any:
    from hftune.training.device import open_accelerator

    return open_accelerator(parse_recipe(SMALL).training)


SMALL: dict[str, Any] = {
    "name": "small",
    "task": "text-classification",
    "model": {
        "architecture": "lstm",
        "config": {"embedding_size": 8, "hidden_size": 8},
        "tokenizer": {"fit": "characters"},
    },
    "data": {"rows": [{"text": "a", "label": "b"}]},
    "training": {"per_device_train_batch_size": 8, "precision": "fp32", "device": "cpu"},
}


def lstm(data: Path, **training: Any) -> Recipe:
    section = {**SMALL["training"], "learning_rate": 1e-2, **training}
    return parse_recipe({**SMALL, "data": {"files": str(data), "max_length": 16}, "training": section})


def bert(folder: Path, data: Path, method: Any = "full", **training: Any) -> Recipe:
    given = {"model": str(folder), "method": method, "training": {**SMALL["training"], **training}}
    return parse_recipe({**SMALL, **given, "data": {"files": str(data), "max_length": 32}})


def opened(recipe: Recipe) -> tuple[Setup, Any]:
    return make_setup(recipe, SilentRun(Path()))


def whole_state(model: torch.nn.Module) -> dict[str, bytes]:
    """Every weight and buffer, those that are not saved among them, as bytes."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().numpy().tobytes() for name, tensor in named}


def random_state() -> tuple[Any, ...]:
    name, keys, *rest = numpy.random.get_state()
    return random.getstate(), name, tuple(keys), tuple(rest), tuple(torch.get_rng_state().tolist())


# Its losses


def test_a_quadratic_has_the_losses_of_the_closed_form(accelerator: Any) -> None:
    rates = exponential_rates(1e-3, 0.3, 40)
    curve = range_test(quadratic(accelerator, [3.0] * 4), Quadratic(), rates)  # type: ignore[arg-type]
    left = numpy.concatenate([[1.0], numpy.cumprod(1 - 2 * numpy.array(rates))[:-1]])
    assert curve.losses == pytest.approx(9 * left**2, rel=1e-4)
    assert curve.rates == tuple(rates)
    assert curve.before == pytest.approx([9.0] * 40)


def test_gradient_descent_diverges_where_the_curvature_says_so(accelerator: Any) -> None:
    """Beyond a rate of 2 / curvature = 1 each step is longer than the way: w moves away from 3."""
    targets = [2.5, 3.5]  # two, so that no step ends at the minimum of the next one
    curve = range_test(quadratic(accelerator, targets), Quadratic(), exponential_rates(1e-2, 100, 200))  # type: ignore[arg-type]
    assert len(curve.losses) < 200
    assert curve.diverged_at is not None and 1 < curve.diverged_at < 20
    assert 0.1 < curve.average_rates[curve.lowest] < 2


def test_an_overflow_is_a_divergence_and_no_error(accelerator: Any) -> None:
    curve = range_test(quadratic(accelerator, [3.0]), Quadratic(), exponential_rates(0.1, 1e30, 20))  # type: ignore[arg-type]
    assert not all(map(math.isfinite, curve.losses)) or len(curve.losses) < 20
    assert curve.diverged_at is not None


def plain_losses(setup: Setup, model: Any, rates: list[float]) -> list[float]:
    """An ordinary PyTorch loop: torch's AdamW whose rate is set at each step, the model's own outputs, clipping."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, fused=False)
    lengths, losses, epoch = setup.prepared.splits["train"]["length"][:], [], 0
    model.train()
    while True:
        for batch in batch_plan(lengths, seed=0, epoch=epoch, batch_size=8, group_by_length=True):
            for group in optimizer.param_groups:
                group["lr"] = rates[len(losses)]
            tensors = fetch(setup.prepared, "train", batch)
            logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
            loss = torch.nn.functional.cross_entropy(logits, tensors["labels"])
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) == len(rates):
                return losses
        epoch += 1


@pytest.mark.parametrize("method", ["full", {**LORA, "lora_dropout": 0.0}], ids=["full", "lora"])
def test_the_losses_are_those_of_a_plain_pytorch_loop(
    tiny_bert_folder: Path, tiny_reviews: Path, tmp_path: Path, method: Any
) -> None:
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "calm"))
    config = json.loads((folder / "config.json").read_text())
    config |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    (folder / "config.json").write_text(json.dumps(config))
    setup, model = opened(bert(folder, tiny_reviews, method))
    rates = exponential_rates(1e-4, 3e-2, 15)
    curve = range_test(setup, model, rates)
    assert curve.losses == pytest.approx(plain_losses(setup, model, rates), rel=1e-5)


def test_dropout_of_the_untouched_weights_is_drawn_as_in_the_step(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    setup, model = opened(bert(tiny_bert_folder, tiny_reviews))
    curve = range_test(setup, model, [1e-12] * 7)
    assert curve.losses == pytest.approx(curve.before, rel=1e-5)
    assert len(set(curve.losses)) == 7, "batches and dropout differ from step to step"


def test_accumulated_micro_batches_have_the_losses_of_the_large_batch(tiny_reviews: Path) -> None:
    whole, parts = lstm(tiny_reviews), lstm(tiny_reviews, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    curves = [range_test(*opened(recipe), exponential_rates(1e-4, 1e-1, 12)) for recipe in (whole, parts)]
    assert curves[0].losses == pytest.approx(curves[1].losses, rel=1e-4)
    assert curves[0].before == pytest.approx(curves[1].before, rel=1e-4)


# What it leaves


@pytest.mark.parametrize("method", ["full", {**LORA, "lora_dropout": 0.1}], ids=["full", "lora"])
def test_weights_optimizer_and_randomness_are_bit_for_bit_as_before(
    tiny_bert_folder: Path, tiny_reviews: Path, method: Any
) -> None:
    setup, model = opened(bert(tiny_bert_folder, tiny_reviews, method, learning_rate=1e-3))
    learner = make_learner(setup, model)
    batch = numpy.arange(8)
    train_step(setup, learner, Progress(per_device_batch_size=8), batch)
    model.eval()
    torch.manual_seed(7)

    def traces() -> Any:
        tensors = optimizer_tensors(learner.optimizer, model)
        optimizer = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
        modes = [module.training for module in model.modules()]
        gradients = [parameter.grad is None for parameter in model.parameters()]
        return whole_state(model), optimizer, random_state(), modes, gradients

    before = traces()
    assert before[1], "the optimizer has a state that could be lost"
    curve = range_test(setup, model, exponential_rates(1e-4, 1.0, 12))
    assert len(set(curve.losses)) > 1
    assert traces() == before


def test_training_after_a_test_is_training_without_one(tiny_reviews: Path) -> None:
    def losses(tested: bool) -> list[float]:
        setup, model = opened(lstm(tiny_reviews))
        if tested:
            range_test(setup, model, exponential_rates(1e-4, 1.0, 10))
        learner, progress, found = make_learner(setup, model), Progress(per_device_batch_size=8), []
        for _ in range(5):
            found.append(train_step(setup, learner, progress, numpy.arange(8)).loss)
            progress.step += 1
        return found

    assert losses(tested=True) == losses(tested=False)


def test_who_interrupts_it_finds_all_as_before(tiny_reviews: Path) -> None:
    setup, model = opened(lstm(tiny_reviews))
    before, shares = whole_state(model), list[float]()

    def interrupt(share: float) -> None:
        shares.append(share)
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        range_test(setup, model, exponential_rates(1e-2, 1.0, 10), interrupt)
    assert whole_state(model) == before
    assert shares == sorted(shares) and len(shares) > 10


def test_gradients_that_stood_there_are_kept() -> None:
    model = Quadratic()
    model.w.grad = torch.tensor([5.0])
    with untouched(model):
        assert model.w.grad is None
        (model.w * 2).backward()
    assert model.w.grad.item() == 5.0


# Losses that are no numbers


def test_a_loss_that_is_no_number_from_the_start_is_an_error_that_says_so(accelerator: Any) -> None:
    with pytest.raises(HftuneError, match="before any weight has moved") as caught:
        range_test(quadratic(accelerator, [math.nan]), Quadratic(), [1e-3] * 3)  # type: ignore[arg-type]
    assert "fp32" in caught.value.hint


def test_one_broken_batch_says_nothing_of_the_rates(accelerator: Any) -> None:
    setup = quadratic(accelerator, [3.0, math.nan, 3.0, 3.0])
    curve = range_test(setup, Quadratic(), exponential_rates(1e-3, 0.1, 12))  # type: ignore[arg-type]
    assert len(curve.losses) == 12 and all(map(math.isfinite, [*curve.losses, *curve.before]))
    assert curve.losses.count(9.0) >= 3, "once an epoch the broken batch counts as if nothing had changed"


# The rates


def test_the_ends_are_around_the_usual_rates_of_the_method(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    for recipe in (bert(tiny_bert_folder, tiny_reviews), lstm(tiny_reviews)):
        setup, _ = opened(recipe)
        low, high = setup.method.usual_learning_rates(recipe.model)
        assert usual_rates(setup) == (low, high)
        rates = rates_to_try(setup)
        assert len(rates) == STEPS and rates[0] < low < high < rates[-1]
        assert outside_the_usual(setup, low) == outside_the_usual(setup, high) == ""
        assert "below what is usual for `method: full`" in outside_the_usual(setup, low / 2)
        assert "above" in outside_the_usual(setup, high * 2)
        assert rates_to_try(setup, 3, low=1e-3, high=1e-1) == pytest.approx([1e-3, 1e-2, 1e-1])
    assert "of a model from scratch (1e-4 to 1e-2)" in outside_the_usual(setup, 1.0)


def test_plain_gradient_descent_has_ends_of_its_own_and_no_usual_rates(accelerator: Any) -> None:
    setup = quadratic(accelerator, [3.0])
    assert usual_rates(setup) is None and outside_the_usual(setup, 100.0) == ""
    assert rates_to_try(setup)[-1] == pytest.approx(10.0)


def test_the_choice_is_the_middle_candidate_with_two_digits(tiny_reviews: Path) -> None:
    setup, model = opened(lstm(tiny_reviews))
    shares = list[float]()
    choice = choose_rate(setup, model, shares.append)
    assert choice.rate == float(f"{sorted(choice.candidates.values())[1]:.2g}")
    assert 1e-3 < choice.rate < 1e-1
    assert shares[-1] <= 1.0


def test_where_nothing_is_learned_the_choice_is_the_methods_default(
    tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, model = opened(lstm(tiny_reviews))
    monkeypatch.setattr(lr_find, "rates_to_try", lambda setup: [1e-12] * 10)
    choice = choose_rate(setup, model, lambda share: None)
    assert (choice.rate, choice.candidates) == (5e-5, {})


def test_a_plan_without_a_rate_cannot_be_mistaken_for_one_with(tiny_reviews: Path) -> None:
    setup, _ = opened(with_training(lstm(tiny_reviews), learning_rate="auto"))
    assert math.isnan(setup.plan.peak_learning_rate)
