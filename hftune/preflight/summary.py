"""A recipe in one paragraph: what would be trained, known from the recipe alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from hftune.figures import many
from hftune.recipe.schema import DataSection, ModelSection, Recipe
from hftune.recipe.validate import TASKS
from hftune.training.lr_curve import STEPS


def summarize(recipe: Recipe) -> str:
    """Return one paragraph: model, task, method, data, length of training, what is kept."""
    sentences = [
        f"{recipe.name} {_doing(recipe)}.",
        f"Data: {_data(recipe.data)}.",
        f"Training: {_training(recipe)}.",
        f"Kept: {_kept(recipe)}.",
    ]
    return " ".join(sentences)


def _doing(recipe: Recipe) -> str:
    if recipe.compress is not None:
        parent = PurePath(str(recipe.compress.options["parent"])).name
        return f"makes {parent} smaller ({recipe.compress.name}), a {recipe.task.name} model"
    return f"trains {_model(recipe.model)} for {recipe.task.name}, {_method(recipe)}"


def _model(model: ModelSection) -> str:
    if model.id is None:
        return f"a new {model.architecture} model from scratch"
    return f"{model.id} (revision {model.revision})" if model.revision else model.id


def _method(recipe: Recipe) -> str:
    if recipe.method.name == "full":
        return "all of its weights"
    options = ", ".join(f"{key} {value}" for key, value in recipe.method.options.items())
    return f"with {recipe.method.name} ({options})" if options else f"with {recipe.method.name}"


def _data(data: DataSection) -> str:
    if data.source is not None:
        origin = f"{data.source} ({data.subset})" if data.subset else data.source
    elif data.files is not None:
        origin = data.files if isinstance(data.files, str) else ", ".join(str(path) for path in data.files.values())
    else:
        rows = data.rows["train"] if isinstance(data.rows, Mapping) else data.rows or ()
        origin = f"{many(len(rows), 'row')} in the recipe"
    longer = {"truncate": "longer ones lose their end", "window": "longer ones in windows", "error": "none longer"}
    return f"{origin}, at most {data.max_length} tokens a text ({longer[data.too_long]})"


def _training(recipe: Recipe) -> str:
    training = recipe.training
    batch = training.per_device_train_batch_size
    batches = f"batches of {batch}"
    if training.gradient_accumulation_steps > 1:
        batches += f" × {training.gradient_accumulation_steps} accumulated"
    length = f"{training.max_steps} steps" if training.max_steps else _epochs(training.num_train_epochs)
    rate = f"{_rate(training.learning_rate)} ({training.lr_scheduler_type})"
    return f"{length} in {batches}, {training.optim} at {rate}, seed {training.seed}"


def _rate(rate: float | str | None) -> str:
    return f"{rate:g}" if isinstance(rate, float) else f"a rate that a range test of {STEPS} more steps finds first"


def _epochs(epochs: float) -> str:
    return f"{epochs:g} epoch" if epochs == 1 else f"{epochs:g} epochs"


def _kept(recipe: Recipe) -> str:
    training = recipe.training
    pace = f"every {training.save_steps} steps" if training.save_steps else "after each epoch"
    best = training.metric_for_best_model or TASKS.load(recipe.task.name).DEFAULT_METRIC
    return f"a checkpoint {pace}, the newest {training.save_total_limit} and the best by {best}"
