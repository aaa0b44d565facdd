"""Cards of compressed runs: what they are made of, whose hash is told, and nothing of a training that there was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from hftune.inference.predictor import Predictor
from hftune.sharing import usage
from hftune.sharing.facts import Facts, gather
from hftune.sharing.model_card import Published, model_card
from tests.unit.compressors.runs import compressed

ANY_LOSS = "compress.max_loss=9"
STUDENT = json.dumps({"architecture": "lstm", "config": {"embedding_size": 6, "hidden_size": 8}})


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


def facts_of(run: Path, base: str = "acme/tiny-bert") -> Facts:
    """Return a run's facts as if its base model were on the Hub."""
    found = gather(Predictor.load(run), lambda _: None)
    model = found.recipe.model.model_copy(update={"id": base})
    return replace(found, recipe=found.recipe.model_copy(update={"model": model}))


def card_of(facts: Facts, **fields: Any) -> str:
    loading = usage.Loading(repo="anna/small", task="text-classification", weights="whole", **fields)
    return model_card(facts, Published("anna/small", "whole", None), loading).replace("\\", "")


def row(card: str, name: str) -> str:
    (found,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
    return found


def test_a_student_from_scratch_is_said_to_have_no_weights_of_the_base(full_run: Path) -> None:
    run = compressed(full_run, "distill", f"compress.student={STUDENT}", "training.max_steps=2", ANY_LOSS)
    card = card_of(facts_of(run))
    made = row(card, "made from")
    assert f"nothing: a new lstm with random weights, distilled from the run {full_run.name}" in made
    assert "base_model" not in ModelCard(card).data.to_dict()
    assert "the answers of the model that it was distilled from" in card and "its base model" not in card
    # What is made of it has none either, though its recipe names the base as well.
    smaller = card_of(facts_of(compressed(run, "quantize", "compress.format=bf16", ANY_LOSS)))
    assert f"a new lstm with random weights, by way of the run {run.name}, quantized" in row(smaller, "made from")
    assert "base_model" not in ModelCard(smaller).data.to_dict()


def test_a_student_of_its_parents_layers_has_the_base_and_the_parents_hash(full_run: Path) -> None:
    run = compressed(full_run, "distill", "compress.layers=1", "training.max_steps=2", ANY_LOSS)
    card = card_of(facts_of(run))
    assert f"acme/tiny-bert, by way of the run {full_run.name}, distilled" in row(card, "made from")
    hashes = [json.loads((one / "environment.json").read_bytes())["model"] for one in (run, full_run)]
    assert hashes[0] != hashes[1]
    assert row(card, "parent").endswith(f"the run {full_run.name}, SHA-256 of the files of its model {hashes[0]} |")
    assert "| base model |" not in card and hashes[1] not in card
    data = ModelCard(card).data
    assert (data.base_model, data.base_model_relation) == ("acme/tiny-bert", "finetune")
    assert "2, " in row(card, "steps") and row(card, "learning rate")


@pytest.mark.parametrize(
    ("method", "option", "relation"),
    [("quantize", "compress.format=bf16", "quantized"), ("prune", "compress.recover=false", "finetune")],
)
def test_where_nothing_was_learned_the_card_tells_of_no_training(
    full_run: Path, method: str, option: str, relation: str
) -> None:
    card = card_of(facts_of(compressed(full_run, method, option, ANY_LOSS)))
    assert "## How it was made" in card and "## Training" not in card
    assert "nan" not in card.split() and " ? " not in card
    for name in ("steps", "parameters that learned", "learning rate", "seed"):
        assert f"| {name} |" not in card
    data = ModelCard(card).data
    assert (data.base_model, data.base_model_relation) == ("acme/tiny-bert", relation)
    assert "training_type" not in (data.co2_eq_emissions or {})
    again = card.partition("## Recipe\n\n")[2].splitlines()[0]
    assert again.endswith(
        f"where `compress.parent` names the run directory of its parent, {full_run.name}, and its data."
    )


def test_a_parent_that_is_gone_leaves_what_the_recipe_says(full_run: Path) -> None:
    run = compressed(full_run, "quantize", "compress.format=bf16", ANY_LOSS)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(str(full_run), "/gone/parent-20260101-000000-a1b2"))
    found = facts_of(run)
    assert not found.from_scratch and found.parent == "parent-20260101-000000-a1b2"
    assert "/gone" not in card_of(found)
