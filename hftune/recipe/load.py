"""Recipe files in and out: find one, read it with overrides and line numbers, write one that runs again as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hftune.errors import HftuneError, KeyedError, Problem, RecipeError, closest, place
from hftune.recipe.overrides import apply_overrides
from hftune.recipe.paths import expand, is_within, make_absolute
from hftune.recipe.schema import Recipe
from hftune.recipe.source import Source, read_source
from hftune.recipe.validate import PLUGINS, validate


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe at `path` (or the shipped one of that name) with `section.key=value` overrides applied.

    Every default is filled in, plugin options are resolved, paths are absolute. Raises RecipeError with all problems.
    """
    file, _ = find_recipe(path)
    source = read_source(_read(file), str(file))
    # A shipped recipe has no data beside it: what it names, a person puts in the folder they work in.
    base = Path.cwd() if is_within(file, shipped_folder()) else file.parent
    return _resolve(source, overrides, base)


def parse_recipe(
    mapping: Mapping[str, Any], overrides: Sequence[str] = (), *, file: str = "", base: Path | None = None
) -> Recipe:
    """Return the recipe that `mapping` holds, as `load_recipe` does; `file` names it, `base` is what paths start at."""
    data = copy.deepcopy(dict(mapping))
    return _resolve(Source(file, data), overrides, base or Path.cwd())


def parse_text(content: bytes, overrides: Sequence[str] = (), *, file: str = "", base: Path | None = None) -> Recipe:
    """Return the recipe that a text not yet in a file holds, as `load_recipe` does; `file` names it in problems."""
    return _resolve(read_source(content, file), overrides, base or Path.cwd())


def find_recipe(ref: str | Path) -> tuple[Path, bool]:
    """Return the recipe file that `ref` names, and True when it is a shipped one because there is no such file.

    Raises RecipeError with the closest shipped name.
    """
    path = expand(ref)
    try:
        if path.is_file():
            return path, False
        folder = path.is_dir()
    except OSError as error:  # a folder that we may not look into, a name that is too long
        raise RecipeError([Problem("", f"cannot be read: {error.strerror}", file=str(ref))]) from None
    shipped = {shipped_name(file): file for file in shipped_recipes()}
    word = (path.stem if path.suffix in (".yaml", ".yml") else path.name).replace("-", "_")
    if folder:
        raise RecipeError([Problem("", "is a folder, not a recipe file", file=str(ref))])
    for name, file in shipped.items():
        if word == name or word == name.rpartition("/")[2]:
            return file, True
    hint = closest(word, [name.rpartition("/")[2] for name in shipped])
    raise RecipeError([Problem("", "no such recipe file, and no shipped recipe of that name", hint, str(ref))])


def shipped_note(ref: str, file: Path) -> str:
    """Return what to say when `ref` led to the shipped recipe `file`: who gave a path should know it is not there."""
    using = f"using the shipped recipe {shipped_name(file)}"
    return using if ref.replace("-", "_") in (shipped_name(file), file.stem) else f"no file {ref}; {using}"


def shipped_folder() -> Path:
    """Return the folder with the recipes that come with hftune."""
    return Path(str(resources.files("hftune.recipes")))


def shipped_recipes() -> list[Path]:
    """Return the recipes that come with hftune, those in hub/ (which need it) last."""
    folder = shipped_folder()
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("pretrain/*.yaml")), *sorted(folder.glob("hub/*.yaml"))]


def shipped_name(file: Path) -> str:
    """Return the name that a shipped recipe is called by: `bert_cls`, `hub/sst2_bert`."""
    return file.relative_to(shipped_folder()).with_suffix("").as_posix()


def needs_hub(file: Path) -> bool:
    """Tell whether a shipped recipe needs the Hub."""
    return file.parent.name == "hub"


def as_mapping(recipe: Recipe) -> dict[str, Any]:
    """Return `recipe` as plain values that `parse_recipe` reads: defaults filled in, plugin options written out."""
    record = recipe.model_dump(mode="json")
    if record["compress"] is None:
        del record["compress"]  # most recipes compress nothing, and read as they did before there was such a key
    for key in [key for key in PLUGINS if key in record]:
        choice = record[key]
        record[key] = {"name": choice["name"], **choice["options"]} if choice["options"] else choice["name"]
    return record


def dump_recipe(recipe: Recipe) -> str:
    """Return `recipe` as YAML that runs again as it is: defaults filled in, plugin options written out."""
    record = as_mapping(recipe)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 120
    yaml.sort_base_mapping_type_on_output = False
    yaml.representer.ignore_aliases = lambda data: True
    yaml.representer.add_representer(str, _text_node)
    text = StringIO()
    yaml.dump(record, text)
    return text.getvalue()


def _text_node(representer: Any, text: str) -> Any:
    # Written plainly, these line breaks of Unicode would be read back as a space.
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def locate(path: str | Path, key: str, overrides: Sequence[str] = ()) -> str:
    """Return where the dotted `key` stands: `file:line:column`, or the override that set it."""
    problem = _sought(path, overrides).problem(tuple(key.split(".")), "")
    return place(problem.file, problem.line, problem.column)


@contextmanager
def naming_lines(path: str | Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Give errors that come up later, about data or model, the line and column of the recipe key they are about.

    They are raised again with the place; those that name no key go through as they are.
    """
    try:
        yield
    except HftuneError as error:
        raise placed(error, path, overrides) from error


def placed(error: HftuneError, path: str | Path, overrides: Sequence[str] = ()) -> HftuneError:
    """Return `error` with the line and column of the recipe key it is about; itself when it names none."""
    if isinstance(error, RecipeError):
        source = _sought(path, overrides)
        return RecipeError(
            problem if problem.file or not problem.key else _placed(source, problem) for problem in error.problems
        )
    if isinstance(error, KeyedError) and error.key:
        message = f"{locate(path, error.key, overrides)}: {error.message}"
        return type(error)(message, error.hint, error.exit_code)
    return error


def _placed(source: Source, problem: Problem) -> Problem:
    return source.problem(tuple(problem.key.split(".")), problem.message, problem.hint)


def _sought(path: str | Path, overrides: Sequence[str]) -> Source:
    """Return the places of a recipe that was read before without a problem."""
    file, _ = find_recipe(path)
    source = read_source(_read(file), str(file))
    apply_overrides(source, overrides)
    return source


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecipeError([Problem("", f"cannot be read: {error.strerror}", file=str(file))]) from None


def _resolve(source: Source, overrides: Sequence[str], base: Path) -> Recipe:
    if isinstance(source.data, dict) and source.data.get("training", {}) is None:
        source.data["training"] = {}  # every line of the section is commented out
    apply_overrides(source, overrides)
    make_absolute(source, base)
    return validate(source)
