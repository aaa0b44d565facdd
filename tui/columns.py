"""The data files of a folder, and their columns: `hftune columns FILE --json`, a process that a thread reads."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import subcommand
from .paths import ENDINGS, MOST_ENTRIES, data_names_in, entries_of, is_data_file

MOST_FILES = 200
DEEPEST = 4
MOST_ANSWER = 64 << 20  # bytes of the command's answer; ten thousand columns take five million
NOT_DATA = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})


@dataclass(frozen=True)
class Column:
    """One column as `hftune columns --json` tells it (hftune/data/profile.py says what each field means)."""

    name: str
    type: str
    missing: int
    distinct: int
    examples: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    rarest: int = 0
    length: float | None = None
    longest: int | None = None
    wide: bool = False
    use: str = "unused"


@dataclass(frozen=True)
class FileColumns:
    """A file's columns and rows; `rows` are those looked at, `rows_in_file` what there are (about, unless `whole`)."""

    file: str
    rows: int
    whole: bool
    rows_in_file: int
    columns: tuple[Column, ...]
    text: str | None
    label: str | None

    def named(self, name: str | None) -> Column | None:
        """Return the column of that name."""
        return next((column for column in self.columns if column.name == name), None)


def from_record(record: Mapping[str, Any]) -> FileColumns:
    """Return what a line of the command's JSON says; fields that are not known here are left aside."""
    columns = tuple(
        Column(
            **{
                **_known(one, Column),
                "examples": tuple(map(str, one["examples"])),
                "counts": tuple((str(value), int(rows)) for value, rows in one["counts"]),
            }
        )
        for one in record["columns"]
    )
    return FileColumns(**{**_known(record, FileColumns), "columns": columns})


def _known(record: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    return {field.name: record[field.name] for field in fields(kind) if field.name in record}


class Reading:
    """`hftune columns FILE --json` under way: once `over`, either `columns` or a `problem` and its `hint`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.columns: FileColumns | None = None
        self.problem = self.hint = ""
        self.over = False
        self._process = subcommand.start(["columns", "--json", "--", str(file)], subprocess.DEVNULL)
        self._thread = threading.Thread(target=self._read, name="columns-reading", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the process; what it says does not matter any more."""
        self._process.terminate()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            answer = said.read(MOST_ANSWER + 1)
        if len(answer) > MOST_ANSWER:
            self.stop()
        code = self._process.wait()
        try:
            self._take(answer, code)
        except (ValueError, KeyError, TypeError):
            self.problem = f"hftune columns ended with {code} and said nothing that can be read"
        self.over = True

    def _take(self, answer: bytes, code: int) -> None:
        if len(answer) > MOST_ANSWER:
            self.problem, self.hint = "too many columns to show", "Leave those out that are not needed."
            return
        if code < 0:
            self.problem, self.hint = f"the process that reads it was ended by signal {-code}", "Is memory short?"
            return
        record = json.loads(answer)
        if error := record.get("error"):
            self.problem, self.hint = str(error["message"]), str(error["hint"])
        else:
            self.columns = from_record(record)


@dataclass(frozen=True)
class DataFile:
    """A data file that was found; `bytes` is its size."""

    path: Path
    bytes: int


def data_files(folder: Path = Path(), skipped: Sequence[Path] = ()) -> list[DataFile]:
    """Return data files of a folder and its subfolders (not the hidden ones), the nearest and likeliest first."""
    leave = {path.absolute() for path in skipped}
    found = list(_walk(folder, leave))
    kinds = {ending: order for order, ending in enumerate(ENDINGS)}
    found.sort(key=lambda one: (len(one.path.parts), kinds[one.path.suffix.lower()] >= 5, str(one.path)))
    return found[:MOST_FILES]


def _walk(folder: Path, leave: set[Path]) -> Iterator[DataFile]:
    level, looked = [folder], 0
    for _ in range(DEEPEST):
        below: list[Path] = []
        for place in level:
            for entry in entries_of(place):
                looked += 1
                if looked > MOST_ENTRIES:
                    return
                path = place / entry.name
                if entry.name.startswith(".") or entry.name in NOT_DATA or path.absolute() in leave:
                    continue
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        below.append(path)
                    elif is_data_file(entry.name) and entry.is_file():
                        yield DataFile(path, entry.stat().st_size)
        level = below


def paths_like(written: str) -> list[str]:
    """Return folders and data files whose path begins with what is written; `~` is a home folder."""
    before, name, found = data_names_in(written)
    return [before + one for one in found if one.lower().startswith(name.lower())][:MOST_FILES]
