"""What is wrong with data or model is told with the line and column of the recipe that says otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hftune.cli import run

RECIPE = """\
name: broken
task: text-classification
model: {model}
data:
  files: {{train: {train}, validation: {validation}, test: {train}}}
  text: {text}
  label: label
method: {method}
training:
  max_steps: 1
"""
LORA = "\n  name: lora\n  target_modules: [query, valu]"


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("changes", "key", "place", "said"),
    [
        ({"text": "txt"}, "data.text", "6:9", ["no column 'txt'", "Did you mean 'text'?"]),
        ({"validation": "other.csv"}, "data.label", "7:10", ["unknown label 'posittive'", "Did you mean 'positive'?"]),
        ({"validation": "empty.csv"}, "data.files.validation", "5:", ["empty.csv", "no rows"]),
        ({"validation": "unlabelled.csv"}, "data", "5:3", ["the validation split has no row with both"]),
        ({"method": LORA}, "method.target_modules", "10:19", ["'valu'", "Did you mean 'value'?"]),
    ],
    ids=["missing column", "unknown label", "empty split", "no labels", "target module"],
)
def test_a_mistake_in_data_or_model_names_the_recipes_line(
    command: str,
    changes: dict[str, str],
    key: str,
    place: str,
    said: list[str],
    tmp_path: Path,
    tiny_bert_folder: Path,
    tiny_reviews: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")
    (tmp_path / "other.csv").write_text("text,label\na fine film,posittive\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("text,label\n", encoding="utf-8")
    (tmp_path / "unlabelled.csv").write_text("text,label\na fine film,\n", encoding="utf-8")
    values = {"model": tiny_bert_folder, "train": tiny_reviews, "validation": tiny_reviews, "text": "text"}
    recipe = tmp_path / "broken.yaml"
    recipe.write_text(RECIPE.format(**{**values, "method": "full", **changes}), encoding="utf-8")
    assert run([command, str(recipe), "--runs-dir", str(tmp_path / "runs"), "--json"]) == 2
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    told = json.dumps(lines[-1], ensure_ascii=False)
    assert f"broken.yaml:{place}" in told
    assert all(words in told for words in [f"{key}: ", *said])


@pytest.mark.parametrize(
    ("model", "key", "place"),
    [
        ("sentence-transformers/all-MiniLM-L6", "model.id", "3:"),
        ("{{id: {model}, tokenizer: ./tokens}}", "model.tokenizer", "3:"),
    ],
)
def test_a_model_that_cannot_be_found_names_the_recipes_line(
    model: str, key: str, place: str, tmp_path: Path, tiny_bert_folder: Path, tiny_reviews: Path,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")
    recipe = tmp_path / "broken.yaml"
    values = {"train": tiny_reviews, "validation": tiny_reviews, "text": "text", "method": "full"}
    recipe.write_text(RECIPE.format(**values, model=model.format(model=tiny_bert_folder)), encoding="utf-8")
    assert run(["run", str(recipe), "--runs-dir", str(tmp_path / "runs")]) == 1
    told = capfd.readouterr().err
    assert f"broken.yaml:{place}" in told and f": {key}: " in told
