"""SHAP (Lundberg and Lee 2017): what a word adds to the score, averaged over all orders in which words could come.

Shapley values. With few words all combinations are read and the values are exact; with more, Captum's Kernel SHAP fits
them to a sample of combinations.
"""

from __future__ import annotations

from math import factorial
from typing import TYPE_CHECKING, Any

from hftune.explainers import Attribution
from hftune.explainers._captum import require_captum, samples, scoring

if TYPE_CHECKING:
    from hftune.explainers._asked import Asked

TITLE = "SHAP"
SEEDED = True
TASKS = ("text-classification",)
GRADIENTS = False
EXACT_WORDS = 9  # 512 combinations: fewer than a sample of more words takes


def attribute(question: Asked, seed: int = 0) -> Attribution:
    """Return each word's Shapley value."""
    import numpy as np

    count = len(question.words)
    ends = question.scores(np.concatenate([question.whole(), ~question.whole()]))
    if count <= EXACT_WORDS:
        values, details = _exact(question), {"combinations": 2**count}
    else:
        values, details = _sampled(question, seed), {"samples": samples(count)}
    difference = float(ends[0] - ends[1])
    error = abs(float(values.sum()) - difference) / max(abs(difference), 1e-9)
    return Attribution(values, error, details)


def _exact(question: Asked) -> Any:
    """Return the values by their definition (Shapley 1953), from the scores of all combinations."""
    import numpy as np

    count = len(question.words)
    combinations = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    scores, sizes = question.scores(combinations), combinations.sum(axis=1)
    values = np.zeros(count)
    for word in range(count):
        without = np.flatnonzero(~combinations[:, word])
        weights = np.array([factorial(size) * factorial(count - size - 1) for size in range(count)]) / factorial(count)
        values[word] = (weights[sizes[without]] * (scores[without + (1 << word)] - scores[without])).sum()
    return values


def _sampled(question: Asked, seed: int) -> Any:
    require_captum()
    import torch
    from captum.attr import KernelShap

    count = samples(len(question.words))
    whole = torch.ones(1, len(question.words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = KernelShap(scoring(question)).attribute(
            whole, baselines=0, n_samples=count, perturbations_per_eval=count
        )
    return found[0].double().numpy()
