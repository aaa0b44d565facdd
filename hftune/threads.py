"""How many cores there are, and how the threads of a computation wait for each other, chosen before torch is loaded.

OpenMP's threads spin while they wait. On a quiet machine that is fastest; beside another busy process the spinning
threads hold the cores that the working ones need. Measured on two cores, training a small BERT: spinning gave 40
samples/s on a quiet machine and 3–12 beside one other process, sleeping 32 and 21–28. The bits are the same.

Company may also come later, when the settings are read already. So threads spin only for some 50 microseconds, which is
longer than they usually wait: an encoder of that size trained at 49–53 samples/s on a quiet machine (47–56 with
OpenMP's own six milliseconds) and at 25–29 beside a busy process (18 with OpenMP's own, 32–34 sleeping).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
BUSY_PERCENT = 20.0
LOOK_SECONDS = 0.25
SPINS = 2500
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Return the cores this process may use: its affinity, or its container's limit when that is smaller."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        cores = os.cpu_count() or 1
    try:
        quota, period = _CGROUP_LIMIT.read_text().split()
        return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def wait_politely_when_busy(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep when others use the processor, and spin briefly else; a setting of the user's stands.

    Looks for a quarter of a second. Does nothing once torch is loaded: OpenMP reads its settings then.
    """
    if "torch" in sys.modules or any(name in environment for name in SETTINGS):
        return
    import psutil

    if psutil.cpu_percent(interval=LOOK_SECONDS) > BUSY_PERCENT:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    else:
        environment["GOMP_SPINCOUNT"] = str(SPINS)
