"""What a model's parts are worth: by how much its own task's loss rises when one is left out.

Neurons and heads: to first order, for all at once. With z a part's output and L a row's loss, leaving the part out
changes L by about −z·∂L/∂z (Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference,
2017, eq. 7; for heads Michel, Levy and Neubig, Are Sixteen Heads Really Better than One?, 2019, eq. 5); its size,
summed over rows, is the part's importance. Layers: by trying, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from hftune.compressors._narrowing import Parts
from hftune.compressors._surgery import keep_layers, layer_count
from hftune.data.batches import batch_plan
from hftune.recipe.schema import Recipe
from hftune.tasks import Batch, Prepared, Task
from hftune.training.evaluation import fetch, forward
from hftune.training.precision import choose_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Sample:
    """Rows of the train split to measure on, the same for the same recipe and data."""

    recipe: Recipe
    task: Task
    prepared: Prepared
    rows: int

    @property
    def size(self) -> int:
        """Return how many rows there are."""
        return min(self.rows, len(self.prepared.splits["train"]))

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches of like length, longest first, masked as the first epoch masks them."""
        lengths = np.asarray(self.prepared.splits["train"]["length"])
        seed = self.recipe.training.seed
        drawn = batch_plan(lengths, seed=seed, epoch=0, batch_size=self.rows, group_by_length=False)[0]
        order = drawn[np.argsort(-lengths[drawn], kind="stable")]
        size = self.recipe.training.per_device_train_batch_size
        for start in range(0, len(order), size):
            yield fetch(self.prepared, "train", order[start : start + size], epoch=0)

    def losses(self, model: PreTrainedModel) -> Iterator[tuple[Tensor, float]]:
        """Yield each batch's summed loss, fp32, and its weight."""
        precision = choose_precision("fp32", model.device)
        for batch in self.batches():
            logits, moved = forward(model, batch, precision, model.device)
            loss = self.task.loss(self.recipe, self.prepared, logits, moved)
            yield loss, float(self.task.weight(self.recipe, self.prepared, moved))

    def loss(self, model: PreTrainedModel) -> float:
        """Return the model's mean loss."""
        with torch.no_grad():
            found = [(float(loss), weight) for loss, weight in self.losses(model)]
        return sum(loss for loss, _ in found) / (sum(weight for _, weight in found) or 1.0)


def parts_importance(model: PreTrainedModel, parts: Parts, sample: Sample) -> Tensor:
    """Return how much each part of each layer is worth, float64 [layers, parts], never negative.

    The model is frozen and in evaluation mode.
    """
    found = torch.zeros(layer_count(model.config), parts.count, dtype=torch.float64)
    heard: list[tuple[int, int, Tensor]] = []

    def listen(layer: int, each: int) -> Callable[..., tuple[Tensor, ...]]:
        def hook(_: object, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            # What comes out of frozen weights alone has no gradient yet.
            given_parts = given[0] if given[0].requires_grad else given[0].detach().requires_grad_()
            given_parts.retain_grad()
            heard.append((layer, each, given_parts))
            return (given_parts, *given[1:])

        return hook

    hooks = [
        module.register_forward_pre_hook(listen(layer, each))
        for layer, modules in enumerate(parts.readers(model))
        for module, each in modules
    ]
    try:
        for loss, _ in sample.losses(model):
            torch.autograd.backward(loss)
            for layer, each, output in heard:
                found[layer] += _first_order(output, each).cpu()
            heard.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _first_order(output: Tensor, each: int) -> Tensor:
    """Return |Σ z·∂L/∂z| over a row's tokens and a part's entries, summed over rows, float64 [parts]."""
    assert output.grad is not None
    product = (output.detach() * output.grad).double()
    by_row = product.sum(dim=tuple(range(1, product.dim() - 1))) if product.dim() > 2 else product
    by_part: Tensor = by_row.reshape(len(by_row), -1, each).sum(-1).abs().sum(0)
    return by_part


def choose_layers(
    model: PreTrainedModel, keep: int, sample: Sample, note: Callable[[str], None]
) -> tuple[list[int], list[tuple[int, float]]]:
    """Return which `keep` layers to keep, and what was left out with the loss without it, in that order.

    One after another that layer is left out without which the loss is lowest; of equal ones the upper. Each is measured
    without those before it.
    """
    left, gone = list(range(layer_count(model.config))), []
    while len(left) > keep:
        note(f"measuring what each of {len(left)} layers is worth")
        losses = {layer: sample.loss(keep_layers(model, [one for one in left if one != layer])) for layer in left}
        worst = min(left, key=lambda layer: (losses[layer], -layer))
        left.remove(worst)
        gone.append((worst, losses[worst]))
    return left, gone


def best_parts(importance: Tensor, keep: int) -> list[list[int]]:
    """Return for each layer the `keep` parts worth most, in their old order; of equal ones the first."""
    order = torch.sort(importance, dim=1, descending=True, stable=True).indices[:, :keep]
    chosen: list[list[int]] = order.sort(dim=1).values.tolist()
    return chosen


Chosen = TypeVar("Chosen")


def agreed(chosen: Chosen) -> Chosen:
    """Return what the first process of a run chose: on accelerators near ties may fall otherwise in each."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return chosen
    box = [chosen]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


__all__ = ["Sample", "agreed", "best_parts", "choose_layers", "parts_importance"]
