"""Both passes over a recipe, and every problem at once: the shape, the chosen plugins' own options, what must agree.

Plugins come through their registries by name, so nothing here imports a task, a method, or anything heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hftune.errors import Problem, RecipeError, UsageError, closest
from hftune.recipe.messages import expected, found, nearest_word, remark
from hftune.recipe.paths import hub_id
from hftune.recipe.schema import (
    Choice,
    DataSection,
    EnergySection,
    FittedTokenizer,
    HubSection,
    ModelSection,
    PluginConfig,
    Recipe,
    Section,
    TrainingSection,
    WindowSection,
)
from hftune.recipe.source import Path, Source, keys_only
from hftune.recipe.suggest import nearest_key
from hftune.registry import Registry

TASKS: Registry[Any] = Registry("hftune.tasks", "task")
METHODS: Registry[Any] = Registry("hftune.methods", "method")
COMPRESSORS: Registry[Any] = Registry("hftune.compressors", "compressor")
_SECTIONS: Mapping[str, type[Section]] = {
    "model": ModelSection, "data": DataSection, "training": TrainingSection, "hub": HubSection,
    "energy": EnergySection,
}  # fmt: skip
_WRITTEN_AS: Mapping[Path, tuple[str, str]] = {
    ("model",): ("a Hub id, a folder, a starter, or a mapping of keys", "model: google-bert/bert-base-uncased"),
    ("model", "tokenizer"): ("a Hub id, a folder, or how to fit one", "tokenizer: {fit: characters}"),
    ("data",): ("a mapping of keys", "data: {source: hftune:movie-reviews}, or data: {files: reviews.csv}"),
    ("training",): ("a mapping of keys", "training: {num_train_epochs: 3}"),
    ("energy",): ("a country, or a mapping of keys", "energy: DEU, or energy: {grid_intensity: 381}"),
    ("hub",): ("OWNER/NAME, or a mapping of keys", "hub: {repo: anna/my-model, private: true}"),
}
# Keys that name a plugin, with its options.
PLUGINS: Mapping[str, Registry[Any]] = {"task": TASKS, "method": METHODS, "compress": COMPRESSORS}
# These judge a model by its validation split.
JUDGED_ON_VALIDATION = ("early_stopping_patience", "metric_for_best_model")
NO_VALIDATION = (
    "needs a validation split, and there is none: validation_share is 0",
    "Add a validation split, or give a share of train: data.validation_share.",
)
_SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "validation"}


def validate(source: Source) -> Recipe:
    """Return the recipe with plugin options resolved; raises RecipeError with every problem, in the file's order."""
    data = source.data
    if not isinstance(data, dict):
        message = f"a recipe is a mapping of keys (name, task, model, data …), found {found(data)}"
        raise RecipeError([*source.problems, source.problem((), message, "hftune recipes show bert_cls prints one.")])
    problems = list(source.problems)
    task, task_problems = _choice(source, "task", TASKS, None)
    method, method_problems = _choice(source, "method", METHODS, "full")
    compress: Choice | None = None
    if data.get("compress") is not None:
        compress, compress_problems = _choice(source, "compress", COMPRESSORS, None)
        problems += compress_problems
    problems += task_problems + method_problems
    recipe: Recipe | None = None
    chosen = {"task": task or "none", "method": method or "none", "compress": compress}
    try:
        recipe = Recipe.model_validate({**data, **chosen})
    except ValidationError as error:
        problems += _translate(source, error.errors(), (), _keys(task, method, compress))
    problems += _conflicts(source)
    problems += _disagreements(source, task, recipe)
    if problems or recipe is None or method is None:
        raise RecipeError(sorted(problems, key=lambda problem: (problem.line == 0, problem.line, problem.column)))
    if recipe.training.learning_rate is None:
        recipe = with_training(recipe, learning_rate=float(METHODS.load(method.name).DEFAULT_LEARNING_RATE))
    return recipe


def with_training(recipe: Recipe, **values: Any) -> Recipe:
    """Return the recipe with keys of its `training` section changed in code; the values are not checked."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=values)})


def _choice(
    source: Source, key: str, registry: Registry[Any], default: str | None
) -> tuple[Choice | None, list[Problem]]:
    """Return a plugin's choice with its options validated and written out, or what is wrong with it."""
    raw = source.data.get(key, default)
    if key not in source.data and default is None:
        return None, [source.problem((key,), "missing", f"Choose one of: {', '.join(registry.names())}.")]
    options: Any = {}
    name: Any = raw
    prefix: Path = (key,)
    if isinstance(raw, dict):
        name = raw.get("name")
        options = {option: value for option, value in raw.items() if option != "name"}
        if isinstance(raw.get("options"), dict) and len(raw) == 2:
            options, prefix = raw["options"], (key, "options")
        if name is None:
            hint = closest(str(next(iter(raw), "")), registry.names()) if len(raw) == 1 else ""
            return None, [source.problem((key,), f"`name` is missing: which {key}?", hint or _choose(registry), True)]
    where: Path = (key, "name") if isinstance(raw, dict) else (key,)
    if not isinstance(name, str):
        return None, [source.problem(where, f"found {found(name)}, expected the name of a {key}", _choose(registry))]
    try:
        plugin = registry.load(name)
    except UsageError as error:
        return None, [source.problem(where, error.message, nearest_word(name, registry.names()) or error.hint)]
    config_type: type[PluginConfig] = plugin.Config
    problems = [
        source.problem((*prefix, at) if at else prefix, message, at_key=True)
        for at, message in config_type.conflicts(options)
    ]
    try:
        config = config_type.model_validate(options)
    except ValidationError as error:
        sections = _section_keys() | {key: tuple(config_type.model_fields)}
        problems += _translate(source, error.errors(), prefix, sections, _owners(registry, name))
        return Choice(name=name), problems
    if problems:
        return Choice(name=name), problems
    return Choice(name=name, options=config.model_dump(mode="json"), config=config), []


def _choose(registry: Registry[Any]) -> str:
    return f"Choose one of: {', '.join(registry.names())}."


def _owners(registry: Registry[Any], but: str) -> dict[str, str]:
    """Return option -> the other plugin that has it, for `method: {name: full, r: 8}`."""
    others = [name for name in registry.names() if name != but]
    return {option: name for name in others for option in registry.load(name).Config.model_fields}


def _keys(task: Choice | None, method: Choice | None, compress: Choice | None) -> dict[str, tuple[str, ...]]:
    """Return section -> its keys, for finding the nearest name."""
    sections = _section_keys()
    for (key, registry), choice in zip(PLUGINS.items(), (task, method, compress), strict=True):
        names = [choice.name] if choice else registry.names()
        sections[key] = tuple(option for name in names for option in registry.load(name).Config.model_fields)
    return sections


def _section_keys() -> dict[str, tuple[str, ...]]:
    sections: dict[str, type[Section]] = {
        "": Recipe, **_SECTIONS, "data.window": WindowSection, "model.tokenizer": FittedTokenizer,
    }  # fmt: skip
    return {name: tuple(section.model_fields) for name, section in sections.items()}


def _translate(
    source: Source,
    errors: Sequence[ErrorDetails],
    prefix: Path,
    sections: Mapping[str, Sequence[str]],
    owners: Mapping[str, str] | None = None,
) -> Iterator[Problem]:
    """Yield problems in people's words; `prefix` leads to the section that pydantic looked at.

    A union reports each of its branches: these become one problem that lists what would be right.
    """
    wrong: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        path = (*prefix, *keys_only(error["loc"], _below(source.data, prefix)))
        asked_already = len(error["loc"]) == (0 if prefix else 1)  # `conflicts` says more, and says it of broken ones
        if (error["type"] == "conflict" and asked_already) or (not prefix and error["loc"][0] in PLUGINS):
            continue
        if error["type"] == "missing":
            yield source.problem((*path, error["loc"][-1]), "missing", _why(error["loc"]))
        elif error["type"] == "extra_forbidden":
            yield _unknown(source, path, prefix, sections, owners or {})
        else:
            wrong.setdefault(path, []).append(error)
    for path, branches in wrong.items():
        if any(other != path and other[: len(path)] == path for other in wrong):
            continue  # the value fits another branch better: that one's problem says more
        value = _below(source.data, path)
        if path in _WRITTEN_AS and not isinstance(value, dict):
            wanted, hint = _WRITTEN_AS[path]
            yield source.problem(path, f"found {found(value)}, expected {wanted}", hint)
            continue
        wanted = " or ".join(dict.fromkeys(expected(branch, path[-1:]) for branch in branches))
        yield source.problem(path, f"found {found(value)}, expected {wanted}", remark(value, branches))


def _unknown(
    source: Source, path: Path, prefix: Path, sections: Mapping[str, Sequence[str]], owners: Mapping[str, str]
) -> Problem:
    name, section = str(path[-1]), ".".join(map(str, path[:-1]))
    if name in owners:
        chosen = _below(source.data, (*prefix[:1], "name")) if isinstance(source.data[prefix[0]], dict) else ""
        hint = f"It is an option of {owners[name]}: {prefix[0]}: {{name: {owners[name]}, {name}: …}}."
        return source.problem(path, f"unknown key: {chosen or prefix[0]} has no such option", hint, at_key=True)
    return source.problem(path, "unknown key", nearest_key(name, section or ".".join(map(str, prefix)), sections), True)


def _why(loc: Sequence[str | int]) -> str:
    """Return the reason of a key that is missing at the top: what it is for."""
    known = Recipe.model_fields.get(str(loc[0])) if len(loc) == 1 else None
    return (known.description or "") if known else ""


def _below(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return data if isinstance(data, str) else None
    return data


def _conflicts(source: Source) -> Iterator[Problem]:
    """Yield what does not go together within a section, whatever else is wrong in it."""
    for name, section in _SECTIONS.items():
        given = source.data.get(name)
        if isinstance(given, str) and name == "model":
            given = {"id": given}
        if not isinstance(given, dict):
            continue
        for key, message in section.conflicts(given):
            yield source.problem((name, key) if key else (name,), message, at_key=True)
    for key in ("files", "rows"):
        splits = _below(source.data, ("data", key))
        for split in splits if isinstance(splits, dict) else ():
            if split not in _SPLITS:
                near = _SPLIT_NAMES.get(split)
                hint = f"Did you mean {near!r}?" if near else closest(split, _SPLITS)
                yield source.problem(("data", key, split), "unknown split", hint, at_key=True)


def _disagreements(source: Source, task: Choice | None, recipe: Recipe | None) -> Iterator[Problem]:
    """Yield what does not go together across sections: metric and task, early stopping and a validation split."""
    training, data, model = (source.data.get(name) for name in ("training", "data", "model"))
    fitted = isinstance(model, dict) and isinstance(model.get("tokenizer"), dict)
    if fitted and isinstance(data, dict) and data.get("text_pair") is not None:
        message = "a tokenizer of characters puts nothing between two texts"
        yield source.problem(("data", "text_pair"), message, "Leave it out, or name a tokenizer.", True)
    yield from _unpushable(source, recipe)
    if recipe is not None and recipe.compress is not None and recipe.method.name != "full":
        message = f"what is compressed learns in full, not by {recipe.method.name}"
        yield source.problem(("method",), message, "Write method: full, or leave it out.")
    if not isinstance(training, dict):
        return
    metric, greater = training.get("metric_for_best_model"), training.get("greater_is_better")
    if isinstance(metric, str) and task is not None:
        reported: dict[str, bool] = {**TASKS.load(task.name).METRICS, "loss": False}
        if metric not in reported:
            message = f"{task.name} reports no metric {metric!r}"
            yield source.problem(("training", "metric_for_best_model"), message, closest(metric, sorted(reported)))
        elif isinstance(greater, bool) and greater is not reported[metric]:
            better = "greater" if reported[metric] else "smaller"
            message, hint = f"a {better} {metric} is the better one", "Leave it out: it is known from the metric."
            yield source.problem(("training", "greater_is_better"), message, hint)
    if isinstance(data, dict) and _lacks_validation(data):
        for key in JUDGED_ON_VALIDATION:
            if training.get(key) is not None:
                yield source.problem(("training", key), *NO_VALIDATION, at_key=True)


def _unpushable(source: Source, recipe: Recipe | None) -> Iterator[Problem]:
    """Yield an adapter that could not be pushed alone: what is said now need not be said after hours of training."""
    if recipe is None or recipe.hub is None or recipe.hub.weights != "adapter":
        return
    if recipe.method.name != "lora":
        yield source.problem(("hub", "weights"), f"the method {recipe.method.name} makes no adapter", "Leave it out.")
    elif hub_id(recipe.model.id) is None:
        message = "the base model is on no Hub: who loads the adapter could not get it"
        yield source.problem(("hub", "weights"), message, "Leave it out: adapter and base are pushed as one model.")


def _lacks_validation(data: Mapping[str, Any]) -> bool:
    """Whether there will be no validation split for certain; of a `source` that shows when it is loaded."""
    given = data.get("files") or data.get("rows")
    splits = {_SPLIT_NAMES.get(split, split) for split in given} if isinstance(given, dict) else set()
    return data.get("validation_share") == 0 and data.get("source") is None and "validation" not in splits
