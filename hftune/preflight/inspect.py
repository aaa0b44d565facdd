"""The whole check, in order: data and model are found, made ready, looked at, and trained for a few steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hftune import methods, tasks
from hftune.compressors._parent import check_parent, config_folder, require_held_out
from hftune.data.texts import Texts
from hftune.errors import DataError, HftuneError, ModelError, RecipeError
from hftune.figures import size
from hftune.preflight.estimate import Estimate, measure
from hftune.preflight.labels import class_counts, label_findings
from hftune.preflight.leakage import find_leaks
from hftune.preflight.report import Report
from hftune.preflight.summary import summarize
from hftune.preflight.tokens import (
    train_sample,
    truncated_rows,
    truncation_by_class,
    truncation_findings,
    unknown_share,
    vocabulary_findings,
)
from hftune.recipe.schema import Recipe
from hftune.runs.files import nearest_folder
from hftune.tasks import Notice, Prepared

if TYPE_CHECKING:
    from datasets import Dataset

_UNTRIED = Notice("info", "no-estimate", "what a run that compresses takes is not tried out: it says so once it runs")
Note = Callable[[str], None]
Locate = Callable[[HftuneError], HftuneError]


def _quiet(_: str) -> None:
    return None


def _unplaced(error: HftuneError) -> HftuneError:
    return error


def check(recipe: Recipe, note: Note = _quiet, runs_dir: Path = Path(), locate: Locate = _unplaced) -> Report:
    """Return all that is worth knowing before training; mistakes come as findings of level error, not as exceptions.

    Loads the data, the tokenizer and the weights, and trains a throw-away copy for a few seconds; writes nothing.
    `runs_dir` is where the run would be written: its free space is compared with the estimate. `locate` gives an
    error the line of the recipe that it is about.
    """
    report = Report(recipe.name, summarize(recipe))
    splits, folder, problems = _find(recipe, note, locate)
    if splits is None or problems:
        return replace(report, findings=problems, splits=_sizes(splits or {}))
    prepared, problems = _prepare(recipe, splits, folder, note, locate)
    if prepared is None or problems:
        return replace(report, findings=problems, splits=_sizes(splits))
    note("check: looking for duplicates, long texts and unknown words")
    report = replace(
        report,
        splits=_sizes(splits),
        classes=class_counts(prepared),
        truncated=_truncated(recipe, splits, prepared),
        unknown=unknown_share(train_sample(prepared), prepared.tokenizer)[0],
        findings=findings(recipe, splits, prepared),
    )
    if recipe.compress is not None:
        return replace(report, findings=[*report.findings, _UNTRIED])
    try:
        return _with_model(report, recipe, prepared, folder, note, runs_dir)
    except HftuneError as error:
        return replace(report, findings=[*report.findings, *_as_findings(locate(error))])


def findings(recipe: Recipe, splits: Mapping[str, Dataset], prepared: Prepared) -> list[Notice]:
    """Return what is worth a word about data that are ready to train on, what `prepare` noticed among it.

    Reads texts and tokens once, no weights: about 0.1 s a thousand examples.
    """
    texts = {split: Texts(dataset, recipe.data) for split, dataset in splits.items()}
    found = [
        *label_findings(class_counts(prepared)),
        *find_leaks(texts),
        *truncation_findings(_truncated(recipe, splits, prepared)),
        *vocabulary_findings(prepared, texts),
    ]
    known = list(prepared.notices)
    return [*known, *(notice for notice in found if not _told_already(notice, known))]


def _told_already(notice: Notice, known: list[Notice]) -> bool:
    """Whether the task said the same: the same code, about the same split where the message names one."""
    named = [split for split in ("validation", "test") if split in notice.message]
    return any(notice.code == other.code and all(split in other.message for split in named[:1]) for other in known)


def _find(recipe: Recipe, note: Note, locate: Locate) -> tuple[dict[str, Dataset] | None, Path | None, list[Notice]]:
    """Find data and model; what is wrong with one does not hide what is wrong with the other."""
    from hftune.data.load import load_splits
    from hftune.modeling.resolve import resolve_model

    problems: list[Notice] = []
    splits, folder = None, None
    with _kept(problems, locate):
        splits = load_splits(recipe.data, note)
    with _kept(problems, locate):
        if recipe.compress is not None:
            check_parent(recipe)
            folder = config_folder(recipe)
        else:
            folder = resolve_model(recipe.model, note).folder if recipe.model.id else None
    return splits, folder, problems


def _prepare(
    recipe: Recipe, splits: Mapping[str, Dataset], folder: Path | None, note: Note, locate: Locate
) -> tuple[Prepared | None, list[Notice]]:
    """Make the data ready; what is wrong with the method's options does not hide what is wrong with the data."""
    from hftune.modeling.loading import load_config
    from hftune.modeling.tokenizer import load_tokenizer

    problems: list[Notice] = []
    prepared = None
    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    with _kept(problems, locate):
        section = recipe.model
        if recipe.compress is not None:
            require_held_out(recipe, splits)
            section = section.model_copy(update={"tokenizer": None})  # the parent's own, saved in its folder
        tokenizer = load_tokenizer(section, folder, note, Texts(splits["train"], recipe.data))
        config = load_config(recipe.model, folder, tokenizer)
        with _kept(problems, locate):
            method.check(recipe.method.settings(method.Config), recipe.model, config, recipe.task.name)
        prepared = task.prepare(recipe, splits, tokenizer, config)
    return prepared, problems


@contextmanager
def _kept(problems: list[Notice], locate: Locate) -> Iterator[None]:
    """Add an error to `problems`, with the line of the recipe that it is about, and go on after the block."""
    try:
        yield
    except HftuneError as error:
        problems += _as_findings(locate(error))


def _truncated(recipe: Recipe, splits: Mapping[str, Dataset], prepared: Prepared) -> dict[str, float]:
    texts = {split: Texts(dataset, recipe.data) for split, dataset in splits.items()}
    return truncation_by_class(prepared, truncated_rows(recipe, prepared, texts))


def _with_model(
    report: Report, recipe: Recipe, prepared: Prepared, folder: Path | None, note: Note, runs_dir: Path
) -> Report:
    """Return the report with parameters and the estimate."""
    from hftune.training.randomness import seed_initial_weights

    seed_initial_weights(recipe.training.seed)
    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    model = task.load_model(recipe, folder, prepared)
    assert recipe.method.config is not None  # load_recipe fills it in
    model = method.adapt(model, recipe.method.config, recipe.model, recipe.task.name)
    parameters = {
        "total": sum(parameter.numel() for parameter in model.parameters()),
        "trained": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    }
    note("check: training a few steps to measure time and memory")
    report = replace(report, parameters=parameters)
    estimate = measure(recipe, prepared, model, metered=True)
    return replace(
        report, estimate=estimate, findings=[*report.findings, *estimate.notices, *_disk(estimate, runs_dir)]
    )


def _disk(estimate: Estimate, runs_dir: Path) -> list[Notice]:
    """Return an error when the disk has not the room that the checkpoints and the model need."""
    there = nearest_folder(runs_dir)
    free = shutil.disk_usage(there).free
    if free >= estimate.disk_bytes:
        return []
    message = f"{there} has {size(free)} free, and the run needs about {size(estimate.disk_bytes)}"
    return [Notice("error", "disk", message, "Free some, lower training.save_total_limit, or give another --runs-dir.")]


def _sizes(splits: Mapping[str, Dataset]) -> dict[str, int]:
    return {split: len(dataset) for split, dataset in splits.items()}


def _as_findings(error: HftuneError) -> list[Notice]:
    """Return an error as findings: one a problem for recipes, else one."""
    if isinstance(error, RecipeError):
        return [Notice("error", "recipe", str(replace(one, hint="")), one.hint) for one in error.problems]
    codes: dict[type[HftuneError], str] = {DataError: "data", ModelError: "model"}
    code = codes.get(type(error), "error")
    return [Notice("error", code, error.message, error.hint)]
