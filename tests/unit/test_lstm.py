"""Embedding, LSTM, Dense: the equations, padding that changes nothing, one sigmoid for two classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from hftune import tasks
from hftune.data.batches import batch_plan
from hftune.data.load import load_splits
from hftune.data.texts import Texts
from hftune.errors import DataError, RecipeError
from hftune.inference.predictor import Predictor
from hftune.inference.scoring import load_rows, score
from hftune.modeling.loading import load_config
from hftune.modeling.lstm import LstmConfig, LstmForSequenceClassification
from hftune.modeling.tokenizer import load_tokenizer
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Choice, Recipe
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter
from hftune.tasks import Prepared
from hftune.training.evaluation import fetch
from hftune.training.randomness import seed_initial_weights

GOOD = (
    "这部电影很好",
    "我喜欢这个故事",
    "演员非常好",
    "音乐很美",
    "很好看的电影",
    "故事很美",
    "我很喜欢",
    "结局非常好",
)
BAD = ("这部电影很差", "我讨厌这个故事", "演员非常差", "音乐难听", "不好看的电影", "故事很闷", "我很失望", "结局非常差")


FROM_SCRATCH = {
    "architecture": "lstm",
    "config": {"embedding_size": 6, "hidden_size": 5},
    "tokenizer": {"fit": "characters"},
}


def make_recipe(
    label_names: tuple[str, ...] = (), one_output: bool = True, model: Any = FROM_SCRATCH, **training: Any
) -> Recipe:
    rows = [
        {"text": text, "label": label}
        for pair in zip(GOOD, BAD, strict=True)
        for text, label in zip(pair, (1, 0), strict=True)
    ]
    return parse_recipe(
        {
            "name": "tiny",
            "task": {"name": "text-classification", "one_output": one_output},
            "model": model,
            "data": {
                "rows": {"train": rows, "validation": rows[:4]},
                "label_names": list(label_names or ("bad", "good")),
                "test_share": 0.0,
            },
            "training": {
                "num_train_epochs": 10, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "logging_steps": 1,
                "lr_scheduler_type": "constant", "precision": "fp32", **training,
            },
        }
    )  # fmt: skip


def prepare(recipe: Recipe) -> Prepared:
    splits = load_splits(recipe.data)
    tokenizer = load_tokenizer(recipe.model, texts=Texts(splits["train"], recipe.data))
    task = tasks.registry.load(recipe.task.name)
    return task.prepare(recipe, splits, tokenizer, load_config(recipe.model, None, tokenizer))


def carry_out(recipe: Recipe) -> Path:
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        train(recipe, run)
    return run.path


@pytest.fixture
def model() -> LstmForSequenceClassification:
    torch.manual_seed(0)
    config = LstmConfig(vocab_size=20, embedding_size=6, hidden_size=5, num_labels=3)
    return LstmForSequenceClassification(config).eval()


def sigmoid(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 1 / (1 + np.exp(-values))


def test_the_answer_is_that_of_the_equations(model: LstmForSequenceClassification) -> None:
    """Hochreiter and Schmidhuber 1997 with forget gates, written out in numpy."""
    weights = {name: parameter.detach().double().numpy() for name, parameter in model.named_parameters()}
    tokens = [3, 17, 4, 4, 9]
    hidden, cell = np.zeros(5), np.zeros(5)
    for token in tokens:
        gates = weights["lstm.weight_ih_l0"] @ weights["embedding.weight"][token] + weights["lstm.bias_ih_l0"]
        gates += weights["lstm.weight_hh_l0"] @ hidden + weights["lstm.bias_hh_l0"]
        entered, forgotten, new, shown = np.split(gates, 4)
        cell = sigmoid(forgotten) * cell + sigmoid(entered) * np.tanh(new)
        hidden = sigmoid(shown) * np.tanh(cell)
    expected = weights["classifier.weight"] @ hidden + weights["classifier.bias"]
    assert model(torch.tensor([tokens])).logits[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_padding_changes_no_answer(model: LstmForSequenceClassification) -> None:
    texts = [[3, 17, 4], [5], [6, 7, 8, 9, 10, 11, 12], [2, 2]]
    batch = torch.zeros(4, 10, dtype=torch.int64)
    for row, tokens in enumerate(texts):
        batch[row, : len(tokens)] = torch.tensor(tokens)
    together = model(batch, attention_mask=(batch != 0).long()).logits
    alone = torch.cat([model(torch.tensor([tokens])).logits for tokens in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_loss_and_gradient_of_one_sigmoid_are_those_of_binary_cross_entropy() -> None:
    recipe = make_recipe()
    prepared, task = prepare(recipe), tasks.registry.load("text-classification")
    seed_initial_weights(0)
    ours = task.load_model(recipe, None, prepared)
    batch = fetch(prepared, "train", np.arange(6))
    logits = ours(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert logits.shape == (6, 1)
    loss = task.loss(recipe, prepared, logits, batch) / task.weight(recipe, prepared, batch)
    plain = functional.binary_cross_entropy(torch.sigmoid(logits[:, 0]), batch["labels"].float())
    assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    wanted = torch.autograd.grad(plain, list(ours.parameters()), retain_graph=True)
    for found, expected in zip(torch.autograd.grad(loss, list(ours.parameters())), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_twenty_steps_have_the_losses_of_a_plain_loop_with_one_sigmoid() -> None:
    recipe = make_recipe(max_steps=20, optim="adam")
    prepared = prepare(recipe)
    seed_initial_weights(recipe.training.seed)
    model = tasks.registry.load("text-classification").load_model(recipe, None, prepared)
    optimizer = torch.optim.Adam(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.01},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    lengths, losses = prepared.splits["train"]["length"][:], []
    for epoch in range(5):
        for indices in batch_plan(lengths, seed=0, epoch=epoch, batch_size=4, group_by_length=True):
            batch = fetch(prepared, "train", indices)
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
            loss = torch.nn.BCEWithLogitsLoss()(logits, batch["labels"].float())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    run = carry_out(recipe)
    curve = [event.data["metrics"]["loss"] for event in read_events(run) if event.kind == "train"]
    assert curve == pytest.approx(losses, rel=1e-5)


def test_one_sigmoid_answers_with_two_classes() -> None:
    run = carry_out(make_recipe(num_train_epochs=30))
    predictor = Predictor.load(run)
    assert predictor.labels == ["bad", "good"]
    assert predictor.problem_type == "single_label_classification"
    good, bad = predictor.classify([GOOD[0], BAD[0]])
    assert (good.label, bad.label) == ("good", "bad")
    assert sum(good.probabilities.values()) == pytest.approx(1)
    with torch.no_grad():
        inputs = predictor.loaded.tokenizer([GOOD[0]], return_tensors="pt")
        (output,) = predictor.loaded.model(**inputs).logits.sigmoid().flatten().tolist()
    assert good.probabilities["good"] == pytest.approx(output, abs=1e-6)
    figures = score(predictor, *load_rows(predictor, "validation", None, lambda _: None))
    assert figures.confusion is not None and figures.confusion["labels"] == ["bad", "good"]
    metrics = json.loads((run / "metrics.json").read_text())["validation"]
    assert figures.metrics["loss"]["value"] == pytest.approx(metrics["loss"], abs=1e-6)
    assert figures.metrics["accuracy"]["value"] == metrics["accuracy"]


def test_the_finished_model_loads_without_the_rest_of_hftune() -> None:
    run = carry_out(make_recipe())
    code = (
        "import sys, hftune.modeling.lstm\n"
        "from transformers import AutoModelForSequenceClassification as A, AutoTokenizer as T\n"
        "model = A.from_pretrained(sys.argv[1]).eval()\n"
        "print(model(**T.from_pretrained(sys.argv[1])(['电影很好'], return_tensors='pt')).logits.item())\n"
        "assert not any(name.startswith('hftune.training') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run / "model")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = Predictor.load(run).classify(["电影很好"])
    assert float(done.stdout) == pytest.approx(answer.logits[1], abs=1e-5)
    assert answer.logits[0] == 0.0


def test_a_checkpoint_of_a_model_from_scratch_can_be_asked() -> None:
    run = carry_out(make_recipe())
    finished, checkpoint = Predictor.load(run), Predictor.load(run, step=40)
    assert checkpoint.classify(["很好"])[0].logits == pytest.approx(finished.classify(["很好"])[0].logits, abs=1e-6)
    assert checkpoint.labels == ["bad", "good"]


def test_a_model_with_one_sigmoid_can_be_taken_on_with_two_outputs() -> None:
    first = carry_out(make_recipe())
    second = carry_out(make_recipe(one_output=False, model=str(first / "model")))
    predictor = Predictor.load(second)
    assert predictor.labels == ["bad", "good"]
    assert len(predictor.classify(["很好"])[0].logits) == predictor.loaded.model.classifier.out_features == 2


def test_a_sentence_alone_and_in_a_batch_gets_the_same_answer() -> None:
    predictor = Predictor.load(carry_out(make_recipe()))
    texts = [*GOOD, "好", "这部电影的音乐和故事都非常好，我很喜欢", ""]
    alone = [predictor.classify([text])[0].logits for text in texts]
    for together, logits in zip(predictor.classify(texts), alone, strict=True):
        assert together.logits == pytest.approx(logits, abs=1e-6)


def test_a_model_with_one_sigmoid_can_be_taken_on_with_one_label_of_several() -> None:
    first = carry_out(make_recipe())
    rows = [{"text": text, "label": ["good"] if text in GOOD else []} for text in (*GOOD, *BAD)]
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": {"name": "text-classification", "problem_type": "multi_label_classification"},
            "model": str(first / "model"),
            "data": {"rows": {"train": rows, "validation": rows}, "label_names": ["good"], "test_share": 0.0},
            "training": {"max_steps": 2, "precision": "fp32"},
        }
    )
    predictor = Predictor.load(carry_out(recipe))
    assert predictor.labels == ["good"] and predictor.problem_type == "multi_label_classification"
    assert set(predictor.classify(["很好"])[0].probabilities) == {"good"}


def test_one_sigmoid_takes_numbers_for_classes_and_refuses_lists() -> None:
    recipe = make_recipe(("0", "1"))
    rows = [{"text": text, "label": label} for text, label in ((GOOD[0], 1.0), (BAD[0], 0.0), (GOOD[1], 1.0))]
    data = recipe.data.model_copy(update={"rows": {"train": tuple(rows)}, "validation_share": 0.0})
    assert prepare(recipe.model_copy(update={"data": data})).splits["train"]["labels"][:] == [1, 0, 1]
    lists = tuple({"text": row["text"], "label": ["0", "1"]} for row in rows)
    data = data.model_copy(update={"rows": {"train": lists}})
    with pytest.raises(DataError, match="is not one label"):
        prepare(recipe.model_copy(update={"data": data}))


def test_what_an_lstm_cannot_do_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"training.gradient_checkpointing: models of the kind lstm have none"):
        carry_out(make_recipe(gradient_checkpointing=True))
    first = carry_out(make_recipe())
    lora = make_recipe(model=str(first / "model")).model_copy(update={"method": Choice(name="lora")})
    with pytest.raises(RecipeError, match="no layer that LoRA can adapt"):
        carry_out(lora)


def test_one_sigmoid_is_for_two_classes() -> None:
    with pytest.raises(RecipeError, match="one sigmoid tells two classes apart, and there are 3: bad, good, other"):
        prepare(make_recipe(("bad", "good", "other")))
