"""What is not shared: a model whose architecture is code of its own, for which nobody here can speak."""

from __future__ import annotations

from hftune.errors import UsageError
from hftune.recipe.schema import Recipe


def refuse_own_code(recipe: Recipe) -> None:
    """Raise UsageError for a model that may need its own code: it is not published, and nobody could load the rest."""
    if recipe.model.trust_remote_code:
        raise UsageError(
            "a model with code of its own (trust_remote_code) can be neither exported nor pushed",
            hint="The run's folder model/ is what transformers reads, with trust_remote_code=True. A model that needs "
            "no such code can be shared after a run without that setting.",
        )
