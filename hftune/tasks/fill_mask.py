"""Fill mask: masked-language pretraining, a new model's or a further one; some tokens of a text are hidden and guessed.

Devlin et al. 2019 (BERT), 3.1: of 15% of the tokens 80% become the mask, 10% a random token, 10% stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from hftune.errors import DataError, Problem, RecipeError
from hftune.recipe.schema import DataSection, FittedTokenizer, PluginConfig, Recipe
from hftune.tasks import Batch, MetricStream, Notice, Prepared

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from hftune.tasks._encoding import Encoded

METRICS: Mapping[str, bool] = {"loss": False, "perplexity": False, "token_accuracy": True}
DEFAULT_METRIC = "loss"


class Config(PluginConfig):
    """How much of a text is hidden."""

    mask_probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15,
        description="share of a text's tokens that are to be guessed; of these 80% are masked, 10% random, 10% left",
    )


def prepare(
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    base_config: PretrainedConfig,
) -> Prepared:
    """Tokenize every split; mask all but train once and for all, train anew in each epoch (`Prepared.draw`).

    Columns of the prepared splits: input_ids, labels (as long: tokens to guess, -100 elsewhere; in train before a draw
    all that may be chosen), length, row, window, token_type_ids where the tokenizer gives them. Special tokens are
    never chosen, and of tokens that two windows share only the first window's. Raises RecipeError for a tokenizer
    without a mask and data that are no plain texts, DataError for a split with nothing to guess.
    """
    from hftune.data.columns import require_columns
    from hftune.tasks import _encoding, _rows
    from hftune.tasks._best_metric import require_metric
    from hftune.tasks._masking import make_masking

    data = recipe.data
    _check(recipe, tokenizer)
    require_metric(recipe.training, list(METRICS), splits)
    for split, dataset in splits.items():
        require_columns(dataset, data, ["text"], f"the {split} split")
    max_length, notices = _encoding.token_limit(data, base_config, tokenizer)
    masking = make_masking(tokenizer, recipe.task.settings(Config).mask_probability)

    encoded: dict[str, Encoded] = {}
    sizes: dict[str, int] = {}
    for split, dataset in splits.items():
        rows = _rows.filled_rows(dataset, [data.text])
        sizes[split] = len(rows)
        texts = _rows.text_column(dataset, data.text, rows, split)
        encoded[split] = _labelled(_encoding.encode(tokenizer, texts, None, data, max_length, rows), tokenizer, data)
        if not encoded[split].examples:
            reason = f"has no word in {data.text!r}" if len(dataset) else "is empty"
            raise DataError(f"the {split} split {reason}", hint="Each split needs at least one text.", key="data")
    notices += _wordless(splits, sizes, encoded)
    notices += _encoding.length_notices(encoded, sizes, data, max_length)
    notices += _rows.held_out_notices({split: _rows.keys(one, [data.text]) for split, one in splits.items()})
    return Prepared(
        splits={
            split: _encoding.to_dataset(
                one.examples if split == "train" else [masking.evaluation(example) for example in one.examples]
            )
            for split, one in encoded.items()
        },
        tokenizer=tokenizer,
        collate=partial(_collate, _encoding.padded_batch(tokenizer, "int64", label_padding=-100)),
        model_config={"pad_token_id": tokenizer.pad_token_id},
        notices=notices,
        draw=partial(masking.training, seed=recipe.training.seed),
    )


def load_model(recipe: Recipe, folder: Path | None, prepared: Prepared) -> PreTrainedModel:
    """Return the masked language model in fp32; new weights are drawn from torch's global generator."""
    from transformers import AutoModelForMaskedLM

    from hftune.modeling.loading import load_model as load

    return load(AutoModelForMaskedLM, recipe.model, folder, prepared.tokenizer, prepared.model_config)


def weight(recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
    """Return how many tokens of the batch are to be guessed."""
    return (batch["labels"] != -100).sum().float()


def loss(recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the cross-entropy summed over the tokens to guess, fp32; logits [batch, tokens, vocabulary].

    Or both logits and labels are of the tokens to guess alone: [guessed, vocabulary] and [guessed].
    """
    from torch.nn import functional

    targets = batch["labels"]
    chosen = targets != -100
    smoothing = recipe.training.label_smoothing_factor
    return functional.cross_entropy(logits[chosen].float(), targets[chosen], label_smoothing=smoothing, reduction="sum")


def metric_stream(recipe: Recipe, prepared: Prepared) -> MetricStream:
    """Return fresh figures of the tokens to guess: loss, token accuracy, and perplexity.

    The perplexity is that of one masked token given all others: a pseudo-perplexity, none of whole texts.
    """
    from hftune.tasks._streams import TokenStream

    return TokenStream(recipe.training.label_smoothing_factor)


def _collate(padded: Callable[[Sequence[Mapping[str, Any]]], Batch], examples: Sequence[Mapping[str, Any]]) -> Batch:
    """Return a padded batch that says at which tokens logits are asked for: `guessed`, bool [batch, longest]."""
    batch = padded(examples)
    return {**batch, "guessed": batch["labels"] != -100}


def _check(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise RecipeError for a vocabulary without a mask, and for data other than plain texts."""
    data = recipe.data
    asked = [key for key in ("text_pair", "prompt", "messages") if getattr(data, key) is not None]
    asked += ["pack"] if data.pack else []
    problems = [
        Problem(f"data.{key}", "fill-mask learns plain texts, each by itself", "Leave it out.") for key in asked
    ]
    if tokenizer.mask_token_id is None:
        whose = recipe.model.id or recipe.model.tokenizer
        message = f"the tokenizer of {whose} has no mask token"
        hint = "Use a model of BERT's kind, or `task: text-generation` for one of GPT-2's."
        if isinstance(whose, FittedTokenizer):
            message = f"a tokenizer fitted to {whose.fit} has no mask token"
            hint = "Name the tokenizer of a model of BERT's kind: `model.tokenizer: ID`."
        problems.append(Problem("task", message, hint))
    if problems:
        raise RecipeError(problems)


def _labelled(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, data: DataSection) -> Encoded:
    """Add what may be guessed of each example; one with nothing of that is left out and counted."""
    import numpy as np

    from hftune.tasks._encoding import Encoded
    from hftune.tasks._masking import IGNORED, maskable

    special = np.array(sorted(tokenizer.all_special_ids), dtype=np.int32)
    # What a window begins with stands in the one before, too, and is chosen there or not at all.
    shared = _before_text(tokenizer) + data.window.stride
    examples = []
    for example in encoded.examples:
        labels = maskable(example["input_ids"], special, shared if example["window"] else 0)
        if (labels != IGNORED).any():
            examples.append({**example, "labels": labels})
    kept = {example["row"] for example in examples}
    return Encoded(examples, encoded.too_long, len({example["row"] for example in encoded.examples} - kept))


def _before_text(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many special tokens stand before a text."""
    whole, plain = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    return next(place for place in range(len(whole)) if whole[place : place + len(plain)] == plain)


def _wordless(
    splits: Mapping[str, Dataset], sizes: Mapping[str, int], encoded: Mapping[str, Encoded]
) -> tuple[Notice, ...]:
    lost = {split: len(dataset) - sizes[split] + encoded[split].unlearned for split, dataset in splits.items()}
    if not any(lost.values()):
        return ()
    found = ", ".join(f"{split} {count} of {len(splits[split])}" for split, count in lost.items() if count)
    return (Notice("info", "nothing-to-learn", f"rows with no word to guess are left out: {found}"),)
