"""The models of a server, by the names that requests give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hftune.errors import UsageError
from hftune.runs.reader import RUN_NAME, find_run, split_step
from hftune.serving.labelling import Labeller
from hftune.serving.limits import Limits
from hftune.serving.model import Model
from hftune.serving.problems import ApiError
from hftune.serving.writing import Writer

DEFAULT = "default"
LATEST = "latest"


@dataclass(frozen=True)
class Reference:
    """A run to serve: the name that requests call it by, and what a worker is told to load."""

    name: str
    run: str


@dataclass(frozen=True)
class Served:
    """A model, and what answers for it: `labeller` or `writer`, by its task."""

    model: Model
    labeller: Labeller
    writer: Writer


class Models:
    """The models in the order in which they were asked for on the command line."""

    def __init__(self, references: Sequence[Reference], limits: Limits, log: Callable[[str], None]) -> None:
        self.all: dict[str, Served] = {}
        for reference in references:
            model = Model(reference.name, reference.run, limits, log)
            self.all[reference.name] = Served(model, Labeller(model, limits), Writer(model, limits))

    def find(self, asked: str | None) -> Served:
        """Return the model that a request means; raises ApiError naming those there are."""
        names = list(self.all)
        if asked in (None, "", DEFAULT):
            if len(names) > 1:
                message = f"model is missing, and {len(names)} are served: {', '.join(names)}"
                raise ApiError(400, message, param="model")
            return self.all[names[0]]
        assert asked is not None
        if asked in self.all:
            return self.all[asked]
        if asked == LATEST:
            return self.all[max(names, key=_stamp)]
        found = [name for name in names if name.startswith(asked)] or [name for name in names if _ends(name, asked)]
        if len(found) == 1:
            return self.all[found[0]]
        problem = "is none that is served" if not found else f"could be {len(found)} of those that are served"
        message = f"model {asked[:80]!r} {problem}: {', '.join(names)}"
        raise ApiError(404, message, code="model_not_found", param="model")


def find_runs(asked: Sequence[str], runs_dir: str | None) -> list[Reference]:
    """Return the runs that are meant on a command line; raises RunError, and UsageError for two of one name."""
    found: dict[str, Reference] = {}
    for each in asked:
        name, step = split_step(each)
        path = find_run(name, runs_dir).resolve()
        suffix = "" if step is None else f"@{step}"
        reference = Reference(path.name + suffix, f"{path}{suffix}")
        if reference.name in found:
            raise UsageError(f"{reference.name} is given twice", hint="Each run is served once, under its name.")
        found[reference.name] = reference
    return list(found.values())


def _stamp(name: str) -> str:
    match = RUN_NAME.fullmatch(Path(name.partition("@")[0]).name)
    return match["stamp"] if match else ""


def _ends(name: str, asked: str) -> bool:
    """Tell whether a name's unique end, or `name-hex` as the app shortens it, was asked for."""
    match = RUN_NAME.fullmatch(name)
    return match is not None and asked in (match["hex"], f"{match['name']}-{match['hex']}")
