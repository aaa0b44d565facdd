"""The worker's `explain`: what it answers, what it refuses, and that it ends when it is cancelled."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking.protocol import Events
from hftune.explainers import _captum, _counterfactual
from hftune.explainers._request import Explaining
from hftune.inference.worker import Worker

TEXT = "we loved it but the plot was boring"
Event = dict[str, Any]


def find(reference: str) -> tuple[Path, int | None]:
    return Path(reference), None


def serve(run: Path, *requests: Event) -> Iterator[Event]:
    """Answer requests in this process."""
    out = io.BytesIO()
    asked = "".join(json.dumps({"op": "explain", "text": TEXT, **one}) + "\n" for one in requests)
    Worker(io.BytesIO(asked.encode()), Events(out), find, (run, None), Explaining().answer).serve()
    return (one for one in map(json.loads, out.getvalue().splitlines()) if one["id"] not in (None, "start"))


def result(events: Iterator[Event]) -> Event:
    found = list(events)
    assert [one["event"] for one in found if one["event"] != "progress"] == ["result", "done"], found
    return next(one["data"] for one in found if one["event"] == "result")


def test_the_answer_is_that_of_the_command(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"id": 1, "methods": ["integrated-gradients", "counterfactual"]}
    with subprocess.Popen(
        [sys.executable, "-m", "hftune", "worker", str(full_run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        said, _ = worker.communicate(json.dumps({**asked, "op": "explain", "text": TEXT}).encode() + b"\n", 120)
    told = result(one for one in map(json.loads, said.splitlines()) if one["id"] == 1)
    assert cli.run(["explain", str(full_run), TEXT, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    flipped = told.pop("counterfactuals")
    for record in (told, printed):
        record["methods"][0].pop("seconds")
    assert told == printed
    assert flipped["label"] == told["label"] and all(one["label"] != told["label"] for one in flipped["found"])


def test_one_method_is_asked_by_default_and_several_in_the_order_given(full_run: Path) -> None:
    assert [one["method"] for one in result(serve(full_run, {"id": 1}))["methods"]] == ["integrated-gradients"]
    asked = {"id": 1, "methods": ["shap", "lime", "shap"], "seed": 3, "target": "negative"}
    told = result(serve(full_run, asked))
    assert [one["method"] for one in told["methods"]] == ["shap", "lime"] and told["label"] == "negative"
    assert list(result(serve(full_run, {"id": 1, "methods": ["counterfactual"]}))) == ["counterfactuals"]


def test_progress_names_what_is_done(full_run: Path) -> None:
    said = [one for one in serve(full_run, {"id": 1}) if one["event"] == "progress"]
    assert [(one["phase"], one["message"]) for one in said] == [("explaining", "integrated gradients: 8 words")]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"methods": ["limes"]}, "bad-request", "Did you mean 'lime'?"),
        ({"methods": ["chance"]}, "bad-request", "no method named 'chance'"),
        ({"methods": []}, "bad-request", "methods is empty"),
        ({"methods": "lime"}, "bad-request", "methods is not a list of texts"),
        ({"target": "positiv"}, "bad-request", "Did you mean 'positive'?"),
        ({"target": 1}, "bad-request", "target is not a text"),
        ({"methods": ["counterfactual"], "target": "positive"}, "bad-request", "any other answer"),
        ({"text": None}, "bad-request", "text is missing"),
        ({"text": " "}, "bad-request", "no word to explain"),
        ({"pair": "and another"}, "bad-request", "takes one text"),
        ({"seed": -1}, "bad-request", "seed is not a whole number"),
        ({"model": "other"}, "not-loaded", "no model 'other'"),
    ],
)
def test_what_is_wrong_is_said_and_the_worker_goes_on(full_run: Path, fields: Event, code: str, words: str) -> None:
    error, *_, done = serve(full_run, {"id": 1, **fields}, {"id": 2})
    assert (error["event"], error["code"]) == ("error", code) and words in f"{error['message']} {error['hint']}"
    assert (done["id"], done["event"]) == (2, "done")


def test_a_model_of_another_task_and_a_worker_without_explainers_say_so(mask_run: Path, full_run: Path) -> None:
    (error,) = serve(mask_run, {"id": 1})
    assert error["code"] == "task" and "it has no labels" in error["message"]
    out = io.BytesIO()
    Worker(io.BytesIO(b'{"id": 1, "op": "explain", "text": "a"}'), Events(out), find, (full_run, None)).serve()
    assert json.loads(out.getvalue().splitlines()[-1])["code"] == "not-available"


def test_a_package_that_is_missing_is_named_with_the_command_to_type(
    full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_captum, "find_spec", lambda name: None if name == "captum" else object())
    *_, error = serve(full_run, {"id": 1})
    assert (error["code"], error["hint"]) == ("not-available", "pip install 'hftune[explain]'")


@pytest.mark.parametrize("method", ["integrated-gradients", "shap", "counterfactual"])
def test_a_cancelled_explanation_has_no_result(full_run: Path, method: str) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    class Requests(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            assert b"cancel" not in line or begun.wait(30)
            return line

    class Listening(Events):
        def emit(self, id: Any, event: str, **data: Any) -> None:
            super().emit(id, event, **data)
            if id == "c" and event == "done":
                cancelled.set()
            if data.get("phase") == "explaining":
                begun.set()
                assert cancelled.wait(30)

    out = io.BytesIO()
    lines = [{"id": 1, "op": "explain", "text": TEXT, "methods": [method]}, {"id": "c", "op": "cancel", "target": 1}]
    asked = Requests("".join(json.dumps(one) + "\n" for one in lines).encode())
    Worker(asked, Listening(out), find, (full_run, None), Explaining().answer).serve()
    events = [one for one in map(json.loads, out.getvalue().splitlines()) if one["id"] == 1]
    assert {one["event"] for one in events} == {"progress", "done"} and events[-1]["cancelled"] is True


def test_the_words_near_each_word_are_looked_up_once_for_each_loaded_model(
    full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    class Counted(_counterfactual.Neighbourhood):
        def __init__(self, *given: Any, **named: Any) -> None:
            made.append(self)
            super().__init__(*given, **named)

    monkeypatch.setattr(_counterfactual, "Neighbourhood", Counted)
    asked = {"methods": ["counterfactual"]}
    load = {"op": "load", "run": str(full_run)}
    events = list(serve(full_run, {"id": 1, **asked}, {"id": 2, **asked}, {"id": 3, **load}, {"id": 4, **asked}))
    assert len(made) == 2 and sum(one["event"] == "done" for one in events) == 4


def test_a_generators_answer_is_explained_as_the_command_does(
    language_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = result(serve(language_run, {"id": 1, "prompt": "the film", "max_new_tokens": 3}))
    assert cli.run(["explain", str(language_run), "the film", "--max-new-tokens", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    for record in (told, printed):
        record["methods"][0].pop("seconds")
    assert told == printed
    messages = [{"role": "user", "content": "the film"}]
    asked = {"id": 1, "messages": messages, "answer": " was good", "methods": ["integrated-gradients"], "seed": 1}
    assert [one["method"] for one in result(serve(language_run, asked))["methods"]] == ["integrated-gradients"]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({}, "bad-request", "either prompt or messages"),
        ({"prompt": "a", "methods": ["lime"]}, "bad-request", "no method named 'lime'"),
        ({"prompt": "a", "methods": ["counterfactual"]}, "bad-request", "no method named 'counterfactual'"),
        ({"prompt": "a", "answer": "b", "max_new_tokens": 3}, "bad-request", "the model's own answer"),
        ({"prompt": "a", "max_new_tokens": 0}, "bad-request", "not a whole number from 1"),
        ({"prompt": "a", "max_new_tokens": 999}, "too-many-tokens", "more than the 64"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "bad-request", "no role"),
    ],
)
def test_what_a_generator_cannot_explain_is_told(
    language_run: Path, fields: dict[str, Any], code: str, words: str
) -> None:
    (found,) = serve(language_run, {"id": 1, **fields})
    assert (found["event"], found["code"]) == ("error", code)
    assert words in found["message"] + found.get("hint", "")
