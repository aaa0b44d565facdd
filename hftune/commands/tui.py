"""`hftune` in a terminal, or `hftune tui [RUNS_DIR]`: the app."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from hftune.errors import EXIT_DONE, EXIT_FAILED, RunError, UsageError
from hftune.output import Output
from hftune.runs.reader import default_runs_dir

ELSEWHERE = "hftune runs and hftune watch --plain print lines; hftune --help lists every command."


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Open the app; jobs outlive it. Raises UsageError where there is no terminal."""
    if output.json or not at_terminal():
        raise UsageError("the app needs a terminal", hint=ELSEWHERE)
    named = arguments.folder or arguments.runs_dir
    folder = Path(named) if named else default_runs_dir()
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder", hint="hftune tui RUNS_DIR takes the folder with the runs.")
    return open_app(folder, output, debug=arguments.debug)


def at_terminal() -> bool:
    """Tell whether a person reads and writes here."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def open_app(runs_dir: Path, output: Output, watch: Path | None = None, debug: bool = False) -> int:
    """Show the app until it is left, `watch` first; return the exit code."""
    gc.disable()  # what is imported stays: to look for garbage in it takes a tenth of the time to the first paint
    from hftune_tui.app import HftuneApp

    gc.enable()
    gc.freeze()
    app = HftuneApp(runs_dir, watch=watch, debug=debug)
    said = app.run()
    if said:
        output.note(f"hftune: {said}; hftune opens the app again")
    return EXIT_FAILED if app.return_code else EXIT_DONE
