"""From texts to token ids: lengths counted, long texts cut, windowed or refused, batches padded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, Problem, RecipeError
from hftune.recipe.schema import DataSection
from hftune.tasks import Batch, Notice

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

Example = dict[str, Any]

# Texts tokenized in one call: enough for the fast tokenizers, little enough to hold twice.
CHUNK = 1000


@dataclass(frozen=True)
class Encoded:
    """The texts of one split as examples; a text makes one example, or several windows with the same `row`.

    `examples` hold input_ids (and token_type_ids) int32 [tokens], length, row, and window (0, 1, … in a document).
    Packed blocks hold several texts each (`row` is the first one's) and position_ids that begin anew with each.
    `too_long` are the rows longer than the limit with their lengths in tokens, special tokens included; `unlearned`
    says how many rows made no example because they have no token to learn.
    """

    examples: list[Example]
    too_long: dict[int, int]
    unlearned: int = 0


def limit_length(data: DataSection, most: int | None) -> tuple[int, tuple[Notice, ...]]:
    """Return the tokens an example may have: data.max_length, and never more than the model's positions `most`."""
    if most is None or data.max_length <= most:
        return data.max_length, ()
    message = f"data.max_length is {data.max_length}, but the model takes {most} tokens at most: {most} is used"
    return most, (Notice("warning", "max-length-capped", message, "Set data.max_length to what the model takes."),)


def encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    data: DataSection,
    max_length: int,
    rows: Sequence[int] | None = None,
) -> Encoded:
    """Tokenize texts (or pairs of texts) as `data.too_long` says; `rows` are their numbers, 0, 1, … when left out.

    truncate: the end is cut (of pairs: the longer one's). window: pieces that share `data.window.stride` tokens, each
    with its own special tokens (of pairs: the first text is cut up, the second stands whole in each piece). error:
    nothing is cut here; the caller raises with what stands in `too_long`. Raises RecipeError for a stride as long as
    the window.
    """
    numbers = list(range(len(texts))) if rows is None else list(rows)
    check_window(tokenizer, data, max_length, pairs is not None)
    examples: list[Example] = []
    too_long: dict[int, int] = {}
    for start in range(0, len(texts), CHUNK):
        part = list(texts[start : start + CHUNK])
        part_pairs = None if pairs is None else list(pairs[start : start + CHUNK])
        # verbose=False: the tokenizer's own warning about long texts says less than ours.
        whole = tokenizer(part, part_pairs, truncation=False, verbose=False)
        for index, ids in enumerate(whole["input_ids"]):
            row = numbers[start + index]
            if len(ids) <= max_length:
                examples.append(_example(whole, index, row, 0, tokenizer))
                continue
            too_long[row] = len(ids)
            pair = None if part_pairs is None else part_pairs[index]
            pieces = _pieces(tokenizer, part[index], pair, data, max_length, row)
            examples.extend(_example(pieces, i, row, i, tokenizer) for i in range(len(pieces["input_ids"])))
    return Encoded(examples, too_long)


def check_window(tokenizer: PreTrainedTokenizerBase, data: DataSection, max_length: int, pair: bool) -> None:
    """Raise RecipeError when windows of `max_length` tokens would not get further by `data.window.stride`."""
    if data.too_long != "window":
        return
    special = tokenizer.num_special_tokens_to_add(pair=pair)
    if data.window.stride >= max_length - special:
        message = f"{data.window.stride} tokens shared by windows that hold {max_length - special} of the text"
        raise RecipeError([Problem("data.window.stride", message, "Make stride smaller or data.max_length larger.")])


def _pieces(
    tokenizer: PreTrainedTokenizerBase, text: str, pair: str | None, data: DataSection, max_length: int, row: int
) -> Any:
    """Return the encoding of what is left of a long text: one piece, or the windows."""
    texts = [text], None if pair is None else [pair]
    if data.too_long != "window":
        return tokenizer(*texts, truncation=True, max_length=max_length, verbose=False)
    pair_ids = None if pair is None else tokenizer(pair, add_special_tokens=False, verbose=False)["input_ids"]
    room = max_length - tokenizer.num_special_tokens_to_add(pair=pair is not None) - len(pair_ids or ())
    if room <= data.window.stride:
        raise DataError(
            f"row {row}: the second text leaves {max(room, 0)} of {max_length} tokens for windows of the first",
            hint="Raise data.max_length, lower data.window.stride, or use `too_long: truncate`.",
        )
    if not tokenizer.is_fast:
        return _windows_in_python(tokenizer, text, pair_ids, data.window.stride, room)
    return tokenizer(
        *texts,
        truncation="only_first",
        max_length=max_length,
        stride=data.window.stride,
        return_overflowing_tokens=True,
        verbose=False,
    )


def _windows_in_python(tokenizer: Any, text: str, pair_ids: list[int] | None, stride: int, room: int) -> Any:
    """Return windows of `room` tokens of the text as fast tokenizers make them; the others give one, and a rest."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    starts = range(0, len(ids) - stride, room - stride)
    windows = [tokenizer.prepare_for_model(ids[start : start + room], pair_ids, verbose=False) for start in starts]
    return {name: [window[name] for window in windows] for name in windows[0]}


def _example(encoding: Any, index: int, row: int, window: int, tokenizer: PreTrainedTokenizerBase) -> Example:
    ids = encoding["input_ids"][index]
    example = {"input_ids": compact(ids), "length": len(ids), "row": row, "window": window}
    if "token_type_ids" in encoding:
        example["token_type_ids"] = compact(encoding["token_type_ids"][index])
    if not ids:
        # A tokenizer without special tokens makes nothing of an empty text, and no model takes nothing.
        return {"input_ids": compact([_filler(tokenizer)]), "length": 1, "row": row, "window": window}
    return example


def compact(ids: Sequence[int]) -> Any:
    """Return token ids as int32 [tokens]: four bytes each, where a list of Python's numbers takes 36."""
    import numpy as np

    return np.array(ids, dtype=np.int32)


def _filler(tokenizer: PreTrainedTokenizerBase) -> int:
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return int(next((token for token in known if token is not None), 0))


def to_dataset(examples: Sequence[Example]) -> Dataset:
    """Return the examples as a data set in memory; nothing is written to disk."""
    import pyarrow as pa
    from datasets import Dataset, Features, List, Value

    kinds: dict[str, Any] = {
        "input_ids": List(Value("int32")),
        "token_type_ids": List(Value("int8")),
        "labels": None,
        "position_ids": List(Value("int32")),
        "length": Value("int32"),
        "row": Value("int64"),
        "window": Value("int32"),
        "text_bytes": Value("int64"),
    }
    names = list(examples[0]) if examples else ["input_ids", "length", "row", "window"]
    columns = {name: [example[name] for example in examples] for name in names}
    features = Features({name: kinds[name] or _label_feature(columns[name]) for name in names})
    # Arrow converts the lists itself, far faster than datasets' own value-by-value encoding.
    return Dataset(pa.table(columns, schema=features.arrow_schema))


def _label_feature(values: Sequence[Any]) -> Any:
    """Return the kind of labels: a class, a number, 0.0 or 1.0 for each label (list), or token ids (array)."""
    from datasets import List, Value

    if values and isinstance(values[0], float):
        return Value("float32")
    if values and isinstance(values[0], list):
        return List(Value("float32"))
    return Value("int64") if not values or isinstance(values[0], int) else List(Value("int32"))


def padded_batch(
    tokenizer: PreTrainedTokenizerBase, label_dtype: str, label_padding: int | None = None
) -> Callable[[Sequence[Mapping[str, Any]]], Batch]:
    """Return a collator: examples -> tensors padded on the right to the longest of them.

    Gives int64 input_ids, attention_mask (and token_type_ids) [batch, longest], row, window (and text_bytes) [batch],
    and, when the examples have them, labels of `label_dtype`: [batch] or [batch, labels]; with `label_padding` they
    are token labels, padded with it to [batch, longest]. Packed blocks have position_ids [batch, longest] and no
    attention_mask: transformers then tells texts apart by positions that do not go on, and padding (all 0) is a text
    of one token each.
    """
    pads = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id, "position_ids": 0}
    if pads["input_ids"] is None:
        raise ValueError("the tokenizer has no padding token; modeling.tokenizer gives it one")
    if label_padding is not None:
        pads["labels"] = label_padding

    def collate(examples: Sequence[Mapping[str, Any]]) -> Batch:
        import numpy as np
        import torch

        lengths = np.array([len(example["input_ids"]) for example in examples])
        longest = int(lengths.max())
        batch: Batch = {}
        for name, pad in pads.items():
            if name not in examples[0]:
                continue
            table = np.full((len(examples), longest), pad, dtype=np.int64)
            for index, example in enumerate(examples):
                table[index, : lengths[index]] = example[name]
            batch[name] = torch.from_numpy(table)
        if "position_ids" not in batch:
            mask = np.arange(longest)[None, :] < lengths[:, None]
            batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        if "labels" in examples[0] and label_padding is None:
            labels = np.array([example["labels"] for example in examples])
            batch["labels"] = torch.from_numpy(labels.astype(label_dtype))
        for name in ("row", "window", "text_bytes"):
            if name in examples[0]:
                batch[name] = torch.tensor([example[name] for example in examples])
        return batch

    return collate


def length_notices(
    encoded: Mapping[str, Encoded], sizes: Mapping[str, int], data: DataSection, max_length: int, pooled: bool = True
) -> tuple[Notice, ...]:
    """Return what a person should know about the long texts of each split; `pooled`: windows give one answer.

    Raises DataError when data.too_long is `error` and there are any.
    """
    found = {split: one.too_long for split, one in encoded.items() if one.too_long}
    if not found:
        return ()
    if data.too_long == "error":
        split, rows = next(iter(found.items()))
        some = ", ".join(f"row {row}: {length} tokens" for row, length in list(rows.items())[:5])
        more = f", and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise DataError(
            f"{split}: {len(rows)} texts are longer than {max_length} tokens ({some}{more})",
            hint=_remedies(data, max_length, "truncate"),
        )
    shares = ", ".join(
        f"{split} {len(rows)} of {sizes[split]} ({len(rows) / sizes[split]:.1%})" for split, rows in found.items()
    )
    if data.too_long == "window":
        pooling = f", answers pooled by {data.window.pooling}" if pooled else ""
        message = f"texts longer than {max_length} tokens are cut into windows{pooling}: {shares}"
        return (Notice("info", "windowed", message),)
    message = f"texts longer than {max_length} tokens lose their end: {shares}"
    return (Notice("warning", "truncated", message, _remedies(data, max_length)),)


def _remedies(data: DataSection, max_length: int, *choices: str) -> str:
    """Return what to do about long texts: a longer limit unless it is the model's own, windows of plain texts."""
    plain = data.prompt is None and data.messages is None
    settings = " or ".join([*choices, *(["window"] if plain else [])])
    ways = ["raise data.max_length"] if data.max_length == max_length else []
    ways += [f"set data.too_long: {settings}"] if settings else []
    return f"{', or '.join(ways)}.".capitalize() if ways else ""


def token_limit(data: DataSection, config: PretrainedConfig, tokenizer: Any) -> tuple[int, tuple[Notice, ...]]:
    """Return `limit_length` for a model with this config and tokenizer."""
    from hftune.modeling.loading import max_tokens

    return limit_length(data, max_tokens(config, tokenizer))
