"""Full fine-tuning: every weight learns, tied ones are kept once, and what is saved is what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from hftune.errors import ModelError
from hftune.methods import full
from hftune.recipe.schema import ModelSection


def adapted(model: Any, folder: Path) -> Any:
    return full.adapt(model, full.Config(), ModelSection(id=str(folder)), "text-classification")


def test_frozen_weights_learn_again(tiny_bert_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder).requires_grad_(False)
    assert all(weight.requires_grad for weight in adapted(model, tiny_bert_folder).parameters())


def test_tied_weights_are_kept_once_and_stay_tied(tiny_gpt2_folder: Path, tmp_path: Path) -> None:
    model = adapted(AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder), tiny_gpt2_folder)
    state = full.trainable_state(model)
    assert "transformer.wte.weight" in state
    assert "lm_head.weight" not in state
    full.load_state(model, {name: tensor.detach().clone() + 0.5 for name, tensor in state.items()})
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    full.save(model, tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(again.lm_head.weight, model.transformer.wte.weight)


def test_state_shares_memory_with_the_model(tiny_bert_folder: Path) -> None:
    model = adapted(AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder), tiny_bert_folder)
    weight = full.trainable_state(model)["classifier.weight"]
    assert weight.data_ptr() == model.classifier.weight.data_ptr()


def test_state_that_is_no_tensor_is_refused(tiny_bert_folder: Path) -> None:
    model = adapted(AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder), tiny_bert_folder)
    state = {**full.trainable_state(model), "classifier.weight": "text"}
    with pytest.raises(ModelError, match="has shape str"):
        full.load_state(model, state)


def test_what_is_saved_is_one_safetensors_file(tiny_bert_folder: Path, tmp_path: Path) -> None:
    model = adapted(AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder), tiny_bert_folder)
    full.save(model, tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(full.trainable_state(model))
