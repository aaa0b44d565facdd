"""A conversation saved and loaded is the same; a file that is not one says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hftune_tui.answers import Answer, Exchange, Target
from hftune_tui.asking import Session
from hftune_tui.saved_chat import KEPT, read_chat, write_chat

from hftune.errors import UsageError


def resumed(path: Path, started: Any) -> Session:
    saved, session = read_chat(path), Session(started)
    session.resume(saved.main, saved.beside, saved.items, saved.settings)
    return session


def shown(session: Session) -> list[Any]:
    keys = ("slot", "model", "settings", "state", "error", "hint", "notes", *KEPT)
    return [
        (one.text, one.again, [[getattr(it, key) for key in keys] for it in one.answers]) for one in session.exchanges
    ]


def test_what_was_said_is_shown_and_told_again(
    chat: Any, session: Session, started: Any, run: Path, tmp_path: Path
) -> None:
    session.set({"temperature": 0, "stop": ["###"]})
    session.open(Target(run, 40))
    session.open_beside(Target(run, base=True))
    for text in ("one", "好 \ud800 🙂", "memory", "note"):
        session.ask(text)
    session.retry()
    chat.settled(session)
    path = tmp_path / "new" / "talk.json"
    write_chat(path, session, "2026-01-01T00:00:00Z")
    again = resumed(path, started)
    try:
        assert shown(again) == shown(session) and again.decoding == session.decoding
        assert again.main is not None and again.main.target == Target(run, 40)
        again.ask("goes on")
        chat.settled(again)
        assert [one.text for one in again.exchanges[-1].answers] == ["step 40 [7] goes on", "base [7] goes on"]
    finally:
        again.close()
    record = json.loads(path.read_text(encoding="ascii"))
    assert record["run"] == str(run) and record["step"] == 40 and record["settings"]["stop"] == ["###"]
    assert [one["content"] for one in record["messages"]][:2] == ["one", "step 40 [1] one"]


def test_a_loaded_conversation_takes_the_place_of_the_one_that_runs(
    chat: Any, session: Session, started: Any, run: Path, tmp_path: Path
) -> None:
    session.open(Target(run))
    session.ask("one")
    chat.settled(session)
    write_chat(tmp_path / "talk.json", session, "now")
    session.reset()
    session.ask("other")
    slow = session.ask("slow")
    chat.until(lambda: slow.answers[0].tokens)
    saved = read_chat(tmp_path / "talk.json")
    session.resume(saved.main, saved.beside, saved.items, saved.settings)
    session.ask("two")
    chat.settled(session)
    assert [one.answers[0].text for one in session.exchanges] == ["tuned [1] one", "tuned [3] two"]
    assert slow.over and len(started.clients) == 1


def test_predictions_and_guesses_are_kept(chat: Any, session: Session, started: Any, tmp_path: Path) -> None:
    for name, task in (("a", "text-classification"), ("b", "fill-mask")):
        session.open(Target(chat.fake_run(tmp_path, name, task=task)))
        session.ask("a [MASK] film")
        chat.settled(session)
    write_chat(tmp_path / "talk.json", session, "now")
    again = read_chat(tmp_path / "talk.json")
    first, second = (item.answers[0] for item in again.items if isinstance(item, Exchange))
    assert first.prediction is not None and first.prediction["label"] == "negative"
    assert second.filling is not None and second.filling["masks"][0][0]["token"] == "good"


def good() -> dict[str, Any]:
    answer = {"slot": "main", "model": "x", "state": "done", "text": "b", "settings": {}}
    return {
        "format": "hftune conversation", "version": 1, "run": "/runs/x", "step": None, "base": False,
        "settings": {"temperature": 0.5}, "messages": [{"role": "user", "content": "a"}], "beside": None,
        "transcript": [{"text": "a", "answers": [answer]}],
    }  # fmt: skip


def changed(**fields: Any) -> str:
    return json.dumps({**good(), **fields})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "no conversation"),
        (changed(format="else"), "no conversation"),
        (changed(version=2), "version 2"),
        (changed(run=None), "run is not what it must be"),
        (changed(step="many"), "step"),
        (changed(settings={"top_p": 7}), "top_p"),
        (changed(settings={"temprature": 1}), "temprature"),
        (changed(settings=None), "settings"),
        (changed(messages=[{"role": "robot", "content": "a"}]), "robot"),
        (changed(messages=["a"]), "no object"),
        (changed(transcript=None), "transcript"),
        (changed(transcript=[3]), "no object"),
        (changed(transcript=[{"text": "a", "answers": [{}]}]), "model"),
        (changed(transcript=[{"text": "a", "answers": [{"model": "x", "settings": {"seed": -1}}]}]), "seed"),
        (changed(beside={"run": 3}), "missing"),
        (changed(beside=[]), "beside"),
    ],
)
def test_a_file_that_is_no_conversation_says_what_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=words) as caught:
        read_chat(path)
    assert "talk.json" in caught.value.message


def test_a_file_that_is_not_there_or_cannot_be_written_says_so(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_chat(tmp_path / "talk.json")
    with pytest.raises(UsageError, match="no conversation to save"):
        write_chat(tmp_path / "talk.json", session, "now")
    session.open(Target(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_chat(tmp_path / "file" / "talk.json", session, "now")
    monkeypatch.setattr("hftune_tui.saved_chat.LARGEST", 3)
    (tmp_path / "talk.json").write_text("{}  ", encoding="utf-8")
    with pytest.raises(UsageError, match="more than"):
        read_chat(tmp_path / "talk.json")


@pytest.mark.parametrize("change", [
    {"prediction": {"probabilities": {"a": 7}}}, {"prediction": {"probabilities": {"a": 0.5}, "label": 3}},
    {"prediction": 3}, {"filling": {"masks": [[]]}}, {"filling": {"masks": [[{"token": 3, "probability": 0.1}]]}},
    {"tokens_per_second": "fast", "tokens": "x", "notes": [3], "seed": "y", "state": "odd", "text": 4},
])  # fmt: skip
def test_what_could_not_be_drawn_is_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    record = good()
    record["transcript"][0]["answers"][0].update(change)
    (tmp_path / "talk.json").write_text(json.dumps(record), encoding="utf-8")
    (item,) = read_chat(tmp_path / "talk.json").items
    assert isinstance(item, Exchange)
    answer: Answer = item.answers[0]
    assert answer.prediction is None and answer.filling is None and answer.state == "done"
    assert answer.tokens_per_second is None and isinstance(answer.text, str)


def test_a_save_that_fails_half_way_leaves_the_file_as_it_was(
    session: Session, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.open(Target(run))
    path = tmp_path / "talk.json"
    path.write_text("before", encoding="utf-8")

    def full(descriptor: int) -> Callable[..., None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hftune.runs.files.os.fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_chat(path, session, "now")
    assert path.read_text(encoding="utf-8") == "before" and sorted(tmp_path.iterdir()) == [run, path]
