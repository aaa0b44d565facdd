"""A recipe at a glance: what it trains on what, whether it works without the Hub, what is wrong, its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hftune.errors import HftuneError, Problem
from hftune.recipe.source import read_source

from .recipe_file import RecipeFile, open_recipe
from .recipe_keys import works_offline
from .recipe_list import KnownRecipe
from .recipe_text import problems

MOST_LINES = 300
STARTS = ("hftune:", ".", "/", "~")


@dataclass(frozen=True)
class Look:
    """`file` is None when it cannot be read: `problems` say why."""

    recipe: KnownRecipe
    file: RecipeFile | None
    problems: tuple[Problem, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.file.text if self.file else ""

    @property
    def shown(self) -> str:
        """The text as far as anyone reads it beside a list."""
        lines = self.text.split("\n")
        more = len(lines) - MOST_LINES
        return "\n".join([*lines[:MOST_LINES], *([f"… and {more:,} more lines"] if more > 0 else [])])


def look_at(recipe: KnownRecipe) -> Look:
    """Read and judge a recipe; never raises for what is in it."""
    try:
        file = open_recipe(recipe.path)
    except HftuneError as error:
        return Look(recipe, None, (Problem("", error.message, error.hint),))
    found = tuple(problems(file.text, recipe.path))
    return Look(recipe, file, found, tuple(_facts(file.text, recipe)))


def _facts(text: str, recipe: KnownRecipe) -> list[tuple[str, str]]:
    try:
        data: Any = read_source(text.encode(), "").data
    except HftuneError:
        return []
    if not isinstance(data, dict):
        return []
    model, origin = _model(data.get("model")), _origin(data.get("data"))
    facts = [
        ("trains", f"{_name(data.get('task'))}, method {_name(data.get('method', 'full'))}"),
        ("model", model),
        ("data", origin),
        ("Hub", _hub(recipe, model, data.get("data"))),
    ]
    return [(name, value) for name, value in facts if value]


def _name(choice: Any) -> str:
    return str(choice.get("name", "?")) if isinstance(choice, dict) else str(choice or "?")


def _model(model: Any) -> str:
    if isinstance(model, dict):
        return str(model.get("id") or f"{model.get('architecture', '?')} from scratch")
    return str(model or "")


def _origin(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    files = data.get("files")
    if files:
        return ", ".join(map(str, files.values())) if isinstance(files, dict) else str(files)
    return "rows in the recipe itself" if data.get("rows") else str(data.get("source") or "")


def _hub(recipe: KnownRecipe, model: str, data: Any) -> str:
    if recipe.shipped:
        return "needed once, to fetch" if recipe.needs_hub else "works without it"
    known = works_offline()
    source = str(data.get("source") or "") if isinstance(data, dict) else ""
    data_here = not source or source in known or source.startswith(STARTS)
    model_here = model in known or model.startswith(STARTS) or model.endswith("from scratch")
    return "works without it" if data_here and model_here else "may be needed, to fetch"
