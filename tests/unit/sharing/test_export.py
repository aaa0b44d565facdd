"""Exports answer as the run does, in any batch, and one that does not is not kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hftune import cli
from hftune.errors import ModelError, UsageError
from hftune.inference.predictor import Predictor
from hftune.sharing import export as export_module
from hftune.sharing import onnx_graph, parity
from hftune.sharing.export import export
from hftune.sharing.parity import Kind, Parity, ParityError, Questions, compare
from hftune.sharing.parity_process import onnx_run

TEXTS = ["good", "the film was good", "a dull scene .", "we loved it and never a boring plot !"]
MODEL = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def quiet(_: str) -> None:
    return None


def exported(run: Path, kind: Kind, folder: Path, rows: int = 30) -> Parity:
    return export(run, None, kind, folder, rows, quiet).parity


def the_lines_run(folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["lora_run", "lstm_run"])
def test_transformers_reads_an_export(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = exported(request.getfixturevalue(kind), "transformers", tmp_path / "out")
    assert names(tmp_path / "out") == MODEL
    assert (found.split, found.agreed) == ("test", found.rows)
    assert found.difference < 1e-5


def test_peft_reads_an_adapter(lora_run: Path, tmp_path: Path) -> None:
    found = exported(lora_run, "adapter", tmp_path / "out")
    assert {"adapter_config.json", "adapter_model.safetensors"} < set(names(tmp_path / "out"))
    assert "model.safetensors" not in names(tmp_path / "out")
    assert found.difference == 0


@pytest.mark.parametrize("kind", ["lora_run", "lstm_run"])
def test_a_graph_gives_a_classifiers_logits_in_any_batch(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(kind)
    found = exported(run, "onnx", tmp_path / "out")
    assert names(tmp_path / "out") == [
        "README.md",
        "config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert found.agreed == found.rows
    assert found.difference < 1e-5
    from transformers import AutoTokenizer

    predictor = Predictor.load(run)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ask = onnx_run(tmp_path / "out" / "model.onnx")
    limit = predictor.loaded.recipe.data.max_length
    padded = tokenizer(TEXTS, padding=True, truncation=True, max_length=limit, return_tensors="np")
    together = ask({name: np.asarray(values, np.int64) for name, values in padded.items()})
    expected = np.array([prediction.logits for prediction in predictor.classify(TEXTS)])
    np.testing.assert_allclose(together[:, -1], expected[:, -1], atol=1e-5)
    the_lines_run(tmp_path / "out")


@pytest.mark.parametrize("kind", ["language_run", "mask_run"])
def test_a_graph_gives_a_language_models_logits(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = request.getfixturevalue(kind)
    found = exported(run, "onnx", tmp_path / "out")
    assert found.agreed == found.rows
    assert found.difference < 1e-4
    if kind == "language_run":
        assert found.prompts == found.same_texts > 0
    loaded = Predictor.load(run).loaded
    import torch

    ids = loaded.tokenizer("good", add_special_tokens=False, return_tensors="pt")["input_ids"][:, :1]
    with torch.inference_mode():
        expected = loaded.model(input_ids=ids).logits.numpy()
    given = {
        "input_ids": ids.numpy(),
        "attention_mask": np.ones((1, 1), np.int64),
        "token_type_ids": np.zeros((1, 1), np.int64),
    }
    np.testing.assert_allclose(onnx_run(tmp_path / "out" / "model.onnx")(given), expected, atol=1e-4)


def test_an_export_that_answers_otherwise_is_refused_and_not_kept(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = export_module._write

    def spoiled(predictor: Predictor, kind: Kind, folder: Path) -> None:
        predictor.loaded.model.classifier.weight.data.mul_(-1)
        write(predictor, kind, folder)

    monkeypatch.setattr(export_module, "_write", spoiled)
    assert cli.run(["export", str(full_run), "--to", "transformers", "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "does not answer as the run does" in said
    assert "Nothing was kept" in said
    assert list(tmp_path.glob("*out*")) == []


def test_an_export_that_cannot_be_loaded_is_refused(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export_module._write

    def torn(predictor: Predictor, kind: Kind, folder: Path) -> None:
        write(predictor, kind, folder)
        (folder / "model.safetensors").write_bytes(b"torn")

    monkeypatch.setattr(export_module, "_write", torn)
    with pytest.raises(ParityError, match="cannot be loaded without hftune"):
        exported(full_run, "transformers", tmp_path / "out")
    assert not (tmp_path / "out").exists()


NOTHING: dict[str, Any] = {"texts": [], "prompts": []}


def both(ours: Any, theirs: Any, written: dict[str, Any] = NOTHING, found: dict[str, Any] = NOTHING) -> Parity:
    asked = Questions("test", [], [], [], 8, None)
    sides = [np.array(one, np.float32) for one in (ours, theirs)]
    return compare(asked, {**written, "logits": sides[0]}, {**found, "logits": sides[1]})


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.0], [0.0, 1.0]], 2),
        ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]], 1),
        ([[0.5], [-0.5]], [[0.4], [0.4]], 1),
    ],
)
def test_answers_are_counted(ours: Any, theirs: Any, agreed: int) -> None:
    found = both(ours, theirs)
    assert found.agreed == agreed
    with pytest.raises(ParityError):
        found.require()


def test_the_gate_is_passed_by_the_same_answers_alone() -> None:
    both([[1.0, 0.0]], [[1.0002, 0.0]]).require()
    for spoiled in ([[1.002, 0.0]], [[np.nan, 0.0]], [[np.inf, 0.0]]):
        with pytest.raises(ParityError):
            both([[1.0, 0.0]], spoiled).require()
    same = {"texts": ["a b"], "prompts": [[1, 2]]}
    both([[1.0]], [[1.0]], same, same).require()
    for other in ({"texts": ["a c"], "prompts": [[1, 2]]}, {"texts": ["a b"], "prompts": [[1, 3]]}):
        with pytest.raises(ParityError):
            both([[1.0]], [[1.0]], same, other).require()


def test_what_has_no_graph_says_what_has() -> None:
    with pytest.raises(
        ModelError, match="distilbert models cannot be exported to ONNX here; those that can: bert, gpt2"
    ) as caught:
        onnx_graph.check_architecture("distilbert")
    assert "--to transformers" in caught.value.hint


def test_a_missing_package_is_named_before_the_model_is_loaded(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None if name == "onnxscript" else object())
    monkeypatch.setattr(export_module, "Predictor", None)
    with pytest.raises(ModelError, match="ONNX needs onnxscript") as caught:
        exported(full_run, "onnx", tmp_path / "out")
    assert "hftune[onnx]" in caught.value.hint


def test_only_an_adapter_is_exported_as_one(full_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no adapter"):
        exported(full_run, "adapter", tmp_path / "out")


def test_what_others_have_in_a_folder_is_spared(full_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        exported(full_run, "transformers", tmp_path / "out")
    assert names(tmp_path / "out") == ["thesis.txt"]


def test_merge_writes_one_model(lora_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["merge", str(lora_run), "--output", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in told["files"]] == names(tmp_path / "out") == MODEL
    assert told["parity"]["agreed"] == told["parity"]["rows"]


def test_merge_is_for_adapters(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["merge", str(full_run)]) == 2
    assert "has no adapter to merge" in capsys.readouterr().err


def test_rows_are_taken_evenly() -> None:
    assert parity._evenly(3, 10) == [0, 1, 2]
    assert parity._evenly(10, 4) == [0, 2, 5, 7]


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--to", "gguf"]])
def test_what_cannot_be_is_a_usage_error(full_run: Path, arguments: list[str]) -> None:
    try:
        code: int | str | None = cli.run(["export", str(full_run), *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2


def test_nothing_of_the_run_is_changed(lora_run: Path, copied: Callable[[Path], Path], tmp_path: Path) -> None:
    run = copied(lora_run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    exported(run, "transformers", tmp_path / "out")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
