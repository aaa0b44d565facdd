"""What parts are worth: closed forms where there are any, and layers left out one after another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hftune.compressors._importance import best_parts, choose_layers, parts_importance
from hftune.compressors._narrowing import head_groups, neurons


class OneLayer(torch.nn.Module):
    """z = x of two neurons, the loss of a row the sum of w·z over its tokens."""

    config = SimpleNamespace(num_hidden_layers=1)

    def __init__(self) -> None:
        super().__init__()
        self.reader = torch.nn.Linear(4, 1, bias=False)
        self.reader.weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 3.0, 0.5]]), requires_grad=False)


def test_of_a_linear_loss_importance_is_by_how_much_each_row_s_loss_changes_without_a_part():
    model = OneLayer()
    rows = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [-1.0, 1.0, 1.0, 0.0]], [[2.0, 0.0, -1.0, 2.0], [0.0, 1.0, 0.0, 0.0]]])
    sample = SimpleNamespace(losses=lambda model: iter([(model.reader(rows).sum(), 2.0)]))
    parts = SimpleNamespace(count=2, readers=lambda model: [[(model.reader, 2)]])  # two entries a part

    def loss_without(part: int) -> torch.Tensor:
        kept = rows.clone()
        kept[:, :, 2 * part : 2 * part + 2] = 0
        return model.reader(kept).sum(dim=(1, 2))

    found = parts_importance(model, parts, sample)  # type: ignore[arg-type]
    whole = model.reader(rows).sum(dim=(1, 2))
    expected = [float((whole - loss_without(part)).abs().sum()) for part in range(2)]
    assert found.tolist() == [expected]
    # By hand: row 1: part 0 (1-4) + (-1-2) = -6, part 1 (9+2) + 3 = 14; row 2: 2 + -2 = 0, -3+1 = -2.
    assert expected == [6.0, 16.0]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_parts_that_nobody_hears_are_worth_nothing(models: Any, kind: str):
    model = getattr(models, kind)(layers=2)
    model.requires_grad_(False)
    ids = torch.arange(1, 25).reshape(4, 6)
    sample = SimpleNamespace(losses=lambda model: iter([((model(input_ids=ids).logits ** 2).sum(), 4.0)]))
    looked_at = [neurons(model)] + ([head_groups(model)] if kind == "llama" else [])
    for parts in looked_at:
        module, each = parts.readers(model)[1][0]
        dim = 1 if isinstance(module, torch.nn.Linear) else 0
        with torch.no_grad():
            module.weight.index_fill_(dim, torch.arange(each, 2 * each), 0.0)  # part 1 of layer 1
        found = parts_importance(model, parts, sample)  # type: ignore[arg-type]
        assert found.shape == (2, parts.count)
        assert (found == 0).nonzero().tolist() == [[1, 1]]
        assert 1 not in best_parts(found, parts.count - 1)[1]
        assert torch.equal(found, parts_importance(model, parts, sample))  # type: ignore[arg-type]


def test_the_best_parts_keep_their_order_and_of_equal_ones_the_first_is_kept():
    assert best_parts(torch.tensor([[1.0, 5.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0]]), 3) == [[0, 1, 3], [0, 1, 2]]


def marked(models: Any, marks: list[float]) -> Any:
    """Return a GPT-2 whose layers can be told apart."""
    model = models.gpt2(layers=len(marks))
    for layer, mark in zip(model.transformer.h, marks, strict=True):
        torch.nn.init.constant_(layer.ln_1.weight, mark)
    return model


def marks(model: Any) -> list[float]:
    return [layer.ln_1.weight[0].item() for layer in model.transformer.h]


def test_layers_go_whose_loss_is_missed_least_and_each_is_measured_without_those_before_it(models: Any):
    # 2 and 2 say the same: without one of them nothing is lost, without both much.
    sample = SimpleNamespace(loss=lambda model: -sum(set(marks(model))))
    kept, gone = choose_layers(marked(models, [4.0, 2.0, 1.0, 2.0]), 2, sample, print)  # type: ignore[arg-type]
    assert kept == [0, 1]
    assert gone == [(3, -7.0), (2, -6.0)]  # of equal ones the upper
