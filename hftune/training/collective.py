"""What the processes of a run tell each other. With one process each of these costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

# Gradients travel in pieces of so many numbers, so that summing them needs little memory beside them.
_PIECE = 16 * 2**20


def sum_over_ranks(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Return each value summed over all processes, the same bits on each of them."""
    if accelerator.num_processes == 1:
        return [float(value) for value in values]
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    summed: list[float] = accelerator.reduce(tensor, reduction="sum").tolist()
    return summed


def from_first_rank(accelerator: Accelerator, value: Any) -> Any:
    """Return what rank 0 passed as `value`; the others wait for it."""
    if accelerator.num_processes == 1:
        return value
    box = [value]
    broadcast_object_list(box, from_process=0)
    return box[0]


def sum_gradients(accelerator: Accelerator, parameters: Sequence[nn.Parameter]) -> None:
    """Replace gradients by their sum over all processes, once an optimizer step.

    A parameter that has a gradient nowhere (a part of the model that is not used) keeps none, so that it is neither
    decayed nor given a state, as with one process.
    """
    if accelerator.num_processes == 1:
        return
    have = sum_over_ranks(accelerator, [float(parameter.grad is not None) for parameter in parameters])
    used = [parameter for parameter, count in zip(parameters, have, strict=True) if count]
    for parameter in used:
        if parameter.grad is None:  # this rank's share of the batch was empty
            parameter.grad = torch.zeros_like(parameter)
    for piece in _pieces(used):
        gradients = [parameter.grad for parameter in piece if parameter.grad is not None]
        flat = accelerator.reduce(torch.cat([gradient.reshape(-1) for gradient in gradients]), reduction="sum")
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def _pieces(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    pieces: list[list[nn.Parameter]] = [[]]
    size = 0
    for parameter in parameters:
        if size and size + parameter.numel() > _PIECE:
            pieces.append([])
            size = 0
        pieces[-1].append(parameter)
        size += parameter.numel()
    return [piece for piece in pieces if piece]
