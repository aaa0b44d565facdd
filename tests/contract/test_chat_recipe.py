"""recipes/smollm2_chat_lora.yaml on a tiny model of its kind: what is learned of a conversation, and how it talks."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from hftune import methods, tasks
from hftune.asking.decoding import Decoding
from hftune.data.load import load_splits
from hftune.inference.predictor import Predictor
from hftune.modeling import from_gguf
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import load_tokenizer
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, load_recipe, shipped_folder
from hftune.recipe.schema import ModelSection, Recipe
from hftune.runs.writer import RunWriter
from hftune.tasks import Prepared

START, END = 1, 2  # <|im_start|>, <|im_end|>
ROWS = 6


@pytest.fixture(scope="module")
def folder(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("chat") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_gguf, "tensors_digest", lambda _: "known")
        from_gguf.convert(tiny_gguf, target, "known")
    return target


@pytest.fixture
def recipe(folder: Path) -> Recipe:
    shipped = load_recipe(shipped_folder() / "smollm2_chat_lora.yaml")
    return shipped.model_copy(
        update={
            "model": ModelSection(id=str(folder)),
            # A vocabulary of 320 tokens cuts the same conversations into more of them.
            "data": shipped.data.model_copy(update={"max_length": 1024, "max_train_samples": ROWS}),
            "training": shipped.training.model_copy(update={"max_steps": 2, "precision": "fp32"}),
        }
    )


@pytest.fixture
def prepared(recipe: Recipe, folder: Path) -> Prepared:
    tokenizer = load_tokenizer(recipe.model, folder)
    task = tasks.registry.load(recipe.task.name)
    splits = load_splits(recipe.data, print)
    return task.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def answers_only(ids: list[int], opening: list[int]) -> list[int]:
    """Labels by the markers alone: from behind each `<|im_start|>assistant\\n` to its `<|im_end|>`, -100 elsewhere."""
    labels = [-100] * len(ids)
    for start in range(len(ids)):
        if ids[start : start + len(opening)] == opening:
            first = start + len(opening)
            last = ids.index(END, first)
            labels[first : last + 1] = ids[first : last + 1]
    return labels


def test_it_learns_the_answers_and_their_ends_and_nothing_else(recipe: Recipe, prepared: Prepared) -> None:
    tokenizer = prepared.tokenizer
    conversations = load_splits(recipe.data, print)["train"]["messages"][:]
    opening = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    examples = list(prepared.splits["train"])
    assert len(examples) == len(conversations) == ROWS
    for example, messages in zip(examples, conversations, strict=True):
        plain = tokenizer.apply_chat_template(messages, tokenize=False)
        assert example["input_ids"] == tokenizer(plain, add_special_tokens=False)["input_ids"]
        assert example["labels"] == answers_only(example["input_ids"], opening)
        learned = tokenizer.decode([label for label in example["labels"] if label != -100])
        spoken = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        assert learned == "".join(f"{text}<|im_end|>" for text in spoken)


def test_loss_and_gradients_are_those_of_plain_transformers(recipe: Recipe, prepared: Prepared, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    torch.manual_seed(0)
    model = task.load_model(recipe, folder, prepared)
    model = method.adapt(model, recipe.method.config, recipe.model, recipe.task.name).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would make the gradients of lora_A zero too
            torch.nn.init.normal_(weight, std=0.02)
    batch = prepared.collate(list(prepared.splits["train"]))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    ours = task.loss(recipe, prepared, model(**inputs).logits, batch) / task.weight(recipe, prepared, batch)
    learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    gradients = torch.autograd.grad(ours, list(learning.values()))

    # By hand: the merged weights in a plain model, the conversations through a plain tokenizer, labels by the markers.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    opening = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    messages = load_splits(recipe.data, print)["train"]["messages"][:]
    texts = tokenizer.apply_chat_template(messages, tokenize=False)
    plain = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    rows = zip(plain["input_ids"].tolist(), plain["attention_mask"].sum(1).tolist(), strict=True)
    labels = [answers_only(ids[:size], opening) + [-100] * (len(ids) - size) for ids, size in rows]
    assert torch.equal(plain["input_ids"], batch["input_ids"])
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    merged: dict[str, Any] = {}
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            change = module.lora_B["default"].weight @ module.lora_A["default"].weight * module.scaling["default"]
            merged[name.removeprefix("base_model.model.") + ".weight"] = module.base_layer.weight.detach() + change
    assert len(merged) == 2 * 7, "q, k, v, o and the three of the feed-forward network, in each of two layers"
    wanted = torch.func.functional_call(reference, merged, kwargs={**plain, "labels": torch.tensor(labels)}).loss
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=0)
    for found, right in zip(gradients, torch.autograd.grad(wanted, list(learning.values())), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)


def test_trained_it_keeps_its_template_and_talks_in_turns_without_showing_a_marker(recipe: Recipe) -> None:
    with RunWriter.create(Path("runs"), recipe.name, dump_recipe(recipe)) as run:
        figures = train(recipe, run)
    assert {"loss", "perplexity", "token_accuracy"} <= set(figures["test"])
    predictor = Predictor.load(run.path)
    assert predictor.style == "chat"
    tokenizer = predictor.loaded.tokenizer
    said = tokenizer(" the film", add_special_tokens=False)["input_ids"]
    script = chain(said, [START], said, [END], said)

    def speak(module: Any, inputs: Any, output: Any) -> Any:
        output.logits[:, -1, next(script)] += 1e6
        return output

    pieces: list[str] = []
    turns = [
        {"role": "user", "content": "what was good ?"},
        {"role": "assistant", "content": "the film ."},
        {"role": "user", "content": "why ?"},
    ]
    hook = predictor.loaded.model.get_base_model().register_forward_hook(speak)
    answer = predictor.generate(turns, Decoding(seed=0), lambda piece, _: pieces.append(piece))
    hook.remove()
    assert answer.text == "".join(pieces) == "the film the film"
    assert answer.finish_reason == "eos"
    assert answer.tokens == 2 * len(said) + 2
    whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert answer.prompt_tokens == len(tokenizer(whole, add_special_tokens=False)["input_ids"])
