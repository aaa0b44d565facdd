"""One process an output: flock on `F.partial.lock`, which a kill releases and its holder removes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hftune.errors import EXIT_LOCKED, HftuneError
from hftune.inference.row_files import lock_of
from hftune.runs import process


@contextmanager
def output_lock(target: Path) -> Iterator[None]:
    """Hold a file that is to be written; raises HftuneError (exit 73) naming the process that holds it."""
    path = lock_of(target)
    descriptor = _locked(path, target)
    try:
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # a full disk does not make the lock less held
            os.pwrite(descriptor, f"process {os.getpid()} on {process.host()}".encode(), 0)
        yield
    finally:
        # While it is held: one who opens it now sees that it is no longer the file of that name, and makes another.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, target: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            hint = "Let it end, or give another --output."
            raise HftuneError(f"{target} is being written by {owner}", hint, EXIT_LOCKED) from None
        if _is_called(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_called(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
