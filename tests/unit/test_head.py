"""A head on a frozen body: nothing else learns, dropout stays out of the body, a checkpoint is the head alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from hftune.errors import InterruptedRun, RecipeError
from hftune.inference.predictor import Predictor
from hftune.methods import head
from hftune.modeling.loading import load_model
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import ModelSection, Recipe
from hftune.runs import layout
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter

TINY = {"vocab_size": 60, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SIZES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
}
BASE = ModelSection(id="someone/model")


def classifier(kind: str, **sizes: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**TINY, **SIZES.get(kind, {}), **sizes})
    return AutoModelForSequenceClassification.from_config(config)


def adapted(model: Any, task: str = "text-classification") -> Any:
    return head.adapt(model, head.Config(), BASE, task)


@pytest.fixture
def recipe(tiny_bert_folder: Path, tiny_reviews: Path) -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "task": "text-classification",
            "model": str(tiny_bert_folder),
            "method": "head",
            "data": {"files": str(tiny_reviews), "max_length": 32},
            "training": {"num_train_epochs": 2, "per_device_train_batch_size": 8, "logging_steps": 1},
        }
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bert", {"classifier"}),
        ("roberta", {"classifier.dense", "classifier.out_proj"}),
        ("distilbert", {"pre_classifier", "classifier"}),
        ("gpt2", {"score"}),
        ("xlnet", {"sequence_summary.summary", "logits_proj"}),
        ("lstm", {"classifier"}),  # its embeddings stand beside the LSTM, and are no head
    ],
)
def test_only_the_head_learns(kind: str, expected: set[str]) -> None:
    import hftune.modeling.lstm  # noqa: F401 - makes it known

    model = adapted(classifier(kind))
    learning = {name.rpartition(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning == expected
    assert {name.rpartition(".")[0] for name in head.trainable_state(model)} == expected


def test_weights_that_the_checkpoint_has_not_are_of_the_head(tiny_bert_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert_folder)  # of a masked language model: without a pooler
    base = ModelSection(id=str(tiny_bert_folder))
    model = load_model(AutoModelForSequenceClassification, base, tiny_bert_folder, tokenizer, {})
    assert set(head.trainable_state(adapted(model))) == {
        f"{module}.{part}" for module in ("bert.pooler.dense", "classifier") for part in ("weight", "bias")
    }


def test_dropout_stays_out_of_the_body_and_in_the_head() -> None:
    model = adapted(classifier("bert", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5))
    inputs = {"input_ids": torch.arange(12).reshape(2, 6)}
    model.eval()
    still = model.bert(**inputs).pooler_output
    model.train()
    assert torch.equal(model.bert(**inputs).pooler_output, still)
    torch.manual_seed(1)
    first, second = (model(**inputs).logits for _ in range(2))
    assert not torch.equal(first, second)
    assert model.training


def test_training_moves_no_bit_of_the_body(recipe: Recipe, tiny_bert_folder: Path) -> None:
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        train(recipe, run)
    before = load_file(tiny_bert_folder / "model.safetensors")
    after = load_file(run.path / layout.MODEL / "model.safetensors")
    body = [name for name in after if name.startswith("bert.") and "pooler" not in name]
    assert len(body) > 30
    assert all(torch.equal(after[name], before[name]) for name in body)
    assert set(after) - set(body) == {
        f"{module}.{part}" for module in ("bert.pooler.dense", "classifier") for part in ("weight", "bias")
    }
    (plan,) = [event.data for event in read_events(run.path) if event.kind == "plan"]
    assert plan["trainable_parameters"] == 32 * 32 + 32 + 32 * 2 + 2
    first, last = (load_file(path / layout.TRAINABLE) for path in layout.checkpoints(run.path))
    assert all(not torch.equal(first[name], last[name]) for name in first)


def test_a_stopped_run_ends_with_the_same_bits_and_its_checkpoints_are_small(recipe: Recipe) -> None:
    with RunWriter.create(Path("runs"), "whole", dump_recipe(recipe)) as whole:
        train(recipe, whole)
    with RunWriter.create(Path("runs"), "parts", dump_recipe(recipe)) as run:
        run.subscribe(lambda event: run.ask("stop") if event.data.get("step") == 3 else None)
        with pytest.raises(InterruptedRun):
            train(recipe, run)
    kept = load_file(layout.checkpoints(run.path)[-1] / layout.TRAINABLE)
    assert {name.split(".")[0] for name in kept} == {"bert", "classifier"}
    assert not any("encoder" in name or "embeddings" in name for name in kept)
    with RunWriter.open(run.path) as run:
        train(recipe, run)
    files = [path / layout.MODEL / "model.safetensors" for path in (whole.path, run.path)]
    assert files[0].read_bytes() == files[1].read_bytes()
    metrics = [json.loads((path / layout.METRICS).read_text()) for path in (whole.path, run.path)]
    assert metrics[0] == metrics[1]


def test_a_checkpoint_can_be_asked_and_answers_as_the_finished_model(recipe: Recipe) -> None:
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        train(recipe, run)
    (result,) = [event.data for event in read_events(run.path) if event.kind == "result"]
    texts = ["the film was good", "a dull plot"]
    finished, checkpoint = (Predictor.load(run.path, step).classify(texts) for step in (None, result["best_step"]))
    assert finished == checkpoint


def test_what_has_no_head_of_its_own_is_refused_before_weights_are_loaded(tiny_gpt2_folder: Path) -> None:
    config = AutoConfig.from_pretrained(tiny_gpt2_folder)
    with pytest.raises(RecipeError, match="text-generation has no head of its own"):
        head.check(head.Config(), BASE, config, "text-generation")
    with pytest.raises(RecipeError, match="has no head of its own"):
        adapted(AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder), "text-generation")
    scratch = ModelSection(architecture="gpt2", tokenizer=str(tiny_gpt2_folder))
    with pytest.raises(RecipeError, match="would stay random"):
        head.check(head.Config(), scratch, config, "text-classification")


def test_a_model_whose_head_cannot_be_told_from_its_body_is_refused(tiny_gpt2_folder: Path) -> None:
    from transformers import AutoModel

    body = AutoModel.from_pretrained(tiny_gpt2_folder)
    with pytest.raises(RecipeError, match="no head can be told from the body of a gpt2"):
        adapted(body)
