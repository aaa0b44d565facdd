"""A measured model is asked what a person would ask: the same answers, as many of them as were asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hftune.asking.client import WorkerClient
from hftune.asking.decoding import Decoding
from hftune.asking.protocol import START, Events, RequestError
from hftune.data.load import load_splits
from hftune.errors import DataError, HftuneError, RunError
from hftune.frontier import side_by_side
from hftune.frontier.held_out import Questions, held_out_splits, questions
from hftune.frontier.measuring import Measuring, peak_bytes, serve
from hftune.frontier.side_by_side import COMMAND, PROCESS_BYTES, Process, groups, measure
from hftune.inference.predictor import Predictor
from hftune.recipe.load import load_recipe, parse_recipe
from hftune.recipe.schema import Recipe

TEXTS = ("the movie was good", "a plot , not very bad .", "the ending")


@pytest.fixture
def measured() -> Iterator[Any]:
    """Return a function that gives a run's Measuring."""
    with ExitStack() as held:
        yield lambda run: Measuring(Predictor.load(run), held)


def test_a_classifier_gives_the_answers_of_predict_one_latency_a_text(classifier: Path, measured: Any) -> None:
    one = measured(classifier)
    assert one.answer("questions", {"texts": list(TEXTS)}) == {"count": 3}
    found = one.answer("latency", {"count": 7, "first": 1})
    expected = [prediction.answer for prediction in one.predictor.classify(list(TEXTS))]
    assert found["answers"] == [expected[place % 3] for place in range(1, 8)]  # from the second on, and around
    assert len(found["seconds"]) == 7 and sum(found["seconds"]) <= found["total"]
    rate = one.answer("throughput", {"count": 70})
    assert (rate["units"], rate["wh"], rate["counted"], one.unit) == (70, None, False, "text")
    assert one.answer("memory", {})["peak_bytes"] > 1 << 20


def test_a_generator_is_counted_by_the_token(language_run: Path, measured: Any) -> None:
    one = measured(language_run)
    recipe = load_recipe(language_run / "recipe.yaml")
    asked = questions(recipe, "test", held_out_splits(recipe, print)["test"])
    one.answer("questions", asked.fields(0, len(asked)))
    found = one.answer("latency", {"count": 1})
    greedy = Decoding(max_new_tokens=16, temperature=0, repetition_penalty=1.0)
    assert asked.prompts is not None
    written = one.predictor.generate(asked.prompts[0], greedy)
    assert found["answers"] == [written.text]
    assert written.tokens == 16 and 0 < found["seconds"][0] <= found["total"] / 16
    # It has learned sentences that end sooner: nobody is charged with a prompt for fewer tokens.
    assert Predictor.load(language_run).generate(asked.prompts[0], greedy).finish_reason == "eos"
    # Scored are all tokens but the first of each text, which nothing comes before.
    lengths = [len(one.predictor.loaded.tokenizer(text)["input_ids"]) for text in asked.texts]
    count = len(asked) + 2
    expected = sum(min(32, lengths[place % len(asked)]) - 1 for place in range(count))
    assert (one.answer("throughput", {"count": count})["units"], one.unit) == (expected, "token")


def test_a_guesser_of_words_is_asked_for_a_word_of_each_text(mask_run: Path, measured: Any) -> None:
    one = measured(mask_run)
    one.answer("questions", {"texts": ["the film was good", "movie"]})
    mask = one.predictor.mask
    expected = [filling.masks[0][0][0] for filling in one.predictor.fill([f"the film {mask} good", f"mo{mask}ie"], 1)]
    assert one.answer("latency", {"count": 2})["answers"] == expected
    assert one.answer("throughput", {"count": 5})["units"] == 5


def test_pairs_are_asked_as_pairs(measured: Any, tmp_path: Path) -> None:
    from tests.unit.inference.conftest import classifier_run

    rows = [{"text": "the film", "other": "good", "label": "negative"}, {"text": "a plot", "other": "", "label": "b"}]
    data = {"rows": rows, "text_pair": "other", "test_share": 0, "validation_share": 0}
    run = classifier_run(tmp_path / "pair", data=data)
    recipe = load_recipe(run / "recipe.yaml")
    asked = questions(recipe, "train", load_splits(recipe.data)["train"])
    assert (asked.texts, asked.pairs) == (("the film", "a plot"), ("good", ""))
    one = measured(run)
    one.answer("questions", asked.fields(0, len(asked)))
    assert one.answer("throughput", {"count": 4})["units"] == 4
    expected = [
        one.predictor.classify([text], 1, [pair])[0].answer for text, pair in zip(asked.texts, asked.pairs, strict=True)
    ]
    assert one.answer("latency", {"count": len(asked)})["answers"] == expected


def test_energy_is_told_once_the_meter_is_open(classifier: Path, measured: Any) -> None:
    one = measured(classifier)
    one.answer("questions", {"texts": list(TEXTS)})
    works = one.answer("meter", {})["works"]
    found = one.answer("throughput", {"count": 32})
    assert (found["wh"] is not None) is works
    assert not works or (found["wh"] >= 0 and found["how"])


def test_wrong_requests_are_answered_and_end_nothing(classifier: Path, measured: Any) -> None:
    one = measured(classifier)
    with pytest.raises(RequestError, match="no question yet"):
        one.answer("latency", {"count": 1})
    lines = [{"id": 1, "op": "shout"}, {"id": 2, "op": "latency", "count": 0}, {"id": 3, "op": "questions"}, "no JSON"]
    requests = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    said = io.BytesIO()
    serve(requests, Events(said), one)
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(event["event"], event["id"]) for event in events] == [
        ("error", 1),
        ("error", 2),
        ("error", 3),
        ("error", None),
    ]
    assert events[0]["hint"] == "One of: questions, latency, throughput, memory, meter."


def test_memory_is_what_the_process_held_at_most() -> None:
    before = peak_bytes()
    block = bytearray(64 << 20)
    assert len(block) and peak_bytes() >= before
    del block
    assert peak_bytes() >= before


def held(task: str, data: dict[str, Any]) -> Questions:
    recipe = parse_recipe({"name": "a", "task": task, "model": "some/model", "data": {**data, "test_share": 0.5}})
    return questions(recipe, "test", held_out_splits(recipe, print)["test"])


def test_prompts_are_what_comes_before_the_answer() -> None:
    text = "one two three four five six seven eight nine ten"
    found = held("text-generation", {"rows": [{"text": f"{number} {text}"} for number in range(4)]})
    assert found.prompts is not None and set(found.prompts) <= {
        f"{n} one two three four five six seven" for n in range(4)
    }
    rows = [{"q": f"why {number}?", "a": "so."} for number in range(4)]
    found = held("text-generation", {"rows": rows, "prompt": "q", "completion": "a"})
    assert found.prompts is not None and all(
        text == f"{prompt}so." for text, prompt in zip(found.texts, found.prompts, strict=True)
    )
    talks = [[{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "yes"}] for n in range(4)]
    found = held("text-generation", {"rows": [{"m": talk} for talk in talks], "messages": "m"})
    assert found.prompts is not None
    assert all(prompt in [talk[:1] for talk in talks] for prompt in found.prompts)
    assert all(text == f"{prompt[0]['content']}\nyes" for text, prompt in zip(found.texts, found.prompts, strict=True))


def test_questions_are_spread_over_the_split_and_empty_or_endless_texts_are_none() -> None:
    rows = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(1000)]
    recipe = parse_recipe(
        {"name": "a", "task": "text-classification", "model": "some/model", "data": {"rows": rows, "test_share": 0.5}}
    )
    test = held_out_splits(recipe, print)["test"]
    found = questions(recipe, "test", test, 10)
    assert len(found) == 10 and found.texts[0] == test[0]["text"] and found.texts[9] == test[450]["text"]
    texts = [{"text": text, "label": "a"} for text in ("", " ", "x" * (1 << 18), "kept", None)]
    only = parse_recipe({**recipe.model_dump(mode="json"), "task": "text-classification", "method": "full", "data": {
        "rows": {"train": rows, "test": texts}}, "compress": None})  # fmt: skip
    assert questions(only, "test", held_out_splits(only, print)["test"]).texts == ("kept",)


def test_without_held_out_rows_there_is_nothing_to_compare_on() -> None:
    rows = [{"text": "a", "label": "b"}]
    data = {"rows": rows, "test_share": 0, "validation_share": 0}
    recipe: Recipe = parse_recipe({"name": "a", "task": "text-classification", "model": "some/model", "data": data})
    with pytest.raises(DataError, match="no held-out rows"):
        held_out_splits(recipe, print)


def test_where_memory_is_short_a_few_are_measured_at_a_time_always_beside_the_parent() -> None:
    runs = {"parent": 0, "a": 0, "b": 0, "c": 0}
    assert groups(runs, "parent", 100 * PROCESS_BYTES) == [["a", "b", "c"]]
    assert groups(runs, "parent", int(3.1 * PROCESS_BYTES / 0.7)) == [["a", "b"], ["c"]]
    assert groups(runs, "parent", 0) == [["a"], ["b"], ["c"]]
    assert groups({"parent": 0}, "parent", 0) == []
    assert groups({"parent": 0, "a": 0}, "parent") == [["a"]]


class FakeProcess(Process):
    """A model that answers at once; what it was asked stands in `log`."""

    log: list[tuple[str, str, int]]
    dies_at = -1

    def __init__(self, run: Path) -> None:
        self.run = run
        self.unit = "text"

    def __exit__(self, *_: object) -> None: ...

    def begin(self, questions: Questions) -> None:
        if self.run.name == "broken":
            raise RunError("no model")

    def end(self) -> None:
        self.log.append((self.run.name, "end", 0))

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        self.log.append((self.run.name, op, int(fields.get("first", 0))))
        if self.run.name == "dying" and len(self.log) > 40:
            raise RunError("the worker ended (signal 9)")
        if op == "latency":
            return {"seconds": [0.1] * fields["count"], "total": 0.1 * fields["count"]}
        if op == "throughput":
            return {"units": fields["count"], "seconds": 2.0, "wh": None, "counted": False, "how": ""}
        return {"peak_bytes": 100} if op == "memory" else {"works": False}


def test_every_round_asks_all_the_same_questions_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, str, int]] = []
    monkeypatch.setattr(FakeProcess, "log", log, raising=False)
    monkeypatch.setattr(side_by_side, "Process", FakeProcess)
    runs = [Path(name) for name in ("a", "b", "c")]
    said: list[str] = []
    found = measure(Path("parent"), runs, Questions("test", TEXTS), said.append, rounds=2)
    assert list(found.costs) == ["parent", "a", "b", "c"] and found.failed == {}
    assert all(cost.rounds == 2 and cost.p50.median == 0.1 for cost in found.costs.values())
    begun = next(place for place, entry in enumerate(log) if entry[:2] == ("c", "meter")) + 1
    rounds = log[begun:]
    assert len(rounds) == 2 * side_by_side.SLICES * 4 * 2  # rounds, slices, models, latency and throughput
    orders = []
    for start in range(0, len(rounds), 8):
        names = [name for name, op, _ in rounds[start : start + 8] if op == "latency"]
        assert sorted(names) == ["a", "b", "c", "parent"]
        assert len({first for _, op, first in rounds[start : start + 8] if op == "latency"}) == 1
        orders.append(tuple(names))
    assert len(set(orders)) > 1
    assert "4 models side by side, 2 rounds" in said[0]
    # Memory is asked for after the model has worked, and before the meter needs some.
    assert [op for name, op, _ in log[:begun] if name == "b"] == ["latency", "throughput", "memory", "meter"]


def test_a_model_that_fails_or_dies_leaves_the_others_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, str, int]] = []
    monkeypatch.setattr(FakeProcess, "log", log, raising=False)
    monkeypatch.setattr(side_by_side, "Process", FakeProcess)
    runs = [Path(name) for name in ("broken", "dying", "well")]
    found = measure(Path("parent"), runs, Questions("test", TEXTS), print, rounds=3)
    assert list(found.costs) == ["parent", "well"]
    assert {name: error.message for name, error in found.failed.items()} == {
        "broken": "no model", "dying": "the worker ended (signal 9)"
    }  # fmt: skip
    with pytest.raises(HftuneError, match="broken could not be measured: no model"):
        measure(Path("broken"), [Path("well")], Questions("test", TEXTS), print)
    assert {("broken", "end", 0), ("well", "end", 0)} <= set(log)


def test_a_process_of_its_own_answers_as_the_predictor_here_does(classifier: Path) -> None:
    with WorkerClient([str(classifier)], COMMAND) as client:
        assert client.next_event(START)["data"] == {"task": "text-classification", "unit": "text"}
    with Process(classifier) as process:
        process.begin(Questions("test", tuple(f"{text} {number}" for number in range(50) for text in TEXTS)))
        found = process.ask("latency", count=150)
        assert process.ask("throughput", count=40)["units"] == 40
        with pytest.raises(RunError, match="no op 'shout'"):
            process.ask("shout")
    texts = [f"{text} {number}" for number in range(50) for text in TEXTS]
    assert found["answers"] == [one.answer for one in Predictor.load(classifier).classify(texts)]


def test_a_run_without_a_model_says_so_and_ends(tmp_path: Path) -> None:
    with Process(tmp_path) as process, pytest.raises(RunError, match="is not a run directory"):
        process.begin(Questions("test", TEXTS))
