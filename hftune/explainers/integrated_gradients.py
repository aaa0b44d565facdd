"""Integrated gradients (Sundararajan et al. 2017, eq. 1): gradients along the way from a text that says nothing.

Of the token embeddings, by Captum's layer integrated gradients; a word's value is the sum over its tokens. The values
sum to the score less that of the beginning (completeness), and steps are added until that holds to one percent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hftune.explainers import Attribution
from hftune.explainers._captum import require_captum

if TYPE_CHECKING:
    from hftune.explainers._question import Question

TITLE = "integrated gradients"
SEEDED = False
STEPS = (16, 32, 64, 128, 256)
CLOSE_ENOUGH = 0.01  # of the difference that the values should sum to
BATCH = 32


def attribute(question: Question, seed: int = 0) -> Attribution:
    """Return the integral of the gradients for each word; `seed` means nothing."""
    require_captum()
    import torch
    from captum.attr import LayerIntegratedGradients

    ids, begin = torch.tensor([question.ids], device=question.model.device), question.baseline_ids()
    embeddings = question.model.get_input_embeddings()
    method = LayerIntegratedGradients(question.forward, embeddings)
    with torch.no_grad():
        difference = float(question.forward(ids) - question.forward(begin))
    values, error, steps = torch.zeros(0), 0.0, 0
    with _gradients_of(embeddings):
        for steps in STEPS:
            values = method.attribute(ids, baselines=begin, n_steps=steps, internal_batch_size=BATCH)
            values = values.detach().double().sum(-1)[0]
            error = abs(float(values.sum()) - difference) / max(abs(difference), 1e-9)
            question.passes += steps
            if error < CLOSE_ENOUGH:
                break
    return Attribution(question.by_word(values.tolist()), error, {"steps": steps})


@contextmanager
def _gradients_of(layer: Any) -> Iterator[None]:
    """Let gradients reach the layer's output: a model that is asked has its weights frozen."""
    layer.requires_grad_(True)
    try:
        yield
    finally:
        layer.requires_grad_(False)
