"""`hftune compress RUN --method M`: a smaller model made from a finished run's, as a run of its own."""

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
from hftune.runs.reader import default_runs_dir, find_run
from hftune.threads import wait_politely_when_busy


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Make a run of the smaller model, compared with its parent; nothing is created when it cannot be made."""
    if arguments.method is None:
        raise UsageError("how is it to be made smaller?", hint="Give --method distill, prune or quantize.")
    parent = find_run(arguments.run, arguments.runs_dir)
    wait_politely_when_busy()
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
