"""Single weights set to zero, and kept so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hftune.compressors._sparsity import sparsify


def zeros(model: Any) -> int:
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    return sum(int((p == 0).sum()) for p in model.parameters() if p.dim() == 2 and id(p) not in embeddings)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_the_smallest_weights_go_whatever_matrix_they_stand_in(models: Any, kind: str):
    model, before = getattr(models, kind)(), getattr(models, kind)()
    found, total = sparsify(model, 0.3)
    assert found == int(0.3 * total) == zeros(model)
    gone, kept = [], []
    for now, old in zip(model.parameters(), before.parameters(), strict=True):
        kept.append(now.detach()[now != 0].abs().min())
        gone.append(old.detach()[(now == 0) & (old != 0)].abs())
        assert torch.equal(now[now != 0], old[now != 0])
    matrices = [index for index, sizes in enumerate(gone) if len(sizes)]
    assert float(torch.cat(gone).max()) < float(min(kept[index] for index in matrices))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_embeddings_are_left_alone_also_where_the_output_layer_is_tied_to_them(models: Any, kind: str):
    model, before = getattr(models, kind)(), getattr(models, kind)()
    sparsify(model, 0.9)
    assert torch.equal(model.get_input_embeddings().weight, before.get_input_embeddings().weight)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_zeros_stay_zero_while_the_rest_learns(models: Any, optimizer: Any):
    model = models.bert()
    found, _ = sparsify(model, 0.5)
    before = model.bert.encoder.layer[0].output.dense.weight.clone()
    learner = optimizer(model.parameters(), lr=0.05, weight_decay=0.1)
    for _ in range(5):
        model(input_ids=torch.arange(1, 25).reshape(2, 12), labels=torch.tensor([0, 1])).loss.backward()
        learner.step()
        learner.zero_grad()
    assert zeros(model) == found
    assert not torch.equal(model.bert.encoder.layer[0].output.dense.weight, before)


def test_a_share_too_small_for_a_single_weight_changes_nothing(models: Any):
    model = models.bert()
    assert sparsify(model, 1e-9)[0] == 0 == zeros(model)
