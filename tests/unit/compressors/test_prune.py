"""Pruning a finished run: what is left out, what is said, and a result that plain transformers reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hftune.compressors import Small, prune
from hftune.compressors._parent import load_parent
from hftune.compressors._recipes import compress_recipe
from hftune.errors import RecipeError
from hftune.recipe.load import dump_recipe, load_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter

TRAINING = {
    "num_train_epochs": 4,
    "per_device_train_batch_size": 8,
    "learning_rate": 5.0e-3,
    "precision": "fp32",
    "threads": 1,
    "device": "cpu",
}
ROWS = [{"text": f"the {thing} was good and i liked it ."} for thing in ("film", "movie", "plot", "story", "actor")]
WRITTEN = {"rows": ROWS * 6, "max_length": 32, "test_share": 0.2, "validation_share": 0.2}


def trained(folder: Path, recipe: Recipe) -> Path:
    """Carry a recipe out; return its run directory."""
    from hftune.pipeline import train

    with RunWriter.create(folder, recipe.name, dump_recipe(recipe)) as run:
        train(recipe, run)
        return run.path


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, tiny_reviews: Path) -> Path:
    data = {"files": str(tiny_reviews), "max_length": 32, "test_share": 0.3}
    recipe = {"task": "text-classification", "model": str(tiny_bert_folder), "data": data, "training": TRAINING}
    return trained(tmp_path_factory.mktemp("classifier"), parse_recipe({"name": "tiny", **recipe}))


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path) -> Path:
    recipe = {"task": "text-generation", "model": str(tiny_gpt2_folder), "data": WRITTEN, "training": TRAINING}
    return trained(tmp_path_factory.mktemp("writer"), parse_recipe({"name": "tiny", **recipe}))


@pytest.fixture(scope="session")
def guesser(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, tiny_reviews: Path) -> Path:
    data = {"files": str(tiny_reviews), "max_length": 32, "test_share": 0.3}
    recipe = {"task": "fill-mask", "model": str(tiny_bert_folder), "data": data, "training": TRAINING}
    return trained(tmp_path_factory.mktemp("guesser"), parse_recipe({"name": "tiny", **recipe}))


@pytest.fixture(scope="session")
def llama_writer(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path) -> Path:
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 64,
    }  # fmt: skip
    model = {"architecture": "llama", "config": sizes, "tokenizer": str(tiny_gpt2_folder)}
    recipe = {"task": "text-generation", "model": model, "data": WRITTEN, "training": TRAINING}
    return trained(tmp_path_factory.mktemp("llama"), parse_recipe({"name": "tiny", **recipe}))


def asked(parent: Path, *options: str) -> Recipe:
    """Return the recipe that prunes `parent`, nothing asked of its quality."""
    return compress_recipe(parent, "prune", ["compress.max_loss=100", *options])


def made(recipe: Recipe) -> tuple[Small, list[str]]:
    """Return what pruning makes before any recovery, and what it says."""
    import torch

    from hftune import tasks
    from hftune.data.load import load_splits

    parent = load_parent(recipe, torch.device("cpu"))
    task = tasks.registry.load(recipe.task.name)
    prepared = task.prepare(recipe, load_splits(recipe.data), parent.loaded.tokenizer, parent.model.config)
    said: list[str] = []
    return prune.make(recipe, parent, task, prepared, said.append), said


@pytest.mark.parametrize("kind", ["classifier", "writer", "guesser"])
def test_a_pruned_run_is_a_smaller_model_that_plain_transformers_loads(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
):
    from hftune.inference.loading import auto_class

    parent = request.getfixturevalue(kind)
    recipe = asked(parent, "compress.layers=1", "compress.neurons=0.25")
    run = trained(tmp_path, recipe)
    before, after = (auto_class(recipe.task.name).from_pretrained(folder / "model") for folder in (parent, run))
    assert type(after) is type(before)
    assert after.config.num_hidden_layers == 1
    assert after.num_parameters() < before.num_parameters()
    sizes = [(folder / "model" / "model.safetensors").stat().st_size for folder in (parent, run)]
    assert sizes[1] < sizes[0]
    said = [event.data["detail"] for event in read_events(run) if event.kind == "phase" and "detail" in event.data]
    assert any(line.startswith("layers kept: ") for line in said)


def test_a_llama_loses_layers_heads_and_neurons_at_once(llama_writer: Path, tmp_path: Path):
    from transformers import AutoModelForCausalLM

    recipe = asked(llama_writer, "compress.layers=2", "compress.heads=0.5", "compress.neurons=0.5")
    _, said = made(recipe)
    assert said[-1] == "neurons kept: 24 of 48 of each layer"
    assert "groups of 2 heads kept: 1 of 2 of each layer" in said
    assert any(line.startswith("layer ") and "the loss on 18 train rows goes from" in line for line in said)
    config = AutoModelForCausalLM.from_pretrained(trained(tmp_path, recipe) / "model").config
    sizes = config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads, config.intermediate_size
    assert sizes == (2, 2, 1, 24)
    assert config.head_dim == 8


def test_what_is_pruned_is_the_same_each_time(classifier: Path):
    import torch

    recipe = asked(classifier, "compress.layers=1", "compress.neurons=0.5")
    (first, said), (second, again) = made(recipe), made(recipe)
    assert said == again
    states = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_quarter_of_the_neurons_is_kept_where_nobody_says_what(classifier: Path):
    small, said = made(asked(classifier))
    assert small.model.config.intermediate_size == 16
    assert said[-1] == "neurons kept: 16 of 64 of each layer"


def test_neurons_are_kept_in_blocks_that_processors_like(classifier: Path):
    assert made(asked(classifier, "compress.neurons=0.3"))[0].model.config.intermediate_size == 16  # not 19


def test_named_layers_are_kept_as_they_are_named(classifier: Path):
    import torch

    small, said = made(asked(classifier, "compress.layers=[1]"))
    parent = load_parent(asked(classifier), torch.device("cpu")).model
    kept, old = small.model.bert.encoder.layer[0], parent.bert.encoder.layer[1]
    assert torch.equal(kept.output.dense.weight, old.output.dense.weight)
    assert said == ["layers kept: 1, of 2 counted from 0"]


def test_without_recovery_nothing_learns(classifier: Path, tmp_path: Path):
    import torch
    from transformers import AutoModelForSequenceClassification

    recipe = asked(classifier, "compress.recover=false")
    small, _ = made(recipe)
    assert not small.learns
    run = trained(tmp_path, recipe)
    saved = AutoModelForSequenceClassification.from_pretrained(run / "model").state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in small.model.state_dict().items())


def test_zeros_are_still_zero_after_recovery_and_said_to_save_nothing(classifier: Path, tmp_path: Path):
    from safetensors.torch import load_file

    recipe = asked(classifier, "compress.sparsity=0.5")
    small, said = made(recipe)
    assert said[-1].endswith("they are stored and multiplied like others: no faster, no smaller")
    run = trained(tmp_path, recipe)
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (classifier, run))
    now = {name: tensor == 0 for name, tensor in after.items()}
    for name, tensor in small.model.state_dict().items():
        assert not (tensor[now[name]] != 0).any() and now[name][tensor == 0].all(), name
    assert any((after[name] != before[name]).any() for name in after)  # the rest has learned


def test_recovery_learns_from_the_parent_unless_the_labels_are_all(classifier: Path):
    from hftune import tasks
    from hftune.compressors._soft_targets import SoftTargets

    assert isinstance(made(asked(classifier))[0].task, SoftTargets)
    assert made(asked(classifier, "compress.hard_weight=1.0"))[0].task is tasks.registry.load("text-classification")


def test_the_parent_stays_whole(classifier: Path):
    import torch

    from hftune import tasks
    from hftune.data.load import load_splits

    recipe = asked(classifier, "compress.sparsity=0.9", "compress.layers=1")
    parent = load_parent(recipe, torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in parent.model.state_dict().items()}
    task = tasks.registry.load(recipe.task.name)
    prepared = task.prepare(recipe, load_splits(recipe.data), parent.loaded.tokenizer, parent.model.config)
    prune.make(recipe, parent, task, prepared, print)
    assert all(torch.equal(before[name], tensor) for name, tensor in parent.model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in parent.model.parameters())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"num_train_epochs": 1.0}, {"num_train_epochs": 1.0, "max_steps": None}),
        ({"num_train_epochs": 6.0}, {"num_train_epochs": 2.0}),
        ({"max_steps": 300, "target_loss": 0.1}, {"max_steps": 100, "target_loss": None}),
    ],
)
def test_recovery_is_shorter_than_the_parent_s_training(
    classifier: Path, before: dict[str, Any], after: dict[str, Any]
):
    recipe = load_recipe(classifier / "recipe.yaml")
    parent = recipe.model_copy(update={"training": recipe.training.model_copy(update=before)})
    found = prune.training(prune.Config(parent=str(classifier)), parent)
    assert {name: found[name] for name in after} == after


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        (["compress.layers=2"], "compress.layers", "2 layers are no fewer than the 2 that there are"),
        (["compress.layers=[0, 2]"], "compress.layers", "there is no layer 2"),
        (["compress.layers=[0, 0]"], "compress.layers", "layer 0 is named twice"),
        (["compress.layers=[0, 1]"], "compress.layers", "2 layers are no fewer"),
        (["compress.heads=0.5"], "compress.heads", "models of the kind bert cannot have fewer heads"),
        (["compress.neurons=1.0"], "compress.neurons", "a number below 1"),
        (["compress.neurons=0"], "compress.neurons", "a number above 0"),
        (["compress.sparsity=1.0"], "compress.sparsity", "a number below 1"),
    ],
)
def test_what_does_not_fit_is_said_before_weights_are_loaded(
    classifier: Path, options: list[str], key: str, message: str
):
    from hftune.compressors._parent import check_parent

    with pytest.raises(RecipeError, match=message) as raised:
        check_parent(asked(classifier, *options))
    assert [problem.key for problem in raised.value.problems] == [key]


def test_all_that_does_not_fit_is_said_at_once(classifier: Path):
    from hftune.compressors._parent import check_parent

    with pytest.raises(RecipeError) as raised:
        check_parent(asked(classifier, "compress.layers=9", "compress.heads=0.5"))
    assert [problem.key for problem in raised.value.problems] == ["compress.layers", "compress.heads"]


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("compress.layers=1", "compress.layers"),
        ("compress.neurons=0.5", "compress.neurons"),
        ("compress.rows=8", "compress"),  # nothing is named, and there are no neurons
    ],
)
def test_an_lstm_has_nothing_to_prune_but_single_weights(classifier: Path, option: str, key: str):
    from hftune.modeling.lstm import LstmConfig

    config = LstmConfig(vocab_size=20, embedding_size=4, hidden_size=4)
    recipe = asked(classifier, option)
    assert recipe.compress is not None
    with pytest.raises(RecipeError, match="models of the kind lstm") as raised:
        prune.check(recipe.compress.settings(prune.Config), recipe, config)
    assert raised.value.problems[0].key == key
    recipe = asked(classifier, "compress.sparsity=0.5")
    assert recipe.compress is not None
    prune.check(recipe.compress.settings(prune.Config), recipe, config)
