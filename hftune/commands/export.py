"""`hftune export RUN --to transformers|adapter|onnx`: a run's model as others load it, checked against the run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.commands.push import file_lines, file_records
from hftune.commands.signals import unwinding
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, UsageError
from hftune.output import Output
from hftune.runs.reader import find_run, split_step
from hftune.sanitize import sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.sharing.parity import Kind


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
    with Ticker(output.stderr) as ticker, unwinding():
        exported = export(run, step, kind, folder, arguments.rows, ticker.show)
    files = file_records(exported.files)
    output.emit({"folder": str(folder), "kind": kind, "files": files, "parity": vars(exported.parity)})
    for line in [*file_lines(exported.files), *map(sanitize, exported.parity.lines())]:
        output.say(line)
    output.say(f"in {sanitize(folder)}")
    return EXIT_DONE
