"""Text classification against PyTorch's and transformers' own figures, on tiny real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hftune.errors import DataError, ModelError, RecipeError
from hftune.modeling.loading import load_config
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared, text_classification

TEXTS = ["the film was good", "the plot was bad and very boring", "we loved it", "a dull scene .", "fine", "awful !"]
LABELS = ["positive", "negative", "positive", "negative", "positive", "negative"]


def make_recipe(folder: Path | str, task: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    options = task or {}
    training = sections.pop("training", {})
    data = {"rows": [{"text": "a", "label": "b"}], **sections}
    return Recipe.model_validate(
        {
            "name": "test",
            "task": {
                "name": "text-classification",
                "options": options,
                "config": text_classification.Config(**options),
            },
            "model": str(folder),
            "data": data,
            "training": training,
        }
    )


def make_splits(**columns: list[Any]) -> dict[str, Dataset]:
    train = Dataset.from_dict(columns)
    return {"train": train, "validation": train.select(range(2))}


def make_prepared(recipe: Recipe, folder: Path, splits: dict[str, Dataset]) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return text_classification.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def whole_batch(prepared: Prepared, split: str = "train") -> dict[str, torch.Tensor]:
    return prepared.collate(list(prepared.splits[split]))


def model_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in batch.items() if name not in ("labels", "row", "window")}


def codes(prepared: Prepared) -> set[str]:
    return {notice.code for notice in prepared.notices}


def test_labels_and_columns_come_from_the_data(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    assert prepared.model_config["id2label"] == {0: "negative", 1: "positive"}
    assert prepared.model_config["label2id"] == {"negative": 0, "positive": 1}
    assert prepared.model_config["problem_type"] == "single_label_classification"
    assert prepared.splits["train"]["labels"][:] == [1, 0, 1, 0, 1, 0]
    assert {"input_ids", "length", "row", "labels"} <= set(prepared.splits["train"].column_names)
    assert "problem-type" in codes(prepared)


def test_loss_equals_that_of_transformers(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    torch.manual_seed(0)
    model = text_classification.load_model(recipe, tiny_bert_folder, prepared).eval()
    batch = whole_batch(prepared)
    output = model(**model_inputs(batch), labels=batch["labels"])
    ours = text_classification.loss(recipe, prepared, output.logits, batch)
    weight = text_classification.weight(recipe, prepared, batch)
    assert (ours / weight).item() == pytest.approx(output.loss.item(), abs=1e-6)
