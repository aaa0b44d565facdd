"""Text generation: the next token of plain texts, of completions after prompts, or of an assistant's turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from hftune.errors import DataError, Problem, RecipeError, closest
from hftune.recipe.schema import DataSection, PluginConfig, Recipe
from hftune.tasks import Batch, MetricStream, Notice, Prepared
from hftune.tasks._chat import TEMPLATES, Segment, segments, template_text

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from hftune.tasks._encoding import Encoded

METRICS: Mapping[str, bool] = {"loss": False, "perplexity": False, "bits_per_byte": False, "token_accuracy": True}
DEFAULT_METRIC = "loss"


class Config(PluginConfig):
    """What is learned of each example, and how conversations become text."""

    template: str | None = Field(
        None,
        description="chat template of `data.messages`: `lines` or Jinja text; left out: the tokenizer's own, or lines",
    )
    answer_only: bool = Field(
        True, description="learn only completions and the assistant's turns; false: the prompts too"
    )

    @field_validator("template")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and "{" not in value and value not in TEMPLATES:
            raise ValueError(f"no chat template named {value!r}. {closest(value, TEMPLATES)}")
        return value


def prepare(
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    base_config: PretrainedConfig,
) -> Prepared:
    """Tokenize every split, ended by end-of-text, with -100 as the label of what is not learned.

    Columns of the prepared splits: input_ids, labels (as long), length, row, window, and for plain texts text_bytes;
    with `data.pack` train also has position_ids (`_token_targets.encode_packed`).
    With `data.messages` the tokenizer's chat_template is set, to be saved with the model. Raises RecipeError for
    missing columns, DataError for a split with nothing to learn or messages that are none.
    """
    from hftune.data.columns import require_columns
    from hftune.tasks import _encoding, _rows
    from hftune.tasks._best_metric import require_metric

    data = recipe.data
    fields = _fields(data)
    reported = [name for name in METRICS if name != "bits_per_byte" or fields == ["text"]]
    require_metric(recipe.training, reported, splits)
    columns = [getattr(data, field) for field in fields]
    for split, dataset in splits.items():
        require_columns(dataset, data, fields, f"the {split} split")
    if data.messages is not None:
        tokenizer.chat_template = template_text(recipe.task.settings(Config).template, tokenizer)
    max_length, notices = _encoding.token_limit(data, base_config, tokenizer)
    _check_plain(data)

    encoded: dict[str, Encoded] = {}
    sizes: dict[str, int] = {}
    for split, dataset in splits.items():
        rows = _rows.filled_rows(dataset, columns)
        sizes[split] = len(rows)
        encoded[split] = _encode(recipe, dataset, rows, split, tokenizer, max_length)
        if not encoded[split].examples:
            reason = f"has nothing to learn in {' and '.join(map(repr, columns))}" if len(dataset) else "is empty"
            raise DataError(
                f"the {split} split {reason}", hint="Each split needs at least one text of two tokens.", key="data"
            )
    notices += _nothing_learned(splits, sizes, encoded)
    notices += _encoding.length_notices(encoded, sizes, data, max_length, pooled=False)
    notices += _rows.held_out_notices({split: _rows.keys(one, columns) for split, one in splits.items()})
    return Prepared(
        splits={split: _encoding.to_dataset(one.examples) for split, one in encoded.items()},
        tokenizer=tokenizer,
        collate=_encoding.padded_batch(tokenizer, "int64", label_padding=-100),
        model_config={"pad_token_id": tokenizer.pad_token_id},
        notices=notices,
    )


def load_model(recipe: Recipe, folder: Path | None, prepared: Prepared) -> PreTrainedModel:
    """Return the causal language model in fp32; new weights are drawn from torch's global generator."""
    from transformers import AutoModelForCausalLM

    from hftune.modeling.loading import load_model as load

    model = load(AutoModelForCausalLM, recipe.model, folder, prepared.tokenizer, prepared.model_config)
    if recipe.data.pack and not _tells_texts_apart(model):
        message = f"models of the kind {model.config.model_type} look from one text of a block into another"
        raise RecipeError([Problem("data.pack", message, "Leave it out.")])
    return model


def weight(recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
    """Return how many tokens of the batch are learned."""
    return (batch["labels"][:, 1:] != -100).sum().float()


def loss(recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the cross-entropy summed over learned tokens, fp32; `logits` [batch, tokens, vocabulary].

    Logits at t predict token t + 1. Only positions with a target are brought to fp32: of 50,000 columns each.
    """
    from torch.nn import functional

    targets = batch["labels"][:, 1:]
    learned = targets != -100
    predictions, smoothing = logits[:, :-1][learned].float(), recipe.training.label_smoothing_factor
    return functional.cross_entropy(predictions, targets[learned], label_smoothing=smoothing, reduction="sum")


def metric_stream(recipe: Recipe, prepared: Prepared) -> MetricStream:
    """Return fresh figures: loss and perplexity of a token, token accuracy, and bits per byte for plain texts."""
    from hftune.tasks._streams import GenerationStream

    return GenerationStream(recipe.training.label_smoothing_factor)


def _fields(data: DataSection) -> list[str]:
    """Return the keys of the data section that name the columns to learn from."""
    if data.messages is not None:
        return ["messages"]
    return ["text"] if data.prompt is None else ["prompt", "completion"]


def _check_plain(data: DataSection) -> None:
    """Windows and packed blocks are for plain texts; packing implies windows, so one message tells of both."""
    if data.too_long == "window" and (data.messages is not None or data.prompt is not None):
        message = "windows are for plain texts: a piece of a conversation would lack what it answers"
        raise RecipeError([Problem("data.too_long", message, "Use truncate or error.")])


def _tells_texts_apart(model: PreTrainedModel) -> bool:
    """Whether the first text of a packed block leaves the answers to the second as they are; asked of the model itself.

    transformers makes the mask from positions, but not for every architecture, and nothing fails where it does not.
    """
    import torch

    first, second = [0, 1, 2], [1, 2, 0, 1]
    blocks = torch.tensor([first + second, first[::-1] + second])
    positions = torch.tensor([*range(len(first)), *range(len(second))]).repeat(2, 1)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=blocks, position_ids=positions, use_cache=False).logits[:, len(first) :].float()
    model.train(was_training)
    return bool(torch.allclose(logits[0], logits[1], rtol=0, atol=1e-5))


def _encode(
    recipe: Recipe,
    dataset: Dataset,
    rows: Sequence[int],
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> Encoded:
    from hftune.tasks import _rows
    from hftune.tasks._token_targets import encode_packed, encode_segments, encode_texts

    data, answer_only = recipe.data, recipe.task.settings(Config).answer_only
    if data.messages is not None:
        conversations: list[Any] = dataset[data.messages][:]
        documents: list[list[Segment]] = [
            segments(tokenizer, conversations[row], f"{split}, row {row} (from 0)", answer_only) for row in rows
        ]
        return encode_segments(tokenizer, documents, rows, max_length)
    if data.prompt is not None and data.completion is not None:
        prompts = _rows.text_column(dataset, data.prompt, rows, split)
        completions = _rows.text_column(dataset, data.completion, rows, split)
        pairs: list[list[Segment]] = [
            [(prompt, not answer_only), (completion, True)]
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        return encode_segments(tokenizer, pairs, rows, max_length)
    texts = _rows.text_column(dataset, data.text, rows, split)
    if data.pack and split == "train":
        return encode_packed(tokenizer, texts, rows, max_length)
    return encode_texts(tokenizer, texts, rows, data, max_length)


def _nothing_learned(
    splits: Mapping[str, Dataset], sizes: Mapping[str, int], encoded: Mapping[str, Encoded]
) -> tuple[Notice, ...]:
    lost = {split: len(dataset) - sizes[split] + encoded[split].unlearned for split, dataset in splits.items()}
    if not any(lost.values()):
        return ()
    found = ", ".join(f"{split} {count} of {len(splits[split])}" for split, count in lost.items() if count)
    return (Notice("info", "nothing-to-learn", f"rows with no token to learn are left out: {found}"),)
