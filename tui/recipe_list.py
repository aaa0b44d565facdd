"""The recipes that can be named: those in the folder one is in, then those that come with hftune."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hftune.errors import HftuneError
from hftune.recipe.load import needs_hub, shipped_name, shipped_recipes
from hftune.recipe.source import read_source

LARGEST_BYTES = 1 << 20
OWN_FOLDERS = (".", "recipes")
TOP_KEYS = {"model", "task", "data"}  # what tells a recipe from any other YAML file


@dataclass(frozen=True)
class KnownRecipe:
    """A recipe: how commands name it, what it says of itself, and whether it needs the Hub."""

    name: str
    description: str
    path: Path
    shipped: bool
    needs_hub: bool = False
    problem: str = ""


def known_recipes(folder: Path = Path()) -> list[KnownRecipe]:
    """Return the recipes of `folder` and its recipes/, then the shipped ones; a file with a mistake is among them."""
    own = [path for name in OWN_FOLDERS for path in sorted((folder / name).glob("*.y*ml")) if path.is_file()]
    found = [one for path in own if (one := _read(path, _named(path, folder), False)) is not None]
    there = {one.path.resolve() for one in found}
    for path in shipped_recipes():
        if path.resolve() not in there:
            one = _read(path, shipped_name(path), True)
            found += [one] if one is not None else []
    return found


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if folder != Path() else path.as_posix()


def _read(path: Path, name: str, shipped: bool) -> KnownRecipe | None:
    """Return a recipe file, None for a YAML file that is something else."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return None
        data = read_source(path.read_bytes(), str(path)).data
    except OSError as error:
        return KnownRecipe(name, "", path, shipped, problem=f"cannot be read: {error.strerror}")
    except HftuneError as error:
        return KnownRecipe(name, "", path, shipped, problem=error.message)
    if not isinstance(data, dict) or len(TOP_KEYS & data.keys()) < 2:
        return None
    return KnownRecipe(name, str(data.get("description", "")), path, shipped, shipped and needs_hub(path))
