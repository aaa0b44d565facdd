"""No process of a group outlives the one that launched it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

# The watch of the parent's id is slow here, so that the kernel alone is seen at work.
RANK = """
import os, sys, time
from hftune.training import processes
processes._WATCH_SECONDS = 3600.0
processes.end_with_launcher()
print(os.getpid(), flush=True)
time.sleep(3600)
"""
LAUNCHER = """
import os, subprocess, sys, time
environment = {**os.environ, "HFTUNE_LAUNCHER_PID": str(os.getpid())}
subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=environment, start_new_session=True)
time.sleep(3600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it takes the watch's half second")
def test_a_rank_ends_with_its_launcher_at_once():
    command = [sys.executable, "-c", LAUNCHER, RANK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        rank = psutil.Process(int(launcher.stdout.readline()))
        launcher.kill()
        try:
            rank.wait(timeout=30)
        finally:
            with suppress(psutil.NoSuchProcess):
                rank.kill()
