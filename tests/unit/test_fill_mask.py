"""Masked-language pretraining: against transformers' own loss and a plain loop; whole runs, and what comes after."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, get_scheduler

from hftune import methods
from hftune.commands.summary import next_commands
from hftune.data.batches import batch_plan
from hftune.data.load import load_splits
from hftune.errors import DataError, InterruptedRun, ModelError, RecipeError
from hftune.methods._weights import new_weights
from hftune.modeling.loading import load_config
from hftune.modeling.output_layer import only_at
from hftune.modeling.tokenizer import fit_characters, load_tokenizer
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter
from hftune.tasks import Prepared, fill_mask
from hftune.training.evaluation import fetch, forward
from hftune.training.precision import choose_precision
from hftune.training.randomness import seed_initial_weights

TEXTS = ["the film was good", "the plot was bad and very boring and we hated it", "we loved the ending", "fine film ."]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def make_recipe(model: Any, task: Mapping[str, Any] | None = None, method: Any = "full", **sections: Any) -> Recipe:
    training = {"precision": "fp32", "logging_steps": 1, **sections.pop("training", {})}
    data = {"rows": [{"text": text} for text in TEXTS], "max_length": 32, **sections}
    if "files" in data:
        del data["rows"]
    return parse_recipe(
        {
            "name": "tiny",
            "task": {"name": "fill-mask", **(task or {})},
            "model": str(model) if isinstance(model, Path) else model,
            "data": data,
            "method": method,
            "training": training,
        }
    )


def make_prepared(recipe: Recipe, folder: Path, **splits: list[Any]) -> Prepared:
    tokenizer = load_tokenizer(recipe.model, folder)
    given = {split: Dataset.from_dict({"text": texts}) for split, texts in (splits or {"train": TEXTS}).items()}
    return fill_mask.prepare(recipe, given, tokenizer, load_config(recipe.model, folder))


def carry_out(recipe: Recipe, path: Path | None = None, stop_at: int | None = None) -> Path:
    """Train in a new run directory (or go on in `path`) and return it; asked to stop after a point of the curve."""
    opened = RunWriter.open(path) if path else RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe))
    with opened as run:

        def ask(event: Event) -> None:
            if event.kind == "train" and event.data["step"] == stop_at:
                (run.path / layout.CONTROL / "stop").touch()

        run.subscribe(ask)
        try:
            train(recipe, run)
        except InterruptedRun:
            assert stop_at is not None
    return opened.path


def losses(path: Path, kind: str = "train") -> list[float]:
    return [event.data["metrics"]["loss"] for event in read_events(path) if event.kind == kind]


# Against transformers and PyTorch


@pytest.fixture(scope="module")
def calm_bert(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT without dropout."""
    folder = tmp_path_factory.mktemp("calm") / "bert"
    shutil.copytree(tiny_bert_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_loss_and_gradients_equal_those_of_transformers(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder)
    batch = fetch(prepared, "train", np.arange(4), epoch=0)
    ours = fill_mask.load_model(recipe, tiny_bert_folder, prepared).eval()
    logits = ours(**{name: batch[name] for name in INPUTS}).logits
    loss = fill_mask.loss(recipe, prepared, logits, batch) / fill_mask.weight(recipe, prepared, batch)
    loss.backward()
    theirs = AutoModelForMaskedLM.from_pretrained(tiny_bert_folder).eval()
    expected = theirs(**{name: batch[name] for name in INPUTS}, labels=batch["labels"]).loss
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for (name, mine), (_, reference) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-5, atol=1e-7, msg=name)


def plain_pytorch(recipe: Recipe, steps: int) -> list[float]:
    """Return the losses of an ordinary loop: transformers' model and loss, torch's AdamW, transformers' schedule."""
    folder = Path(str(recipe.model.id))
    tokenizer = load_tokenizer(recipe.model, folder)
    prepared = fill_mask.prepare(recipe, load_splits(recipe.data), tokenizer, load_config(recipe.model, folder))
    seed_initial_weights(recipe.training.seed)
    model: Any = AutoModelForMaskedLM.from_pretrained(folder)
    if recipe.method.name != "full":
        assert recipe.method.config is not None
        method = methods.registry.load(recipe.method.name)
        model = method.adapt(model, recipe.method.config, recipe.model, "fill-mask")
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=5e-3, weight_decay=0.0)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=steps)
    model.train()
    found: list[float] = []
    for epoch in range(steps):
        lengths = prepared.splits["train"]["length"][:]
        for indices in batch_plan(lengths, seed=0, epoch=epoch, batch_size=8, group_by_length=True):
            batch = fetch(prepared, "train", indices, epoch)
            loss = model(**{name: batch[name] for name in (*INPUTS, "labels")}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            found.append(loss.item())
            if len(found) == steps:
                return found
    raise AssertionError


@pytest.mark.parametrize("method", ["full", {"name": "lora", "r": 4, "lora_dropout": 0.0}], ids=["full", "lora"])
@pytest.mark.parametrize("sizes", [(8, 1), (2, 4)], ids=["whole", "accumulated"])
def test_twenty_steps_have_the_losses_of_a_plain_pytorch_loop(
    calm_bert: Path, tiny_reviews: Path, method: Any, sizes: tuple[int, int]
) -> None:
    training = {
        "per_device_train_batch_size": sizes[0], "gradient_accumulation_steps": sizes[1], "max_steps": 20,
        "learning_rate": 5e-3, "warmup_steps": 2, "weight_decay": 0.0,
    }  # fmt: skip
    recipe = make_recipe(calm_bert, method=method, files=str(tiny_reviews), training=training)
    path = carry_out(recipe)
    assert losses(path) == pytest.approx(plain_pytorch(recipe, 20), rel=1e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_logits_are_computed_where_they_are_asked_for_alone(tiny_bert_folder: Path, method: str) -> None:
    recipe = make_recipe(tiny_bert_folder, method=method)
    prepared = make_prepared(recipe, tiny_bert_folder)
    plain = fill_mask.load_model(recipe, tiny_bert_folder, prepared)
    assert recipe.method.config is not None
    model = methods.registry.load(method).adapt(plain, recipe.method.config, recipe.model, "fill-mask").eval()
    batch = fetch(prepared, "train", np.arange(4), epoch=0)
    with torch.no_grad():
        whole = model(**{name: batch[name] for name in INPUTS}).logits
        logits, asked = forward(model, batch, choose_precision("fp32", torch.device("cpu")), torch.device("cpu"))
        chosen = batch["labels"] != -100
        assert logits.shape == (int(chosen.sum()), len(prepared.tokenizer))
        torch.testing.assert_close(logits, whole[chosen], rtol=1e-5, atol=1e-6)
        assert asked["labels"].tolist() == batch["labels"][chosen].tolist()
        assert model(**{name: batch[name] for name in INPUTS}).logits.shape == whole.shape
        loss = fill_mask.loss(recipe, prepared, whole, batch)
        torch.testing.assert_close(fill_mask.loss(recipe, prepared, logits, asked), loss, rtol=1e-6, atol=0)


def test_a_model_without_an_output_layer_computes_what_it_always_does(tiny_bert_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder).eval()
    ids = torch.tensor([[2, 5, 3]])
    with torch.no_grad(), only_at(model, ids == 5):
        assert model(ids).logits.shape == (1, 2)


def test_figures_are_those_of_the_hidden_tokens_however_batches_are_cut(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, validation=TEXTS)
    model = fill_mask.load_model(recipe, tiny_bert_folder, prepared).eval()
    found = []
    for cuts in ([[0, 1, 2, 3]], [[1], [3, 0], [2]]):
        stream = fill_mask.metric_stream(recipe, prepared)
        for cut in cuts:
            batch = fetch(prepared, "validation", np.array(cut))
            with torch.no_grad():
                stream.update(model(**{name: batch[name] for name in INPUTS}).logits, batch)
        found.append(stream.compute())
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert set(found[0]) == set(fill_mask.METRICS)
    batch = fetch(prepared, "validation", np.arange(4))
    with torch.no_grad():
        output = model(**{name: batch[name] for name in INPUTS}, labels=batch["labels"])
    chosen = batch["labels"] != -100
    right = (output.logits.argmax(-1) == batch["labels"])[chosen].double().mean().item()
    assert found[0]["loss"] == pytest.approx(output.loss.item(), rel=1e-5)
    assert found[0]["perplexity"] == pytest.approx(math.exp(output.loss.item()), rel=1e-4)
    assert found[0]["token_accuracy"] == pytest.approx(right)


# Whole runs


def test_a_stopped_and_resumed_run_ends_with_the_same_bytes(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-3}
    recipe = make_recipe(tiny_bert_folder, files=str(tiny_reviews), training=training)
    expected = carry_out(recipe)
    path = carry_out(recipe, stop_at=8)  # in the second epoch
    carry_out(recipe, path)
    for name in (layout.METRICS, f"{layout.MODEL}/model.safetensors"):
        assert (path / name).read_bytes() == (expected / name).read_bytes()
    assert losses(path) == losses(expected)
    assert set(json.loads((path / layout.METRICS).read_text())["test"]) == set(fill_mask.METRICS)


@pytest.fixture(scope="module")
def headless_bert(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT as sentence transformers save it: a body with a pooler, no head that guesses words."""
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("headless") / "bert"
    shutil.copytree(tiny_bert_folder, folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoModel.from_pretrained(tiny_bert_folder).save_pretrained(folder)
    return folder


def test_only_what_guesses_words_is_new_on_a_model_without_it(headless_bert: Path) -> None:
    recipe = make_recipe(headless_bert)
    model = fill_mask.load_model(recipe, headless_bert, make_prepared(recipe, headless_bert))
    assert all(name.startswith("cls.predictions.") for name in new_weights(model))
    assert "cls.predictions.transform.dense.weight" in new_weights(model)
    embeddings = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is embeddings
    assert torch.equal(embeddings, AutoModelForMaskedLM.from_pretrained(headless_bert).get_input_embeddings().weight)


def test_lora_trains_the_new_part_of_the_head_and_not_the_word_embeddings(
    headless_bert: Path, tiny_reviews: Path
) -> None:
    recipe = make_recipe(headless_bert, method={"name": "lora", "r": 2}, files=str(tiny_reviews))
    torch.manual_seed(0)
    model = fill_mask.load_model(recipe, headless_bert, make_prepared(recipe, headless_bert))
    method = methods.registry.load("lora")
    assert recipe.method.config is not None
    adapted = method.adapt(model, recipe.method.config, recipe.model, "fill-mask")
    learned = {name for name, weight in adapted.named_parameters() if weight.requires_grad and "lora_" not in name}
    assert {name.split(".cls.")[1].replace(".modules_to_save.default", "") for name in learned} == {
        "predictions.transform.dense.weight",
        "predictions.transform.dense.bias",
        "predictions.transform.LayerNorm.weight",
        "predictions.transform.LayerNorm.bias",
    }


def test_a_lora_run_on_a_model_without_a_head_answers_as_it_was_trained(
    headless_bert: Path, tiny_reviews: Path
) -> None:
    from hftune.inference.loading import load_run

    training = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-2}
    recipe = make_recipe(headless_bert, method="lora", files=str(tiny_reviews), training=training)
    path = carry_out(recipe)
    assert not any("model=" in command for command in next_commands(path))
    loaded = load_run(path)
    tokenizer, config = loaded.tokenizer, loaded.model.config
    prepared = fill_mask.prepare(recipe, {"test": load_splits(recipe.data)["test"]}, tokenizer, config)
    stream = fill_mask.metric_stream(recipe, prepared)
    batch = fetch(prepared, "test", np.arange(6))
    with torch.no_grad():
        stream.update(loaded.model(**{name: batch[name] for name in INPUTS}).logits, batch)
    expected = json.loads((path / layout.METRICS).read_text())["test"]
    assert stream.compute() == pytest.approx(expected, rel=1e-5)


def test_a_classifier_starts_from_a_pretrained_run_with_its_body_and_a_new_head(
    headless_bert: Path, tiny_reviews: Path
) -> None:
    training = {"max_steps": 3, "learning_rate": 1e-2}
    run = carry_out(make_recipe(headless_bert, files=str(tiny_reviews), training=training))
    pretrained = run / layout.MODEL
    assert next_commands(run)[-1] == f"hftune run RECIPE -s model={pretrained}"
    chain = parse_recipe(
        {
            "name": "tiny",
            "task": "text-classification",
            "model": str(pretrained),
            "data": {"files": str(tiny_reviews)},
            "training": {"max_steps": 1, "learning_rate": 1e-12, "precision": "fp32", "weight_decay": 0.0},
        }
    )
    classifier = AutoModelForSequenceClassification.from_pretrained(carry_out(chain) / layout.MODEL)
    body = AutoModelForMaskedLM.from_pretrained(pretrained).base_model.state_dict()
    assert len(body) > 30
    for name, weight in classifier.base_model.state_dict().items():
        if not name.startswith("pooler."):
            torch.testing.assert_close(weight, body[name], rtol=0, atol=1e-9, msg=name)
    before = AutoModelForMaskedLM.from_pretrained(headless_bert).base_model.state_dict()
    assert any(not torch.equal(before[name], weight) for name, weight in body.items())
    assert not [name for name, _ in classifier.named_parameters() if name.startswith("cls.")]


def test_a_model_from_scratch_learns(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    model = {
        "architecture": "bert",
        "config": {
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
            "max_position_embeddings": 32,
        },
        "tokenizer": str(tiny_bert_folder),
    }  # fmt: skip
    training = {"max_steps": 60, "per_device_train_batch_size": 16, "learning_rate": 1e-2, "eval_steps": 30}
    path = carry_out(make_recipe(model, files=str(tiny_reviews), training=training))
    curve = losses(path, "eval")
    assert curve[0] < math.log(150)
    assert curve[1] < curve[0]
    assert AutoModelForMaskedLM.from_pretrained(path / layout.MODEL).config.model_type == "bert"


# What cannot be


def test_an_adapter_alone_is_nothing_to_begin_with(headless_bert: Path, tiny_reviews: Path) -> None:
    recipe = make_recipe(headless_bert, method="lora", files=str(tiny_reviews), training={"max_steps": 1})
    adapter = carry_out(recipe) / layout.MODEL
    with pytest.raises(ModelError, match=r"holds an adapter, and not the model") as caught:
        carry_out(make_recipe(adapter, files=str(tiny_reviews)))
    assert "method: full" in caught.value.hint


def test_a_tokenizer_without_a_mask_is_refused(tiny_gpt2_folder: Path, tiny_bert_folder: Path) -> None:
    with pytest.raises(RecipeError, match="has no mask token") as caught:
        make_prepared(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder)
    assert "text-generation" in str(caught.value)
    fitted = make_recipe({"architecture": "bert", "tokenizer": {"fit": "characters"}})
    with pytest.raises(RecipeError, match="fitted to characters has no mask token"):
        fill_mask.prepare(
            fitted,
            {"train": Dataset.from_dict({"text": TEXTS})},
            fit_characters(TEXTS),
            load_config(fitted.model, None, fit_characters(TEXTS)),
        )


def test_data_that_are_no_plain_texts_are_refused(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(
        tiny_bert_folder, prompt="a", completion="b", text_pair="c", too_long="window", pack=True,
        window={"stride": 4},
    )  # fmt: skip
    with pytest.raises(RecipeError) as caught:
        make_prepared(recipe, tiny_bert_folder)
    assert [problem.key for problem in caught.value.problems] == ["data.text_pair", "data.prompt", "data.pack"]


def test_rows_without_a_word_are_counted_and_an_empty_split_refused(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, train=["", None, "😀", "fine film"])
    assert prepared.splits["train"]["row"][:] == [3]
    notice = next(notice for notice in prepared.notices if notice.code == "nothing-to-learn")
    assert "train 3 of 4" in notice.message
    with pytest.raises(DataError, match="no word in 'text'"):
        make_prepared(recipe, tiny_bert_folder, train=[""])
    empty = Dataset.from_dict({"text": TEXTS}).select([])
    with pytest.raises(DataError, match="test split is empty"):
        tokenizer = AutoTokenizer.from_pretrained(tiny_bert_folder)
        fill_mask.prepare(recipe, {"test": empty}, tokenizer, load_config(recipe.model, tiny_bert_folder))


@pytest.mark.parametrize("probability", [0, 1, 1.5])
def test_a_probability_that_hides_nothing_or_all_is_refused(tiny_bert_folder: Path, probability: float) -> None:
    with pytest.raises(RecipeError, match="mask_probability"):
        make_recipe(tiny_bert_folder, {"mask_probability": probability})
