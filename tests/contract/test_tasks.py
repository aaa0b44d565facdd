"""Every task keeps its protocol: names, light imports, losses that sum, figures that do not depend on batches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import ensure_pad_token
from hftune.recipe.schema import PluginConfig, Recipe
from hftune.tasks import Prepared, registry

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "evaluate", "numpy")
TEXTS = [
    "the film was good",
    "the plot was bad and very boring",
    "we loved it",
    "a dull scene .",
    "fine film",
    "awful !",
]
LABELS = ["positive", "negative", "positive", "negative", "positive", "negative"]
NOT_FOR_THE_MODEL = {"labels", "row", "window", "text_bytes", "guessed"}


@pytest.fixture(params=registry.names())
def task_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["tiny_bert_folder", "tiny_gpt2_folder"])
def folder(request: pytest.FixtureRequest, task_name: str) -> Path:
    if task_name == "text-generation" and request.param == "tiny_bert_folder":
        pytest.skip("BERT does not write from left to right")
    if task_name == "fill-mask" and request.param == "tiny_gpt2_folder":
        pytest.skip("GPT-2 has no mask")
    return Path(request.getfixturevalue(request.param))


@pytest.fixture
def recipe(task_name: str, folder: Path) -> Recipe:
    config = registry.load(task_name).Config()
    return Recipe.model_validate(
        {
            "name": "contract",
            "task": {"name": task_name, "options": {}, "config": config},
            "model": str(folder),
            "data": {"rows": [{"text": "a", "label": "b"}]},
        }
    )


@pytest.fixture
def prepared(task_name: str, folder: Path, recipe: Recipe) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ensure_pad_token(tokenizer)
    whole = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    splits = {"train": whole, "validation": whole.select([0, 1])}
    return registry.load(task_name).prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def test_names_of_the_protocol_are_there(task_name: str) -> None:
    task = registry.load(task_name)
    assert issubclass(task.Config, PluginConfig)
    assert task.DEFAULT_METRIC in task.METRICS
    assert "loss" in task.METRICS
    assert all(isinstance(greater, bool) for greater in task.METRICS.values())
    assert all(field.description for field in task.Config.model_fields.values())


def test_loading_a_task_imports_nothing_heavy(task_name: str) -> None:
    code = (
        "import sys, json; from hftune.tasks import registry; "
        f"task = registry.load({task_name!r}); task.Config(); task.METRICS; "
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_splits_have_what_training_needs(prepared: Prepared) -> None:
    for dataset in prepared.splits.values():
        assert {"input_ids", "length", "row", "labels"} <= set(dataset.column_names)
        assert dataset["length"][:] == [len(ids) for ids in dataset["input_ids"][:]]
        assert not dataset.cache_files
    assert prepared.splits["validation"]["row"][:] == [0, 1]


def test_batches_are_padded_to_their_longest(prepared: Prepared) -> None:
    rows = list(prepared.splits["train"])
    batch = prepared.collate(rows)
    longest = max(row["length"] for row in rows)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (len(rows), longest)
    for index, row in enumerate(rows):
        assert batch["attention_mask"][index].tolist() == [1] * row["length"] + [0] * (longest - row["length"])
        assert batch["input_ids"][index, : row["length"]].tolist() == row["input_ids"]


def test_micro_batches_sum_to_transformers_loss(
    task_name: str, folder: Path, recipe: Recipe, prepared: Prepared
) -> None:
    task = registry.load(task_name)
    torch.manual_seed(0)
    model = task.load_model(recipe, folder, prepared).eval()
    rows = list(prepared.splits["train"])

    def logits_and_loss(batch: dict[str, Any]) -> Any:
        inputs = {name: value for name, value in batch.items() if name not in NOT_FOR_THE_MODEL}
        return model(**inputs, labels=batch["labels"])

    with torch.no_grad():
        whole = logits_and_loss(prepared.collate(rows)).loss.item()
        parts = [prepared.collate(rows[:1]), prepared.collate(rows[1:])]
        summed = sum(task.loss(recipe, prepared, logits_and_loss(part).logits, part).item() for part in parts)
        weight = sum(task.weight(recipe, prepared, part).item() for part in parts)
        assert summed / weight == pytest.approx(whole, rel=1e-5)
        streams = []
        for cut in ([rows], [rows[2:], rows[:2]]):
            stream = task.metric_stream(recipe, prepared)
            for part in cut:
                batch = prepared.collate(part)
                stream.update(logits_and_loss(batch).logits, batch)
            streams.append(stream.compute())
    assert streams[0] == pytest.approx(streams[1], rel=1e-5)
    assert streams[0]["loss"] == pytest.approx(whole, rel=1e-5)
    assert task.DEFAULT_METRIC in streams[0]
    assert set(streams[0]) <= set(task.METRICS)


def test_half_precision_logits_give_a_loss_in_full_precision(
    task_name: str, recipe: Recipe, prepared: Prepared
) -> None:
    task = registry.load(task_name)
    batch = prepared.collate(list(prepared.splits["train"]))
    outputs = len(prepared.model_config["id2label"]) if "id2label" in prepared.model_config else 320
    shape = (*batch["labels"].shape, outputs)
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = task.loss(recipe, prepared, logits, batch)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(task.loss(recipe, prepared, logits.float(), batch).item(), rel=1e-6)
