"""Ablation (leave one word out, occlusion): what the score loses when a word is not there, all others in place.

One reading of the text a word. The values are exact for what they say, and need not sum to anything: of two words that
say the same neither is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftune.explainers import Attribution

if TYPE_CHECKING:
    from hftune.explainers._asked import Asked

TITLE = "ablation"
SEEDED = False
TASKS = ("text-classification", "text-generation")
GRADIENTS = False


def attribute(question: Asked, seed: int = 0) -> Attribution:
    """Return the score of the text less that without each word; `seed` means nothing."""
    import numpy as np

    without = ~np.eye(len(question.words), dtype=bool)
    scores = question.target_scores(np.concatenate([question.whole(), without]))
    by_target = (scores[0] - scores[1:]).T
    return Attribution(by_target.sum(axis=0), by_target=by_target)
