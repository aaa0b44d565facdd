"""Starting a job as a process of its own, which outlives the one that starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.files import write_atomic


def start_job(run: Path, *, processes: int = 1, allow_inexact: bool = False) -> int:
    """Carry out a run in the background; return the process id. Raises RunError when it cannot start.

    The child has a session of its own, no input, and writes to the run's log: closing the terminal does not touch it.
    """
    # -P: a file named like a module in the current folder must not be imported instead of it.
    command = [sys.executable, "-P", "-m", "hftune", "job", str(run.resolve()), "--processes", str(processes)]
    if allow_inexact:
        command.append("--allow-inexact")
    try:
        with (run / layout.LOG).open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        raise RunError(f"cannot start a job for {run.name}: {error.strerror}") from error
    # An ended child that nobody waits for stays as a zombie while this process (the app) lives.
    threading.Thread(target=child.wait, name=f"hftune-job-{child.pid}", daemon=True).start()
    return child.pid


@dataclass(frozen=True)
class Launch:
    """How a run was started: with how many processes, and whether its data are looked at before it trains."""

    processes: int = 1
    check: bool = True


def write_launch(run: Path, launch: Launch) -> None:
    """Record how a run is started, so that a job and `resume` do the same."""
    write_atomic(run / layout.LAUNCH, json.dumps(asdict(launch)) + "\n")


def read_launch(run: Path) -> Launch:
    """Return how a run was started; the defaults when that is not recorded."""
    try:
        record = json.loads((run / layout.LAUNCH).read_bytes())
        return Launch(max(1, int(record.get("processes", 1))), record.get("check") is not False)
    except (OSError, ValueError, AttributeError, TypeError):
        return Launch()
