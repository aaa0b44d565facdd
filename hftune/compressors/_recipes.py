"""The recipe of a compressed run: its parent's, with what the compressor needs otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hftune import compressors
from hftune.errors import RunError, UsageError
from hftune.recipe.load import as_mapping, load_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.layout import LONGEST_NAME
from hftune.runs.reader import lasting_name


def compress_recipe(parent: Path, method: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of the run that compresses `parent` by `method`, `overrides` (section.key=value) applied.

    Task and data are the parent's, training as the method suggests it. Raises UsageError for a method that there is
    not, RecipeError for wrong overrides, RunError for a parent that is not finished.
    """
    plugin = compressors.registry.load(method)
    require_finished(parent)
    before = load_recipe(parent / layout.RECIPE)
    if before.model.trust_remote_code:
        raise UsageError(f"{parent.name} is a model with code of its own: what it is made of is not known here")
    mapping = as_mapping(before)
    mapping["name"] = f"{before.name[: LONGEST_NAME - len(method) - 1]}-{method}"
    mapping["description"] = f"{before.name}, made smaller: {method}"
    mapping["hub"] = None
    if before.method.name != "full":
        mapping["training"]["learning_rate"] = None  # an adapter's or a head's is too much for all weights
    mapping["method"] = "full"  # every weight of the small model may change
    mapping["compress"] = {"name": method, "parent": str(parent.resolve())}
    asked = parse_recipe(mapping, overrides)
    assert asked.compress is not None
    own = asked.compress.settings(plugin.Config)
    mapping["training"] = {**mapping["training"], **plugin.training(own, before)}
    return parse_recipe(mapping, overrides)


def require_finished(parent: Path) -> None:
    """Raise RunError for a run that has no finished model to be made smaller."""
    if not (parent / layout.MODEL).is_dir():
        hint = f"`hftune watch {lasting_name(parent)}` shows how far it is."
        raise RunError(f"{parent.name} has no finished model yet", hint)
