"""One process of a group (`--processes N`): what training/processes.py starts. Not a verb: programs only."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

from hftune.commands.job import check_and_train, failed, interrupted
from hftune.commands.signals import Signals
from hftune.errors import EXIT_DONE, EXIT_FAILED, HftuneError, InterruptedRun
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.writer import RunWriter
from hftune.training.processes import end_with_launcher, launched_rank, launcher_alive

# When all processes meet the same error, rank 0 needs this long at most to report it; then the group is ended.
_REPORT_SECONDS = 60.0


def main() -> int:
    """Train as one process of a group; rank 0 alone writes the run directory. Return the exit code."""
    parser = argparse.ArgumentParser(prog="hftune rank")
    parser.add_argument("run", type=Path)
    parser.add_argument("--allow-inexact", action="store_true")
    arguments = parser.parse_args()
    end_with_launcher()
    recipe = load_recipe(arguments.run / layout.RECIPE)
    return (_first if launched_rank() == 0 else _other)(arguments.run, recipe, arguments.allow_inexact)


def _first(path: Path, recipe: Recipe, allow_inexact: bool) -> int:
    with RunWriter.open(path) as run:
        run.start_heartbeat()
        try:
            check_and_train(recipe, run, allow_inexact=allow_inexact)
        except InterruptedRun as error:
            return interrupted(run, Signals(), error.message).exit_code
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            if not launcher_alive():  # the other ranks ended with it first: a lost group, not a failed run
                os._exit(EXIT_FAILED)
            return failed(run, error).exit_code
        run.set_state(status="done", phase="", exit_code=EXIT_DONE)
    return EXIT_DONE


def _other(path: Path, recipe: Recipe, allow_inexact: bool) -> int:
    from hftune.pipeline import train
    from hftune.training.silent import SilentRun

    try:
        train(recipe, SilentRun(path), allow_inexact=allow_inexact)
    except InterruptedRun:
        return EXIT_DONE  # rank 0 gives the exit code; another one from here would end the group before it is done
    except HftuneError as error:
        time.sleep(_REPORT_SECONDS)
        return error.exit_code
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
