"""Parts cut out of transformers: what is kept computes what it did, and plain transformers loads it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from hftune.compressors._surgery import keep_layers
from hftune.errors import RecipeError

KINDS = ("bert", "gpt2", "llama")


def silence(model: Any, kind: str, layer: int) -> None:
    """Let a layer give what it is given."""
    if kind == "bert":  # x + 0, then a norm: of what a norm gave the same norm makes the same again
        block = model.bert.encoder.layer[layer]
        below = model.bert.encoder.layer[layer - 1].output.LayerNorm
        ends = [block.attention.output.dense, block.output.dense]
        for norm in (block.attention.output.LayerNorm, block.output.LayerNorm, below):
            torch.nn.init.ones_(norm.weight)
            torch.nn.init.zeros_(norm.bias)
    elif kind == "gpt2":
        ends = [model.transformer.h[layer].attn.c_proj, model.transformer.h[layer].mlp.c_proj]
    else:
        ends = [model.model.layers[layer].self_attn.o_proj, model.model.layers[layer].mlp.down_proj]
    for end in ends:
        for parameter in end.parameters():
            torch.nn.init.zeros_(parameter)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_does_nothing_is_left_out_and_nothing_changes(models: Any, kind: str):
    model = getattr(models, kind)()
    silence(model, kind, 2)
    small = keep_layers(model, [0, 1, 3])
    assert small.config.num_hidden_layers == 3
    assert small.num_parameters() < model.num_parameters()
    # Of a norm's output, whose variance is one but for epsilon, the same norm makes nearly the same.
    torch.testing.assert_close(models.logits(small), models.logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_model_is_one_of_its_kind_for_plain_transformers(models: Any, kind: str, tmp_path: Path):
    small = keep_layers(getattr(models, kind)(), [3, 0])
    small.save_pretrained(tmp_path)
    reloaded = type(small).from_pretrained(tmp_path)
    assert torch.equal(models.logits(reloaded), models.logits(small))
    assert reloaded.state_dict().keys() == small.state_dict().keys()


def test_the_layers_stand_in_the_order_in_which_they_are_named(models: Any):
    model = models.gpt2()
    small = keep_layers(model, [3, 1])
    for layer, origin in zip(small.transformer.h, (3, 1), strict=True):
        assert torch.equal(layer.mlp.c_fc.weight, model.transformer.h[origin].mlp.c_fc.weight)


def test_layers_are_copies(models: Any):
    model = models.bert()
    small = keep_layers(model, [0])
    torch.nn.init.zeros_(small.bert.encoder.layer[0].output.dense.weight)
    assert model.bert.encoder.layer[0].output.dense.weight.any()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_shorter_generator_writes_the_same_with_its_cache(models: Any, kind: str):
    small = keep_layers(getattr(models, kind)(), [1, 3])
    ids = torch.arange(1, 7).reshape(1, 6)
    asked = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(ids), "pad_token_id": 0}
    assert torch.equal(small.generate(ids, **asked), small.generate(ids, use_cache=False, **asked))


def test_tied_words_stay_tied(models: Any):
    small = keep_layers(models.llama(), [0])
    assert small.lm_head.weight is small.model.embed_tokens.weight


def test_what_the_config_says_of_each_layer_is_cut_too(tmp_path: Path, models: Any):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=48, sliding_window=4,
    )  # fmt: skip
    model = models.drawn(Gemma2ForCausalLM, config)
    small = keep_layers(model, [1, 2, 3])
    assert small.config.layer_types == model.config.layer_types[1:]
    small.save_pretrained(tmp_path)
    assert torch.equal(models.logits(Gemma2ForCausalLM.from_pretrained(tmp_path)), models.logits(small))


def test_layers_that_attend_in_turns_keep_how_they_attend(tmp_path: Path, models: Any):
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    config = GPTNeoConfig(
        vocab_size=60, hidden_size=16, num_layers=4, num_heads=2, attention_types=[[["global", "local"], 2]],
        window_size=4, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    small = keep_layers(models.drawn(GPTNeoForCausalLM, config), [1])
    assert small.config.attention_layers == ["local"]
    small.save_pretrained(tmp_path)
    assert torch.equal(models.logits(GPTNeoForCausalLM.from_pretrained(tmp_path)), models.logits(small))


def test_nobody_else_s_chance_is_disturbed(models: Any):
    model = models.bert()
    torch.manual_seed(3)
    random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    keep_layers(model, [0, 2])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize(
    ("layers", "message"),
    [([], "no layer is kept"), ([0, 4], "there is no layer 4"), ([-1], "no layer -1"), ([1, 1], "layer 1 is named")],
)
def test_layers_that_there_are_not_are_said(models: Any, layers: list[int], message: str):
    with pytest.raises(RecipeError, match=message) as raised:
        keep_layers(models.bert(), layers)
    assert raised.value.problems[0].key == "compress.layers"
    assert "[0, 2]" in raised.value.problems[0].hint


def test_an_lstm_has_no_layers_to_leave_out():
    from hftune.modeling.lstm import LstmConfig, LstmForSequenceClassification

    model = LstmForSequenceClassification(LstmConfig(vocab_size=20, embedding_size=4, hidden_size=4))
    with pytest.raises(RecipeError, match="models of the kind lstm keep their layers in no list"):
        keep_layers(model, [0])
