"""`hftune check RECIPE [--fast]`: what is wrong before training, and what training would cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from hftune.errors import EXIT_DONE, EXIT_USAGE
from hftune.output import Output
from hftune.preflight.report import Report, render
from hftune.preflight.summary import summarize
from hftune.threads import wait_politely_when_busy


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Check a recipe; 0 when it can be trained (warnings or not), 2 when it cannot.

    Problems in the recipe itself come as RecipeError, all of them at once. `--fast` loads nothing heavier than
    pydantic; the rest reads the data, the tokenizer and, for the estimate, the weights.
    """
    from hftune.recipe.load import find_recipe, load_recipe, placed, shipped_note

    path, shipped = find_recipe(arguments.recipe)
    if shipped:
        output.note(f"hftune: {shipped_note(arguments.recipe, path)}")
    recipe = load_recipe(path, arguments.set)
    if arguments.fast:
        report = Report(recipe.name, summarize(recipe))
    else:
        wait_politely_when_busy()
        from hftune.preflight.inspect import check
        from hftune.runs.reader import default_runs_dir

        runs_dir = Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir()
        report = check(recipe, output.note, runs_dir, lambda error: placed(error, path, arguments.set))
    if not output.json:
        output.say(render(report))
    output.emit(report.to_dict())
    return EXIT_DONE if report.ok else EXIT_USAGE
