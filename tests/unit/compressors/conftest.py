"""Tiny transformers with random weights: an encoder, a GPT-2 (of Conv1D), a Llama with grouped queries. And runs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    classifier,
    full_run,
    language_recipe,
    language_run,
    lora_run,
    lstm_run,
    mask_run,
    reviews_recipe,
)

VOCABULARY = 60


def bert(layers: int = 4, inner: int = 48, **fields: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return drawn(BertForSequenceClassification, BertConfig(**_sizes(layers, inner), **fields))


def roberta(layers: int = 4, inner: int = 48) -> Any:
    from transformers import RobertaConfig, RobertaForMaskedLM

    return drawn(RobertaForMaskedLM, RobertaConfig(**_sizes(layers, inner)))


def distilbert(layers: int = 4, inner: int = 48) -> Any:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=layers, n_heads=4, hidden_dim=inner, max_position_embeddings=32,
        initializer_range=0.2,
    )  # fmt: skip
    return drawn(DistilBertForSequenceClassification, config)


def gpt2(layers: int = 4, inner: int | None = 48) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=layers, n_head=4, n_inner=inner, n_positions=32,
        initializer_range=0.2, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return drawn(GPT2LMHeadModel, config)


def llama(layers: int = 4, inner: int = 48, **fields: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"num_key_value_heads": 2, **fields}
    config = LlamaConfig(**_sizes(layers, inner), tie_word_embeddings=True, **sizes)
    return drawn(LlamaForCausalLM, config)


def _sizes(layers: int, inner: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": inner,
        "max_position_embeddings": 32,
        "initializer_range": 0.2,
    }


def drawn(kind: Any, config: Any) -> Any:
    """Return a model in evaluation mode; biases are drawn too, so that one in the wrong place shows."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.2)
    return model


def logits(model: Any) -> Any:
    """Return what a model says of two short texts."""
    import torch

    ids = torch.arange(1, 25).reshape(2, 12)
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.fixture
def models() -> Any:
    """The functions of this file."""
    return sys.modules[__name__]
