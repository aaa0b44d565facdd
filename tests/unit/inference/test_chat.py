"""hftune chat: commands, Ctrl-C in a real terminal, JSON lines for programs, a worker that fails."""

from __future__ import annotations

import codecs
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftune.asking.client import WorkerClient, WorkerDied
from hftune.asking.conversation import AskFailed, Conversation
from hftune.asking.decoding import Decoding
from hftune.asking.protocol import MAX_LINE, RequestError
from hftune.errors import HftuneError

SECONDS = 90


def chat(run: Path, *words: str, typed: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hftune", "chat", str(run), *words]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_a_classifier_labels_each_line(classifier: Path) -> None:
    done = chat(classifier, typed="good film\n/set\n/nonsense\n\nbad\n")
    assert done.returncode == 0
    assert done.stdout.count("neutral ") == 2 and done.stdout.count("margin") == 2
    assert "loading torch" in done.stderr and "temperature=0.8" in done.stderr and "no command" in done.stderr


def test_programs_speak_json_lines(generator: Path) -> None:
    typed = [
        {"op": "set", "decoding": {"temperature": 0, "max_new_tokens": 3}, "id": "s"},
        {"text": "The", "id": "a"},
        {"op": "retry"},
        {"text": 3},
        {"op": "reset"},
        {"op": "set", "decoding": {"top_p": 4}},
    ]
    done = chat(generator, "--jsonl", typed="".join(json.dumps(one) + "\n" for one in typed) + "not json\n")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    by_id = {key: [one["event"] for one in events if one["id"] == key] for key in ("s", "a", 3, 4, 5, 6, 7)}
    assert by_id["s"] == by_id[5] == ["done"] and by_id[4] == by_id[6] == by_id[7] == ["error"]
    assert by_id["a"][-2:] == by_id[3][-2:] == ["result", "done"]
    answers = [one["data"]["text"] for one in events if one["event"] == "result" and one["id"] in ("a", 3)]
    assert answers[0] == answers[1] and done.returncode == 0


@pytest.fixture(scope="module")
def client(generator: Path) -> Iterator[WorkerClient]:
    with WorkerClient([str(generator)]) as started:
        yield started


def test_a_failed_question_does_not_end_the_conversation(client: WorkerClient) -> None:
    conversation = Conversation(client, Decoding(max_new_tokens=3))
    conversation.start(lambda event: None)
    conversation.messages = [{"role": "robot", "content": "x"}]
    with pytest.raises(AskFailed, match="role"):
        conversation.ask("a", lambda event: None)
    conversation.reset()
    assert conversation.ask("a", lambda event: None)


def test_what_is_too_long_to_be_asked_is_refused_and_not_waited_for(client: WorkerClient) -> None:
    conversation = Conversation(client, Decoding(max_new_tokens=3))
    with pytest.raises(RequestError, match="bytes"):
        conversation.ask("long " * MAX_LINE, lambda event: None)
    assert conversation.ask("a", lambda event: None) and len(conversation.messages) == 2


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with WorkerClient(["nowhere", "--runs-dir", str(tmp_path)]) as started:
        with pytest.raises(WorkerDied, match="no run 'nowhere'") as caught:
            started.next_event("start")
        assert caught.value.exit_code == 1


def test_a_killed_worker_is_reported_not_waited_for(generator: Path) -> None:
    with WorkerClient([str(generator)]) as started:
        started._process.kill()
        with pytest.raises(HftuneError, match="signal 9"):
            Conversation(started, Decoding()).start(lambda event: None)


class Terminal:
    """`hftune chat` in a real pseudo-terminal."""

    def __init__(self, run: Path, *words: str) -> None:
        self.process_id, self.terminal = pty.fork()
        if self.process_id == 0:
            os.execv(sys.executable, [sys.executable, "-m", "hftune", "chat", str(run), *words])
        self.text = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a read may end within a character

    def wait_for(self, pattern: str) -> str:
        """Read until `pattern` comes; return what came before and with it."""
        end = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            assert time.monotonic() < end, self.text
            if self._readable():
                self.text += self.decode(os.read(self.terminal, 4096))
        before, self.text = self.text[: found.end()], self.text[found.end() :]
        return before

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def exit_code(self) -> int:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if self._readable():
                try:
                    os.read(self.terminal, 4096)
                except OSError:
                    return os.waitstatus_to_exitcode(os.waitpid(self.process_id, 0)[1])
        os.kill(self.process_id, signal.SIGKILL)
        os.waitpid(self.process_id, 0)
        raise AssertionError("it did not end")

    def _readable(self) -> bool:
        """Tell whether there is something to read, after a tenth of a second at most.

        If not, a Ctrl-C may wait in the process: readline notices one that comes between the echo of a key and the
        wait for the next only with the next signal. So it gets one that means nothing.
        """
        if select.select([self.terminal], [], [], 0.1)[0]:
            return True
        os.kill(self.process_id, signal.SIGWINCH)
        return False


@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_stops_the_answer_then_warns_then_leaves(tmp_path: Path, runs: Any) -> None:
    run = runs.generator_run(tmp_path / "long", positions=4096)
    terminal = Terminal(run, "--max-new-tokens", "4000", "--ban", "film")
    terminal.wait_for("› ")
    terminal.type("The\n")
    terminal.wait_for("The\r\n.{20}")
    terminal.type("\x03")
    assert "cancelled" in terminal.wait_for(r"\[\w+: \d+ tokens.*› ")
    terminal.type("/set max_new_tokens=2\n")
    terminal.wait_for("max_new_tokens=2.*› ")
    terminal.type("more\n")
    terminal.wait_for(r"\[length: 2 tokens.*› ")
    # readline takes keys a moment after the prompt is shown: the echo says that it does.
    terminal.type("x")
    terminal.wait_for("x")
    terminal.type("\x03")
    terminal.wait_for("leaves.*› ")
    terminal.type("x")
    terminal.wait_for("x")
    terminal.type("\x03")
    assert terminal.exit_code() == 0


def test_ctrl_d_leaves_and_takes_the_worker_along(classifier: Path) -> None:
    terminal = Terminal(classifier)
    terminal.wait_for("› ")
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(terminal.process_id)], capture_output=True, text=True, check=False
    )
    terminal.type("\x04")
    assert terminal.exit_code() == 0
    for worker in map(int, children.stdout.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(worker, signal.SIG_DFL)
