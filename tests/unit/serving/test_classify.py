"""/v1/classify of real runs: what `predict` says, also when many ask at once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from hftune.inference.predictor import Predictor
from tests.conftest import WORDS
from tests.unit.serving.serving import Server, at_once

CLOSE = 1e-5


def texts(count: int) -> list[str]:
    """Sentences of one to forty words."""
    drawn = random.Random(0)
    return [" ".join(drawn.choices(WORDS, k=drawn.randint(1, 40))) for _ in range(count)]


def compare(found: dict[str, Any], expected: Any) -> None:
    assert found["label"] == expected.answer
    assert found["probabilities"] == pytest.approx(expected.probabilities, abs=CLOSE)
    assert (found["tokens"], found["truncated"]) == (expected.tokens, expected.truncated)


@pytest.mark.parametrize("kind", ["full_run", "lstm_run"])
def test_answers_under_concurrency_are_those_of_predict(served: Server, request, kind) -> None:
    run: Path = request.getfixturevalue(kind)
    asked = texts(120)
    expected = Predictor.load(run).classify(asked)

    def ask(start: int) -> list[dict[str, Any]]:
        """Ask for the texts from `start` on: one alone, or several together."""
        some = asked[start : start + start % 7 + 1]
        body = {"model": run.name, "input": some if len(some) > 1 else some[0]}
        return list(served.ask("/v1/classify", body).json["data"])

    with at_once(16) as pool:
        answers = list(pool.map(ask, range(len(asked))))
    for start, answer in enumerate(answers):
        for place, found in enumerate(answer):
            assert found["index"] == place
            compare(found, expected[start + place])


def test_tokens_are_counted_and_the_model_is_named(served: Server, full_run: Path) -> None:
    answer = served.ask("/v1/classify", {"model": full_run.name, "input": ["a good film", "a bad film"]})
    assert answer.status == 200
    assert (answer.json["object"], answer.json["model"]) == ("list", full_run.name)
    tokens = sum(one["tokens"] for one in answer.json["data"])
    assert answer.json["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_pairs_are_asked_as_pairs(served: Server, pair_run: Path) -> None:
    pairs = [["the movie was good", "not bad"], ["plot", "the ending dreadful"]]
    answer = served.ask("/v1/classify", {"model": pair_run.name, "input": pairs})
    first, second = zip(*pairs, strict=True)
    expected = Predictor.load(pair_run).classify(list(first), pairs=list(second))
    for found, one in zip(answer.json["data"], expected, strict=True):
        compare(found, one)


@pytest.mark.parametrize(
    ("run", "given", "says"),
    [
        ("pair_run", ["a", "b"], "takes pairs of texts"),
        ("full_run", [["a", "b"]], "takes single texts"),
        ("language_run", "a", "writes text"),
    ],
)
def test_what_the_model_does_not_take_is_refused(served: Server, request, run, given, says) -> None:
    answer = served.ask("/v1/classify", {"model": request.getfixturevalue(run).name, "input": given})
    assert answer.status == 400 and says in answer.error["message"]


def test_too_many_texts_are_refused(served: Server, full_run: Path) -> None:
    asked = {"model": full_run.name, "input": ["a"] * 101}
    answer = served.ask("/v1/classify", asked)
    assert answer.status == 400 and "101 items, and 100" in answer.error["message"]
    assert len(served.ask("/v1/classify", {**asked, "input": ["a"] * 100}).json["data"]) == 100
