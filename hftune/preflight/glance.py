"""What is looked at before each run: the data, without weights and without a measurement."""

from __future__ import annotations

from hftune import tasks
from hftune.data.load import load_splits
from hftune.modeling.loading import load_config
from hftune.modeling.resolve import resolve_model
from hftune.modeling.tokenizer import load_tokenizer
from hftune.preflight.inspect import findings
from hftune.recipe.schema import Recipe
from hftune.tasks import Notice


def glance(recipe: Recipe) -> list[Notice]:
    """Return what is doubtful about the data beside what `prepare` notices, which training says by itself.

    Raises the HftuneError that training would meet. About a second for ten thousand sentences.
    """
    folder = resolve_model(recipe.model).folder if recipe.model.id is not None else None
    tokenizer = load_tokenizer(recipe.model, folder)
    splits = load_splits(recipe.data)
    task = tasks.registry.load(recipe.task.name)
    prepared = task.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder, tokenizer))
    return [notice for notice in findings(recipe, splits, prepared) if notice not in prepared.notices]
