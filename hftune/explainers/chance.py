"""Chance: values drawn at random. What no method may be as bad as; it knows nothing of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftune.explainers import Attribution

if TYPE_CHECKING:
    from hftune.explainers._asked import Asked

TITLE = "chance"
SEEDED = True
TASKS = ("text-classification", "text-generation")
GRADIENTS = False


def attribute(question: Asked, seed: int = 0) -> Attribution:
    """Return a standard normal number a word."""
    import numpy as np

    return Attribution(np.random.default_rng(seed).standard_normal(len(question.words)))
