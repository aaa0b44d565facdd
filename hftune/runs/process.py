"""Who is running: host, boot, process id and its start, and whether that process is still there."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


@cache
def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """Return what changes with every boot: process ids mean nothing across it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def started(pid: int) -> float | None:
    """Return when process `pid` started (seconds), None when there is none or it is a zombie.

    On Linux counted from boot, so that setting the clock does not turn a live process into another one.
    """
    if Path("/proc/self/stat").exists():
        return _started_linux(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def alive(pid: int, process_started: float) -> bool:
    """Tell whether the process that had `pid` and started then still runs on this machine."""
    now = started(pid) if pid > 0 else None
    return now is not None and abs(now - process_started) < 1.0


def _started_linux(pid: int) -> float | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name, field 2, is in parentheses and may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime, field 22
