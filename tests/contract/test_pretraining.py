"""The pretraining recipe, small: from an excerpt of its corpus to a model that plain transformers writes with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, load_recipe, shipped_folder
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter

EXCERPT = Path(__file__).parents[1] / "data" / "corpus_excerpt.json"


def test_pretraining_from_nothing_learns_the_excerpt() -> None:
    small = {
        "data.files": f"{{train: {EXCERPT}, validation: {EXCERPT}, test: {EXCERPT}}}",
        "model.config": "{n_positions: 64, n_embd: 32, n_layer: 1, n_head: 2}",
        "model.tokenizer.vocab_size": "512",
        "data.max_length": "64",
        "data.window.stride": "16",
        "training.max_steps": "30",
        "training.warmup_steps": "3",
        "training.learning_rate": "1e-2",
        "training.eval_steps": "30",
        "training.precision": "fp32",
    }
    recipe = load_recipe(
        shipped_folder() / "pretrain/gpt2_mini.yaml", [f"{key}={value}" for key, value in small.items()]
    )
    with RunWriter.create(Path("runs"), recipe.name, dump_recipe(recipe)) as run:
        figures = train(recipe, run)
    logged = [event.data["metrics"]["loss"] for event in read_events(run.path) if event.kind == "train"]
    assert logged[-1] < logged[0] - 0.5, "each is a mean of ten steps"
    assert 0 < figures["test"]["bits_per_byte"] < 8

    model = AutoModelForCausalLM.from_pretrained(run.path / "model")
    tokenizer = AutoTokenizer.from_pretrained(run.path / "model")
    assert len(tokenizer) == model.config.vocab_size == 512
    assert model.config.eos_token_id == tokenizer.eos_token_id == 0
    text = json.loads(EXCERPT.read_text(encoding="utf-8"))[0]["text"][200:500]
    ids = torch.tensor([tokenizer(text)["input_ids"][:64]])
    assert model(input_ids=ids, labels=ids).loss.item() < math.log(512) - 0.75, "chance is ln 512"
