"""Whether a way to make a model smaller trains the result."""

from __future__ import annotations

from hftune import compressors
from hftune.compressors import LearningOptions
from hftune.recipe.schema import Choice


def learns(compress: Choice) -> bool:
    """Return whether the small model is trained, as its recipe says; raises UsageError for an unknown compressor."""
    config = compress.settings(compressors.registry.load(compress.name).Config)
    return isinstance(config, LearningOptions) and bool(getattr(config, "recover", True))
