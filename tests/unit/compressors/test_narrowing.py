"""Layers made narrower: what is kept computes what it did, and plain transformers loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hftune.compressors._narrowing import head_groups, keep_parts, neurons
from hftune.errors import RecipeError

KINDS = ("bert", "roberta", "distilbert", "gpt2", "llama")
INNER = 48
KEPT = [[0, 7, 5, *range(20, 30)], [47, *range(12)], [*range(1, 26, 2)], [*range(34, 47)]]


def silence_all_but(parts: Any, model: Any, kept: list[list[int]]) -> None:
    """Let nobody hear the parts that are not kept."""
    for modules, chosen in zip(parts.readers(model), kept, strict=True):
        others = [part for part in range(parts.count) if part not in chosen]
        for module, each in modules:
            entries = (torch.tensor(others)[:, None] * each + torch.arange(each)).flatten()
            dim = 1 if isinstance(module, torch.nn.Linear) else 0
            with torch.no_grad():
                module.weight.index_fill_(dim, entries, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_that_nobody_hears_are_left_out_and_nothing_changes(models: Any, kind: str):
    model = getattr(models, kind)(inner=INNER)
    parts = neurons(model)
    assert parts.count == INNER
    assert [len(modules) for modules in parts.readers(model)] == [1, 1, 1, 1]
    silence_all_but(parts, model, KEPT)
    small = keep_parts(model, parts, KEPT)
    assert neurons(small).count == 13
    assert small.num_parameters() < model.num_parameters()
    torch.testing.assert_close(models.logits(small), models.logits(model), rtol=1e-5, atol=1e-5)


def test_neurons_of_three_times_the_width_are_not_taken_for_queries_keys_and_values(models: Any):
    model = models.gpt2(inner=96)  # 3 x 32, as wide as GPT-2's c_attn
    kept = [[*range(layer, 96, 5)][:19] for layer in range(4)]
    parts = neurons(model)
    silence_all_but(parts, model, kept)
    small = keep_parts(model, parts, kept)
    torch.testing.assert_close(models.logits(small), models.logits(model), rtol=1e-5, atol=1e-5)


def test_the_width_that_gpt2_s_config_leaves_out_is_four_times_its_own(models: Any):
    assert neurons(models.gpt2(inner=None)).count == 128


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrower_model_is_one_of_its_kind_for_plain_transformers(models: Any, kind: str, tmp_path: Path):
    model = getattr(models, kind)(inner=INNER)
    small = keep_parts(model, neurons(model), KEPT)
    small.save_pretrained(tmp_path)
    assert torch.equal(models.logits(type(small).from_pretrained(tmp_path)), models.logits(small))


@pytest.mark.parametrize("fields", [{}, {"num_key_value_heads": 4}, {"head_dim": 12}])
def test_heads_that_nobody_hears_are_left_out_and_nothing_changes(models: Any, fields: dict[str, int], tmp_path: Path):
    model = models.llama(**fields)
    parts = head_groups(model)
    kept = [[1], [0], [0], [1]] if parts.count == 2 else [[0, 2], [3, 1], [1, 2], [2, 3]]
    silence_all_but(parts, model, kept)
    small = keep_parts(model, parts, kept)
    assert small.config.num_attention_heads == 2
    assert small.config.head_dim == model.config.head_dim
    torch.testing.assert_close(models.logits(small), models.logits(model), rtol=1e-5, atol=1e-5)
    small.save_pretrained(tmp_path)
    assert torch.equal(models.logits(type(small).from_pretrained(tmp_path)), models.logits(small))


def test_a_llama_keeps_heads_that_divide_its_width(models: Any):
    heads = head_groups(models.llama(num_key_value_heads=4))
    assert [heads.nearest(wanted) for wanted in (0.4, 1.4, 3)] == [1, 1, 2]  # three do not divide 32


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_kinds_whose_heads_divide_the_whole_width_cannot_have_fewer(models: Any, kind: str):
    with pytest.raises(RecipeError, match="cannot have fewer heads") as raised:
        head_groups(getattr(models, kind)())
    assert raised.value.problems[0].key == "compress.heads"
    assert "prune neurons or layers" in raised.value.problems[0].hint


def test_weights_in_which_several_things_lie_behind_each_other_are_not_guessed_at(models: Any):
    from transformers import Phi3Config, Phi3ForCausalLM

    config = Phi3Config(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, pad_token_id=0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = models.drawn(Phi3ForCausalLM, config)  # gate and up in one matrix, queries, keys and values in another
    with pytest.raises(RecipeError, match="no feed-forward blocks that could have fewer neurons"):
        neurons(model)
    with pytest.raises(RecipeError, match="cannot have fewer heads"):
        head_groups(model)


def test_a_kind_whose_width_is_fixed_has_no_fewer_neurons(models: Any):
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(vocab_size=60, hidden_size=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    with pytest.raises(RecipeError, match="no feed-forward blocks"):
        neurons(models.drawn(BloomForCausalLM, config))


def test_layers_that_share_their_weights_cannot_be_narrowed_one_by_one():
    from transformers import AlbertConfig, AlbertForMaskedLM

    config = AlbertConfig(
        vocab_size=60,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    with pytest.raises(RecipeError, match="models of the kind albert keep their layers in no list") as raised:
        neurons(AlbertForMaskedLM(config))
    assert raised.value.problems[0].key == "compress.neurons"


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([[0], [1], [2]], "the model has 4 layers"),
        ([[0], [1], [2], [3, 4]], "equally many"),
        ([[], [], [], []], "one at least"),
        ([[48], [1], [2], [3]], "each layer has 48"),
        ([[-1], [1], [2], [3]], "each layer has 48"),
        ([[0, 0], [1, 2], [2, 3], [3, 4]], "named once"),
    ],
)
def test_neurons_that_there_are_not_are_said(models: Any, kept: list[list[int]], message: str):
    model = models.bert()
    with pytest.raises(RecipeError, match=message):
        keep_parts(model, neurons(model), kept)
