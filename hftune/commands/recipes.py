"""`hftune recipes list|show|copy|schema`: the recipes that come with hftune."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from hftune.errors import EXIT_DONE, UsageError
from hftune.output import Output
from hftune.recipe.load import dump_recipe, find_recipe, load_recipe, needs_hub, shipped_name, shipped_recipes
from hftune.recipe.paths import expand

WIDTH = 80


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out one of the four; returns the exit code."""
    actions = {"list": _list, "show": _show, "copy": _copy, "schema": _schema}
    actions[arguments.subverb](arguments, output)
    return EXIT_DONE


def _list(arguments: argparse.Namespace, output: Output) -> None:
    records: list[dict[str, Any]] = []
    for file in shipped_recipes():
        recipe = load_recipe(file)
        records.append(
            {
                "recipe": shipped_name(file),
                "description": recipe.description,
                "task": recipe.task.name,
                "method": recipe.method.name,
                "model": recipe.model.id or recipe.model.architecture,
                "needs_hub": needs_hub(file),
                "path": str(file),
            }
        )
    if output.json:
        output.emit({"recipes": records})
        return
    width = max(len(record["recipe"]) for record in records)
    for record in records:
        line = f"{record['recipe']:<{width}}  {record['description']}"
        output.say(textwrap.fill(line, WIDTH, subsequent_indent=" " * (width + 2), drop_whitespace=True))
    output.say("\nhftune run NAME trains one; hftune recipes copy NAME gives you a copy to edit.")


def _show(arguments: argparse.Namespace, output: Output) -> None:
    """Print a recipe as it was written; with overrides or --json the resolved one."""
    file, _ = find_recipe(arguments.recipe)
    if not output.json and not arguments.set:
        output.say(file.read_text(encoding="utf-8").rstrip("\n"))
        return
    recipe = load_recipe(file, arguments.set)
    text = dump_recipe(recipe)
    if output.json:
        output.emit({"path": str(file), "recipe": recipe.model_dump(mode="json"), "text": text})
    else:
        output.say(text.rstrip("\n"))


def _copy(arguments: argparse.Namespace, output: Output) -> None:
    """Copy a recipe into a file or folder; raises UsageError rather than replace a file."""
    file, _ = find_recipe(arguments.recipe)
    to = expand(arguments.to or ".")
    if to.is_dir() or str(arguments.to or "").endswith("/"):
        to = to / file.name
    if to.exists():
        raise UsageError(f"{to} exists", hint="Give another file name, or remove it first.")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("x", encoding="utf-8") as copy:  # "x": still nothing is replaced when it appears meanwhile
            copy.write(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}") from None
    output.emit({"from": str(file), "to": str(to)})
    if not output.json:
        output.say(f"{to}: edit it, then hftune run {to}")


def _schema(arguments: argparse.Namespace, output: Output) -> None:
    from hftune.recipe.json_schema import json_schema

    if output.json:
        output.emit(json_schema())
    else:
        output.say(json.dumps(json_schema(), indent=2, ensure_ascii=False))
