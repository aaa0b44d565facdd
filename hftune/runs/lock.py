"""One process a run, one job a device: flock, which a kill releases and no child keeps."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from hftune.cache import cache_folder
from hftune.errors import InterruptedRun, RunError, RunLockedError
from hftune.runs import layout, process
from hftune.runs.reader import lasting_name, load_state
from hftune.runs.state import ACTIVE

QUEUE_DIR_VARIABLE = "HFTUNE_QUEUE_DIR"
NO_QUEUE_VARIABLE = "HFTUNE_NO_QUEUE"
POLL_SECONDS = 0.2
LEAVING_SECONDS = 10.0  # that a process may take to end, once it has told how its run ended
_held: set[int] = set()


def _close_in_child() -> None:
    """A forked child (a data loader's worker) shares the lock until it closes it, and may outlive its parent."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def run_lock(path: Path, note: str = "") -> Iterator[None]:
    """Hold a run; raises RunLockedError (exit 73) naming the process that holds it.

    A process whose run has ended already is waited for: it is about to let go. `note` says what the owner does with it
    ("training"); it stands in the message that others get.
    """
    descriptor = _open(path / layout.LOCK)
    try:
        if not (_try(descriptor) or _take_over(descriptor, path)):
            name = lasting_name(path)
            raise RunLockedError(
                f"run {path.name} is in use by {_owner(path / layout.LOCK)}",
                hint=f"`hftune watch {name}` follows it, `hftune stop {name}` ends it with its state saved.",
            )
        _sign(descriptor, note)
        yield
    finally:
        _close(descriptor)


@contextmanager
def device_lock(
    device: str,
    note: str = "",
    *,
    waiting: Callable[[str], None] = lambda owner: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Hold a device (`cpu`, `cuda:0`), waiting for it as long as another run of this user has it.

    `waiting` is called once with the owner when there is a wait; raises InterruptedRun when `cancelled` turns true
    meanwhile. With $HFTUNE_NO_QUEUE set there is no queue.
    """
    if os.environ.get(NO_QUEUE_VARIABLE):
        yield
        return
    folder = queue_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The home folder may be shared by several machines, the device is not.
    path = folder / f"{process.host()}-{device.replace(':', '')}.lock"
    descriptor = _open(path)
    try:
        if not _try(descriptor):
            waiting(_owner(path))
            while not _try(descriptor):
                if cancelled():
                    raise InterruptedRun(f"stopped while waiting for {device}")
                time.sleep(POLL_SECONDS)
        _sign(descriptor, note)
        yield
    finally:
        _close(descriptor)


def queue_dir() -> Path:
    """Return the folder of the device locks: $HFTUNE_QUEUE_DIR, or one in the user's cache folder."""
    if given := os.environ.get(QUEUE_DIR_VARIABLE):
        return Path(given)
    return cache_folder() / "queue"


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # Python's descriptors are close-on-exec
    _held.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _held.discard(descriptor)
    with suppress(OSError):
        # Closing alone would leave it held for the moment until a child forked just now has closed its copy.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_over(descriptor: int, run: Path) -> bool:
    """Wait for a process that has told how the run ended and only has to end itself; tell whether the lock was free."""
    limit = time.monotonic() + LEAVING_SECONDS
    with suppress(RunError):  # no state: nothing has ended
        while load_state(run).status not in ACTIVE and time.monotonic() < limit:
            time.sleep(POLL_SECONDS)
            if _try(descriptor):
                return True
    return False


def _sign(descriptor: int, note: str) -> None:
    """Write who holds the lock, for the message that others get."""
    record = {"pid": os.getpid(), "host": process.host(), "since": time.time(), "note": note}
    with suppress(OSError):  # a full disk does not make the lock less held
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _owner(path: Path) -> str:
    try:
        record = json.loads(path.read_bytes())
        since = datetime.fromtimestamp(float(record["since"]), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        note = f" ({record['note']})" if record.get("note") else ""
        return f"process {int(record['pid'])} on {record['host']} since {since}{note}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
