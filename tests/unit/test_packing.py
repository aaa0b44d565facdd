"""Packed blocks: full, each token learned once, and no text sees another; against the texts one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, BloomConfig, BloomForCausalLM

from hftune.errors import RecipeError
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import ensure_pad_token
from hftune.recipe.load import parse_recipe
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared, text_generation

TEXTS = ["the film was good", "we loved the ending", "a", "the plot was bad and very boring and we hated it", "", "é"]
MAX_LENGTH = 12


def make_recipe(folder: Path, **data: Any) -> Recipe:
    section = {"rows": [{"text": "a"}], "max_length": MAX_LENGTH, "too_long": "window", "window": {"stride": 2}}
    mapping = {"name": "packed", "task": "text-generation", "model": str(folder), "data": {**section, **data}}
    return parse_recipe(mapping)


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ensure_pad_token(tokenizer)
    splits = {name: Dataset.from_dict({"text": TEXTS}) for name in ("train", "validation")}
    return text_generation.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def learned_tokens(examples: Any) -> Counter[int]:
    return Counter(label for example in examples for label in example["labels"] if label != -100)


def test_blocks_are_full_and_each_token_is_learned_once(tiny_gpt2_folder: Path) -> None:
    prepared = prepare(make_recipe(tiny_gpt2_folder, pack=True), tiny_gpt2_folder)
    blocks = prepared.splits["train"]
    assert all(MAX_LENGTH - 1 <= length <= MAX_LENGTH for length in blocks["length"][:-1])
    apart = prepare(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder)
    assert len(blocks) < len(apart.splits["train"])
    assert learned_tokens(blocks) == learned_tokens(apart.splits["train"])
    assert sum(blocks["text_bytes"]) == sum(apart.splits["train"]["text_bytes"])
    held_out = prepared.splits["validation"]
    assert "position_ids" not in held_out.column_names, "held-out texts keep a row each"
    assert held_out[:] == apart.splits["validation"][:]
    messages = [notice.message for notice in prepared.notices if notice.code == "windowed"]
    assert messages == ["texts longer than 12 tokens are cut into windows: validation 1 of 6 (16.7%)"]


def test_positions_begin_with_each_text(tiny_gpt2_folder: Path) -> None:
    prepared = prepare(make_recipe(tiny_gpt2_folder, pack=True), tiny_gpt2_folder)
    for block in prepared.splits["train"]:
        for index, position in enumerate(block["position_ids"]):
            if position == 0:
                assert block["labels"][index] == -100, "nothing in the block predicts a first token"
            else:
                assert position == block["position_ids"][index - 1] + 1
                assert block["labels"][index] == block["input_ids"][index]


def test_loss_and_gradients_of_packed_blocks_are_those_of_the_pieces_alone(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, pack=True)
    prepared = prepare(recipe, tiny_gpt2_folder)
    model = text_generation.load_model(recipe, tiny_gpt2_folder, prepared).eval()
    batch = prepared.collate(list(prepared.splits["train"]))
    assert "attention_mask" not in batch
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    ours = text_generation.loss(recipe, prepared, logits, batch) / text_generation.weight(recipe, prepared, batch)

    plain = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder).eval()
    total, count = torch.zeros(()), 0
    for block in prepared.splits["train"]:
        starts = [i for i, position in enumerate(block["position_ids"]) if position == 0]
        for start, stop in zip(starts, [*starts[1:], len(block["input_ids"])], strict=True):
            piece = torch.tensor([block["input_ids"][start:stop]])
            total = total + plain(input_ids=piece, labels=piece).loss * (stop - start - 1)
            count += stop - start - 1
    theirs = total / count
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    weights = [dict(each.named_parameters()) for each in (model, plain)]
    grads = [torch.autograd.grad(loss, list(w.values())) for loss, w in zip((ours, theirs), weights, strict=True)]
    for mine, reference in zip(*grads, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-7)


def test_a_model_that_looks_across_texts_is_refused(tiny_gpt2_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=16, n_layer=1, n_head=2)
    torch.manual_seed(0)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    recipe = make_recipe(tmp_path, pack=True)
    with pytest.raises(RecipeError, match="bloom look from one text of a block into another"):
        text_generation.load_model(recipe, tmp_path, prepare(recipe, tmp_path))


def test_packing_needs_windows() -> None:
    data = {"rows": [{"text": "a"}], "pack": True}
    with pytest.raises(RecipeError, match="too_long: window"):
        parse_recipe({"name": "packed", "task": "text-generation", "model": "gpt2", "data": data})
