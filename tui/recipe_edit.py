"""Setting one key in the text of a recipe: the rest, comments and all, stays as it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hftune.errors import HftuneError, UsageError
from hftune.recipe.source import Source, read_source, read_value

from .recipe_place import comment_start

Path = tuple[str, ...]
INDENT = "  "


@dataclass(frozen=True)
class Common:
    """A key that most people change: what it is called in the short form, where it may stand, what it takes."""

    title: str
    paths: tuple[Path, ...]  # the first that the recipe has; else the first
    about: str = ""

    @property
    def path(self) -> Path:
        return self.paths[0]


COMMON = (
    Common("model", (("model",), ("model", "id"))),
    Common("data", (("data", "source"), ("data", "files"))),
    Common("epochs", (("training", "num_train_epochs"),)),
    Common("batch", (("training", "per_device_train_batch_size"),)),
    Common("learning rate", (("training", "learning_rate"),)),
    Common("method", (("method",), ("method", "name"))),
)


def common_values(text: str) -> dict[str, tuple[Path, str | None]]:
    """Return title -> path and value as written of the common keys; None where a whole section stands there.

    Raises RecipeError when the text is no YAML.
    """
    source = read_source(text.encode("utf-8", "surrogatepass"), "")
    lines = text.split("\n")
    return {one.title: _current(source, lines, one) for one in COMMON}


def set_value(text: str, path: Path, value: str) -> str:
    """Return the text with a key set to `value`, written as YAML; an empty value takes the key's line out.

    Raises RecipeError when text or value are no YAML, UsageError where the text is written so that this cannot be done.
    """
    source = read_source(text.encode("utf-8", "surrogatepass"), "")
    wanted = read_value(value, f"{'.'.join(path)}={value}")
    lines = text.split("\n")
    if path in source.places:
        _replace(lines, source, path, value.strip())
    elif wanted is not None:
        _insert(lines, source, path, value.strip())
    changed = "\n".join(lines)
    if not _is_set(source.data, changed, path, wanted):
        raise UsageError(f"{'.'.join(path)} cannot be set here", hint="Change it in the text itself.")
    return changed


def _current(source: Source, lines: list[str], one: Common) -> tuple[Path, str | None]:
    for path in reversed(one.paths):
        if path in source.places:
            value = _at(source.data, path)
            if not isinstance(value, dict | list):
                return path, _written(source, lines, path)
    if one.paths[0] in source.places:
        return one.paths[0], None
    return one.paths[0], ""


def _written(source: Source, lines: list[str], path: Path) -> str:
    """Return a scalar as it was written (`1.0e-4`), as far as it stands on one line."""
    if _at(source.data, path) is None:
        return ""
    row, column = (number - 1 for number in source.places[path].value)
    text = lines[row]
    return _scalar(text[column : comment_start(text)], in_flow="{" in text[:column])


def _replace(lines: list[str], source: Source, path: Path, value: str) -> None:
    row, column = (number - 1 for number in source.places[path].value)
    key_row, key_column = (number - 1 for number in source.places[path].key)
    old = _at(source.data, path)
    if isinstance(old, dict | list) or row != key_row:
        return  # of several lines: the check that follows says so
    text = lines[row]
    if not value:
        if not text[:key_column].strip():
            del lines[row]
        return
    if (row, column) == (key_row, key_column):  # nothing stands after the key
        colon = text.index(":", column)
        lines[row] = f"{text[: colon + 1]} {value}{_gap(text[colon + 1 :])}"
        return
    end = column + len(_scalar(text[column : comment_start(text)], in_flow="{" in text[:column]))
    lines[row] = text[:column] + value + _kept_apart(text[end:], end - column - len(value))


def _scalar(text: str, in_flow: bool) -> str:
    """Return the scalar that a text begins with."""
    if text[:1] in "\"'":
        found = re.match(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', text)
        return found[0] if found else text
    return (re.split(r"[,}\]]", text)[0] if in_flow else text).rstrip()


def _kept_apart(rest: str, spare: int) -> str:
    """Return what follows a value with its comment in the column where it was, as far as there is room."""
    if not rest.lstrip().startswith("#"):
        return rest
    spaces = len(rest) - len(rest.lstrip())
    return " " * max(1, spaces + spare) + rest.lstrip()


def _gap(rest: str) -> str:
    return f"  {rest.strip()}" if rest.strip() else ""


def _insert(lines: list[str], source: Source, path: Path, value: str) -> None:
    """Write a key that is not there at the end of its section; make the section where there is none."""
    section = path[:-1]
    if not section or section not in source.places:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += [f"{key}:" for key in section]
        lines += [f"{INDENT * len(section)}{path[-1]}: {value}", ""]
        return
    row, column = (number - 1 for number in source.places[section].value)
    children = [place for known, place in source.places.items() if known[:-1] == section and known]
    if lines[row][column : column + 1] == "{":
        lines[row] = (
            f"{lines[row][: column + 1]}{path[-1]}: {value}{', ' if children else ''}{lines[row][column + 1 :]}"
        )
    elif children:
        last = max(children, key=lambda place: place.key)
        indent = " " * (last.key[1] - 1)
        deepest = max(place.value[0] for known, place in source.places.items() if known[: len(section)] == section)
        lines.insert(max(deepest, last.key[0]), f"{indent}{path[-1]}: {value}")
    elif _at(source.data, section) is None:
        row = source.places[section].key[0]
        lines.insert(row, f"{INDENT * len(section)}{path[-1]}: {value}")


def _is_set(before: Any, changed: str, path: Path, wanted: Any) -> bool:
    """Tell whether the text now has the value there, and is otherwise what it was."""
    try:
        source = read_source(changed.encode("utf-8", "surrogatepass"), "")
    except HftuneError:
        return False
    if source.problems or _at(source.data, path) != wanted:
        return False
    return bool(_without(before, path) == _without(source.data, path))


def _without(data: Any, path: Path) -> Any:
    """Return plain values without what stands at a path; sections that are empty then are left out."""
    if not isinstance(data, Mapping):
        return data
    kept = {key: value for key, value in data.items() if key != path[0]}
    if len(path) > 1 and (inner := _without(data.get(path[0]), path[1:])):
        kept[path[0]] = inner
    return kept


def _at(data: Any, path: Path) -> Any:
    for part in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data
