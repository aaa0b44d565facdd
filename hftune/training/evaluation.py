"""Figures of a model over one split, streamed: no logits are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hftune.data.batches import Indices
from hftune.modeling.loading import without_cache
from hftune.modeling.output_layer import only_at
from hftune.recipe.schema import Recipe
from hftune.tasks import Batch, Prepared, Task
from hftune.training.device import is_out_of_memory, release_memory
from hftune.training.precision import Precision, choose_precision

# What a model's forward pass takes; all else in a batch (labels, rows, weights) is for the task.
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


def evaluate_split(
    model: nn.Module,
    task: Task,
    recipe: Recipe,
    prepared: Prepared,
    split: str,
    accelerator: Accelerator,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, float], int]:
    """Return the figures of `model` over `split` and the number of examples (rows of the split as loaded).

    `on_batch(done, total)` is called before each batch with examples as they were encoded; what it raises (a request
    to stop) ends the evaluation. When memory runs out, all is done again with half the batch.
    """
    precision = choose_precision(recipe.training.precision, accelerator.device)
    batch_size = recipe.training.per_device_eval_batch_size
    was_training = model.training
    model.eval()
    try:
        while True:
            try:
                stream = task.metric_stream(recipe, prepared)
                for logits, batch in _outputs(model, prepared, split, batch_size, accelerator, precision, on_batch):
                    stream.update(logits, batch)
                return stream.compute(), count_rows(prepared, split)
            except (RuntimeError, MemoryError) as error:
                if batch_size == 1 or not is_out_of_memory(error):
                    raise
                batch_size //= 2
            release_memory(accelerator.device)
    finally:
        model.train(was_training)


def count_rows(prepared: Prepared, split: str) -> int:
    """Return how many examples a split has, the windows of one document counted once."""
    return len(np.unique(np.asarray(prepared.splits[split]["row"])))


def fetch(prepared: Prepared, split: str, indices: Indices, epoch: int | None = None) -> Batch:
    """Return the examples at `indices` as one batch on the CPU; with `epoch` as training sees them in that one."""
    columns: Mapping[str, list[Any]] = prepared.splits[split][indices.tolist()]
    names = list(columns)
    examples: list[Mapping[str, Any]] = [
        dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]
    if epoch is not None and prepared.draw is not None:
        examples = [prepared.draw(example, epoch) for example in examples]
    return prepared.collate(examples)


def forward(model: nn.Module, batch: Batch, precision: Precision, device: torch.device) -> tuple[Tensor, Batch]:
    """Return the logits (in the precision's format) and the batch moved to the device.

    A mask of ones says nothing, and without it attention takes its fastest path. Where the batch says which tokens are
    `guessed` [batch, tokens], logits are [guessed, vocabulary], and its labels [guessed].
    """
    mask = batch.get("attention_mask")
    if mask is not None and bool(mask.all()):
        batch = {name: tensor for name, tensor in batch.items() if name != "attention_mask"}
    batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    inputs = {name: batch[name] for name in MODEL_INPUTS if name in batch}
    guessed = batch.get("guessed")
    with precision.autocast(), only_at(model, guessed):
        logits: Tensor = model(**inputs, **without_cache(model)).logits
    if guessed is not None and logits.dim() == 2:
        batch["labels"] = batch["labels"][guessed]
    return logits, batch


@torch.no_grad()
def _outputs(
    model: nn.Module,
    prepared: Prepared,
    split: str,
    batch_size: int,
    accelerator: Accelerator,
    precision: Precision,
    on_batch: Callable[[int, int], None],
) -> Iterator[tuple[Tensor, Batch]]:
    """Yield logits (in the precision's format: of 50,000 words fp32 would be a second copy) and batch.

    The longest texts come first: if memory does not suffice, it shows at once.
    """
    device = getattr(model, "device", accelerator.device)  # a model in int8 stays on the CPU
    order = np.argsort(-np.asarray(prepared.splits[split]["length"]), kind="stable")
    for start in range(0, len(order), batch_size):
        on_batch(start, len(order))
        batch = fetch(prepared, split, order[start : start + batch_size])
        yield forward(model, batch, precision, device)
