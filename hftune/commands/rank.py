"""What each process of a group runs (`hftune run --processes N`): `python -m hftune.commands.rank RUN`.

Its parent holds the lock and the device, shows the run and has sent stdout and stderr to the log.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from hftune.commands.job import attempt
from hftune.commands.signals import Signals
from hftune.errors import EXIT_DONE, EXIT_FAILED, InterruptedRun
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.writer import RunWriter

# An error that all ranks meet is rank 0's to write down; the first process that ends takes the others with it.
PATIENCE_SECONDS = 5.0


def main() -> int:
    """Train as one process of the group; rank 0 writes the run directory and its state."""
    from hftune.training.processes import end_with_launcher, launched_rank

    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--allow-inexact", action="store_true")
    arguments = parser.parse_args()
    end_with_launcher()
    if launched_rank() == 0:
        return _first(arguments.run, arguments.allow_inexact)
    return _other(arguments.run, arguments.allow_inexact)


def _first(path: Path, allow_inexact: bool) -> int:
    with RunWriter.open(path) as run:
        run.start_heartbeat()
        outcome = attempt(run, load_recipe(path / layout.RECIPE), Signals(), allow_inexact, queue=False)
    # Stopped or paused on request is no failure of the group; the state says which.
    return outcome.exit_code if outcome.error is not None else EXIT_DONE


def _other(path: Path, allow_inexact: bool) -> int:
    from hftune import pipeline
    from hftune.training.silent import SilentRun

    try:
        pipeline.train(load_recipe(path / layout.RECIPE), SilentRun(path), allow_inexact=allow_inexact)
    except InterruptedRun:
        return EXIT_DONE
    except Exception:
        traceback.print_exc()
        time.sleep(PATIENCE_SECONDS)
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
