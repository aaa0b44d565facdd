"""The recipes that train in seconds are trained here, from the file to an answer."""

from __future__ import annotations

import json
from pathlib import Path

from hftune.inference.predictor import Predictor
from hftune.inference.scoring import load_rows
from hftune.pipeline import train
from hftune.preflight.inspect import findings
from hftune.recipe.load import dump_recipe, load_recipe, shipped_folder
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter


def carry_out(name: str) -> Path:
    recipe = load_recipe(shipped_folder() / f"{name}.yaml")
    with RunWriter.create(Path("runs"), recipe.name, dump_recipe(recipe)) as run:
        train(recipe, run, look=findings)
    return run.path


def test_the_worked_example_trains_warns_and_answers_a_new_sentence() -> None:
    run = carry_out("seed_lstm")
    events = read_events(run)
    codes = {event.data["code"] for event in events if event.kind == "alert"}
    assert {"one-class", "not-held-out"} <= codes
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(metrics["warnings"]) == 2
    losses = [event.data["metrics"]["loss"] for event in events if event.kind == "eval"]
    assert len(losses) == 10 and losses == sorted(losses, reverse=True)
    predictor = Predictor.load(run)
    notes: list[str] = []
    assert load_rows(predictor, None, None, notes.append)[0] == "validation"
    assert notes[-1:] == ["the data have no test split: validation is scored"]
    shapes = {name: tuple(tensor.shape) for name, tensor in predictor.loaded.model.state_dict().items()}
    assert shapes["embedding.weight"] == (11, 10), "padding, the unknown, and nine characters"
    assert (shapes["lstm.weight_hh_l0"], shapes["classifier.weight"]) == ((40, 10), (1, 10))
    (answer,) = predictor.classify(["这是一个新的示例文本"])
    assert answer.label == "positive"
    assert set(answer.probabilities) == {"negative", "positive"}
    tokens = predictor.loaded.tokenizer.tokenize("这是一个新的示例文本")
    assert [token for token in tokens if token == "[UNK]"] == ["[UNK]"] * 2, "新 and 的 were never seen"


def test_its_sibling_learns_from_characters_what_it_was_never_shown() -> None:
    figures = json.loads((carry_out("lstm_zh") / "metrics.json").read_text())
    # Of 100 held-out sentences guessing gets 65 right once in 500 times, and has a loss of ln 2 = 0.69.
    assert (figures["test"]["accuracy"] + figures["validation"]["accuracy"]) / 2 >= 0.65
    assert figures["validation"]["loss"] < 0.6
