"""Guesses for masked words: what a masked language model would put where a text has its mask token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError
from hftune.inference.classification import length_batches

if TYPE_CHECKING:
    import torch

    from hftune.inference.loading import LoadedRun

Guesses = tuple[tuple[str, float], ...]  # tokens with their probabilities, likeliest first

BATCH_SIZE = 8  # logits of a language model are large: tokens x vocabulary
TOP = 5


@dataclass(frozen=True)
class Filling:
    """The guesses for one text: for each mask, in order, the likeliest tokens with their probabilities.

    `tokens` counts the whole text, special tokens included. `truncated`: its end was not read, masks there have none.
    """

    masks: tuple[Guesses, ...]
    tokens: int
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the guesses as JSON holds them."""
        masks = [[{"token": token, "probability": share} for token, share in guesses] for guesses in self.masks]
        return {"masks": masks, "tokens": self.tokens, "truncated": self.truncated}


def mask_problem(loaded: LoadedRun, text: str) -> str:
    """Return what keeps a text from being filled in, or nothing."""
    mask = str(loaded.tokenizer.mask_token)
    return "" if mask in text else f"no {mask} in {text[:40]!r}: it stands where a word is to be guessed"


def fill(
    loaded: LoadedRun, texts: Sequence[str], top: int, batch_size: int, cancelled: Callable[[], bool]
) -> list[Filling]:
    """Return the guesses for each text, in order; none when `cancelled` turns true between batches.

    Raises UsageError for a text without a mask, and for one whose masks all stand beyond what the model reads.
    """
    from hftune.tasks import _encoding

    tokenizer, model = loaded.tokenizer, loaded.model
    if problem := next(filter(None, (mask_problem(loaded, text) for text in texts)), ""):
        raise UsageError(problem)
    data = loaded.recipe.data.model_copy(update={"too_long": "truncate"})
    limit, _ = _encoding.token_limit(data, model.config, tokenizer)
    encoded = _encoding.encode(tokenizer, texts, None, data, limit)
    collate = _encoding.padded_batch(tokenizer, "int64")
    found: dict[int, Filling] = {}
    for indices in length_batches([example["length"] for example in encoded.examples], batch_size):
        if cancelled():
            return []
        batch = collate([encoded.examples[index] for index in indices])
        for row, masks in _guesses(loaded, batch, top):
            if not masks:
                raise UsageError(f"the text's masks stand after its first {limit} tokens, which are all that is read")
            length = encoded.too_long.get(row) or int(encoded.examples[row]["length"])
            found[row] = Filling(masks, length, row in encoded.too_long)
    return [found[row] for row in range(len(texts))]


def _guesses(loaded: LoadedRun, batch: dict[str, torch.Tensor], top: int) -> list[tuple[int, tuple[Guesses, ...]]]:
    """Return for each text of a batch its row and the guesses for its masks."""
    import torch

    from hftune.modeling.output_layer import only_at

    model, tokenizer = loaded.model, loaded.tokenizer
    rows = batch.pop("row").tolist()
    batch.pop("window")
    places = (batch["input_ids"] == tokenizer.mask_token_id).to(model.device)
    with torch.inference_mode(), only_at(model, places):
        logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits
        logits = logits[places] if logits.dim() == 3 else logits
        masks: dict[int, list[Guesses]] = {index: [] for index in range(len(rows))}
        for (index, _), scores in zip(places.nonzero().tolist(), logits, strict=True):
            shares = scores.double().softmax(-1)
            best = shares.topk(min(top, len(shares)))
            masks[index].append(
                tuple(
                    (word(tokenizer, token), share)
                    for share, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                )
            )
    return [(row, tuple(masks[index])) for index, row in enumerate(rows)]


def word(tokenizer: Any, token: int) -> str:
    """Return a token as people read it; one that is no whole character as the vocabulary writes it."""
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False)).strip()
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token))
