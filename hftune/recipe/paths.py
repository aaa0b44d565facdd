"""Paths in a recipe are relative to its file; resolved recipes hold absolute ones, so that they run from anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.starters import is_starter

if TYPE_CHECKING:
    from hftune.recipe.source import Source

_STARTS = (".", "/", "~")


def make_absolute(source: Source, base: Path) -> None:
    """Replace the paths in `source`: those of the file against `base`, those of overrides against where we are."""
    data = source.data
    if not isinstance(data, dict):
        return
    if isinstance(data.get("model"), str):
        data["model"] = _weights(data["model"], _base(source, ("model",), base))
    for section, key in (("model", "id"), ("model", "tokenizer")):
        values = data.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = _weights(values[key], _base(source, (section, key), base))
    values = data.get("compress")
    for key in ("parent", "unlabelled"):
        if isinstance(values, dict) and isinstance(values.get(key), str) and values[key]:
            values[key] = _absolute(values[key], _base(source, ("compress", key), base))
    values = data.get("data")
    files = values.get("files") if isinstance(values, dict) else None
    if isinstance(values, dict) and isinstance(files, str) and files:
        values["files"] = _file(files, _base(source, ("data", "files"), base))
    elif isinstance(files, dict):
        for split, name in files.items():
            if isinstance(name, str) and name:
                files[split] = _file(name, _base(source, ("data", "files", split), base))


def _base(source: Source, path: tuple[str, ...], base: Path) -> Path:
    given = any(path[:size] in source.origins for size in range(1, len(path) + 1) if path[:size] not in source.places)
    return Path.cwd() if given else base


def _file(name: str, base: Path) -> str:
    return name if "://" in name else _absolute(name, base)


def _weights(name: str, base: Path) -> str:
    """Return a Hub id or starter as it is, a folder as an absolute path.

    `org/name` is a Hub id unless such a folder lies beside the recipe; two slashes make no Hub id.
    """
    if not name or name.startswith("hftune:") or "://" in name:
        return name
    beside = os.path.isdir(base / name)  # noqa: PTH112 - Path.is_dir raises for a name that can be no path
    if name.startswith(_STARTS) or name.count("/") > 1 or beside:
        return _absolute(name, base)
    return name


def _absolute(name: str, base: Path) -> str:
    # Not resolve(): a link is kept as the name that people gave.
    return os.path.normpath(base.absolute() / expand(name))


def expand(name: str | Path) -> Path:
    """Return the path that `name` stands for, with `~` written out; `~somebody` unknown here stays as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises RuntimeError for them


def is_within(path: Path, folder: Path) -> bool:
    """Return whether `path` lies in `folder`, links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def is_local(reference: str) -> bool:
    """Return whether a model reference means a folder on this machine rather than a name that others know."""
    path = expand(reference)
    return path.is_dir() or path.is_absolute() or reference.startswith((".", "~"))


def hub_id(reference: str | None) -> str | None:
    """Return a model reference that is a Hub id; None for a folder, a starter, and no reference at all."""
    return None if reference is None or is_starter(reference) or is_local(reference) else reference


def public_name(reference: str) -> str:
    """Return what others may read of a model reference: a Hub id as it is, of a folder only its last name."""
    return expand(reference).resolve().name if is_local(reference) else reference
