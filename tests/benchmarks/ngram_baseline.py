"""A run's language model beside modified Kneser-Ney n-grams of the same train texts, over the same held-out tokens.

RUN is the directory of a finished text-generation run on plain texts: its recipe names the data, its model/ has the
tokenizer and the weights; or it is a recipe, and --model names a folder or starter with what came of it (`gpt2_mini
--model hftune:gpt2-mini`). Every token of a held-out document but the first is predicted, end-of-text too, by both.
The model (plain transformers, fp32) reads windows of the recipe's data.max_length tokens, each of which repeats
data.window.stride tokens of the one before as context; the n-grams see all of the document before. Prints bits per
byte by the column `source`, the model's perplexity (of a token), and how much more the n-grams of the highest order
need, with the 2.5% and 97.5% percentiles over 10,000 draws of as many documents, with replacement (of few documents,
it says little).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kneser_ney import Floats, Ids, KneserNey

from hftune.data.load import load_splits
from hftune.errors import HftuneError, UsageError
from hftune.modeling.resolve import resolve_model
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import DataSection, ModelSection, Recipe
from hftune.runs import layout
from hftune.tasks._token_targets import IGNORED, encode_texts

DRAWS = 10_000
BATCH = 8  # windows the model reads at a time
ALL = "all"


@dataclass(frozen=True)
class Texts:
    """Documents of two tokens or more: where each is from, its ids, and the bytes that its predicted tokens stand for.

    `windows` are the examples that hftune makes of them; `document` is which of the documents each belongs to.
    """

    sources: list[str]
    ids: list[Ids]
    bytes: Floats
    windows: list[dict[str, Any]]
    document: list[int]


def main() -> None:
    """Fit, score, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--model", metavar="MODEL", help="default: that of the run")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="default: test")
    parser.add_argument("--orders", nargs="+", type=int, default=[3, 5], metavar="N", help="default: 3 5")
    parser.add_argument("--by", default="source", metavar="COLUMN", help="of the data; default: source")
    arguments = parser.parse_args()
    try:
        recipe, folder = find(arguments.run, arguments.model)
        texts, bits = compare(recipe, folder, arguments.split, sorted(arguments.orders), arguments.by)
    except HftuneError as error:
        sys.exit(str(error))
    print(table(texts, bits))
    tokens = sum(len(ids) - 1 for ids in texts.ids)
    print(f"\nThe model's perplexity is {2 ** (bits['model'].sum() / tokens):.1f} over {tokens:,} tokens.")


def find(run: str, model: str | None) -> tuple[Recipe, Path]:
    """Return the recipe and the folder with the model: of a run, or of a recipe and what `model` names."""
    if model is None:
        return load_recipe(Path(run) / layout.RECIPE), Path(run) / layout.MODEL
    return load_recipe(run), resolve_model(ModelSection(id=model)).folder


def compare(
    recipe: Recipe, folder: Path, split: str, orders: Sequence[int], column: str
) -> tuple[Texts, dict[str, Floats]]:
    """Return the documents of `split`, and name of a model -> bits [documents] that it needs for each."""
    from transformers import AutoConfig, AutoTokenizer

    data = _windowed(recipe)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    most = getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", data.max_length)
    splits = load_splits(data)
    if split not in splits:
        raise UsageError(f"the data of {recipe.name} have no {split} split")
    train, held_out = (
        encode(splits[name], tokenizer, data, column, min(data.max_length, most)) for name in ("train", split)
    )
    bits = {}
    for order in orders:
        ngrams = KneserNey(train.ids, len(tokenizer), order)
        bits[f"{order}-gram"] = np.array([-one[1:].sum() for one in ngrams.log2_probabilities(held_out.ids)])
    return held_out, {**bits, "model": model_bits(folder, held_out)}


def _windowed(recipe: Recipe) -> DataSection:
    """Return the data section that cuts no document short."""
    data = recipe.data
    if recipe.task.name != "text-generation" or data.prompt is not None or data.messages is not None:
        raise UsageError("this baseline is for runs of text-generation on plain texts (`data.text`)")
    return data if data.too_long == "window" else data.model_copy(update={"too_long": "window"})


def encode(dataset: Any, tokenizer: Any, data: DataSection, column: str, max_length: int) -> Texts:
    """Return the texts of a split as hftune encodes them."""
    texts = dataset[data.text][:]
    labels = dataset[column][:] if column in dataset.column_names else [ALL] * len(texts)
    rows = [row for row, text in enumerate(texts) if text]
    encoded = encode_texts(tokenizer, [texts[row] for row in rows], rows, data, max_length)
    pieces: dict[int, list[Ids]] = {}
    sizes: dict[int, int] = {}
    for window in encoded.examples:
        ids, row = window["input_ids"], window["row"]
        pieces.setdefault(row, []).append(ids if window["window"] == 0 else ids[window["labels"] != IGNORED])
        sizes[row] = sizes.get(row, 0) + window["text_bytes"]
    number = {row: index for index, row in enumerate(pieces)}
    return Texts(
        sources=[str(labels[row]) for row in pieces],
        ids=[np.concatenate(parts).astype(np.int64) for parts in pieces.values()],
        bytes=np.array(list(sizes.values()), dtype=float),
        windows=encoded.examples,
        document=[number[window["row"]] for window in encoded.examples],
    )


def model_bits(folder: Path, texts: Texts) -> Floats:
    """Return the bits [documents] that the model in `folder` needs for the learned tokens of the windows."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    bits = np.zeros(len(texts.ids))
    order = sorted(range(len(texts.windows)), key=lambda index: -texts.windows[index]["length"])
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        ids, labels = (
            torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(texts.windows[index][key].astype(np.int64)) for index in chosen], True, padding
            )
            for key, padding in (("input_ids", 0), ("labels", IGNORED))
        )
        with torch.inference_mode():
            # Nothing is masked: what is padded comes after all that is predicted, and no token looks ahead.
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
            )
        nats = losses.view(len(chosen), -1).double().sum(1).numpy()
        np.add.at(bits, [texts.document[index] for index in chosen], nats / math.log(2))
    return bits


def table(texts: Texts, bits: dict[str, Floats]) -> str:
    """Return bits per byte by source and in all, and the difference of the last two with its interval."""
    lines = [
        f"| source | docs | bytes | {' | '.join(bits)} | {list(bits)[-2]} − model (95%) |",
        "|---" + "|---:" * (len(bits) + 3) + "|",
    ]
    sources = list(dict.fromkeys(texts.sources))
    for source in [*(sources if sources != [ALL] else []), ALL]:
        chosen = np.array([source in (ALL, one) for one in texts.sources])
        size = texts.bytes[chosen]
        cells = [f"{values[chosen].sum() / size.sum():.3f}" for values in bits.values()]
        baseline, model = [values[chosen] for values in bits.values()][-2:]
        more = baseline - model
        lines.append(
            f"| {source} | {len(size)} | {int(size.sum()):,} | {' | '.join(cells)} "
            f"| {more.sum() / size.sum():+.3f}{_interval(more, size)} |"
        )
    return "\n".join(lines)


def _interval(values: Floats, sizes: Floats) -> str:
    """Return the 95% interval of sum(values) / sum(sizes) over documents, as text; nothing for one document."""
    if len(values) < 2:
        return ""
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(values), size=len(values)) for _ in range(DRAWS))
    low, high = np.quantile([values[drawn].sum() / sizes[drawn].sum() for drawn in draws], [0.025, 0.975])
    return f" ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
