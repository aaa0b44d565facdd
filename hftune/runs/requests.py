"""Asking a running job for something: a file in `control/`, which the job reads in every phase."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from hftune.errors import RunError
from hftune.runs import layout

Request = Literal["stop", "pause", "checkpoint"]


def request(run: Path, name: Request) -> None:
    """Ask the job of `run` to stop, to pause, or to save a checkpoint; raises RunError when it cannot be asked."""
    if name not in get_args(Request):
        raise ValueError(f"no request named {name!r}")
    try:
        (run / layout.CONTROL).mkdir(mode=0o700, exist_ok=True)
        (run / layout.CONTROL / name).touch()
    except OSError as error:
        raise RunError(f"cannot write to {run / layout.CONTROL}: {error.strerror}") from error


def withdraw(run: Path, name: Request) -> None:
    """Take a request back, for example when the run ended before it was read."""
    (run / layout.CONTROL / name).unlink(missing_ok=True)
