"""What is hidden of a text, exactly: shares, special tokens, windows; the same however a run goes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from hftune.data.batches import batch_plan, micro_batches
from hftune.data.load import load_splits
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import load_tokenizer
from hftune.recipe.load import parse_recipe
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared, fill_mask
from hftune.tasks._masking import Masking, make_masking
from hftune.training.evaluation import fetch

TEXTS = ["the film was good", "the plot was bad and very boring and we hated it", "we loved the ending", "fine film ."]


def make_recipe(model: Path, task: Mapping[str, Any] | None = None, seed: int = 0, **sections: Any) -> Recipe:
    data = {"rows": [{"text": text} for text in TEXTS], "max_length": 32, **sections}
    if "files" in data:
        del data["rows"]
    return parse_recipe(
        {
            "name": "tiny",
            "task": {"name": "fill-mask", **(task or {})},
            "model": str(model),
            "data": data,
            "training": {"seed": seed},
        }
    )


def make_prepared(recipe: Recipe, folder: Path, **splits: list[Any]) -> Prepared:
    tokenizer = load_tokenizer(recipe.model, folder)
    given = {split: Dataset.from_dict({"text": texts}) for split, texts in (splits or {"train": TEXTS}).items()}
    return fill_mask.prepare(recipe, given, tokenizer, load_config(recipe.model, folder))


@pytest.fixture
def masking(tiny_bert_folder: Path) -> Masking:
    return make_masking(AutoTokenizer.from_pretrained(tiny_bert_folder), 0.15)


def long_example(masking: Masking, row: int, tokens: int = 200) -> dict[str, Any]:
    ids = np.resize(masking.ordinary, tokens)
    return {"input_ids": ids, "labels": ids, "row": row, "window": 0}


def within(count: int, trials: int, share: float) -> bool:
    """Whether a count lies within five standard deviations of what the share of a binomial says."""
    return abs(count - trials * share) < 5 * math.sqrt(trials * share * (1 - share))


def test_of_the_chosen_tokens_eight_tenths_are_masked_one_random_one_left(masking: Masking) -> None:
    masked = random = left = 0
    vocabulary: list[int] = []
    for row in range(500):
        example = long_example(masking, row)
        drawn = masking.training(example, epoch=0, seed=3)
        chosen = drawn["labels"] != -100
        assert chosen.sum() == 30
        assert (drawn["labels"][chosen] == example["input_ids"][chosen]).all()
        assert (drawn["input_ids"][~chosen] == example["input_ids"][~chosen]).all()
        shown, real = drawn["input_ids"][chosen], example["input_ids"][chosen]
        masked += int((shown == masking.mask).sum())
        left += int((shown == real).sum())
        changed = (shown != masking.mask) & (shown != real)
        random += int(changed.sum())
        vocabulary += shown[changed].tolist()
    total, size = masked + random + left, len(masking.ordinary)
    assert total == 500 * 30
    assert within(masked, total, 0.8)
    assert within(random, total, 0.1 * (1 - 1 / size))  # a random token is the same one now and then
    assert within(left, total, 0.1 * (1 + 1 / size))
    assert set(vocabulary) <= set(masking.ordinary.tolist())
    assert len(set(vocabulary)) > 0.99 * size


def test_every_place_is_chosen_equally_often(masking: Masking) -> None:
    counts = sum(
        (masking.training(long_example(masking, row, 40), 0, 0)["labels"] != -100).astype(int) for row in range(2000)
    )
    assert all(within(int(count), 2000, 6 / 40) for count in counts)


def test_special_tokens_are_never_chosen_nor_put_in(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, {"mask_probability": 0.9})
    texts = ["the film was zzz 😀 good [SEP] [MASK] fine", *TEXTS]
    prepared = make_prepared(recipe, tiny_bert_folder, train=texts, validation=texts)
    special = set(prepared.tokenizer.all_special_ids)
    mask = prepared.tokenizer.mask_token_id
    assert prepared.draw is not None
    for before in prepared.splits["train"]:
        for epoch in range(20):
            after = prepared.draw(before, epoch)
            for was, now, label in zip(before["input_ids"], after["input_ids"], after["labels"], strict=True):
                if was in special:
                    assert (now, label) == (was, -100)
                else:
                    assert now == mask or now not in special
    for example in prepared.splits["validation"]:
        assert not special & {label for label in example["labels"] if label != -100}


def test_a_short_text_has_one_token_to_guess(tiny_bert_folder: Path) -> None:
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, train=["film"])
    batch = fetch(prepared, "train", np.array([0]), epoch=0)
    assert batch["labels"].tolist() == [[-100, prepared.tokenizer.convert_tokens_to_ids("film"), -100]]


def test_a_higher_probability_hides_more(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, {"mask_probability": 0.5})
    prepared = make_prepared(recipe, tiny_bert_folder, train=["the film was good"])
    batch = fetch(prepared, "train", np.array([0]), epoch=0)
    assert int(fill_mask.weight(recipe, prepared, batch)) == 2


# When it is drawn


def tokens_by_row(prepared: Prepared, batches: Iterator[Any], epoch: int) -> dict[int, tuple[list[int], list[int]]]:
    """Return row -> what is shown and what is to be guessed, without padding."""
    found = {}
    for indices in batches:
        batch = fetch(prepared, "train", indices, epoch)
        for place, row in enumerate(batch["row"].tolist()):
            length = int(batch["attention_mask"][place].sum())
            found[row] = tuple(batch[name][place, :length].tolist() for name in ("input_ids", "labels"))
    return found


def test_masks_do_not_depend_on_batches_accumulation_or_processes(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, files=str(tiny_reviews))
    tokenizer = load_tokenizer(recipe.model, tiny_bert_folder)
    prepared = fill_mask.prepare(
        recipe, load_splits(recipe.data), tokenizer, load_config(recipe.model, tiny_bert_folder)
    )
    lengths = prepared.splits["train"]["length"][:]

    def parts(world_size: int, size: int, together: int, grouped: bool) -> Iterator[Any]:
        for whole in batch_plan(lengths, seed=0, epoch=1, batch_size=together, group_by_length=grouped):
            for rank in range(world_size):
                cuts = micro_batches(whole, rank=rank, world_size=world_size, per_device_batch_size=size)
                yield from (cut for cut in cuts if len(cut))

    expected = tokens_by_row(prepared, parts(1, 8, 8, True), 1)
    assert len(expected) == 48
    for cut in ((1, 2, 8, True), (2, 4, 8, True), (3, 1, 12, False)):
        assert tokens_by_row(prepared, parts(*cut), 1) == expected
    assert tokens_by_row(prepared, parts(1, 8, 8, True), 2) != expected


def test_each_epoch_and_each_seed_has_its_own_masks(masking: Masking) -> None:
    example = long_example(masking, row=7)
    draws = {
        (epoch, seed): masking.training(example, epoch, seed)["input_ids"].tobytes()
        for epoch in range(3)
        for seed in range(3)
    }
    assert len(set(draws.values())) == 9
    assert masking.training(example, 2, 1)["input_ids"].tobytes() == draws[2, 1]
    assert masking.evaluation(example)["input_ids"].tobytes() not in draws.values()


def test_masks_of_held_out_texts_are_fixed(tiny_bert_folder: Path) -> None:
    first, second = (
        make_prepared(make_recipe(tiny_bert_folder, seed=seed), tiny_bert_folder, **splits)
        for seed, splits in ((0, {"train": TEXTS[:1], "validation": TEXTS}), (5, {"test rows": TEXTS}))
    )
    rows = list(second.splits["test rows"])
    assert list(first.splits["validation"]) == rows
    assert all(any(label != -100 for label in row["labels"]) for row in rows)
    assert fetch(first, "validation", np.arange(4))["labels"].tolist() == first.collate(rows)["labels"].tolist()


def test_a_mask_is_the_same_on_every_machine(masking: Masking) -> None:
    # Stored: PCG64's raw output is the same wherever numpy runs, and another one would end the exactness of resuming.
    drawn = masking.training(long_example(masking, 5, 40), epoch=1, seed=2)
    places = np.nonzero(drawn["labels"] != -100)[0].tolist()
    assert places == [10, 16, 21, 24, 27, 38]
    assert drawn["input_ids"][places].tolist() == [62, 4, 26, 4, 4, 4]
    assert drawn["labels"][places].tolist() == [15, 21, 26, 29, 32, 43]


def test_windows_choose_each_token_once_at_most(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=12, too_long="window", window={"stride": 4})
    text = " ".join(TEXTS * 3)
    prepared = make_prepared(recipe, tiny_bert_folder, train=[text])
    whole = prepared.tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = list(prepared.splits["train"])
    assert len(windows) > 2
    for sooner, later in pairwise(windows):
        assert later["input_ids"][1:5] == sooner["input_ids"][-5:-1]
    assert [label for window in windows for label in window["labels"] if label != -100] == whole
