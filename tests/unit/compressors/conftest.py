"""Tiny transformers with random weights: an encoder, a GPT-2 (of Conv1D), a Llama with grouped queries."""

from __future__ import annotations

import sys
from typing import Any

import pytest

VOCABULARY = 60


def bert(layers: int = 4, **fields: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=32, initializer_range=0.2, **fields,
    )  # fmt: skip
    return drawn(BertForSequenceClassification, config)


def gpt2(layers: int = 4, **fields: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=layers, n_head=4, n_positions=32, initializer_range=0.2,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, **fields,
    )  # fmt: skip
    return drawn(GPT2LMHeadModel, config)


def llama(layers: int = 4, **fields: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, max_position_embeddings=32, initializer_range=0.2, tie_word_embeddings=True, **fields,
    )  # fmt: skip
    return drawn(LlamaForCausalLM, config)


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
