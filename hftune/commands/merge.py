"""`hftune merge RUN`: an adapter added into its base model, checked against the run."""

from __future__ import annotations

import argparse

from hftune.commands.export import export_run
from hftune.errors import UsageError
from hftune.output import Output
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.reader import find_run, lasting_name, split_step


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Write the one model that a run's adapter and its base are; with --json one object."""
    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    method = load_recipe(run / layout.RECIPE).method.name
    if method != "lora":
        hint = f"`hftune export {lasting_name(run)} --to transformers` gives the whole model."
        raise UsageError(f"{run.name} has no adapter to merge: its method is {method}", hint)
    return export_run(run, step, "transformers", arguments, output)
