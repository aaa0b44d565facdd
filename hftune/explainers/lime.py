"""LIME (Ribeiro et al. 2016): a linear model of the score near the text, fitted to texts with words left out.

Captum's; texts that miss few words count more (an exponential kernel of the cosine distance), ridge regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftune.explainers import Attribution
from hftune.explainers._captum import require_captum, samples, scoring

if TYPE_CHECKING:
    from hftune.explainers._asked import Asked

TITLE = "LIME"
SEEDED = True
TASKS = ("text-classification",)
GRADIENTS = False
KERNEL_WIDTH = 0.25  # of the paper's text experiments, over the cosine distance
RIDGE = 0.01


def attribute(question: Asked, seed: int = 0) -> Attribution:
    """Return the linear model's coefficient of each word."""
    require_captum()
    import torch
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime
    from captum.attr._core.lime import get_exp_kernel_similarity_function

    count = samples(len(question.words))
    whole = torch.ones(1, len(question.words))
    near = get_exp_kernel_similarity_function("cosine", kernel_width=KERNEL_WIDTH)
    method = Lime(scoring(question), interpretable_model=SkLearnRidge(alpha=RIDGE), similarity_func=near)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = method.attribute(whole, baselines=0, n_samples=count, perturbations_per_eval=count)
    return Attribution(found[0].double().numpy(), None, {"samples": count})
