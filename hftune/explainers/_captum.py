"""What the methods need of Captum: that it is there, and the score as a function of a vector of words."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hftune.errors import ModelError

if TYPE_CHECKING:
    import torch

    from hftune.explainers._asked import Asked

PACKAGES = ("captum", "sklearn")
# Texts with words left out that a linear model is fitted to, so many a coefficient, within bounds. With half as many
# the words are as faithful, but another seed ranks them less alike (SHAP, 24 reviews: Spearman 0.78 instead of 0.86).
A_WORD, FEWEST, MOST = 20, 400, 600


class MissingPackage(ModelError):  # noqa: N818 - it names what happened
    """A package is missing that methods need; the hint is the command to type."""


def require_captum() -> None:
    """Raise MissingPackage where a package is missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise MissingPackage(f"explanations need {' and '.join(missing)}", hint="pip install 'hftune[explain]'")


def samples(words: int) -> int:
    """Return how many texts a linear model of so many words is fitted to."""
    return min(MOST, max(FEWEST, A_WORD * words))


def scoring(question: Asked) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the score [n] of vectors float [n, words]: 1 keeps a word, 0 leaves it out."""
    import torch

    def score(kept: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(question.scores(kept.numpy() > 0.5)).float()

    return score
