"""A recipe that is being edited: the file it came from, what that held, and saving it without harm to anything."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hftune.errors import RecipeError, UsageError
from hftune.recipe.load import shipped_folder
from hftune.recipe.paths import expand, is_within
from hftune.recipe.source import MAX_BYTES
from hftune.runs.files import write_atomic
from hftune.sanitize import sanitize

Stamp = tuple[int, int]


@dataclass(frozen=True)
class RecipeFile:
    """`text`: what the file held, with plain line ends; `cleaned`: without control characters that it held."""

    path: Path
    text: str
    shipped: bool = False
    cleaned: bool = False
    crlf: bool = False
    stamp: Stamp | None = None

    def on_disk(self) -> Literal["same", "changed", "gone"]:
        """Tell what became of the file since it was read or written."""
        now = _stamp(self.path)
        return "gone" if now is None else "same" if now == self.stamp else "changed"


def open_recipe(path: Path) -> RecipeFile:
    """Read a recipe to edit it; raises RecipeError for a file that is no text or too long to be a recipe."""
    try:
        stamp = _stamp(path)
        if stamp is not None and stamp[1] > MAX_BYTES:
            raise RecipeError(f"{path}: {stamp[1]:,} bytes are no recipe (at most {MAX_BYTES:,})")
        held = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not UTF-8", hint="Save it as UTF-8 first.") from None
    plain = held.replace("\r\n", "\n")
    text = sanitize(plain, lines=True)
    return RecipeFile(path, text, _is_shipped(path), text != plain, "\r\n" in held, stamp)


def save(file: RecipeFile, text: str) -> RecipeFile:
    """Write the text over the file it came from; raises UsageError rather than change a recipe that ships."""
    if file.shipped:
        raise UsageError(f"{file.path.name} comes with hftune", hint="Save it as a file of your own.")
    content = text.replace("\n", "\r\n") if file.crlf else text
    path = file.path.resolve()  # a link stays one
    try:
        mode = path.stat().st_mode if path.exists() else None
        write_atomic(path, content)
        if mode is not None:
            path.chmod(stat.S_IMODE(mode))
    except OSError as error:
        raise UsageError(f"{file.path} cannot be written: {error.strerror}") from None
    return RecipeFile(file.path, text, crlf=file.crlf, stamp=_stamp(file.path))


def save_as(name: str, text: str) -> RecipeFile:
    """Write the text to a new file; raises UsageError rather than replace one."""
    if "\0" in name:
        raise UsageError("a name holds no zero byte", hint="Give a name that ends in .yaml.")
    path = expand(name.strip())
    if path.suffix not in (".yaml", ".yml"):
        path = path.with_name(f"{path.name}.yaml") if path.name else path
    try:
        if not path.name or path.is_dir():
            raise UsageError(f"{name!r} names no file", hint="Give a name that ends in .yaml.")
        if _is_shipped(path):
            raise UsageError("the recipes that come with hftune stay as they are", hint="Save it in a folder of yours.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:  # "x": nothing is replaced
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists", hint="Give another name.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', error)}") from None
    return RecipeFile(path, text, stamp=_stamp(path))


def own_name(path: Path, folder: Path = Path()) -> str:
    """Return a name for a copy of a recipe that no file in the folder has."""
    for number in range(1, 1000):
        name = f"my_{path.stem}{f'_{number}' if number > 1 else ''}.yaml"
        if not (folder / name).exists():
            break
    return name


def _is_shipped(path: Path) -> bool:
    return is_within(path, shipped_folder())


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
