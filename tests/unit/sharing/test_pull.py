"""What was pushed is pulled by transformers and peft alone: the card's own lines run, and answer as the run does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking.decoding import Decoding
from hftune.inference.predictor import Predictor
from tests.hub.client import environment
from tests.hub.server import HubServer
from tests.unit.inference.conftest import make_run, trained, wordpiece_tokenizer

TEXTS = ["the film was good", "a dull scene .", "we loved it and never a boring plot !"]
# Reads (code of a card, texts), runs the code as it stands, asks the pipeline it made.
PLAIN = """
import json, sys
if len(sys.argv) == 1:
    sys.modules["hftune"] = None  # importing it would raise
for line in sys.stdin:
    code, texts = json.loads(line)
    names = {}
    exec(code, names)
    asked = {"top_k": None} if "classifier" in names else {"do_sample": False, "max_new_tokens": 8}
    if "filler" in names:
        asked = {}
    ask = next(names[name] for name in ("classifier", "generator", "filler") if name in names)
    print("ANSWERS " + json.dumps([ask(text, **asked) for text in texts]), flush=True)
"""


def push(run: Path, repo: str, *flags: str) -> None:
    assert cli.run(["push", str(run), repo, *flags]) == 0


def code_of(hub: HubServer, repo: str) -> str:
    card = hub.repos[repo].files()["README.md"].decode()
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found
    # The card's example is sampled, and the tiny writer has 64 positions: 60 more tokens fit only where it ends before.
    return found[1].replace("max_new_tokens=60", "max_new_tokens=40")


def pull(hub: HubServer, tmp_path: Path, asked: list[tuple[str, list[str]]], *arguments: str) -> list[Any]:
    """Run the cards' lines in a process with an empty cache, without hftune; return its answers to the texts."""
    env = {**os.environ, **environment(hub, os.environ["HF_TOKEN"]), "HF_HOME": str(tmp_path / "elsewhere")}
    for name in ("HF_HUB_DISABLE_XET", "HF_DATASETS_OFFLINE"):
        env.pop(name, None)  # who pulls has set nothing
    lines = "".join(json.dumps([code_of(hub, repo), texts]) + "\n" for repo, texts in asked)
    command = [sys.executable, "-c", PLAIN, *arguments]
    done = subprocess.run(command, input=lines, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line[8:]) for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]


def same_labels(run: Path, answers: list[Any]) -> None:
    for prediction, answer in zip(Predictor.load(run).classify(TEXTS), answers, strict=True):
        found = {one["label"]: one["score"] for one in answer}
        expected = prediction.to_dict()["probabilities"]
        # Of a model with one sigmoid the pipeline shows that one.
        assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-5)
        assert prediction.answer in found or len(found) == 1


def test_plain_transformers_answers_as_the_run_does(
    hub: HubServer, full_run: Path, lora_run: Path, language_run: Path, mask_run: Path, tmp_path: Path
) -> None:
    push(full_run, "anna/full")
    push(lora_run, "anna/merged")
    push(language_run, "anna/writer")
    push(mask_run, "anna/filler")
    masked = "the [MASK] was good"
    full, merged, written, filled = pull(
        hub,
        tmp_path,
        [("anna/full", TEXTS), ("anna/merged", TEXTS), ("anna/writer", ["the film"]), ("anna/filler", [masked])],
    )
    same_labels(full_run, full)
    same_labels(lora_run, merged)

    answer = Predictor.load(language_run).generate(
        "the film", Decoding(max_new_tokens=8, temperature=0.0, repetition_penalty=1.0)
    )
    assert written[0][0]["generated_text"] == "the film" + answer.text
    (guesses,) = Predictor.load(mask_run).fill([masked])[0].masks
    assert [word["token_str"] for word in filled[0]] == [token for token, _ in guesses]
    assert [word["score"] for word in filled[0]] == pytest.approx([share for _, share in guesses], abs=1e-5)


def test_an_adapter_is_put_on_its_base_from_the_hub(
    hub: HubServer, reviews_recipe: dict[str, Any], tiny_bert_folder: Path, tmp_path: Path
) -> None:
    base = {path.name: path.read_bytes() for path in tiny_bert_folder.iterdir()}
    hub.create("acme/tiny-bert", files=base)
    training = {**reviews_recipe["training"], "num_train_epochs": 2}
    run = trained(
        tmp_path / "runs", {**reviews_recipe, "model": "acme/tiny-bert", "method": "lora", "training": training}
    )
    push(run, "anna/adapter")
    assert "adapter_model.safetensors" in hub.repos["anna/adapter"].files()
    assert "model.safetensors" not in hub.repos["anna/adapter"].files()
    assert b"base_model: acme/tiny-bert\n" in hub.repos["anna/adapter"].files()["README.md"]
    (answers,) = pull(hub, tmp_path, [("anna/adapter", TEXTS)])
    same_labels(run, answers)
    push(run, "anna/adapter", "--merged")
    assert "adapter_config.json" not in hub.repos["anna/adapter"].files(), "it would be taken for an adapter still"
    (answers,) = pull(hub, tmp_path / "again", [("anna/adapter", TEXTS)])
    same_labels(run, answers)


def test_weights_of_more_than_ten_megabytes_go_and_come_whole(hub: HubServer, tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = wordpiece_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=48, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1},
        problem_type="single_label_classification",
    )  # fmt: skip
    rows = [{"text": "the movie was bad", "label": "bad"}, {"text": "the film was good", "label": "good"}]
    data = {"rows": rows, "max_length": 16}
    run = make_run(
        tmp_path / "cls-20260101-000000-a1b2",
        BertForSequenceClassification(config),
        tokenizer,
        "text-classification",
        data,
    )
    assert (run / "model" / "model.safetensors").stat().st_size > 10 * 1024 * 1024
    push(run, "anna/large")
    repo = hub.repos["anna/large"]
    assert repo.files()["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    assert len(repo.lfs) == 1
    (answers,) = pull(hub, tmp_path, [("anna/large", TEXTS)])
    same_labels(run, answers)


def test_an_architecture_of_its_own_needs_hftune_as_its_card_says(
    hub: HubServer, lstm_run: Path, tmp_path: Path
) -> None:
    push(lstm_run, "anna/lstm")
    assert "`pip install hftune`" in hub.repos["anna/lstm"].files()["README.md"].decode()
    (answers,) = pull(hub, tmp_path, [("anna/lstm", TEXTS)], "with-hftune")
    same_labels(lstm_run, answers)
