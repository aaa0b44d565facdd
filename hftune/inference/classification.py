"""Labels for texts: encoded as in training, run in batches of like length, answers in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.tasks._answers import class_logits, label_names, negative_label, problem_type
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hftune.inference.loading import LoadedRun

THRESHOLD = 0.5  # of the probability of each label of a multi-label model
BATCHES_AHEAD = 32  # batches whose texts are tokenized and sorted together
# What a pass through a small encoder costs on a processor beside its tokens, in tokens (MiniLM, two cores: 5 ms, and
# 0.15 a token). Padding is tokens too: a few texts of unlike lengths are read faster in several passes.
PASS_IN_TOKENS = 32


@dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    `label`: a name; a tuple of names for a multi-label model; None for regression, whose answer is `value`.
    `probabilities`: name -> share (they add up to 1 but for a multi-label model; empty for regression).
    `logits`: one figure a label, pooled over the windows of a long text. `tokens` counts the whole text, special
    tokens included; `truncated` says that its end was not read; `windows` how many pieces it was read in.
    """

    label: str | tuple[str, ...] | None
    probabilities: dict[str, float]
    logits: tuple[float, ...]
    tokens: int
    value: float | None = None
    truncated: bool = False
    windows: int = 1

    @property
    def answer(self) -> str | list[str] | float | None:
        """The label, the labels or the number, as JSON holds it."""
        if self.value is not None:
            return self.value
        return list(self.label) if isinstance(self.label, tuple) else self.label

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON holds it."""
        return {
            "label": self.answer,
            "probabilities": self.probabilities,
            "logits": list(self.logits),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "windows": self.windows,
        }


def classify(
    loaded: LoadedRun,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    batch_size: int,
    cancelled: Callable[[], bool],
) -> list[Prediction]:
    """Return one prediction a text, in the order of the texts; fewer when `cancelled` turns true between batches."""
    predictions: list[Prediction] = []
    ahead = batch_size * BATCHES_AHEAD
    for start in range(0, len(texts), ahead):
        some_pairs = None if pairs is None else pairs[start : start + ahead]
        logits = _logits(loaded, texts[start : start + ahead], some_pairs, batch_size, cancelled)
        if logits is None:
            break
        predictions += _predictions(loaded, *logits)
    return predictions


def _logits(
    loaded: LoadedRun,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    batch_size: int,
    cancelled: Callable[[], bool],
) -> tuple[torch.Tensor, list[int], list[int], bool] | None:
    """Return (pooled logits [texts, labels] float32 on the CPU, tokens and windows of each text, whether a text is
    read whole in windows), or None when cancelled."""
    import torch

    from hftune.data.windows import WindowPool
    from hftune.modeling.loading import without_cache
    from hftune.tasks import _encoding

    data, tokenizer, model = loaded.recipe.data, loaded.tokenizer, loaded.model
    limit, _ = _encoding.token_limit(data, model.config, tokenizer)
    encoded = _encoding.encode(tokenizer, texts, pairs, data, limit)
    collate = _encoding.padded_batch(tokenizer, "int64")
    pool = WindowPool(data.window.pooling)
    windows, tokens = [0] * len(texts), [0] * len(texts)
    for example in encoded.examples:
        windows[example["row"]] += 1
        tokens[example["row"]] = example["length"]
    for row, length in encoded.too_long.items():
        tokens[row] = length
    lengths = [example["length"] for example in encoded.examples]
    for batch_of_like_length in _batches(model, lengths, batch_size):
        if cancelled():
            return None
        batch = collate([encoded.examples[index] for index in batch_of_like_length])
        rows, places = batch.pop("row"), batch.pop("window")
        with torch.inference_mode():
            inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
            logits = class_logits(model(**inputs, **without_cache(model)).logits, negative_label(model.config))
        pool.add(logits.float().cpu(), rows, places)
    _, pooled = pool.result()
    return pooled, tokens, windows, data.too_long == "window"


def length_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the positions of `lengths` in batches of like length, longest first: what does not fit fails at once."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def cheapest_batches(lengths: Sequence[int], batch_size: int, pass_in_tokens: int) -> list[list[int]]:
    """Return the positions of `lengths` in batches whose passes and padded tokens cost least, longest first.

    A pass costs `pass_in_tokens` and, for each of its texts, the length of the longest.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    best, starts = [0], [0]  # of the first texts in order: their cost, and where their last batch begins
    for end in range(1, len(order) + 1):
        first = max(0, end - batch_size)
        costs = [best[start] + lengths[order[start]] * (end - start) for start in range(first, end)]
        cost = min(costs)
        best.append(cost + pass_in_tokens)
        starts.append(first + costs.index(cost))
    batches = []
    end = len(order)
    while end:
        batches.append(order[starts[end] : end])
        end = starts[end]
    return batches[::-1]


def _batches(model: Any, lengths: Sequence[int], batch_size: int) -> Iterable[list[int]]:
    # An accelerator reads padding for nearly nothing, and an LSTM's time is the steps of its longest text.
    if model.device.type != "cpu" or model.config.model_type == "lstm":
        return length_batches(lengths, batch_size)
    return cheapest_batches(lengths, batch_size, PASS_IN_TOKENS)


def _predictions(
    loaded: LoadedRun, logits: torch.Tensor, tokens: list[int], windows: list[int], windowed: bool
) -> list[Prediction]:
    from hftune.tasks import _encoding

    config = loaded.model.config
    names, kind = label_names(config), problem_type(config)
    limit, _ = _encoding.token_limit(loaded.recipe.data, config, loaded.tokenizer)
    table = logits.double().numpy()
    shares = None if kind == REGRESSION else probabilities(table, kind)
    found = []
    for row, figures in enumerate(table.tolist()):
        shared: dict[str, Any] = {
            "tokens": tokens[row],
            "windows": windows[row],
            "truncated": tokens[row] > limit and not windowed,
        }
        if shares is None:
            found.append(Prediction(None, {}, tuple(figures), value=figures[0], **shared))
            continue
        by_name = dict(zip(names, shares[row].tolist(), strict=True))
        label: str | tuple[str, ...]
        if kind == MULTI:
            label = tuple(name for name, share in by_name.items() if share > THRESHOLD)
        else:
            label = names[int(shares[row].argmax())]
        found.append(Prediction(label, by_name, tuple(figures), **shared))
    return found


def probabilities(logits: np.ndarray[Any, Any], kind: str | None) -> np.ndarray[Any, Any]:
    """Return shares [rows, labels] of logits [rows, labels]: a softmax, or a sigmoid each when multi-label."""
    import numpy as np

    if kind == MULTI:
        # The two forms of the sigmoid, each where it cannot overflow.
        small = np.exp(-np.abs(logits))
        shares: np.ndarray[Any, Any] = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
        return shares
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
