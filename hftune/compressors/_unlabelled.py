"""Texts without labels: a student learns from what its parent says of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset, concatenate_datasets

from hftune.compressors import Parent
from hftune.compressors._soft_targets import NO_LABEL
from hftune.data.columns import require_columns
from hftune.data.load import load_data_file
from hftune.errors import DataError
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import with_training
from hftune.tasks import Prepared, Task, _encoding, _rows
from hftune.tasks._labels import SINGLE

if TYPE_CHECKING:
    from collections.abc import Callable


def with_unlabelled(
    prepared: Prepared, recipe: Recipe, task: Task, parent: Parent, file: Path, note: Callable[[str], None]
) -> Prepared:
    """Return the prepared data with the texts of a file behind train's; rows go on where train's end.

    Its texts stand where the recipe's data section says texts do. Raises DataError for a file without texts.
    """
    rows = load_data_file(file, recipe.data)
    train = prepared.splits["train"]
    if recipe.task.name == "text-classification":
        more = _texts(rows, prepared, recipe, parent, file)
    else:  # what a language model learns of a text is the text, packed and masked as train's are
        alone = with_training(recipe, metric_for_best_model=None, early_stopping_patience=None)
        tokenizer, config = parent.loaded.tokenizer, parent.model.config
        more = task.prepare(alone, {"train": rows}, tokenizer, config).splits["train"]
    first = max(train["row"]) + 1
    more = more.map(lambda example: {"row": example["row"] + first}, features=more.features, load_from_cache_file=False)
    note(f"learning from {len(more):,} more examples, of {file.name}")
    both = concatenate_datasets([train, more.select_columns(train.column_names).cast(train.features)])
    return replace(prepared, splits={**prepared.splits, "train": both})


def _texts(rows: Dataset, prepared: Prepared, recipe: Recipe, parent: Parent, file: Path) -> Dataset:
    """Return the texts as examples without a label."""
    data, tokenizer = recipe.data, parent.loaded.tokenizer
    columns = [column for column in (data.text, data.text_pair) if column is not None]
    require_columns(rows, data, ["text", "text_pair"][: len(columns)], file.name)
    numbers = _rows.filled_rows(rows, columns)
    if not numbers:
        raise DataError(f"{file} has no text", key="compress.unlabelled")
    texts, *pairs = (_rows.text_column(rows, column, numbers, file.name) for column in columns)
    limit, _ = _encoding.token_limit(data, parent.model.config, tokenizer)
    encoded = _encoding.encode(tokenizer, texts, pairs[0] if pairs else None, data, limit, numbers)
    # An error where the recipe says that none may be cut.
    _encoding.length_notices({file.name: encoded}, {file.name: len(numbers)}, data, limit)
    label = _no_label(prepared)
    return _encoding.to_dataset([{**example, "labels": label} for example in encoded.examples])


def _no_label(prepared: Prepared) -> Any:
    """Return what stands in the place of a label."""
    example = prepared.splits["train"][0]["labels"]
    if isinstance(example, list):
        return [math.nan] * len(example)
    return NO_LABEL if prepared.model_config["problem_type"] == SINGLE or isinstance(example, int) else math.nan
