"""A killed process leaves no lock behind, whatever it started."""

import os
import signal
import subprocess
import sys

import pytest

from hftune.errors import RunLockedError
from hftune.runs.lock import device_lock, run_lock

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from hftune.runs.lock import device_lock, run_lock
with run_lock(Path(sys.argv[1])), device_lock("cpu"):
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_kill_releases_run_and_device_even_when_a_child_lives_on(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    grandchild = int(holder.stdout.readline())
    try:
        with pytest.raises(RunLockedError, match=f"process {holder.pid} "), run_lock(tmp_path):
            pass
        holder.kill()
        holder.wait()
        os.kill(grandchild, 0)  # still there
        waited = []
        with run_lock(tmp_path), device_lock("cpu", waiting=waited.append):
            assert waited == []
    finally:
        os.kill(grandchild, signal.SIGKILL)
        holder.stdout.close()
