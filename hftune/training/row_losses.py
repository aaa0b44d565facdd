"""The loss of a model on each held-out row, so that two models can be compared row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hftune.training.evaluation import fetch, forward
from hftune.training.step import Setup

RowLosses = np.ndarray[Any, np.dtype[np.float64]]


@torch.no_grad()
def row_losses(setup: Setup, model: nn.Module, split: str) -> RowLosses:
    """Return summed loss and weight of each row of a prepared split, float64 [rows, 2], in the order of the rows.

    Their sums' quotient is the split's loss; windows of one document are summed.
    """
    prepared, recipe, task = setup.prepared, setup.recipe, setup.task
    examples = prepared.splits[split]
    order = np.argsort(-np.asarray(examples["length"]), kind="stable")
    _, place = np.unique(np.asarray(examples["row"]), return_inverse=True)
    found = np.zeros((int(place.max()) + 1, 2))
    size, was_training = recipe.training.per_device_eval_batch_size, model.training
    model.eval()
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        logits, batch = forward(model, fetch(prepared, split, indices), setup.precision, setup.accelerator.device)
        for number, example in enumerate(indices.tolist()):
            one = {name: tensor[number : number + 1] for name, tensor in batch.items()}
            loss = float(task.loss(recipe, prepared, logits[number : number + 1], one))
            found[place[example]] += loss, float(task.weight(recipe, prepared, one))
    model.train(was_training)
    return found
