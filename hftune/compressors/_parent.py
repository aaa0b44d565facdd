"""The finished run whose model is made smaller."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.compressors import Options, Parent
from hftune.errors import Problem, RecipeError
from hftune.inference.loading import LoadedRun, load_run
from hftune.recipe.schema import Recipe
from hftune.tasks._answers import label_names

if TYPE_CHECKING:
    import torch

    from hftune.tasks import Prepared


def load_parent(recipe: Recipe, device: torch.device) -> Parent:
    """Return the parent of a recipe that compresses, an adapter merged into its base, fp32 and frozen on `device`.

    Raises RunError where there is no finished run, RecipeError for one of another task.
    """
    assert recipe.compress is not None
    loaded = load_run(parent_folder(recipe), None, str(device))
    if loaded.recipe.task.name != recipe.task.name:
        message = f"{loaded.path.name} is of the task {loaded.recipe.task.name}, this recipe of {recipe.task.name}"
        raise RecipeError([Problem("compress.parent", message)])
    model: Any = loaded.model
    if hasattr(model, "merge_and_unload"):
        with warnings.catch_warnings():
            # peft asks transformers for something by a name that transformers no longer likes.
            warnings.simplefilter("ignore", FutureWarning)
            model = model.merge_and_unload()
    model = model.float().eval()
    model.requires_grad_(False)
    return Parent(LoadedRun(loaded.path, None, loaded.recipe, model, loaded.tokenizer), device)


def parent_folder(recipe: Recipe) -> Path:
    """Return the run directory of a compressed run's parent."""
    assert recipe.compress is not None
    return Path(
        recipe.compress.settings(Options).parent if recipe.compress.config else recipe.compress.options["parent"]
    )


def require_same_labels(parent: Parent, prepared: Prepared) -> None:
    """Raise RecipeError when the data have other labels than the parent was trained on."""
    names = prepared.model_config.get("id2label")
    if names is None:
        return
    theirs, ours = label_names(parent.model.config), list(names.values())
    if theirs[-len(ours) :] != ours:
        message = f"the data's labels are {', '.join(map(str, ours))}, its own {', '.join(theirs)}"
        raise RecipeError([Problem("compress.parent", f"{parent.loaded.path.name} has other labels: {message}")])
