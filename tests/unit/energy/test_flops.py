"""Operations are those that the shapes of the matrices say, whatever kernel computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hftune.energy.flops import count, row_cost
from hftune.energy.usage import operations

WIDTH, INNER, LAYERS, CLASSES = 64, 128, 2, 3


def bert(dropout: float = 0.0) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
    chances = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return BertForSequenceClassification(BertConfig(vocab_size=100, num_labels=CLASSES, **sizes, **chances))


def closed_form(rows: int, length: int) -> int:
    """Two a multiplication and addition: four projections, two layers between, scores and their sums, the head."""
    layer = length * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER) + 2 * length * length * WIDTH
    return 2 * rows * (LAYERS * layer + WIDTH * WIDTH + WIDTH * CLASSES)


def read(model: Any, rows: int, length: int) -> None:
    with torch.inference_mode():
        model(input_ids=torch.ones(rows, length, dtype=torch.int64))


@pytest.mark.parametrize(("rows", "length"), [(1, 16), (3, 16), (2, 64)])
def test_a_pass_through_bert_is_the_closed_form(rows: int, length: int) -> None:
    model = bert().eval()
    assert count(lambda: read(model, rows, length)) == closed_form(rows, length)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_is_three_passes_less_the_first_layers_inputs(dropout: float) -> None:
    model = bert(dropout).train()

    def learn() -> None:
        model(input_ids=torch.ones(2, 32, dtype=torch.int64)).logits.sum().backward()

    forward = closed_form(2, 32)
    # What fused attention computes once more on the way back is work too.
    assert 3 * forward <= count(learn) <= 3.1 * forward


def test_rows_of_all_lengths_follow_from_a_few() -> None:
    model = bert().eval()
    cost = row_cost(lambda length: read(model, 1, length), [3, 16, 40])
    lengths = np.array([3, 10, 40, 64])
    assert cost.of(lengths) == pytest.approx(sum(closed_form(1, length) for length in lengths.tolist()))


def test_an_lstm_is_counted() -> None:
    lstm = nn.LSTM(8, 16, batch_first=True)
    forward = 2 * 2 * 5 * 4 * 16 * (8 + 16)

    def learn() -> None:
        lstm(torch.ones(2, 5, 8, requires_grad=True))[0].sum().backward()

    with torch.no_grad():
        assert count(lambda: lstm(torch.ones(2, 5, 8))) == forward
    assert count(learn) == 3 * forward


def test_a_model_of_one_length_is_counted_too() -> None:
    cost = row_cost(lambda length: read(bert().eval(), 1, length), [1])
    assert cost.of(np.array([1, 1])) == pytest.approx(2 * closed_form(1, 1))


@pytest.mark.parametrize(
    ("flops", "words"), [(950, "950 FLOPs"), (3.14e9, "3.14 GFLOPs"), (41.2e12, "41.2 TFLOPs"), (2e18, "2 EFLOPs")]
)
def test_operations_are_told_in_thousands(flops: float, words: str) -> None:
    assert operations(flops) == words
