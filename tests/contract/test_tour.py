"""README's tour: every row is run here, small where the real thing takes minutes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXCERPT = ROOT / "tests" / "data" / "corpus_excerpt.json"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="an installed package has no README to read")

FEW = ["training.max_steps=3", "data.max_train_samples=48", "data.max_eval_samples=16", "training.precision=fp32"]
GPT2 = [
    f"data.files={{train: {EXCERPT}, validation: {EXCERPT}, test: {EXCERPT}}}",
    "model.config={n_positions: 64, n_embd: 32, n_layer: 1, n_head: 2}",
    "model.tokenizer.vocab_size=512",
    "data.max_length=64",
    "data.window.stride=16",
    *FEW,
]
# What makes a recipe a matter of seconds; one that is not named takes seconds as it is.
SMALL = {
    "bert_cls": FEW,
    "bert_cls_lora": FEW,
    "bert_rating": FEW,
    "gpt2_gen": FEW,
    "gpt2_mini": GPT2,
    "minilm_mlm": FEW,
}
SHORTER = {
    "lr-find": ["--steps", "20", "--trial-steps", "4"],
    "ladder": ["--seeds", "0", "--rungs", "majority,head"],
    "compress": ["-s", "compress.max_loss=1"],
}
ELSEWHERE = {"smollm2_chat_lora": "its model comes from the package index: tests/long/test_smollm2.py trains it"}


def rows() -> list[tuple[str, list[str]]]:
    """Topic and commands of each row of the tour."""
    part = README.read_text(encoding="utf-8").partition("<!-- tour -->")[2].partition("<!-- /tour -->")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [(topic, re.findall(r"`(hftune [^`]+)`", commands)) for topic, commands, _ in cells]


def small(command: str) -> list[str]:
    """The command's words, with what makes it small."""
    verb, subject, *rest = shlex.split(command)[1:]
    settings = [word for setting in SMALL.get(subject, []) for word in ("-s", setting)]
    return [verb, subject, *rest, *SHORTER.get(verb, []), *settings]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs folder with the run that rows ask which name none: as the row before them leaves it."""
    folder = tmp_path_factory.mktemp("asked") / "runs"
    carry_out([*small("hftune run bert_cls"), "--runs-dir", str(folder)])
    return folder


def test_the_tour_names_the_topics_of_an_introduction() -> None:
    topics = " ".join(topic for topic, _ in rows()).lower()
    for topic in (
        "network", "embedding", "gradient descent", "learning rate", "backpropagation", "losses", "pretraining",
        "fine-tuning", "prediction", "energy", "explanation", "control", "compression", "distillation", "pruning",
    ):  # fmt: skip
        assert topic in topics
    assert all(commands for _, commands in rows()), "a topic without a command is none that one can do here"


def carry_out(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "hftune", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize(("topic", "commands"), rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_of_the_tour_runs(
    topic: str, commands: list[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")
    for recipe, reason in ELSEWHERE.items():
        if recipe in " ".join(commands):
            pytest.skip(reason)
    if "latest" in commands[0]:  # a row that asks a run goes by the one before it
        shutil.copytree(request.getfixturevalue("asked"), "runs")
    for command in commands:
        carry_out(small(command))
