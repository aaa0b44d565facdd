"""A folder is a registry: each module in it is one plugin, named after its file with hyphens for underscores.

Other packages add plugins through the entry-point group `hftune.<folder>` (for example `hftune.methods`).
Listing names imports nothing; loading imports one module. Plugin modules import nothing heavy at their top level.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar, cast

from hftune.errors import UsageError, closest

Plugin = TypeVar("Plugin")


class Registry(Generic[Plugin]):
    """The plugins of one package, each a module that satisfies the protocol `Plugin`."""

    def __init__(self, package: str, kind: str) -> None:
        """`package` is the folder's import name, `kind` what people call one of its plugins ("method", "task")."""
        self.package = package
        self.kind = kind

    def names(self) -> list[str]:
        """Return the sorted plugin names without importing any of them."""
        return sorted({*self._own(), *self._foreign()})

    def load(self, name: str) -> Plugin:
        """Import the plugin `name`; raises UsageError with the closest name when there is none."""
        if name in (own := self._own()):
            return cast(Plugin, import_module(f"{self.package}.{own[name]}"))
        for point in entry_points(group=self.package):
            if point.name == name:
                return cast(Plugin, point.load())
        raise UsageError(f"no {self.kind} named {name!r}", hint=closest(name, self.names()))

    def _own(self) -> dict[str, str]:
        spec = find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        modules = [path.stem for folder in folders or () for path in Path(folder).glob("*.py")]
        return {module.replace("_", "-"): module for module in modules if not module.startswith("_")}

    def _foreign(self) -> set[str]:
        return {point.name for point in entry_points(group=self.package)}
