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
_OF_SOURCE = ("subset", "revision")  # they say which part of which Hub data set


def apply_overrides(source: Source, overrides: Sequence[str]) -> None:
    """Set each `key=value` in `source`, in order; what cannot be read joins its problems."""
    for override in overrides:
        key, equals, text = override.partition("=")
        path: Path = tuple(key.strip().split("."))
        if not equals or not all(path):
            message, hint = f"{override!r} is no override", "Write section.key=value, for example training.seed=1."
            source.problems.append(Problem("", message, hint, file=f"-s {override}"))
            continue
        try:
            value = read_value(text, override)
        except RecipeError as error:
            source.problems += error.problems
            continue
        if isinstance(source.data, dict):
            _set(source, path, value, override)


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
    if value is not None:
        _drop_rivals(source, path)
    section[path[-1]] = value
    _forget(source, path)
    source.origins[path] = override


def _drop_rivals(source: Source, path: Path) -> None:
    """Drop what the recipe says of the data or weights that `path` replaces.

    Who names a file on the command line wants that file, not both; a revision or subset of one thing on the Hub is
    wrong for another. What another override said stays.
    """
    section, key = path[0], path[1] if len(path) > 1 else ""
    dropped: list[str] = []
    if section == "data" and key in _ORIGINS:
        dropped = [name for name in _ORIGINS if name != key]
        dropped += [name for name in _OF_SOURCE if (section, name) not in source.origins]
    elif path == ("model", "id"):
        dropped = [name for name in ("revision",) if (section, name) not in source.origins]
    for name in dropped:
        source.data[section].pop(name, None)
        _forget(source, (section, name))


def _forget(source: Source, path: Path) -> None:
    """Forget places and problems of what was at `path`: it is no longer there."""
    for known in [known for known in source.places if known[: len(path)] == path]:
        del source.places[known]
    for known in [known for known in source.origins if known[: len(path)] == path]:
        del source.origins[known]
