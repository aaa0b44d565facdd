"""Explainers: how much each word of a text did for a model's answer. One file a method; the file name is its name.

A method gets a `Question` (one text, one class, and the model's score of it with any words left out) and gives an
`Attribution`: a signed number a word, positive for what speaks for the class. All are judged alike (_faithfulness.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hftune.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from hftune.explainers._question import Question


@dataclass(frozen=True)
class Attribution:
    """What a method found: `values` float64 [words], in units of the question's score.

    `completeness_error`: how far the values' sum is from what they should sum to, as a share of that; None where the
    method promises nothing. `details`: of the method alone (steps, samples).
    """

    values: np.ndarray[Any, Any]
    completeness_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Explainer(Protocol):
    """An explainer plugin is a module with these names."""

    TITLE: str  # in tables
    SEEDED: bool  # whether another seed gives other values

    def attribute(self, question: Question, seed: int = 0) -> Attribution:
        """Return how much each word did for the question's class; the same values for the same seed."""


registry: Registry[Explainer] = Registry("hftune.explainers", "method")
CHANCE = "chance"  # the method that knows nothing, beside which all others are shown


def methods() -> list[str]:
    """Return the names of the methods, chance last."""
    return [*(name for name in registry.names() if name != CHANCE), CHANCE]
