"""Run directories as training leaves them, made by hand from tiny models with random weights."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

VOCABULARY = "the a movie film was is bad good great awful not very plot ending dreadful fine . , !"
WORDS = VOCABULARY.split()
CORPUS = ["The film was good. It was very good!", "The plot is bad, the ending dreadful.", "naïve café 🙂 坏 电影"] * 4
LABELS = ["negative", "neutral", "positive"]


def wordpiece_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: index for index, token in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_tokenizer(pad: bool = False) -> Any:
    """A byte-level BPE vocabulary as GPT-2 has: characters beyond ASCII are cut into several tokens; no pad token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    extra = {"pad_token": "<|endoftext|>"} if pad else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", bos_token="<|endoftext|>", **extra
    )


def bert_config(vocabulary: int, **fields: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        initializer_range=0.5,
        **fields,
    )


def gpt2_config(vocabulary: int, **fields: Any) -> Any:
    from transformers import GPT2Config

    sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.3}
    return GPT2Config(**{"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 0, **sizes, **fields})


def write_recipe(run: Path, task: str, data: Mapping[str, Any], **fields: Any) -> None:
    recipe = {"name": "tiny", "task": task, "model": str(run), "data": data, **fields}
    with (run / "recipe.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(recipe, file)


def make_run(folder: Path, model: Any, tokenizer: Any, task: str, data: Mapping[str, Any], **fields: Any) -> Path:
    """Write a finished run: recipe.yaml, model/, model_init/."""
    folder.mkdir(parents=True)
    for name in ("model", "model_init"):
        tokenizer.save_pretrained(folder / name)
    model.save_pretrained(folder / "model")
    model.config.save_pretrained(folder / "model_init")
    write_recipe(folder, task, data, **fields)
    return folder


def classifier_run(
    folder: Path, labels: list[str] = LABELS, data: Mapping[str, Any] | None = None, **config: Any
) -> Path:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = wordpiece_tokenizer()
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
    kind = {"problem_type": "single_label_classification", **config}
    model = BertForSequenceClassification(bert_config(len(tokenizer), **names, **kind))
    rows = [{"text": f"the movie was {word}", "label": label} for word, label in zip(WORDS, labels, strict=False)]
    return make_run(folder, model, tokenizer, "text-classification", {"rows": rows, "max_length": 16, **(data or {})})


def generator_run(
    folder: Path, data: Mapping[str, Any] | None = None, template: str | None = None, positions: int = 64
) -> Path:
    import torch
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(pad=True)
    tokenizer.chat_template = template
    model = GPT2LMHeadModel(gpt2_config(len(tokenizer), pad_token_id=0, n_positions=positions))
    data = data or {"rows": [{"text": "The film was good."}]}
    return make_run(folder, model, tokenizer, "text-generation", data)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_run(tmp_path_factory.mktemp("runs") / "cls-20260101-000000-a1b2")


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generator_run(tmp_path_factory.mktemp("runs") / "gen-20260101-000000-c3d4")


def trained(folder: Path, recipe: Mapping[str, Any]) -> Path:
    """Train a recipe as `hftune run` does; return its run directory."""
    from hftune.pipeline import train
    from hftune.recipe.load import dump_recipe, parse_recipe
    from hftune.runs.writer import RunWriter

    whole = parse_recipe(recipe)
    with RunWriter.create(folder, "tiny", dump_recipe(whole)) as run:
        train(whole, run)
        return run.path


TRAINING = {
    "num_train_epochs": 12,
    "save_steps": 16,
    "per_device_train_batch_size": 8,
    "learning_rate": 5.0e-3,
    "precision": "fp32",
    "threads": 1,
    "save_total_limit": 2,
}


@pytest.fixture(scope="session")
def reviews_recipe(tiny_bert_folder: Path, tiny_reviews: Path) -> dict[str, Any]:
    data = {"files": str(tiny_reviews), "max_length": 32, "test_share": 0.3}
    return {
        "name": "tiny",
        "task": "text-classification",
        "model": str(tiny_bert_folder),
        "data": data,
        "training": TRAINING,
    }


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory, reviews_recipe: dict[str, Any]) -> Path:
    """A classifier of reviews, trained fully by the real pipeline."""
    return trained(tmp_path_factory.mktemp("full"), reviews_recipe)


@pytest.fixture(scope="session")
def lora_run(tmp_path_factory: pytest.TempPathFactory, reviews_recipe: dict[str, Any]) -> Path:
    """The same with LoRA."""
    return trained(tmp_path_factory.mktemp("lora"), {**reviews_recipe, "method": {"name": "lora", "r": 4}})


@pytest.fixture(scope="session")
def language_recipe(tiny_gpt2_folder: Path) -> dict[str, Any]:
    rows = [{"text": f"the {thing} was good and i liked it ."} for thing in ("film", "movie", "plot", "story", "actor")]
    data = {"rows": rows * 6, "max_length": 32, "test_share": 0.2, "validation_share": 0.2}
    return {
        "name": "tiny",
        "task": "text-generation",
        "model": str(tiny_gpt2_folder),
        "data": data,
        "training": {**TRAINING, "num_train_epochs": 15, "save_steps": 20},
    }


@pytest.fixture(scope="session")
def language_run(tmp_path_factory: pytest.TempPathFactory, language_recipe: dict[str, Any]) -> Path:
    """A GPT-2 that has learned one sentence, by the real pipeline."""
    return trained(tmp_path_factory.mktemp("language"), language_recipe)


@pytest.fixture(scope="session")
def mask_run(tmp_path_factory: pytest.TempPathFactory, reviews_recipe: dict[str, Any]) -> Path:
    """A BERT that guesses masked words of reviews, by the real pipeline."""
    return trained(tmp_path_factory.mktemp("mask"), {**reviews_recipe, "task": "fill-mask"})


@pytest.fixture(scope="session")
def lstm_run(tmp_path_factory: pytest.TempPathFactory, reviews_recipe: dict[str, Any]) -> Path:
    """An LSTM over the characters of reviews, made from scratch."""
    sizes = {"embedding_size": 6, "hidden_size": 8}
    model = {"architecture": "lstm", "config": sizes, "tokenizer": {"fit": "characters"}}
    training = {**TRAINING, "num_train_epochs": 1}
    return trained(tmp_path_factory.mktemp("lstm"), {**reviews_recipe, "model": model, "training": training})


@pytest.fixture
def runs() -> Any:
    """The functions of this file that make runs."""
    return sys.modules[__name__]


@pytest.fixture
def copied(tmp_path: Path):
    """Return a function that copies a run, to break the copy."""

    def copy(run: Path) -> Path:
        return Path(shutil.copytree(run, tmp_path / "copied" / run.name))

    return copy
