"""The learning rate is transformers' own, at every step."""

from __future__ import annotations

import pytest
import torch

from hftune.training.schedule import learning_rate, warmup_count


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("kind", ["linear", "cosine", "constant", "polynomial", "inverse_sqrt"])
def test_learning_rate_equals_transformers_at_every_step(kind: str, warmup: int):
    from transformers import get_scheduler

    total, peak = 40, 3e-4
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    name = "constant_with_warmup" if kind == "constant" else kind
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(total):
        ours = learning_rate(kind, step, peak=peak, warmup=warmup, total=total)
        assert ours == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12, abs=1e-18)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("given", "total", "steps"), [(0.0, 50, 0), (0.1, 55, 6), (1.0, 50, 1), (12.0, 50, 12)])
def test_warmup_below_one_is_a_share_of_all_steps(given: float, total: int, steps: int):
    assert warmup_count(given, total) == steps


def test_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="wavy"):
        learning_rate("wavy", 0, peak=1.0, warmup=0, total=1)
