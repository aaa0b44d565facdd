"""Vectors of texts and words: the last hidden states pooled to one vector a text, and rows of the embedding table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hftune.inference.classification import BATCHES_AHEAD, length_batches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from hftune.inference.loading import LoadedRun

    Floats = npt.NDArray[np.float32]

Pooling = Literal["mean", "first", "last"]
POOLINGS: tuple[Pooling, ...] = ("mean", "first", "last")
BATCH_SIZE = 32
_ROWS = 8192  # of the embedding table looked up at once


@dataclass(frozen=True)
class TextVectors:
    """Vectors float32 [texts, width] in the order of the texts, each text's tokens (special ones included), and which
    texts were not read to their end."""

    vectors: Floats
    tokens: list[int]
    truncated: list[bool]


def usual_pooling(model: Any) -> Pooling:
    """Return how the vectors of a model's tokens usually become one: their mean; of an LSTM its state at the end."""
    return "last" if hasattr(_plain(model), "token_states") else "mean"


def embed_texts(
    loaded: LoadedRun,
    texts: Sequence[str],
    pooling: Pooling | None = None,
    normalize: bool = False,
    batch_size: int = BATCH_SIZE,
    model: Any = None,
) -> TextVectors:
    """Return one vector a text, from the last hidden states of `model` (the run's own when left out).

    mean: Σ h_t / n over all tokens but padding, special tokens included (Reimers and Gurevych 2019, Sentence-BERT).
    first: of the first token, which a BERT classifier reads. last: of the last token. `normalize`: length 1. A long
    text is cut or read in windows, as the recipe says; windows count by their tokens.
    """
    import numpy as np

    body, chosen = loaded.model if model is None else model, pooling or usual_pooling(loaded.model)
    ahead = batch_size * BATCHES_AHEAD
    found = [
        _embed(loaded, body, texts[start : start + ahead], chosen, batch_size) for start in range(0, len(texts), ahead)
    ]
    vectors = np.concatenate([each.vectors for each in found]) if found else np.zeros((0, 0), dtype=np.float32)
    return TextVectors(
        unit(vectors) if normalize else vectors,
        [count for each in found for count in each.tokens],
        [cut for each in found for cut in each.truncated],
    )


def unit(vectors: Floats) -> Floats:
    """Return vectors [n, width] of length 1; those of length 0 stay."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def word_table(model: Any, rows: int | None = None) -> Floats:
    """Return the table of word vectors [vocabulary, width] as the model looks them up, what an adapter adds included.

    `rows`: the first so many; left out: all.
    """
    import torch

    table = _plain(model).get_input_embeddings()
    count = int(table.weight.shape[0]) if rows is None else rows
    with torch.inference_mode():
        parts = [
            table(torch.arange(start, min(start + _ROWS, count), device=table.weight.device)).float().cpu()
            for start in range(0, count, _ROWS)
        ]
    found: Floats = torch.cat(parts).numpy()
    return found


def token_states(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the last hidden states [batch, tokens, width] of a model's body, fp32, on the model's device."""
    import torch

    from hftune.modeling.loading import without_cache
    from hftune.modeling.onnx_model import refuse

    refuse(model, "gives no vectors")
    plain = _plain(model)
    inputs = {name: tensor.to(plain.device) for name, tensor in batch.items()}
    with torch.inference_mode():
        if hasattr(plain, "token_states"):
            own: torch.Tensor = plain.token_states(inputs["input_ids"], inputs["attention_mask"])
            return own.float()
        body = plain.base_model
        states: torch.Tensor = body(**inputs, **without_cache(body)).last_hidden_state
        return states.float()


def _plain(model: Any) -> Any:
    """Return the transformers model inside a peft one; its layers keep what the adapter adds."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _embed(loaded: LoadedRun, model: Any, texts: Sequence[str], pooling: Pooling, batch_size: int) -> TextVectors:
    import numpy as np

    from hftune.tasks import _encoding

    data = loaded.recipe.data
    limit, _ = _encoding.token_limit(data, loaded.model.config, loaded.tokenizer)
    encoded = _encoding.encode(loaded.tokenizer, texts, None, data, limit)
    collate = _encoding.padded_batch(loaded.tokenizer, "int64")
    examples = encoded.examples
    sums: Any = None
    counts = np.zeros((len(texts), 1))
    last = {example["row"]: example["window"] for example in examples}
    for indices in length_batches([example["length"] for example in examples], batch_size):
        batch = collate([examples[index] for index in indices])
        rows, windows = batch.pop("row").tolist(), batch.pop("window").tolist()
        vectors, weights = _pooled(token_states(model, batch), batch["attention_mask"], pooling)
        if sums is None:
            sums = np.zeros((len(texts), vectors.shape[1]))
        for row, window, vector, weight in zip(rows, windows, vectors, weights, strict=True):
            if pooling == "mean" or window == (0 if pooling == "first" else last[row]):
                sums[row] += vector
                counts[row] += weight
    lengths = {example["row"]: example["length"] for example in examples} | encoded.too_long
    cut = encoded.too_long.keys() if data.too_long != "window" else frozenset[int]()
    return TextVectors(
        (sums / counts).astype(np.float32),
        [lengths[row] for row in range(len(texts))],
        [row in cut for row in range(len(texts))],
    )


def _pooled(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> tuple[Any, list[int]]:
    """Return sums [batch, width] over the tokens that count, and how many they are."""
    import torch

    lengths = mask.sum(1)
    if pooling == "mean":
        sums = (states * mask[:, :, None].to(states.device)).double().sum(1)
        return sums.cpu().numpy(), lengths.tolist()
    places = lengths - 1 if pooling == "last" else torch.zeros_like(lengths)
    picked = states[torch.arange(len(states)), places.to(states.device)].double()
    return picked.cpu().numpy(), [1] * len(states)
