"""Texts to token ids: what must not depend on whether the tokenizer is a fast one."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertTokenizerFast, PreTrainedTokenizerBase
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from hftune.recipe.schema import DataSection, WindowSection
from hftune.tasks._encoding import Encoded, encode

LONG = "the film was good and the plot was clever but the ending was weak and we found it boring"
SHORT = "a fine film"


@pytest.fixture
def both(tiny_bert_folder: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]:
    """The same vocabulary behind a fast tokenizer and one in Python."""
    fast = BertTokenizerFast.from_pretrained(tiny_bert_folder)
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    slow = BertTokenizerLegacy(str(tiny_bert_folder / "vocab.txt"), model_input_names=inputs)
    assert fast.is_fast
    assert not slow.is_fast
    return fast, slow


def plain(encoded: Encoded) -> list[dict[str, object]]:
    return [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in example.items()}
        for example in encoded.examples
    ]


@pytest.mark.parametrize("too_long", ["window", "truncate", "error"])
@pytest.mark.parametrize("pairs", [None, ["we loved it", "we loved it"]])
@pytest.mark.parametrize("max_length", [14, 15, 16, 19])
def test_a_tokenizer_in_python_makes_the_pieces_of_a_fast_one(both, too_long, pairs, max_length):
    data = DataSection(rows=({"text": ""},), too_long=too_long, window=WindowSection(stride=4), max_length=64)
    fast, slow = (encode(tokenizer, [LONG, SHORT], pairs, data, max_length) for tokenizer in both)
    assert plain(slow) == plain(fast)
    assert slow.too_long == fast.too_long
    assert (len(slow.examples) > 2) == (too_long == "window"), "a long text and a short one"
