"""A worker never outlives the process that asked it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

PARENT = """
import sys, time
from hftune.asking.client import WorkerClient
client = WorkerClient([sys.argv[1]])
print(client.process_id, flush=True)
time.sleep(600)
"""


def gone(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    # The run cannot be loaded for want of a model; the worker would wait for requests all the same.
    run = tmp_path / "broken-20260101-000000-a1b2"
    run.mkdir()
    (run / "recipe.yaml").write_text(
        "name: a\ntask: text-classification\nmodel: b/c\ndata: {rows: [{text: a, label: b}]}\n", encoding="utf-8"
    )
    with subprocess.Popen([sys.executable, "-c", PARENT, str(run)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.5)
        assert not gone(worker)
        parent.kill()
    end = time.monotonic() + 60
    while not gone(worker):
        assert time.monotonic() < end, "the worker still runs"
        time.sleep(0.1)
