"""`hftune export RUN --to transformers|adapter|onnx`: a run's model as others load it, checked against the run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.commands.signals import unwinding
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, UsageError
from hftune.figures import size
from hftune.output import Output
from hftune.runs.reader import find_run, split_step
from hftune.sanitize import pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.sharing.parity import Kind

NAME = 28


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Export a run and say how far the export agrees with it; with --json one object."""
    name, step = split_step(arguments.run)
    return export_run(find_run(name, arguments.runs_dir), step, arguments.to, arguments, output)


def export_run(run: Path, step: int | None, kind: Kind, arguments: argparse.Namespace, output: Output) -> int:
    """Export a run as `kind` to --output, or to a folder here that is named after it."""
    if arguments.rows < 1:
        raise UsageError(f"--rows {arguments.rows} checks nothing", hint="It must be 1 or more.")
    wait_politely_when_busy()
    from hftune.sharing.export import export

    at = "" if step is None else f"-step-{step}"
    folder = Path(arguments.output or f"{run.name}{at}-{kind}")
    ticker = Ticker(output.stderr)
    try:
        with unwinding():
            exported = export(run, step, kind, folder, arguments.rows, ticker.show)
    finally:
        ticker.clear()
    files = [{"name": file.name, "bytes": file.size} for file in exported.files]
    output.emit({"folder": str(folder), "kind": kind, "files": files, "parity": vars(exported.parity)})
    for file in exported.files:
        output.say(f"  {pad(file.name, NAME)} {size(file.size):>10}")
    for line in exported.parity.lines():
        output.say(sanitize(line))
    output.say(f"in {sanitize(folder)}")
    return EXIT_DONE
