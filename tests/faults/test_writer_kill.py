"""SIGKILL at any moment leaves a run directory that reads, and that goes on."""

import random
import subprocess
import sys
import time

import pytest

from hftune.runs import layout, writer
from hftune.runs.reader import EventTail, load_state, read_events, read_state
from hftune.runs.writer import RunWriter

WRITER = """
import sys
from pathlib import Path
from hftune.runs import writer
from hftune.runs.writer import RunWriter
writer.HEARTBEAT_SECONDS = writer.STATE_SECONDS = 0.0005
with RunWriter.create(Path(sys.argv[1]), "abc", "name: abc\\n") as run:
    run.start_heartbeat()
    run.set_state(status="training")
    print(run.path, flush=True)
    for step in range(10**9):
        run.emit("train", step=step, metrics={"loss": 0.5, "text": "ä" * 500}, timing={})
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_while_writing_loses_at_most_the_last_line(tmp_path, seed):
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    path = tmp_path / child.stdout.readline().strip()
    tail = EventTail(path)
    followed, wanted = [], random.Random(seed).randrange(50, 400)
    deadline = time.monotonic() + 30
    while len(followed) < wanted:
        followed += tail.poll()
        load_state(path)  # never half of one
        assert time.monotonic() < deadline
    child.kill()
    child.wait()
    child.stdout.close()

    assert read_state(path).status == "lost"
    events = read_events(path)
    assert [event.seq for event in events] == list(range(len(events)))
    with RunWriter.open(path) as run:
        run.emit("resume", step=0)
        assert run.attempt == 2
    after = read_events(path)
    assert [event.seq for event in after] == list(range(len(after)))
    assert [event for event in after if event.attempt == 1][: len(events)] == events
    assert not [file for file in path.iterdir() if file.name.startswith(".")]
    assert {file.name for file in path.iterdir()} == {layout.RECIPE, layout.STATE, layout.EVENTS, layout.CONTROL}


def test_a_full_disk_is_an_error_and_no_broken_state(tmp_path, monkeypatch):
    with RunWriter.create(tmp_path, "abc", "") as run:

        def full(path, content, *, sync=True):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(writer, "write_atomic", full)
        with pytest.raises(OSError, match="No space left"):
            run.set_state(status="training")
        assert load_state(run.path).status == "preparing"
