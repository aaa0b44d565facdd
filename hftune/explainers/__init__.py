"""Explainers: how much each word of a text did for a model's answer. One file a method; the file name is its name.

A method gets what is asked (a text, and the model's scores of it with any words left out: of a classifier one class's,
of a generator one for each token of its answer) and gives an `Attribution`: a signed number a word, positive for what
speaks for the answer. All are judged alike (_faithfulness.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hftune.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from hftune.explainers._asked import Asked


@dataclass(frozen=True)
class Attribution:
    """What a method found: `values` float64 [words], in units of the score; of several scores their sum.

    `completeness_error`: how far the values' sum is from what they should sum to, as a share of that; None where the
    method promises nothing. `details`: of the method alone (steps, samples). `by_target`: float64 [targets, words], the
    values for each score by itself, from a method for generators.
    """

    values: np.ndarray[Any, Any]
    completeness_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    by_target: np.ndarray[Any, Any] | None = None


class Explainer(Protocol):
    """An explainer plugin is a module with these names."""

    TITLE: str  # in tables
    SEEDED: bool  # whether another seed gives other values
    TASKS: tuple[str, ...]  # whose models it explains
    GRADIENTS: bool  # whether it needs them: a model that computes in int8 has none

    def attribute(self, question: Asked, seed: int = 0) -> Attribution:
        """Return how much each word did for what is scored; the same values for the same seed."""


registry: Registry[Explainer] = Registry("hftune.explainers", "method")
# Task -> the method that is used where nobody says. Of an answer of many tokens integrated gradients take minutes.
DEFAULTS = {"text-classification": "integrated-gradients", "text-generation": "ablation"}
WITHOUT_GRADIENTS = "ablation"  # the quickest of the others
CHANCE = "chance"  # the method that knows nothing, beside which all others are shown


def methods(task: str | None = None, gradients: bool = True) -> list[str]:
    """Return the names of the methods, the default first and chance last; with `task` of those for its models.

    `gradients`: whether the model has them.
    """
    names = [
        name
        for name in registry.names()
        if (task is None or task in registry.load(name).TASKS) and (gradients or not registry.load(name).GRADIENTS)
    ]
    first = DEFAULTS[task or "text-classification"] if gradients else WITHOUT_GRADIENTS
    return sorted(names, key=lambda name: (name == CHANCE, name != first, name))
