"""Paths as they are written: what is in the folder that is named so far."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hftune.recipe.paths import expand

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json", ".txt")  # of data files, the likeliest first
MOST_ENTRIES = 4_000  # of one folder: a file system can be endless


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder by name, at most MOST_ENTRIES; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)[:MOST_ENTRIES]
    except OSError:
        return []


def names_in(written: str, base: Path = Path()) -> tuple[str, str, list[str]]:
    """Return a path cut behind its last slash, and what there is in that folder, a slash behind the names of folders.

    `base` is where a path begins that is not absolute. Hidden names are there when a dot begins what is looked for.
    """
    folder, slash, name = written.rpartition("/")
    before = folder + slash
    found = []
    for entry in entries_of(base / expand(before or ".")):
        if entry.name.startswith(".") and not name.startswith("."):
            continue
        with suppress(OSError):
            found.append(f"{entry.name}{'/' if entry.is_dir() else ''}")
    return before, name, found


def data_names_in(written: str, base: Path = Path()) -> tuple[str, str, list[str]]:
    """Return what `names_in` does, of files only those with data in them."""
    before, name, found = names_in(written, base)
    return before, name, [one for one in found if one.endswith("/") or is_data_file(one)]


def is_data_file(name: str) -> bool:
    """Tell whether a file is one that a recipe can read, by its ending."""
    return os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122 - for thousands of names
