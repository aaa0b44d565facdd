"""Quantized runs on the Hub: their own files, a card that says what they are, lines that need no hftune."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hftune.inference.predictor import Predictor
from hftune.runs import layout
from tests.hub.client import environment
from tests.hub.server import HubServer
from tests.unit.compressors.quantized import write
from tests.unit.sharing.test_pull import code_of, pull, push, same_labels

PARENT = {"value": 0.9, "low": 0.8, "high": 1.0}
COMPARED = {
    "method": "quantize", "parent": "secret-20260101-000000-a1b2", "split": "test", "rows": 40, "metric": "accuracy",
    "value": PARENT, "parent_value": PARENT, "loss": {"value": 0.0, "low": -0.01, "high": 0.01}, "relative": False,
    "agreement": {"value": 0.995, "low": 0.98, "high": 1.0}, "p_value": 1.0, "bytes": 25, "parent_bytes": 100,
    "parameters": 10, "parent_parameters": 10,
}  # fmt: skip


def run_lines(hub: HubServer, repo: str, tmp_path: Path) -> str:
    """Run a card's lines in a process with an empty cache, without hftune; return what they print."""
    env = {**os.environ, **environment(hub, os.environ["HF_TOKEN"]), "HF_HOME": str(tmp_path / "elsewhere")}
    code = "import sys; sys.modules['hftune'] = None\n" + code_of(hub, repo)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("kind", ["full_run", "language_run", "mask_run", "lstm_run"])
def test_a_graph_is_pulled_and_asked_by_its_cards_lines(
    hub: HubServer, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = write(request.getfixturevalue(kind), "onnx-int8", tmp_path / "run-onnx")
    push(run, "anna/graph")
    files = hub.repos["anna/graph"].files()
    assert {"model.onnx", "config.json", "tokenizer.json", "README.md"} <= set(files)
    assert not any("safetensors" in name for name in files)
    card = files["README.md"].decode()
    assert "library_name: onnx" in card
    assert "an ONNX graph with int8 matrices and embeddings" in card
    assert "pip install onnxruntime transformers" in card
    said = run_lines(hub, "anna/graph", tmp_path)
    if kind == "full_run":
        (expected,) = Predictor.load(run).classify(["A text to judge."])
        figures = [float(one) for one in said[said.index("[[") + 2 : said.index("]]")].split()]
        assert figures == pytest.approx(expected.logits, abs=1e-3)
    assert said.strip()


@pytest.mark.parametrize(("wanted", "said"), [("torchao-int8", "in int8 by torchao"), ("bf16", "bfloat16 safetensors")])
def test_what_transformers_reads_is_pulled_by_it(
    hub: HubServer, full_run: Path, tmp_path: Path, wanted: str, said: str
) -> None:
    run = write(full_run, wanted, tmp_path / "run-small")
    push(run, "anna/small")
    files = hub.repos["anna/small"].files()
    ours, theirs = (
        safetensors.torch.load(files["model.safetensors"]),
        (run / "model" / "model.safetensors").read_bytes(),
    )
    expected = safetensors.torch.load(theirs)  # the files' headers may name their tensors in another order
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
    card = files["README.md"].decode()
    assert said in card
    assert ("transformers torchao`" in card) == (wanted == "torchao-int8")
    texts = ["the film was good", "a dull scene .", "we loved it and never a boring plot !"]
    (answers,) = pull(hub, tmp_path, [("anna/small", texts)])
    if wanted == "torchao-int8":
        same_labels(run, [[{**one, "score": pytest.approx(one["score"], abs=0.01)} for one in row] for row in answers])
    else:
        for row, prediction in zip(answers, Predictor.load(run).classify(texts), strict=True):
            assert max(row, key=lambda one: one["score"])["label"] == prediction.label


def test_a_card_tells_of_the_parent_by_name_and_of_what_was_lost(
    hub: HubServer, full_run: Path, tmp_path: Path
) -> None:
    run = write(full_run, "bf16", tmp_path / "private" / "run-small")
    (run / layout.COMPRESSION).write_text(json.dumps(COMPARED), encoding="utf-8")
    push(run, "anna/small")
    card = hub.repos["anna/small"].files()["README.md"].decode()
    assert f"Made by quantize (bf16) from the run {full_run.name}." in card.replace("\\", "")
    assert "same answer 99.5%" in card
    assert "0.0 points less (-1.0 to 1.0)" in card
    assert f"parent: {full_run.name}" in card
    assert str(full_run.parent) not in card, "folders of this machine are nobody else's"
    assert "- quantize" in card.partition("---\n\n")[0]


def test_a_graph_in_the_place_of_weights_leaves_none_behind(hub: HubServer, full_run: Path, tmp_path: Path) -> None:
    push(full_run, "anna/model")
    push(write(full_run, "onnx-int8", tmp_path / "run-onnx"), "anna/model")
    names = set(hub.repos["anna/model"].files())
    assert "model.onnx" in names
    assert "model.safetensors" not in names
