"""Optimizers: decay on matrices only, and a state that survives by name."""

from __future__ import annotations

import pytest
import torch

from hftune.errors import RunError
from hftune.recipe.schema import TrainingSection
from hftune.training.optimizer import load_optimizer_tensors, make_optimizer, optimizer_tensors, set_learning_rate


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)
        self.norm = torch.nn.LayerNorm(3)
        self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x)).pow(2).sum()


def step(model: Model, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    set_learning_rate(optimizer, 0.1)
    model(torch.randn(5, 4)).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def test_only_matrices_are_decayed():
    model = Model()
    optimizer = make_optimizer(model, TrainingSection(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(model.layer.weight)] == 0.3
    assert decay[id(model.layer.bias)] == decay[id(model.norm.weight)] == 0.0
    assert id(model.frozen.weight) not in decay


@pytest.mark.parametrize("training", [{"optim": "AdamW"}, {"optim": "adam"}, {"optim": "sgd", "momentum": 0.9}])
def test_state_saved_by_name_gives_the_same_next_step(training: dict[str, object]):
    section = TrainingSection(**training)
    model, other = Model(), Model()
    optimizer = make_optimizer(model, section)
    step(model, optimizer, seed=1)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, model).items()}
    assert all(name.rpartition("/")[0] in dict(model.named_parameters()) for name in saved)
    assert not any(name.startswith(("unused", "frozen")) for name in saved)

    other.load_state_dict(model.state_dict())
    fresh = make_optimizer(other, section)
    load_optimizer_tensors(fresh, other, saved)
    step(model, optimizer, seed=2)
    step(other, fresh, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_state_of_an_unknown_parameter_is_refused():
    model = Model()
    optimizer = make_optimizer(model, TrainingSection())
    with pytest.raises(RunError, match="gone"):
        load_optimizer_tensors(optimizer, model, {"gone.weight/exp_avg": torch.zeros(1)})
