"""hftune chat: history by the model's kind, commands, Ctrl-C in a real terminal, JSON lines for programs."""

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

from hftune.commands.conversation import AskFailed, Conversation
from hftune.errors import HftuneError, UsageError
from hftune.inference.client import WorkerClient, WorkerDied
from hftune.inference.decoding import Decoding
from hftune.inference.protocol import MAX_LINE, RequestError

SECONDS = 90


class Recorded:
    """Stands in for WorkerClient where only what is asked matters: answers at once, as the protocol says."""

    def __init__(self, model: dict[str, Any], finish: str = "length") -> None:
        self.model, self.finish = model, finish
        self.asked: list[dict[str, Any]] = []
        self.cancelled: list[Any] = []
        self.events: list[dict[str, Any]] = [
            {"id": "start", "event": "result", "data": model},
            {"id": "start", "event": "done", "cancelled": False},
        ]

    def request(self, op: str, **fields: Any) -> int:
        self.asked.append({"op": op, **fields})
        number = len(self.asked)
        data = {"text": f"a{number}", "finish_reason": self.finish}
        self.events += [{"id": number, "event": "result", "data": data}, {"id": number, "event": "done"}]
        return number

    def next_event(self, id: Any) -> dict[str, Any]:
        return self.events.pop(0)

    def cancel(self, target: Any) -> None:
        self.cancelled.append(target)


def talk(style: str, finish: str = "length") -> tuple[Conversation, Recorded]:
    client = Recorded({"task": "text-generation", "style": style, "pairs": False}, finish)
    conversation = Conversation(client, Decoding())  # type: ignore[arg-type]
    conversation.start(lambda event: None)
    return conversation, client


def contents(client: Recorded) -> list[list[str]]:
    return [[message["content"] for message in asked["messages"]] for asked in client.asked]


@pytest.mark.parametrize(
    ("style", "finish", "second"),
    [
        ("chat", "eos", ["one", "a1", "two"]),
        ("text", "length", ["one", "a1", "two"]),
        ("text", "eos", ["two"]),
        ("completion", "length", ["two"]),
    ],
)
def test_history_is_what_the_model_was_trained_on(style: str, finish: str, second: list[str]) -> None:
    conversation, client = talk(style, finish)
    for text in ("one", "two"):
        conversation.ask(text, lambda event: None)
    assert contents(client) == [["one"], second]


def test_ctrl_c_while_an_answer_is_printed_stops_the_answer_alone() -> None:
    conversation, client = talk("text")

    def interrupted(event: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    conversation.ask("once", interrupted)
    assert client.cancelled == [1, 1]  # for the result and for the last event, and no event was waited for after it


def test_retry_forgets_the_answer_and_reset_everything() -> None:
    conversation, client = talk("chat")
    conversation.ask("one", lambda event: None)
    conversation.ask("two", lambda event: None)
    conversation.retry(lambda event: None)
    conversation.reset()
    with pytest.raises(UsageError, match="nothing"):
        conversation.retry(lambda event: None)
    conversation.ask("new", lambda event: None)
    assert contents(client)[1:] == [["one", "a1", "two"], ["one", "a1", "two"], ["new"]]


def test_settings_change_the_next_answer_and_a_wrong_one_changes_nothing() -> None:
    conversation, client = talk("chat")
    conversation.set({"temperature": 0.5})
    with pytest.raises(UsageError):
        conversation.set({"top_k": 3, "top_p": 9})
    conversation.ask("one", lambda event: None)
    assert client.asked[0]["decoding"]["temperature"] == 0.5 and client.asked[0]["decoding"]["top_k"] == 50


def test_a_model_of_pairs_is_sent_to_predict() -> None:
    client = Recorded({"task": "text-classification", "pairs": True})
    with pytest.raises(UsageError, match="two texts"):
        Conversation(client, Decoding()).start(lambda event: None)  # type: ignore[arg-type]


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
            if select.select([self.terminal], [], [], 1)[0]:
                self.text += self.decode(os.read(self.terminal, 4096))
        before, self.text = self.text[: found.end()], self.text[found.end() :]
        return before

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def exit_code(self) -> int:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    os.read(self.terminal, 4096)
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.process_id, 0)[1])


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
    # Python notices a signal once it waits for a key, a moment after the prompt is shown: the echo says that it does.
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
