"""Writing files so that a reader, a kill or a power cut never meets half of one, and the disk they will be on."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomic(path: Path, content: bytes | str, *, sync: bool = True) -> None:
    """Replace `path` in one step; the old content stays when anything fails (OSError).

    With `sync` the bytes and the name are on disk before this returns; without it (a heartbeat) only other processes
    are sure to see them.
    """
    data = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    if sync:
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Put the names in `folder` on disk: a rename survives a power cut only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Put a file's bytes on disk, for libraries that write without doing so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nearest_folder(folder: Path) -> Path:
    """Return `folder`, absolute, or the nearest one above it that is there: what is made in it will be on its disk."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))  # noqa: PTH112 - raises for no name
