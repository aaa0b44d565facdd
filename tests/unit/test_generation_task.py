"""Text generation: what is learned, exactly; against transformers' own loss, on tiny GPT-2s."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoTokenizer

from hftune.errors import DataError, ModelError, RecipeError
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import ensure_pad_token
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared, _streams, text_generation

TEXTS = ["the film was good", "the plot was bad and very boring and we hated it", "we loved the ending"]


def make_recipe(folder: Path, task: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    options = task or {}
    training = sections.pop("training", {})
    config = text_generation.Config(**options)
    return Recipe.model_validate(
        {
            "name": "test",
            "task": {"name": "text-generation", "options": options, "config": config},
            "model": str(folder),
            "data": {"rows": [{"text": "a"}], **sections},
            "training": training,
        }
    )


def make_prepared(recipe: Recipe, folder: Path, columns: dict[str, list[Any]]) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ensure_pad_token(tokenizer)
    splits = {"train": Dataset.from_dict(columns)}
    return text_generation.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def learned(prepared: Prepared, index: int = 0) -> str:
    """The text of the tokens that are learned (a first token never is: nothing predicts it)."""
    labels = prepared.splits["train"][index]["labels"][1:]
    return str(prepared.tokenizer.decode([label for label in labels if label != -100]))


def model_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def test_plain_text_is_learned_through_its_end(tiny_gpt2_folder: Path) -> None:
    prepared = make_prepared(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder, {"text": TEXTS})
    example = prepared.splits["train"][0]
    assert prepared.tokenizer.decode(example["input_ids"]) == "the film was good<|endoftext|>"
    assert example["labels"][1:] == example["input_ids"][1:]
    assert prepared.tokenizer.pad_token_id == prepared.tokenizer.eos_token_id
    batch = prepared.collate(list(prepared.splits["train"]))
    shortest = int(batch["attention_mask"].sum(1).argmin())
    length = int(batch["attention_mask"][shortest].sum())
    assert batch["labels"][shortest, length - 1] == prepared.tokenizer.eos_token_id
    assert (batch["labels"][shortest, length:] == -100).all()
    assert (batch["input_ids"][shortest, length:] == prepared.tokenizer.pad_token_id).all()


def test_loss_and_gradients_equal_those_of_transformers(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder)
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": TEXTS})
    model = text_generation.load_model(recipe, tiny_gpt2_folder, prepared).eval()
    batch = prepared.collate(list(prepared.splits["train"]))
    output = model(**model_inputs(batch), labels=batch["labels"])
    ours = text_generation.loss(recipe, prepared, output.logits, batch) / text_generation.weight(
        recipe, prepared, batch
    )
    weights = list(model.parameters())
    theirs = torch.autograd.grad(output.loss, weights, retain_graph=True)
    assert ours.item() == pytest.approx(output.loss.item(), rel=1e-6)
    for mine, reference in zip(torch.autograd.grad(ours, weights), theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-7)


def test_micro_batches_sum_to_the_large_batch(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder)
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": TEXTS})
    model = text_generation.load_model(recipe, tiny_gpt2_folder, prepared).eval()
    rows = list(prepared.splits["train"])
    whole, parts = prepared.collate(rows), [prepared.collate([row]) for row in rows]
    expected = model(**model_inputs(whole), labels=whole["labels"]).loss.item()
    summed = sum(text_generation.loss(recipe, prepared, model(**model_inputs(b)).logits, b).item() for b in parts)
    weight = sum(text_generation.weight(recipe, prepared, b).item() for b in parts)
    assert summed / weight == pytest.approx(expected, rel=1e-5)


def test_only_the_completion_is_learned(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, prompt="prompt", completion="completion")
    columns = {"prompt": ["the film was"], "completion": [" good"]}
    prepared = make_prepared(recipe, tiny_gpt2_folder, columns)
    assert learned(prepared) == " good<|endoftext|>"
    ids = prepared.splits["train"][0]["input_ids"]
    assert prepared.tokenizer.decode(ids) == "the film was good<|endoftext|>"


def test_prompts_are_learned_too_when_asked(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, {"answer_only": False}, prompt="prompt", completion="completion")
    columns = {"prompt": ["the film was"], "completion": [" good"]}
    prepared = make_prepared(recipe, tiny_gpt2_folder, columns)
    start = prepared.tokenizer.decode(prepared.splits["train"][0]["input_ids"][:1])
    assert start + learned(prepared) == "the film was good<|endoftext|>"


def test_long_prompts_lose_their_beginning_and_keep_the_answer(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, prompt="prompt", completion="completion", max_length=12)
    columns = {"prompt": ["the film was " * 20], "completion": ["good"]}
    prepared = make_prepared(recipe, tiny_gpt2_folder, columns)
    assert prepared.splits["train"][0]["length"] == 12
    assert learned(prepared) == "good<|endoftext|>"
    notice = next(notice for notice in prepared.notices if notice.code == "truncated")
    assert notice.hint == "Raise data.max_length.", "windows are for plain texts"


MESSAGES = [
    {"role": "system", "content": "we liked it"},
    {"role": "user", "content": "was the film good ?"},
    {"role": "assistant", "content": "very good"},
    {"role": "user", "content": "and the plot ?"},
    {"role": "assistant", "content": "never dull"},
]


def test_only_the_assistants_turns_are_learned(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, messages="messages")
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"messages": [MESSAGES]})
    assert learned(prepared) == " very good<|endoftext|> never dull<|endoftext|>"


def test_template_is_saved_with_the_tokenizer(tiny_gpt2_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, messages="messages")
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"messages": [MESSAGES[1:3]]})
    prepared.tokenizer.save_pretrained(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    asked = loaded.apply_chat_template(MESSAGES[1:2], tokenize=False, add_generation_prompt=True)
    assert asked == "User: was the film good ?<|endoftext|>\nAssistant:"
    ids = loaded(asked, add_special_tokens=False)["input_ids"]
    assert prepared.splits["train"][0]["input_ids"][: len(ids)] == ids


def test_own_template_is_used_and_its_end_is_learned(tiny_gpt2_folder: Path) -> None:
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    recipe = make_recipe(tiny_gpt2_folder, {"template": template}, messages="messages")
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"messages": [MESSAGES]})
    assert learned(prepared) == "very good\nnever dull\n<|endoftext|>"
    assert prepared.tokenizer.chat_template == template


def test_template_that_rewrites_earlier_turns_is_refused(tiny_gpt2_folder: Path) -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    recipe = make_recipe(tiny_gpt2_folder, {"template": template}, messages="messages")
    with pytest.raises(ModelError, match=r"row 0.*changes earlier turns"):
        make_prepared(recipe, tiny_gpt2_folder, {"messages": [MESSAGES]})


def test_unknown_template_suggests_the_closest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'lines'"):
        text_generation.Config(template="line")


@pytest.mark.parametrize(
    ("messages", "match"),
    [([{"role": "asistant", "content": "a"}], "asistant"), ([{"role": "user", "content": None}], "no text")],
)
def test_bad_messages_name_the_row(tiny_gpt2_folder: Path, messages: list[Any], match: str) -> None:
    recipe = make_recipe(tiny_gpt2_folder, messages="messages")
    with pytest.raises(DataError, match=f"train, row 1.*{match}"):
        make_prepared(recipe, tiny_gpt2_folder, {"messages": [MESSAGES, messages]})


def test_windows_learn_every_token_exactly_once(tiny_gpt2_folder: Path) -> None:
    text = " ".join(TEXTS * 6)
    window = {"stride": 4}
    recipe = make_recipe(tiny_gpt2_folder, max_length=16, too_long="window", window=window)
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": [text, "fine"]})
    whole = prepared.tokenizer(text)["input_ids"] + [prepared.tokenizer.eos_token_id]
    windows = [example for example in prepared.splits["train"] if example["row"] == 0]
    assert [example["window"] for example in windows] == list(range(len(windows)))
    assert all(example["length"] <= 16 for example in windows)
    again = [label for example in windows for label in example["labels"][1:] if label != -100]
    assert again == whole[1:]
    for sooner, later in pairwise(windows):
        assert later["input_ids"][:4] == sooner["input_ids"][-4:]


def test_bytes_of_windows_add_up_to_those_of_the_text(tiny_gpt2_folder: Path) -> None:
    text = "thé film — wäs goöd " * 12
    recipe = make_recipe(tiny_gpt2_folder, max_length=16, too_long="window", window={"stride": 2})
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": [text]})
    first = prepared.tokenizer.decode(prepared.splits["train"][0]["input_ids"][:1])
    total = sum(prepared.splits["train"]["text_bytes"][:])
    assert total == len(text.encode()) - len(first.encode())


def test_cut_and_refused_texts_are_named(tiny_gpt2_folder: Path) -> None:
    columns = {"text": ["fine", "the film was good " * 10]}
    prepared = make_prepared(make_recipe(tiny_gpt2_folder, max_length=8), tiny_gpt2_folder, columns)
    notice = next(notice for notice in prepared.notices if notice.code == "truncated")
    assert "train 1 of 2 (50.0%)" in notice.message
    with pytest.raises(DataError, match="row 1"):
        make_prepared(make_recipe(tiny_gpt2_folder, max_length=8, too_long="error"), tiny_gpt2_folder, columns)
    windows = make_recipe(tiny_gpt2_folder, too_long="window", prompt="p", completion="c")
    with pytest.raises(RecipeError, match="windows are for plain texts"):
        make_prepared(windows, tiny_gpt2_folder, {"p": ["a"], "c": ["b"]})


def test_rows_with_nothing_to_learn_are_counted(tiny_gpt2_folder: Path) -> None:
    prepared = make_prepared(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder, {"text": ["", None, "fine film"]})
    assert prepared.splits["train"]["row"][:] == [2]
    assert "train 2 of 3" in next(notice.message for notice in prepared.notices if notice.code == "nothing-to-learn")
    with pytest.raises(DataError, match="nothing to learn in 'text'"):
        make_prepared(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder, {"text": ["", None]})


def test_figures_are_the_same_however_batches_are_cut(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder)
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": TEXTS})
    model = text_generation.load_model(recipe, tiny_gpt2_folder, prepared).eval()
    rows = list(prepared.splits["train"])
    found = []
    with torch.no_grad():
        for cuts in ([rows], [rows[:1], rows[1:]], [[row] for row in reversed(rows)]):
            stream = text_generation.metric_stream(recipe, prepared)
            for part in cuts:
                batch = prepared.collate(part)
                stream.update(model(**model_inputs(batch)).logits, batch)
            found.append(stream.compute())
        whole = prepared.collate(rows)
        expected = model(**model_inputs(whole), labels=whole["labels"]).loss.item()
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    assert found[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert found[0]["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    tokens = text_generation.weight(recipe, prepared, whole).item()
    size = sum(prepared.splits["train"]["text_bytes"][:])
    assert found[0]["bits_per_byte"] == pytest.approx(expected * tokens / math.log(2) / size, rel=1e-5)
    assert set(found[0]) <= set(text_generation.METRICS)


class LargestInFullPrecision(TorchDispatchMode):
    """Notes how many numbers the largest fp32 tensor has that is made within."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.dtype == torch.float32:
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_figures_of_half_precision_logits_are_pytorchs_with_little_held_in_full_precision(
    tiny_gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch, smoothing: float
) -> None:
    recipe = make_recipe(tiny_gpt2_folder, training={"label_smoothing_factor": smoothing})
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": TEXTS})
    batch = prepared.collate(list(prepared.splits["train"]))
    logits = torch.randn(*batch["labels"].shape, 320, generator=torch.Generator().manual_seed(0)).bfloat16()
    monkeypatch.setattr(_streams, "HELD", 3 * 320)
    stream = text_generation.metric_stream(recipe, prepared)
    with LargestInFullPrecision() as largest:
        stream.update(logits, batch)
    found = stream.compute()
    assert largest.numbers == 3 * 320
    predictions, targets = logits[:, :-1].float().reshape(-1, 320), batch["labels"][:, 1:].reshape(-1)
    nll = torch.nn.functional.cross_entropy(predictions, targets).item()
    smoothed = torch.nn.functional.cross_entropy(predictions, targets, label_smoothing=smoothing).item()
    right = (predictions.argmax(-1) == targets)[targets != -100].double().mean().item()
    assert found["loss"] == pytest.approx(smoothed, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(nll), rel=1e-5)
    assert found["token_accuracy"] == pytest.approx(right)


def test_label_smoothing_is_that_of_pytorch(tiny_gpt2_folder: Path) -> None:
    recipe = make_recipe(tiny_gpt2_folder, training={"label_smoothing_factor": 0.1})
    prepared = make_prepared(recipe, tiny_gpt2_folder, {"text": TEXTS})
    batch = prepared.collate(list(prepared.splits["train"]))
    logits = torch.randn(*batch["labels"].shape, 320, generator=torch.Generator().manual_seed(0))
    ours = text_generation.loss(recipe, prepared, logits, batch) / text_generation.weight(recipe, prepared, batch)
    reference = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    expected = reference(logits[:, :-1].reshape(-1, 320), batch["labels"][:, 1:].reshape(-1))
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    stream = text_generation.metric_stream(recipe, prepared)
    stream.update(logits, batch)
    assert stream.compute()["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_begin_of_text_starts_an_example_where_the_tokenizer_adds_one(tiny_gpt2_folder: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    ensure_pad_token(tokenizer)
    end = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", end)]
    )
    recipe = make_recipe(tiny_gpt2_folder, prompt="prompt", completion="completion")
    splits = {"train": Dataset.from_dict({"prompt": ["the film was"], "completion": [" good"]})}
    prepared = text_generation.prepare(recipe, splits, tokenizer, load_config(recipe.model, tiny_gpt2_folder))
    assert prepared.splits["train"][0]["input_ids"][0] == end
    assert learned(prepared) == " good<|endoftext|>"


def test_model_from_scratch_takes_the_tokenizers_vocabulary(tiny_gpt2_folder: Path) -> None:
    from hftune.recipe.schema import ModelSection

    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    recipe = make_recipe(tiny_gpt2_folder).model_copy(
        update={"model": ModelSection(architecture="gpt2", config=sizes, tokenizer=str(tiny_gpt2_folder))}
    )
    prepared = make_prepared(make_recipe(tiny_gpt2_folder), tiny_gpt2_folder, {"text": TEXTS})
    torch.manual_seed(0)
    model = text_generation.load_model(recipe, None, prepared)
    assert model.config.vocab_size == len(prepared.tokenizer)
    assert model.config.n_embd == 16
    assert next(model.parameters()).dtype == torch.float32
