"""The finished run whose model is made smaller."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune import compressors
from hftune.compressors import Parent
from hftune.errors import DataError, Problem, RecipeError, RunError
from hftune.inference.loading import MODEL_CONFIG, LoadedRun, load_run, parent_folder
from hftune.modeling.loading import kept_in_int8, load_config
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.tasks._answers import label_names

if TYPE_CHECKING:
    import torch

    from hftune.tasks import Prepared


def load_parent(recipe: Recipe, device: torch.device, child: Path | None = None) -> Parent:
    """Return the parent of a recipe, an adapter merged into its base, fp32 and frozen on `device`.

    `child`: the run directory of the recipe. Raises RunError where there is no finished run, RecipeError for one of
    another task.
    """
    check_parent(recipe, child)
    loaded = load_run(parent_folder(recipe, child), None, str(device))
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


def check_parent(recipe: Recipe, child: Path | None = None) -> None:
    """Raise what the compressor has to say of its options and the parent's architecture, before weights are loaded.

    `child`: the run directory of the recipe, where there is one. Raises RunError for a parent that is not finished or
    no longer there.
    """
    assert recipe.compress is not None
    run, plugin = parent_folder(recipe, child), compressors.registry.load(recipe.compress.name)
    if not (run / layout.MODEL).is_dir():
        hint = "Where is it now? -s compress.parent=RUN (to resume: with --allow-inexact)."
        raise RunError(f"the parent is gone or not finished: {run} has no {layout.MODEL}/", hint)
    parent = load_recipe(run / layout.RECIPE)
    config = load_config(parent.model, config_folder(recipe, child))
    if kind := kept_in_int8(run / layout.MODEL, config):
        hint = "Compress the run that it was made from (`compress.parent` of its recipe)."
        raise RunError(f"{run.name} holds {kind}, of which nothing smaller can be made", hint)
    plugin.check(recipe.compress.settings(plugin.Config), recipe, config)


def config_folder(recipe: Recipe, child: Path | None = None) -> Path:
    """Return the folder of the parent's run that has its config and tokenizer."""
    run = parent_folder(recipe, child)
    folders = (run / layout.MODEL, run / layout.MODEL_INIT)
    return next((one for one in folders if (one / MODEL_CONFIG).is_file()), folders[0])


def require_held_out(recipe: Recipe, splits: Iterable[str]) -> None:
    """Raise DataError for a recipe that compresses whose data leave no rows to compare the result on."""
    if recipe.compress is not None and not {"validation", "test"} & set(splits):
        hint = "Give a test split, or a share of train: data.test_share."
        raise DataError("no rows are held out, so the result could not be compared with its parent", hint, key="data")


def require_same_labels(parent: Parent, prepared: Prepared) -> None:
    """Raise RecipeError when the data have other labels than the parent was trained on."""
    names = prepared.model_config.get("id2label")
    if names is None:
        return
    theirs, ours = label_names(parent.model.config), list(names.values())
    if theirs[-len(ours) :] != ours:
        message = f"the data's labels are {', '.join(map(str, ours))}, its own {', '.join(theirs)}"
        raise RecipeError([Problem("compress.parent", f"{parent.loaded.path.name} has other labels: {message}")])
