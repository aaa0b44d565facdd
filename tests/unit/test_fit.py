"""The loop: the same curve as plain PyTorch, and all that may happen on the way."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from hftune import methods, pipeline, tasks
from hftune.data.batches import batch_plan
from hftune.data.load import load_splits
from hftune.errors import HftuneError, InterruptedRun, ModelError, RecipeError
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import load_tokenizer
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import JUDGED_ON_VALIDATION, NO_VALIDATION
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import read_events
from hftune.runs.writer import RunWriter
from hftune.training import evaluation, fit, step
from hftune.training.evaluation import fetch
from hftune.training.precision import Precision, choose_precision
from hftune.training.randomness import seed_initial_weights

Subscriber = Callable[[RunWriter, Event], None]
LORA = {"name": "lora", "r": 4, "lora_dropout": 0.0}


@pytest.fixture(scope="module")
def calm_bert(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT without dropout."""
    return without_dropout(tiny_bert_folder, tmp_path_factory.mktemp("calm") / "bert")


@pytest.fixture(scope="module")
def calm_gpt2(tiny_gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny GPT-2 without dropout."""
    return without_dropout(tiny_gpt2_folder, tmp_path_factory.mktemp("calm") / "gpt2")


def without_dropout(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "embd_pdrop", "attn_pdrop", "resid_pdrop")
    config |= dict.fromkeys(names, 0.0)
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def make_recipe(
    model: Path, data: Path, *, method: Any = "full", task: str = "text-classification", **training: Any
) -> Recipe:
    defaults = {
        "num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1,
        "precision": "fp32",
    }  # fmt: skip
    return parse_recipe(
        {
            "name": "tiny",
            "task": task,
            "model": str(model),
            "data": {"files": str(data), "max_length": 32},
            "method": method,
            "training": {**defaults, **training},
        }
    )


def carry_out(recipe: Recipe, path: Path | None = None, subscriber: Subscriber | None = None) -> Path:
    """Train in a new run directory (or go on in `path`) and return it."""
    opened = RunWriter.open(path) if path else RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe))
    with opened as run:
        if subscriber is not None:
            run.subscribe(lambda event: subscriber(run, event))
        try:
            train(recipe, run)
        except HftuneError as error:
            error.run = run.path  # type: ignore[attr-defined]
            raise
    return opened.path


def series(path: Path, name: str = "loss", kind: str = "train") -> list[float]:
    return [event.data["metrics"][name] for event in read_events(path) if event.kind == kind]


def alerts(path: Path, code: str) -> list[Mapping[str, Any]]:
    return [event.data for event in read_events(path) if event.data.get("code") == code]


# The curve


def plain_pytorch(recipe: Recipe, steps: int) -> list[float]:
    """Return the losses of an ordinary loop: the model's own loss, torch's AdamW, transformers' schedule."""
    from transformers import get_scheduler

    task, folder = tasks.registry.load(recipe.task.name), Path(str(recipe.model.id))
    tokenizer = load_tokenizer(recipe.model, folder)
    prepared = task.prepare(recipe, load_splits(recipe.data), tokenizer, load_config(recipe.model, folder, tokenizer))
    seed_initial_weights(recipe.training.seed)
    model = task.load_model(recipe, folder, prepared)
    method = methods.registry.load(recipe.method.name)
    model = method.adapt(model, recipe.method.config, recipe.model, recipe.task.name)  # type: ignore[arg-type]
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.training.learning_rate, fused=False)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=steps)
    lengths, losses, epoch = prepared.splits["train"]["length"][:], [], 0
    model.train()
    while True:
        for batch in batch_plan(lengths, seed=recipe.training.seed, epoch=epoch, batch_size=8, group_by_length=True):
            tensors = fetch(prepared, "train", batch)
            inputs = {key: tensors[key] for key in ("input_ids", "attention_mask", "labels")}
            loss = model(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses
        epoch += 1


@pytest.mark.parametrize("method", ["full", LORA], ids=["full", "lora"])
@pytest.mark.parametrize("task", ["text-classification", "text-generation"])
def test_twenty_steps_have_the_losses_of_a_plain_pytorch_loop(
    calm_bert: Path, calm_gpt2: Path, tiny_reviews: Path, method: Any, task: str
):
    model = calm_bert if task == "text-classification" else calm_gpt2
    recipe = make_recipe(model, tiny_reviews, method=method, task=task, max_steps=20, warmup_steps=2)
    assert series(carry_out(recipe)) == pytest.approx(plain_pytorch(recipe, 20), rel=1e-5)


@pytest.mark.parametrize(("size", "accumulation"), [(4, 2), (2, 4), (3, 3)])
def test_accumulation_equals_the_larger_batch(calm_bert: Path, tiny_reviews: Path, size: int, accumulation: int):
    whole = make_recipe(calm_bert, tiny_reviews, per_device_train_batch_size=size * accumulation, num_train_epochs=2)
    parts = make_recipe(
        calm_bert,
        tiny_reviews,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=2,
    )
    assert series(carry_out(parts)) == pytest.approx(series(carry_out(whole)), rel=1e-5)


def test_accumulation_of_generation_is_weighed_by_tokens(calm_gpt2: Path, tiny_reviews: Path):
    sizes = [{"per_device_train_batch_size": 8}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}]
    curves = [
        series(carry_out(make_recipe(calm_gpt2, tiny_reviews, task="text-generation", group_by_length=False, **size)))
        for size in sizes
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


@pytest.mark.parametrize("method", ["full", LORA], ids=["full", "lora"])
def test_gradient_checkpointing_changes_no_loss(tiny_bert_folder: Path, tiny_reviews: Path, method: Any):
    wanted = {"method": method, "max_steps": 3}
    curves = [
        series(carry_out(make_recipe(tiny_bert_folder, tiny_reviews, gradient_checkpointing=on, **wanted)))
        for on in (False, True)
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_the_curve_shows_the_mean_since_the_point_before(calm_bert: Path, tiny_reviews: Path):
    fine = series(carry_out(make_recipe(calm_bert, tiny_reviews)))
    coarse = series(carry_out(make_recipe(calm_bert, tiny_reviews, logging_steps=4)))
    assert len(fine) == 6
    assert coarse == pytest.approx([sum(fine[:4]) / 4, sum(fine[4:]) / 2])


# Memory


def small_memory(monkeypatch: pytest.MonkeyPatch, fits: int, only_training: bool = False) -> None:
    forward = evaluation.forward

    def limited(model: Any, batch: Any, precision: Any, device: Any) -> Any:
        if len(batch["input_ids"]) > fits:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return forward(model, batch, precision, device)

    monkeypatch.setattr(step, "forward", limited)
    if not only_training:
        monkeypatch.setattr(evaluation, "forward", limited)


def test_out_of_memory_halves_the_batch_and_keeps_the_curve(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = make_recipe(calm_bert, tiny_reviews, save_steps=3)
    expected = carry_out(recipe)
    small_memory(monkeypatch, fits=3)
    path = carry_out(recipe)
    assert series(path) == pytest.approx(series(expected), rel=1e-5)
    assert series(path, kind="eval") == pytest.approx(series(expected, kind="eval"), rel=1e-5)
    assert [alert["step"] for alert in alerts(path, "out-of-memory")] == [0, 0]
    state = json.loads((layout.checkpoints(path)[0] / "state.json").read_text())
    assert (state["step"], state["per_device_batch_size"]) == (3, 2)


def test_a_run_resumed_after_memory_ran_out_goes_on_with_the_smaller_batch(
    tiny_bert_folder: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = make_recipe(tiny_bert_folder, tiny_reviews)  # with dropout, which depends on how a batch is cut
    small_memory(monkeypatch, fits=3)
    expected = carry_out(recipe)
    with pytest.raises(InterruptedRun) as caught:
        carry_out(recipe, subscriber=ask_at("train", 2, "stop"))
    path = caught.value.run  # type: ignore[attr-defined]
    carry_out(recipe, path)
    assert len(alerts(path, "out-of-memory")) == len(alerts(expected, "out-of-memory"))
    for name in (layout.METRICS, f"{layout.MODEL}/model.safetensors"):
        assert (path / name).read_bytes() == (expected / name).read_bytes()


def test_a_batch_that_does_not_halve_evenly_is_counted_in_as_many_parts_as_it_takes(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = make_recipe(calm_bert, tiny_reviews, per_device_train_batch_size=5, max_steps=3)
    small_memory(monkeypatch, fits=2)
    with pytest.raises(InterruptedRun) as caught:
        carry_out(recipe, subscriber=ask_at("train", 2, "stop"))
    path = caught.value.run  # type: ignore[attr-defined]
    carry_out(recipe, path)
    plan = [event.data for event in read_events(path) if event.kind == "plan"][-1]
    assert (plan["per_device_train_batch_size"], plan["gradient_accumulation_steps"]) == (2, 3)


def test_out_of_memory_with_one_example_says_what_to_do(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    small_memory(monkeypatch, fits=0)
    with pytest.raises(ModelError, match="out of memory with one example") as caught:
        carry_out(make_recipe(calm_bert, tiny_reviews))
    assert "max_length" in caught.value.hint


def test_out_of_memory_is_an_error_when_the_batch_may_not_shrink(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    small_memory(monkeypatch, fits=4)
    with pytest.raises(ModelError, match="out of memory with 8 examples"):
        carry_out(make_recipe(calm_bert, tiny_reviews, auto_find_batch_size=False))


@pytest.mark.parametrize("method", ["full", LORA], ids=["full", "lora"])
@pytest.mark.parametrize("task", ["text-classification", "text-generation"])
def test_a_decoder_keeps_no_keys_and_values(
    tiny_gpt2_folder: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch, method: Any, task: str
):
    from transformers import GPT2Model

    forward, kept = GPT2Model.forward, []

    def watched(*arguments: Any, **options: Any) -> Any:
        outputs = forward(*arguments, **options)
        kept.append(outputs.past_key_values)
        return outputs

    monkeypatch.setattr(GPT2Model, "forward", watched)
    carry_out(make_recipe(tiny_gpt2_folder, tiny_reviews, task=task, method=method, max_steps=1))
    assert set(kept) == {None}


# Precision


def test_the_scale_of_fp16_gradients_is_saved_and_taken_up(
    tiny_bert_folder: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on CUDA, which a recipe must have for fp16; torch can do the same, slowly, on a CPU."""
    monkeypatch.setattr(pipeline, "choose_precision", lambda wanted, device: Precision("fp16", device.type))
    recipe = make_recipe(tiny_bert_folder, tiny_reviews)
    expected = carry_out(recipe)
    scaler = json.loads((layout.checkpoints(expected)[-1] / "state.json").read_text())["scaler"]
    assert scaler["_growth_tracker"] + scaler["scale"] > 0
    assert all(math.isfinite(loss) for loss in series(expected))
    with pytest.raises(InterruptedRun) as caught:
        carry_out(recipe, subscriber=ask_at("train", 3, "stop"))
    path = caught.value.run  # type: ignore[attr-defined]
    carry_out(recipe, path)
    weights = f"{layout.MODEL}/model.safetensors"
    assert (path / weights).read_bytes() == (expected / weights).read_bytes()


def test_fp16_gradients_that_overflow_at_every_scale_end_the_run(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    """The scale begins at 2 ** 16 and is halved at each overflow: below one there is nothing left to find."""
    monkeypatch.setattr(pipeline, "choose_precision", lambda wanted, device: Precision("fp16", device.type))
    forward = step.forward

    def overflowing(*arguments: Any) -> Any:
        logits, batch = forward(*arguments)
        logits.register_hook(lambda gradient: gradient * math.inf)
        return logits, batch

    monkeypatch.setattr(step, "forward", overflowing)
    with pytest.raises(HftuneError, match="gradient has not been finite for 5 steps, at step 21") as caught:
        carry_out(make_recipe(calm_bert, tiny_reviews, num_train_epochs=5))
    path = caught.value.run  # type: ignore[attr-defined]
    assert [alert["step"] for alert in alerts(path, "nan-loss")] == [17, 18, 19, 20]


def test_emulated_bf16_trains_and_warns_that_it_is_slow(calm_bert: Path, tiny_reviews: Path):
    recipe = make_recipe(calm_bert, tiny_reviews, precision="bf16", max_steps=3)
    if choose_precision("bf16", torch.device("cpu")).native:
        pytest.skip("this processor computes bf16 natively")
    path = carry_out(recipe)
    assert len(alerts(path, "slow-precision")) == 1
    fp32 = series(carry_out(make_recipe(calm_bert, tiny_reviews, max_steps=3)))
    assert series(path) == pytest.approx(fp32, rel=0.02)


# Losses that are not finite


def broken_losses(monkeypatch: pytest.MonkeyPatch, calls: range) -> None:
    forward, count = step.forward, iter(range(1000))

    def breaking(*arguments: Any) -> Any:
        logits, batch = forward(*arguments)
        return (logits * math.nan if next(count) in calls else logits), batch

    monkeypatch.setattr(step, "forward", breaking)


def test_a_step_without_a_finite_loss_changes_nothing(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    broken_losses(monkeypatch, range(2, 3))
    path = carry_out(make_recipe(calm_bert, tiny_reviews))
    losses = series(path)
    assert losses[2] is None
    assert all(loss is not None for index, loss in enumerate(losses) if index != 2)
    assert [alert["step"] for alert in alerts(path, "nan-loss")] == [3]
    assert all(metrics["loss"] is not None for metrics in json.loads((path / layout.METRICS).read_text()).values())


def test_a_loss_that_stays_not_finite_ends_the_run_with_its_last_good_checkpoint(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    broken_losses(monkeypatch, range(3, 1000))
    with pytest.raises(HftuneError, match="not been finite for 5 steps, at step 8") as caught:
        carry_out(make_recipe(calm_bert, tiny_reviews, num_train_epochs=3, save_steps=1, eval_steps=99))
    assert "learning_rate" in caught.value.hint
    assert "fp32" in caught.value.hint
    path = caught.value.run  # type: ignore[attr-defined]
    assert [layout.checkpoint_step(one) for one in layout.checkpoints(path)] == [2, 3]


# Best model, early stopping, target loss


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Evaluations in training report these accuracies in turn."""
    left = iter(values)
    monkeypatch.setattr(fit, "evaluate_split", lambda *arguments: ({"loss": 1.0, "accuracy": next(left)}, 6))


def by_accuracy(model: Path, data: Path, **training: Any) -> Recipe:
    return make_recipe(
        model, data, metric_for_best_model="accuracy", eval_steps=1, num_train_epochs=2, save_steps=100, **training
    )


def test_the_best_model_is_kept_and_written(calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch):
    from safetensors.torch import load_file

    values = [0.5, 0.6, 0.9, 0.8, math.nan, 0.9, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5]
    scripted(monkeypatch, values)
    path = carry_out(by_accuracy(calm_bert, tiny_reviews, save_total_limit=1))
    assert [event.data["step"] for event in read_events(path) if event.kind == "best"] == [1, 2, 3]
    assert [layout.checkpoint_step(one) for one in layout.checkpoints(path)] == [3, 12]
    best = load_file(layout.checkpoints(path)[0] / "trainable.safetensors")
    model = load_file(path / layout.MODEL / "model.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in model.items())
    assert json.loads((path / layout.METRICS).read_text())["validation"]["accuracy"] == 0.9
    (result,) = [event.data for event in read_events(path) if event.kind == "result"]
    assert (result["best_step"], result["global_step"]) == (3, 12)


def test_a_figure_that_is_not_finite_is_never_the_best(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    losses = iter([math.inf, math.inf, 2.0, *[math.nan] * 9])
    monkeypatch.setattr(fit, "evaluate_split", lambda *arguments: ({"loss": next(losses)}, 6))
    path = carry_out(make_recipe(calm_bert, tiny_reviews, eval_steps=1, save_steps=1, num_train_epochs=2))
    assert [event.data["step"] for event in read_events(path) if event.kind == "best"] == [3]


def test_a_best_checkpoint_that_broke_is_said_aloud_and_the_last_model_is_scored_instead(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    from safetensors.torch import load_file

    scripted(monkeypatch, [0.9] + [0.5] * 11)

    def spoil_best(run: RunWriter, event: Event) -> None:
        if event.kind == "train" and event.data["step"] == 12:
            (layout.checkpoints(run.path)[0] / "trainable.safetensors").write_bytes(b"spoilt")

    path = carry_out(by_accuracy(calm_bert, tiny_reviews), subscriber=spoil_best)
    assert len(alerts(path, "best-checkpoint-broken")) == 1
    last = load_file(layout.checkpoints(path)[-1] / "trainable.safetensors")
    model = load_file(path / layout.MODEL / "model.safetensors")
    assert all(torch.equal(last[name], tensor) for name, tensor in model.items())
    (result,) = [event.data for event in read_events(path) if event.kind == "result"]
    assert result["best_step"] == 12
    assert [event.data["split"] for event in read_events(path) if event.kind == "eval"][-2:] == ["validation", "test"]


def test_early_stopping_counts_evaluations_without_a_better_one(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    scripted(monkeypatch, [0.5, 0.6, 0.61, 0.7, 0.7, 0.7, 0.7])
    recipe = by_accuracy(calm_bert, tiny_reviews, early_stopping_patience=2, early_stopping_threshold=0.05)
    path = carry_out(recipe)
    state = json.loads((layout.checkpoints(path)[-1] / "state.json").read_text())
    assert (state["step"], state["finished"], state["best_step"]) == (6, "early-stopping", 4)


def test_training_ends_at_the_target_loss_and_is_evaluated_there(calm_bert: Path, tiny_reviews: Path):
    path = carry_out(make_recipe(calm_bert, tiny_reviews, target_loss=5.0, logging_steps=2))
    assert [event.data["step"] for event in read_events(path) if event.kind == "eval"] == [2, 2]
    assert json.loads((layout.checkpoints(path)[-1] / "state.json").read_text())["finished"] == "target-loss"


def test_a_metric_that_these_data_do_not_have_lists_those_they_have_before_training(
    calm_bert: Path, tiny_reviews: Path
):
    with pytest.raises(RecipeError, match="no pearson is reported") as caught:
        carry_out(make_recipe(calm_bert, tiny_reviews, metric_for_best_model="pearson"))
    assert "accuracy" in caught.value.problems[0].hint
    assert series(caught.value.run) == []  # type: ignore[attr-defined]


def test_early_stopping_is_refused_before_training_when_the_loaded_data_have_no_validation_split(
    calm_bert: Path, tiny_reviews: Path
):
    recipe = make_recipe(calm_bert, tiny_reviews, early_stopping_patience=2, metric_for_best_model="loss")
    # As a data set of the Hub may come: which splits it has shows when it is loaded.
    uncut = recipe.model_copy(update={"data": recipe.data.model_copy(update={"validation_share": 0.0})})
    with pytest.raises(RecipeError) as caught:
        carry_out(uncut)
    assert {(problem.key, problem.message, problem.hint) for problem in caught.value.problems} == {
        (f"training.{key}", *NO_VALIDATION) for key in JUDGED_ON_VALIDATION
    }
    assert series(caught.value.run) == []  # type: ignore[attr-defined]


def test_the_curve_is_on_disk_before_the_checkpoint_that_goes_on_from_it(
    calm_bert: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recording_fsync(descriptor: int) -> None:
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def recording_rename(source: Path, target: Path, **options: object) -> None:
        calls.append(f"rename {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "rename", recording_rename)
    recipe = make_recipe(calm_bert, tiny_reviews, save_steps=1, eval_steps=99, max_steps=2)
    carry_out(recipe, subscriber=lambda run, event: calls.append(event.kind))
    between = calls[calls.index("train") : calls.index(f"rename {layout.checkpoint_name(1)}")]
    assert f"sync {layout.EVENTS}" in between


# Requests


def ask_at(kind: str, number: int, request: str) -> Subscriber:
    """Ask for something when so many events of a kind have been emitted."""
    seen: list[Event] = []

    def subscriber(run: RunWriter, event: Event) -> None:
        if event.kind == kind:
            seen.append(event)
            if len(seen) == number:
                (run.path / layout.CONTROL / request).touch()

    return subscriber


@pytest.mark.parametrize(("request_name", "word"), [("stop", "stopped"), ("pause", "paused")])
def test_a_request_is_obeyed_after_the_step_with_the_state_saved(
    tiny_bert_folder: Path, tiny_reviews: Path, request_name: str, word: str
):
    recipe = make_recipe(tiny_bert_folder, tiny_reviews)
    expected = carry_out(recipe)
    with pytest.raises(InterruptedRun, match=f"{word} at step 2") as caught:
        carry_out(recipe, subscriber=ask_at("train", 2, request_name))
    path = caught.value.run  # type: ignore[attr-defined]
    (checkpoint,) = [event.data for event in read_events(path) if event.kind == "checkpoint"]
    assert (checkpoint["step"], checkpoint["reason"]) == (2, request_name)
    carry_out(recipe, path)
    assert series(path) == series(expected)
    assert (path / layout.METRICS).read_bytes() == (expected / layout.METRICS).read_bytes()


def test_a_request_in_an_evaluation_saves_and_the_evaluation_is_done_on_resume(
    tiny_bert_folder: Path, tiny_reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = make_recipe(tiny_bert_folder, tiny_reviews, eval_steps=2, save_steps=100)
    expected = carry_out(recipe)

    def ask_in_evaluation(run: RunWriter, event: Event) -> None:
        if event.kind == "status" and event.data["status"] == "evaluating":
            run.ask("stop")

    with pytest.raises(InterruptedRun, match="stopped at step 2") as caught:
        carry_out(recipe, subscriber=ask_in_evaluation)
    path = caught.value.run  # type: ignore[attr-defined]
    assert series(path, kind="eval") == []
    carry_out(recipe, path)
    assert series(path, kind="eval") == series(expected, kind="eval")
    assert (path / layout.METRICS).read_bytes() == (expected / layout.METRICS).read_bytes()


def test_a_checkpoint_can_be_asked_for(calm_bert: Path, tiny_reviews: Path):
    path = carry_out(make_recipe(calm_bert, tiny_reviews), subscriber=ask_at("train", 4, "checkpoint"))
    saved = [(event.data["step"], event.data["reason"]) for event in read_events(path) if event.kind == "checkpoint"]
    assert saved == [(4, "checkpoint"), (6, "end")]
    assert not list((path / layout.CONTROL).iterdir())


def test_a_request_while_preparing_ends_the_run_before_it_trains(calm_bert: Path, tiny_reviews: Path):
    with pytest.raises(InterruptedRun, match="stopped at step 0") as caught:
        carry_out(make_recipe(calm_bert, tiny_reviews), subscriber=ask_at("phase", 3, "stop"))
    assert layout.checkpoints(caught.value.run) == []  # type: ignore[attr-defined]
