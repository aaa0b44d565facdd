"""Optimizers with decay on matrices only, and their state as flat tensors named by parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hftune.errors import RunError
from hftune.recipe.schema import TrainingSection

# Between a parameter's name and the name of its state (`exp_avg`); no parameter name has a slash.
_SEPARATOR = "/"


def make_optimizer(model: nn.Module, training: TrainingSection) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over the parameters that learn; the learning rate is set at each step.

    Biases and norms (one dimension) are not decayed: pulling them to zero helps nothing and costs accuracy.
    """
    trained = dict(trained_parameters(model))
    groups = [
        {"params": [p for p in trained.values() if p.ndim >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in trained.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # Fused kernels exist for these devices and are about twice as fast as the loop over parameters.
    fused = all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in trained.values())
    if training.optim == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=training.momentum, fused=fused)
    betas = (training.adam_beta1, training.adam_beta2)
    if training.optim == "adam":
        return torch.optim.Adam(groups, lr=0.0, betas=betas, eps=training.adam_epsilon, fused=fused)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=training.adam_epsilon, fused=fused)


def trained_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and parameter of all that learns; tied ones once."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the state as `parameter name/state name` -> tensor; parameters that never had a gradient have none."""
    tensors = {}
    for name, parameter in trained_parameters(model):
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                tensors[name + _SEPARATOR + key] = torch.as_tensor(value)
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put `optimizer_tensors` back; raises RunError when a name has no parameter."""
    names = {parameter: name for name, parameter in trained_parameters(model)}
    states: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, state = key.rpartition(_SEPARATOR)
        states.setdefault(name, {})[state] = tensor
    if unknown := sorted(set(states) - set(names.values())):
        raise RunError(f"the optimizer's state has {unknown[0]!r}, and the model has no such parameter that learns")
    # torch's own loader knows which states belong on the parameter's device (a fused `step` does).
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    packed: dict[str, Any] = optimizer.state_dict()
    packed["state"] = {index: states[name] for index, name in enumerate(order) if name in states}
    optimizer.load_state_dict(packed)
