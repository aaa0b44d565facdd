"""A conversation: what the model is told, by its kind; retry, reset, settings; models of other names."""

from __future__ import annotations

from typing import Any

import pytest

from hftune.asking.conversation import AskFailed, Conversation
from hftune.asking.decoding import Decoding
from hftune.errors import UsageError


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
        if op == "load":
            data = {**self.model, "run": fields["run"]}
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


def test_two_lines_are_the_two_texts_of_a_model_of_pairs_where_that_is_allowed() -> None:
    client = Recorded({"task": "text-classification", "pairs": True})
    conversation = Conversation(client, Decoding(), two_lines=True)  # type: ignore[arg-type]
    conversation.start(lambda event: None)
    conversation.ask("a man sleeps\n\nnobody sleeps\n", lambda event: None)
    assert client.asked == [{"op": "classify", "model": "main", "texts": ["a man sleeps"], "pairs": ["nobody sleeps"]}]
    with pytest.raises(UsageError, match="two texts") as caught:
        conversation.ask("one line", lambda event: None)
    assert "two lines" in caught.value.hint and len(client.asked) == 1


def test_another_model_is_loaded_under_the_name_of_the_conversation() -> None:
    client = Recorded({"task": "text-generation", "style": "text", "pairs": False})
    conversation = Conversation(client, Decoding(), "beside")  # type: ignore[arg-type]
    client.events.clear()
    assert conversation.load(lambda event: None, "/runs/a", 30)
    assert conversation.model["run"] == "/runs/a"
    assert client.asked == [{"op": "load", "run": "/runs/a", "model": "beside", "base": False, "step": 30}]
    assert conversation.load(lambda event: None, "/runs/a", base=True)
    conversation.ask("hi", lambda event: None)
    assert client.asked[1]["base"] is True and "step" not in client.asked[1] and client.asked[2]["model"] == "beside"


def test_a_model_that_cannot_be_loaded_leaves_none_and_one_that_is_cancelled_too() -> None:
    conversation, client = talk("chat")
    failed = {"event": "error", "code": "run", "message": "no model yet", "hint": "Wait.", "line": 1}
    client.request = lambda op, **fields: 7  # type: ignore[method-assign]
    client.events = [{"id": 7, **failed}]
    with pytest.raises(AskFailed, match="no model yet") as caught:
        conversation.load(lambda event: None, "/runs/a")
    assert (caught.value.code, caught.value.hint, conversation.model) == ("run", "Wait.", {})
    client.events = [{"id": 7, "event": "done", "cancelled": True}]
    assert not conversation.load(lambda event: None, "/runs/a")
