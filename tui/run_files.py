"""What small files of a run directory say: its final figures, the end of its log, the keys of its recipe.

All of it is read in bounded pieces, and none of it is trusted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hftune.errors import HftuneError
from hftune.runs import layout

LOG_BYTES = 1 << 16
LOG_LINES = 1000
LOG_COLUMNS = 2000
METRICS_BYTES = 1 << 20
SAID_ELSEWHERE = ("name", "description")

Figures = Mapping[str, Mapping[str, Any]]


def final_figures(run: Path) -> Figures:
    """Return the figures in metrics.json by split, empty when there are none that can be read."""
    return {str(split): values for split, values in _metrics_file(run).items() if isinstance(values, dict)}


def doubts_of(run: Path) -> list[str]:
    """Return what makes the final figures doubtful."""
    warnings = _metrics_file(run).get("warnings")
    return [str(warning) for warning in warnings] if isinstance(warnings, list) else []


def _metrics_file(run: Path) -> dict[str, Any]:
    try:
        with (run / layout.METRICS).open("rb") as file:
            found = json.loads(file.read(METRICS_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class LogEnd:
    """The last lines of a run's log.txt; read again only when the file has grown."""

    def __init__(self, run: Path) -> None:
        self.lines: tuple[str, ...] = ()
        self.version = 0
        self._path = run / layout.LOG
        self._mark: tuple[int, int] | None = None

    def poll(self) -> bool:
        """Look whether there is more; return whether the lines are others now."""
        try:
            found = self._path.stat()
            mark = (found.st_size, found.st_mtime_ns)
            if mark == self._mark:
                return False
            with self._path.open("rb") as file:
                file.seek(max(0, found.st_size - LOG_BYTES))
                data = file.read(LOG_BYTES)
        except OSError:
            mark, data = (-1, -1), b""
            if self._mark == mark:
                return False
            found = None
        self._mark = mark
        lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        if found is not None and found.st_size > LOG_BYTES:
            lines = lines[1:]  # its beginning was not read
        shown = [line.rpartition("\r")[2][:LOG_COLUMNS] for line in lines]  # of a bar drawn over itself, the last
        while shown and not shown[-1].strip():
            shown.pop()
        self.lines = tuple(shown[-LOG_LINES:])
        self.version += 1
        return True


def recipe_facts(run: Path) -> dict[str, str]:
    """Return the dotted keys of a run's recipe with their values as text; raises HftuneError for one not readable."""
    from hftune.recipe.source import MAX_BYTES, read_source  # YAML: not needed for the first paint

    path = run / layout.RECIPE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise HftuneError(f"{path.name} cannot be read: {os.strerror(error.errno or 0)}") from None
    source = read_source(content, path.name)
    if source.problems:
        raise HftuneError(str(source.problems[0]))
    if not isinstance(source.data, dict):
        raise HftuneError(f"{path.name} has no keys")
    facts: dict[str, str] = {}
    _flatten(source.data, "", facts)
    return facts


def differing(facts_of: Sequence[Mapping[str, str]]) -> dict[str, list[str | None]]:
    """Return the keys that are not alike in several recipes, with the value in each; None where a key is missing."""
    names = dict.fromkeys(key for facts in facts_of for key in facts if key not in SAID_ELSEWHERE)
    found = {name: [facts.get(name) for facts in facts_of] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def _flatten(value: Any, key: str, facts: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            _flatten(each, f"{key}.{name}" if key else str(name), facts)
    elif key:
        facts[key] = _words(value)


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
