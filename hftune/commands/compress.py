"""`hftune compress RUN --method M | --frontier`: a smaller model made from a finished run's, or a choice of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hftune.commands.job import carry_out
from hftune.commands.run import in_background
from hftune.errors import UsageError
from hftune.output import Output
from hftune.recipe.prepare import prepare
from hftune.runs.launch import Launch
from hftune.runs.reader import default_runs_dir, find_run, split_step
from hftune.threads import wait_politely_when_busy


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Make a run of the smaller model, compared with its parent; nothing is created when it cannot be made."""
    if arguments.frontier == (arguments.method is not None):
        given = "--method and --frontier at once" if arguments.frontier else "how is it to be made smaller?"
        raise UsageError(given, hint="Give --method distill, prune or quantize, or --frontier to try several.")
    name, step = split_step(arguments.run)
    if step is not None:
        hint = f"Compress the finished run: hftune compress {name} …"
        raise UsageError(f"{arguments.run}: a checkpoint cannot be made smaller", hint)
    parent = find_run(name, arguments.runs_dir)
    wait_politely_when_busy()
    if arguments.frontier:
        from hftune.commands.compress_frontier import frontier

        return frontier(parent, arguments, output)
    _without_frontier(arguments)
    from hftune.compressors._parent import check_parent
    from hftune.compressors._recipes import compress_recipe

    named = [f"name={json.dumps(arguments.name)}"] if arguments.name else []
    recipe = compress_recipe(parent, arguments.method, [*arguments.set, *named])
    check_parent(recipe)
    runs_dir = Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir()
    run = prepare(recipe, runs_dir, Launch(check=False))  # its parent's data were looked at
    if arguments.detach:
        return in_background(run, output, processes=1)
    return carry_out(run, output, debug=arguments.debug)


def _without_frontier(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that mean something with --frontier alone."""
    for name in ("only", "max_loss", "max_size", "png", "again"):
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} goes with --frontier", hint="Leave it out, or --method.")
