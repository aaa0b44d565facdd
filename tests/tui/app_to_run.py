"""The app in a terminal with the fake worker of the chat's tests: `python app_to_run.py RUNS_DIR`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from hftune_tui.app import HftuneApp

from hftune.asking.client import WorkerClient

FAKE_WORKER = Path(__file__).parent / "chat" / "fake_worker.py"

if __name__ == "__main__":
    connect = partial(WorkerClient, command=(sys.executable, str(FAKE_WORKER)))
    HftuneApp(Path(sys.argv[1]), machine=lambda: "CPU 3%", connect=connect).run()
