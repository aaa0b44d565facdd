"""How a changed text reads beside the text it was: the ratio of their perplexities under a small language model.

The model is the starter hftune:gpt2-mini, which comes with hftune and knows English. Texts in other scripts get none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hftune.explainers._asked import padded

LANGUAGE_MODEL = "hftune:gpt2-mini"
BATCH = 32
LATIN = 0.9  # of a text's letters at least


class Fluency:
    """Scores texts by a language model, which is loaded with the first of them."""

    def __init__(self) -> None:
        self._model: Any = None
        self._tokenizer: Any = None

    def ratios(self, text: str, changed: Sequence[str]) -> list[float | None]:
        """Return each changed text's perplexity as a multiple of the text's own: 1 reads as well, 2 half as likely a
        token; None for all where the model cannot read one of them, or not to its end."""
        if not changed or not _is_latin(text):
            return [None] * len(changed)
        self._load()
        ids = [self._ids(each) for each in (text, *changed)]
        if max(map(len, ids)) > self._model.config.n_positions:
            return [None] * len(changed)
        whole, *rest = self._perplexities(ids)
        return [each / whole for each in rest]

    def _ids(self, text: str) -> list[int]:
        """Return a text's tokens, begun as each document of the model's training."""
        return [self._tokenizer.eos_token_id, *self._tokenizer(text, verbose=False)["input_ids"]]

    def _perplexities(self, texts: Sequence[list[int]]) -> list[float]:
        """Return exp of the mean negative log-likelihood a token, the first token's included."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found = [0.0] * len(texts)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            for index, value in zip(some, self._batch([texts[index] for index in some]), strict=True):
                found[index] = value
        return found

    def _batch(self, texts: Sequence[list[int]]) -> list[float]:
        import torch

        ids = torch.tensor(padded(texts, self._tokenizer.eos_token_id))
        mask = torch.tensor(padded([[1] * len(one) for one in texts], 0))
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        counted = mask[:, 1:]
        means = (losses * counted).sum(1) / counted.sum(1).clamp(min=1)
        return [math.exp(value) for value in means.double().tolist()]

    def _load(self) -> None:
        if self._model is not None:
            return
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from hftune.modeling.loading import quiet
        from hftune.starters import model_folder

        folder = model_folder(LANGUAGE_MODEL)
        with quiet():
            self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self._model.eval().requires_grad_(False)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    # Latin letters with and without accents end before U+0250.
    return bool(letters) and sum(letter < "\u0250" for letter in letters) >= LATIN * len(letters)
