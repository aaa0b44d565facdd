"""How the threads of a computation wait for each other, chosen before torch is loaded.

OpenMP's threads spin while they wait. On a quiet machine that is fastest; beside another busy process the spinning
threads hold the cores that the working ones need. Measured on two cores, training a small BERT: spinning gave 40
samples/s on a quiet machine and 3–12 beside one other process, sleeping 32 and 21–28. The bits are the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
BUSY_PERCENT = 20.0
LOOK_SECONDS = 0.25


def wait_politely_when_busy(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep rather than spin when others use the processor; a setting of the user's stands.

    Looks for a quarter of a second. Does nothing once torch is loaded: OpenMP reads its settings then.
    """
    if "torch" in sys.modules or any(name in environment for name in SETTINGS):
        return
    import psutil

    if psutil.cpu_percent(interval=LOOK_SECONDS) > BUSY_PERCENT:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
