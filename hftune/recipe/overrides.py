"""`-s section.key=value`: one key of a recipe changed on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hftune.errors import Problem, RecipeError
from hftune.recipe.source import Path, Source, read_value

# What a plain word stands for when a key inside is set: `model: ID`, `method: full`, `files: PATH`.
_SHORTHANDS: dict[Path, str] = {
    ("model",): "id",
    ("method",): "name",
    ("task",): "name",
    ("data", "files"): "train",
}
_ORIGINS = ("source", "files", "rows")
_OF_SOURCE = ("subset", "revision")  # they say which part of a Hub data set, and mean nothing elsewhere


def apply_overrides(source: Source, overrides: Sequence[str]) -> None:
    """Set each `key=value` in `source`, in order; raises RecipeError for all that cannot be read."""
    problems: list[Problem] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        path: Path = tuple(key.strip().split("."))
        if not equals or not all(path):
            message, hint = f"{override!r} is no override", "Write section.key=value, for example training.seed=1."
            problems.append(Problem("", message, hint, file=f"-s {override}"))
            continue
        try:
            value = read_value(text, override)
        except RecipeError as error:
            problems += error.problems
            continue
        if isinstance(source.data, dict):
            _set(source, path, value, override)
    if problems:
        raise RecipeError([*source.problems, *problems])


def _set(source: Source, path: Path, value: Any, override: str) -> None:
    section: dict[Any, Any] = source.data
    for size, part in enumerate(path[:-1], start=1):
        inner = section.get(part)
        if not isinstance(inner, dict):
            shorthand = _SHORTHANDS.get(path[:size])
            kept = {shorthand: inner} if shorthand and inner is not None else {}
            if path[:size] == ("method",) and inner is None:
                kept = {"name": "full"}
            inner = section[part] = kept
            if path[:size] not in source.places:
                source.origins.setdefault(path[:size], override)
        section = inner
    if len(path) > 1 and path[0] == "data" and path[1] in _ORIGINS and value is not None:
        _choose_origin(source, str(path[1]))
    section[path[-1]] = value
    _forget(source, path)
    source.origins[path] = override


def _choose_origin(source: Source, chosen: str) -> None:
    """Drop the recipe's other origins of data: who names a file on the command line wants that file, not both."""
    dropped = [name for name in _ORIGINS if name != chosen]
    if chosen != "source":
        dropped += _OF_SOURCE
    elif source.data["data"].get("source") is not None:
        return
    for name in dropped:
        source.data["data"].pop(name, None)
        _forget(source, ("data", name))


def _forget(source: Source, path: Path) -> None:
    """Forget places and problems of what was at `path`: it is no longer there."""
    for known in [known for known in source.places if known[: len(path)] == path]:
        del source.places[known]
    for known in [known for known in source.origins if known[: len(path)] == path]:
        del source.origins[known]
