"""The keys of a recipe for people: what each takes, its default, its reason, and what the shipped recipes give it.

All of it is read from the recipe's JSON Schema and the shipped recipes; nothing is said twice here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from hftune.errors import HftuneError
from hftune.recipe.json_schema import json_schema
from hftune.recipe.load import needs_hub, shipped_recipes
from hftune.recipe.source import read_source
from hftune.recipe.validate import TASKS

Path = tuple[str, ...]
Node = Mapping[str, Any]
SPLITS = ("train", "validation", "test")
NOT_SHOWN = {"name", "description"}  # whose values in other recipes help nobody
MOST_SEEN = 8


@dataclass(frozen=True)
class Key:
    """One key. `takes` says in words what may stand there, `choices` are the words that may, where they are known."""

    path: Path
    takes: str
    default: str
    reason: str
    choices: tuple[str, ...] = ()
    is_section: bool = False
    required: bool = False

    @property
    def name(self) -> str:
        return self.path[-1]


def keys_of(section: Path, chosen: Mapping[str, str] | None = None) -> dict[str, Key]:
    """Return the keys of a section by name; `chosen` names the task and method, whose options differ."""
    if len(section) == 2 and section[0] == "data" and section[1] in ("files", "rows"):
        what = "path of a file" if section[1] == "files" else "list of rows"
        return {split: Key((*section, split), what, "", f"the {split} split") for split in SPLITS}
    return _keys(section, tuple((chosen or {}).items()))


@lru_cache(maxsize=64)
def _keys(section: Path, chosen: tuple[tuple[str, str], ...]) -> dict[str, Key]:
    found: dict[str, list[tuple[Node, bool]]] = {}
    for form in _forms_at(section, dict(chosen)):
        required = form.get("required", ())
        for name, node in form.get("properties", {}).items():
            found.setdefault(name, []).append((node, name in required))
    return {name: _key((*section, name), nodes) for name, nodes in found.items()}


def key_at(path: Path, chosen: Mapping[str, str] | None = None) -> Key | None:
    """Return one key, None when there is none of that name."""
    return keys_of(path[:-1], chosen).get(path[-1]) if path else None


@cache
def seen_values() -> dict[Path, dict[str, str]]:
    """Return path -> value as written -> the shipped recipe that first has it."""
    seen: dict[Path, dict[str, str]] = {}
    for file in shipped_recipes():
        try:
            data = read_source(file.read_bytes(), str(file)).data
        except (HftuneError, OSError):  # a plugin's package may be half installed; the others still help
            continue
        for path, value in _scalars(data, ()):
            if path[-1] not in NOT_SHOWN:
                seen.setdefault(path, {}).setdefault(written(value), file.stem)
    return seen


@cache
def works_offline() -> frozenset[str]:
    """Return the models and data sets of those shipped recipes that need no Hub."""
    names: set[str] = set()
    for file in shipped_recipes():
        if needs_hub(file):
            continue
        data = read_source(file.read_bytes(), str(file)).data
        found = {path: value for path, value in _scalars(data, ()) if isinstance(value, str)}
        places: tuple[Path, ...] = (("model",), ("model", "id"), ("model", "tokenizer"), ("data", "source"))
        names |= {found[path] for path in places if path in found}
    return frozenset(names)


def written(value: object) -> str:
    """Return a plain value as a recipe would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def plugin_help(kind: str, name: str) -> str:
    """Return what a task or method says of itself."""
    for form in _all_forms(_schema()["properties"][kind]):
        if form.get("title") == name:
            return str(form.get("description", ""))
    return ""


def metrics_of(task: str) -> list[str]:
    """Return the figures that a task reports; none for a task that is not known."""
    return sorted([*TASKS.load(task).METRICS, "loss"]) if task in TASKS.names() else []


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


def _forms_at(section: Path, chosen: Mapping[str, str]) -> Iterator[Node]:
    """Yield the mappings that may stand at a section."""
    forms = list(_all_forms(_schema()))
    for depth, part in enumerate(section):
        below = [form["properties"][part] for form in forms if part in form.get("properties", {})]
        forms = [form for node in below for form in _all_forms(node)]
        if depth == 0 and (name := chosen.get(part)):
            named = [form for form in forms if form.get("title") == name]
            forms = named or forms
    yield from (form for form in forms if form.get("properties"))


def _all_forms(node: Node) -> Iterator[Node]:
    """Yield what a node may be: references followed, alternatives one by one."""
    if "$ref" in node:
        yield from _all_forms(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node or "oneOf" in node:
        for one in node.get("anyOf") or node["oneOf"]:
            yield from _all_forms(one)
    else:
        yield node


def _key(path: Path, nodes: list[tuple[Node, bool]]) -> Key:
    forms = [form for node, _ in nodes for form in _all_forms(node)]
    first, required = nodes[0]
    choices = list(dict.fromkeys(choice for form in forms for choice in _choices(form)))
    takes = list(dict.fromkeys(words for form in forms if (words := _takes(form))))
    has_null = any(form.get("type") == "null" for form in forms)
    default = written(first["default"]) if first.get("default") is not None else "none" if has_null else ""
    reason = first.get("description") or (f"which {path[0]}" if path[-1] == "name" else "")
    if isinstance(first.get("default"), dict | list):
        default = "empty" if not first["default"] else "as its keys say"
    sections = [form for form in forms if form.get("properties") or form.get("additionalProperties") is True]
    plain = [form for form in forms if form.get("type") not in ("object", "null")]
    return Key(path, " or ".join(takes), default, str(reason), tuple(choices), bool(sections) and not plain, required)


def _choices(form: Node) -> list[str]:
    if form.get("type") == "boolean":
        return ["true", "false"]
    if "const" in form:
        return [written(form["const"])]
    return [written(one) for one in form.get("enum", ())]


def _takes(form: Node) -> str:
    if choices := _choices(form):
        return " or ".join(choices)
    kind = form.get("type")
    if kind in ("integer", "number"):
        return _number(form, "whole number" if kind == "integer" else "number")
    if kind == "array":
        return "list"
    if kind == "object":
        return "section" if form.get("properties") else "mapping"
    return "text" if kind == "string" else ""


def _number(form: Node, word: str) -> str:
    bounds = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
    said = [f"{words} {form[bound]:g}" for bound, words in bounds.items() if bound in form]
    return f"{word} {' and '.join(said)}" if said else word


def _scalars(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _scalars(inner, (*path, str(key)))
    elif isinstance(value, str | int | float) and path:
        yield path, value
