"""Models to explain: one whose attributions are known in closed form, and trained ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hftune.inference.loading import LoadedRun
from hftune.inference.predictor import Predictor
from hftune.recipe.load import parse_recipe
from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    full_run,
    language_recipe,
    language_run,
    lora_run,
    lstm_run,
    mask_run,
    reviews_recipe,
    trained,
)

WORDS = ["the", "film", "was", "good", "bad", "not", "very", "plot", "awful", "lovely"]


def word_tokenizer() -> Any:
    """A token a word, no special tokens, no mask."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[UNK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


class BagOfEmbeddings(nn.Module):
    """Sum of the tokens' vectors, then a linear layer: logits = W (sum of e) + b. Padding is the zero vector."""

    def __init__(self, labels: list[str], problem_type: str, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS) + 2, width, padding_idx=0)
        self.classifier = nn.Linear(width, len(labels))
        self.config = SimpleNamespace(
            num_labels=len(labels), id2label=dict(enumerate(labels)), problem_type=problem_type, model_type="bag",
            max_position_embeddings=None, pad_token_id=0,
        )  # fmt: skip
        self.device = torch.device("cpu")

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        vectors = self.embedding(input_ids) * attention_mask[..., None]
        return SimpleNamespace(logits=self.classifier(vectors.sum(1)))


def bag(labels: list[str], problem_type: str) -> Predictor:
    torch.manual_seed(0)
    model = BagOfEmbeddings(labels, problem_type).eval().requires_grad_(False)
    recipe = parse_recipe(
        {"name": "bag", "task": "text-classification", "model": "x/y", "data": {"source": "d", "max_length": 64}}
    )
    return Predictor(LoadedRun(Path("bag"), None, recipe, model, word_tokenizer()))  # type: ignore[arg-type]


@pytest.fixture
def two_classes() -> Predictor:
    return bag(["negative", "positive"], "single_label_classification")


@pytest.fixture
def several_labels() -> Predictor:
    return bag(["a", "b", "c"], "multi_label_classification")


@pytest.fixture(scope="session")
def reviews(full_run: Path) -> Predictor:  # noqa: F811
    """A BERT that has learned which of twenty words are good."""
    return Predictor.load(full_run)


PLANTED = "three"  # a word of the tokenizer's vocabulary that says nothing of a film


def planted_rows() -> list[dict[str, str]]:
    """Texts that only one word tells apart: it stands somewhere in each text of `good`, and in no other."""
    import random

    draw = random.Random(0)
    words = ["film", "movie", "plot", "story", "actor", "scene", "music", "found", "watched", "liked", "very", "some"]
    rows = []
    for index in range(80):
        text = [*draw.sample(words, 5 + index % 3), draw.choice(".!")]
        if index % 2:
            text.insert(draw.randrange(len(text)), PLANTED)
        rows.append({"text": " ".join(text), "label": "good" if index % 2 else "bad"})
    return rows


@pytest.fixture(scope="session")
def planted_run(tmp_path_factory: pytest.TempPathFactory, reviews_recipe: dict[str, Any]) -> Path:  # noqa: F811
    """A BERT that has learned a shortcut, and nothing else."""
    data = {"rows": planted_rows(), "max_length": 32, "test_share": 0.3, "validation_share": 0.1}
    return trained(tmp_path_factory.mktemp("planted"), {**reviews_recipe, "data": data})


@pytest.fixture(scope="session")
def planted(planted_run: Path) -> Predictor:
    return Predictor.load(planted_run)
