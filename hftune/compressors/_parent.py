"""The finished run whose model is made smaller."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune import compressors
from hftune.compressors import Parent
from hftune.errors import Problem, RecipeError, RunError
from hftune.inference.loading import MODEL_CONFIG, LoadedRun, load_run
from hftune.modeling.loading import kept_in_int8, load_config
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.tasks._answers import label_names

if TYPE_CHECKING:
    import torch

    from hftune.tasks import Prepared


def load_parent(recipe: Recipe, device: torch.device) -> Parent:
    """Return the parent of a recipe that compresses, an adapter merged into its base, fp32 and frozen on `device`.

    Raises RunError where there is no finished run, RecipeError for one of another task.
    """
    check_parent(recipe)
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


def check_parent(recipe: Recipe) -> None:
    """Raise what the compressor has to say of its options and the parent's architecture, before weights are loaded.

    Raises RunError for a parent that is not finished or no longer there.
    """
    assert recipe.compress is not None
    run, plugin = parent_folder(recipe), compressors.registry.load(recipe.compress.name)
    if not (run / layout.MODEL).is_dir():
        raise RunError(f"the parent is gone or not finished: {run} has no {layout.MODEL}/")
    parent = load_recipe(run / layout.RECIPE)
    config = load_config(parent.model, config_folder(recipe))
    if kind := kept_in_int8(run / layout.MODEL, config):
        hint = "Compress the run that it was made from (`compress.parent` of its recipe)."
        raise RunError(f"{run.name} holds {kind}, of which nothing smaller can be made", hint)
    plugin.check(recipe.compress.settings(plugin.Config), recipe, config)


def config_folder(recipe: Recipe) -> Path:
    """Return the folder of the parent's run that has its config and tokenizer."""
    run = parent_folder(recipe)
    folders = (run / layout.MODEL, run / layout.MODEL_INIT)
    return next((one for one in folders if (one / MODEL_CONFIG).is_file()), folders[0])


def parent_folder(recipe: Recipe) -> Path:
    """Return the run directory of a compressed run's parent."""
    assert recipe.compress is not None
    return Path(recipe.compress.options["parent"])


def require_same_labels(parent: Parent, prepared: Prepared) -> None:
    """Raise RecipeError when the data have other labels than the parent was trained on."""
    names = prepared.model_config.get("id2label")
    if names is None:
        return
    theirs, ours = label_names(parent.model.config), list(names.values())
    if theirs[-len(ours) :] != ours:
        message = f"the data's labels are {', '.join(map(str, ours))}, its own {', '.join(theirs)}"
        raise RecipeError([Problem("compress.parent", f"{parent.loaded.path.name} has other labels: {message}")])
