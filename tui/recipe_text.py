"""A recipe as text while it is written: what is wrong and where, what could stand at the cursor, what keys mean.

Nothing here draws. All of it may be called from any thread; the first call loads the schema (about 0.4 s).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hftune.errors import HftuneError, Problem, RecipeError
from hftune.recipe.load import parse_text, shipped_folder
from hftune.recipe.paths import is_within
from hftune.recipe.schema import Recipe
from hftune.recipe.suggest import PEOPLE_WRITE
from hftune.recipe.validate import PLUGINS

from .completion import Candidate, best
from .paths import data_names_in
from .recipe_keys import MOST_SEEN, Key, key_at, keys_of, metrics_of, plugin_help, seen_values
from .recipe_place import Spot, spot_at

MOST = 50


@dataclass(frozen=True)
class Completion:
    """What could stand in columns `start` to `end` of a line, best first."""

    candidates: tuple[Candidate, ...] = ()
    start: int = 0
    end: int = 0


def problems(text: str, file: Path | None = None, overrides: Sequence[str] = ()) -> list[Problem]:
    """Return everything wrong with a recipe, in the order of its lines; lines and columns count from 1.

    Paths in it start at the folder of `file`, those of a shipped recipe or of no file where we are.
    """
    try:
        resolved(text, file, overrides)
    except RecipeError as error:
        return error.problems
    except HftuneError as error:
        return [Problem("", error.message, error.hint)]
    return []


def resolved(text: str, file: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe that a text holds; raises RecipeError with all problems."""
    return parse_text(text.encode("utf-8", "surrogatepass"), overrides, file=str(file or ""), base=base_of(file))


def base_of(file: Path | None) -> Path:
    """Return the folder that paths in a recipe start at."""
    return Path.cwd() if file is None or is_within(file, shipped_folder()) else file.parent


def said(problem: Problem) -> str:
    """Return a problem on one line, without the file: `9:3 training.lr: unknown key. Did you mean …?`"""
    place = f"{problem.line}:{problem.column} " if problem.line else ""
    key = f"{problem.key}: " if problem.key else ""
    return f"{place}{key}{problem.message}{'. ' if problem.hint else ''}{problem.hint}"


def complete(text: str, row: int, column: int, folder: Path | None = None) -> Completion:
    """Return what could stand at a cursor (counting from 0); files are looked for in `folder`."""
    lines = text.split("\n")
    spot = spot_at(lines, row, column)
    if spot is None:
        return Completion()
    chosen = chosen_plugins(text)
    found = _values(spot, chosen, folder) if spot.in_value else _keys(spot, chosen)
    space = " " if spot.in_value and lines[row][spot.start - 1 : spot.start] == ":" else ""
    kept = [Candidate(space + one.text, one.help, spot.start) for one in found]
    return Completion(tuple(kept), spot.start, spot.end)


def help_at(text: str, row: int, column: int) -> str:
    """Return what the key under a cursor is for and takes; of the section's keys where there is none."""
    spot = spot_at(text.split("\n"), row, column)
    if spot is None:
        return "This is a comment: nothing reads it."
    chosen = chosen_plugins(text)
    key = key_at(spot.path, chosen) if spot.key else None
    if key is not None:
        return describe(key, spot.written if spot.in_value else "")
    keys = keys_of(spot.section, chosen)
    if not keys:
        return f"{'.'.join(spot.section)} has no keys of its own."
    name = ".".join(spot.section) or "a recipe"
    unknown = f"There is no key {spot.key!r} here.\n\n" if spot.key else ""
    lines = [f"  {one.name:<28} {one.reason}" for one in keys.values() if one.name not in spot.given]
    return "\n".join([f"{unknown}Keys of {name} not yet given:", *lines])


def hint_at(lines: Sequence[str], row: int, column: int, text: str) -> str:
    """Return one line about the key at a cursor; empty where there is none."""
    spot = spot_at(lines, row, column)
    key = key_at(spot.path, chosen_plugins(text)) if spot is not None and spot.key else None
    if key is None:
        return ""
    default = f", default {key.default}" if key.default else ""
    return f"{key.name}: {key.reason} ({key.takes}{default})"


def describe_path(path: tuple[str, ...]) -> str:
    """Return what a key is for, in short: its reason and what it takes."""
    key = key_at(path)
    return f"{'.'.join(path)}: {key.reason}\ntakes {key.takes}" if key is not None else ".".join(path)


def describe(key: Key, value: str = "") -> str:
    """Return what a key is for, what it takes, its default, and what the shipped recipes give it."""
    lines = [".".join(key.path), f"  {key.reason}", f"  takes    {key.takes}"]
    if key.default or key.required:
        lines.append(f"  default  {'none: it must be given' if key.required else key.default}")
    if key.path[0] in PLUGINS and (names := key.choices):
        lines += [f"  {name:<20} {plugin_help(key.path[0], name)}" for name in names]
    seen = _seen(key.path)
    lines += [f"  {value}  in {recipe}" for value, recipe in list(seen.items())[:MOST_SEEN]]
    return "\n".join(lines)


def chosen_plugins(text: str) -> dict[str, str]:
    """Return the task and the method that a recipe names, as far as that shows in its text."""
    chosen: dict[str, str] = {}
    for kind in PLUGINS:
        found = re.search(
            rf"^{kind}:[ ]*(?:(?:\{{[^}}\n]*|#[^\n]*)?(?:\n[ ]+[^\n]*)*?[ {{\n]name:[ ]*)?([\w-]+)", text, re.M
        )
        if found is not None:
            chosen[kind] = found[1]
    return chosen


def _keys(spot: Spot, chosen: dict[str, str]) -> list[Candidate]:
    keys = keys_of(spot.section, chosen)
    offered = [one for one in keys.values() if one.name not in spot.given]
    offered.sort(key=lambda one: not one.required)
    ends = {one.name: ":" if one.is_section and not spot.flow else ": " for one in offered}
    found = best(spot.written, [Candidate(one.name, one.reason) for one in offered], MOST)
    target, _, last = PEOPLE_WRITE.get(spot.written, ("", ""))[0].rpartition(".")
    if last and target == ".".join(spot.section) and last in ends:  # `epochs` is not in `num_train_epochs` by letters
        found.sort(key=lambda one: one.text != last)
        found = found if found and found[0].text == last else [Candidate(last, keys[last].reason), *found]
    return [Candidate(one.text + ends[one.text], one.help) for one in found]


def _values(spot: Spot, chosen: dict[str, str], folder: Path | None) -> list[Candidate]:
    key = key_at(spot.path, chosen)
    path = spot.path
    found: dict[str, str] = {}
    if path == ("training", "metric_for_best_model") and (metrics := metrics_of(chosen.get("task", ""))):
        return best(spot.written, [Candidate(name) for name in metrics], MOST)
    if path[0] in PLUGINS and path[1:] in ((), ("name",)):
        found = {name: plugin_help(path[0], name) for name in PLUGINS[path[0]].names()}
    elif key is not None and key.choices:
        found = {choice: "the default" if choice == key.default else "" for choice in key.choices}
    if path[:2] == ("data", "files"):
        found |= dict.fromkeys(_files(spot.written, folder), "a file")
    found |= {value: f"in {recipe}" for value, recipe in _seen(path).items() if value not in found}
    if key is not None and key.default not in ("", "none", "empty", *found):
        found[key.default] = "the default"
    return best(spot.written, [Candidate(value, help) for value, help in found.items()], MOST)


def _seen(path: tuple[str, ...]) -> dict[str, str]:
    """Return the values of a key in the shipped recipes; `model: ID` and `model: {id: ID}` are one."""
    seen = seen_values()
    same = {("model",): ("model", "id"), ("model", "id"): ("model",)}.get(path, path)
    return seen.get(path, {}) | seen.get(same, {})


def _files(begun: str, folder: Path | None) -> Iterable[str]:
    """Return the data files in the folder that is being written, the folders first."""
    before, _, found = data_names_in(begun, folder or Path.cwd())
    return [before + name for name in sorted(found, key=lambda one: not one.endswith("/"))[:MOST]]
