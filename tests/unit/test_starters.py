"""The data that ship: what their cards say is what is in them."""

from __future__ import annotations

import subprocess
from collections import Counter

import pyarrow.parquet as pq
import pytest
import torch

from hftune import starters
from hftune.errors import DataError, ModelError
from hftune.modeling import catalogue
from hftune.starters.authors.build import _passages, plain
from hftune.starters.movie_reviews import build as reviews
from hftune.starters.tutor_chats import build as chats
from hftune.starters.zh_sentences import build as sentences


def rows(name: str) -> dict[str, list[dict]]:
    return {split: pq.read_table(path).to_pylist() for split, path in starters.data_files(f"hftune:{name}").items()}


@pytest.mark.parametrize("name", starters.names())
def test_every_starter_has_a_card_with_source_and_licence(name):
    card = starters.card(f"hftune:{name}")
    for word in (f"hftune:{name}", "icence", "Source", "Limits", "How it was made"):
        assert word in card


@pytest.mark.parametrize("name", ["authors", "movie-reviews", "tutor-chats", "zh-sentences"])
def test_every_data_starter_has_three_splits(name):
    assert list(starters.data_files(f"hftune:{name}")) == ["train", "validation", "test"]


def test_a_model_that_is_fetched_has_all_that_pins_it_and_its_card_says_the_same():
    entry = catalogue.find("hftune:smollm2-135m-instruct-q4")
    assert entry is not None and entry.id == "hftune:smollm2-135m-instruct-q4" and entry.gguf
    assert all(len(sha) == 64 for sha in (entry.wheel_sha256, entry.weights_sha256, entry.tensors_sha256))
    card = starters.card(entry.id)
    assert entry.licence in card and entry.gguf in card and entry.requirement.replace("==", " ") in card
    assert f"{entry.wheel_size / 1e6:.0f} MB" in card and f"{entry.size / 1e6:.0f} MB" in card


@pytest.mark.parametrize("name", ["authors", "movie-reviews", "zh-sentences"])
def test_no_text_is_in_two_splits(name):
    home: dict[str, str] = {}
    for split, members in rows(name).items():
        for row in members:
            assert home.setdefault(row["text"], split) == split
            assert row["text"] == row["text"].strip() != ""


def test_chinese_sentences_are_what_the_build_makes_and_what_the_card_says(tmp_path):
    sentences.main(tmp_path)
    members = rows("zh-sentences")
    for split, wanted in members.items():
        assert pq.read_table(tmp_path / f"{split}.parquet").to_pylist() == wanted
        counts = Counter(row["label"] for row in wanted)
        assert counts["positive"] == counts["negative"] == len(wanted) / 2
        assert f"| {split} | {len(wanted)} |" in starters.card("zh-sentences")
    lengths = [len(row["text"]) for part in members.values() for row in part]
    assert f"{min(lengths)} to {max(lengths)} characters" in starters.card("zh-sentences")


def test_conversations_are_what_the_build_makes_and_what_the_card_says(tmp_path):
    chats.main(tmp_path)
    members, card = rows("tutor-chats"), starters.card("tutor-chats")
    for split, wanted in members.items():
        assert pq.read_table(tmp_path / f"{split}.parquet").to_pylist() == wanted
        sizes = [len(row["messages"]) for row in wanted]
        follow_up = sum(size > 2 for size in sizes)
        assert f"| {split} | {len(wanted)} | {follow_up} | {sum(sizes) // 2} |" in card
    topics = [{row["topic"] for row in part} for part in members.values()]
    assert topics[0] == topics[1] == topics[2]
    assert f"one of {len(topics[0])}:" in card
    assert f"{sum(map(len, members.values()))} short conversations" in card


def test_conversations_are_turns_of_plain_sentences_and_nothing_is_said_twice():
    said: list[str] = []
    for part in rows("tutor-chats").values():
        for row in part:
            roles = [turn["role"] for turn in row["messages"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            for turn in row["messages"]:
                assert turn["content"] == turn["content"].strip()
                assert turn["content"].isascii() and turn["content"][-1] in ".?"
                said.append(turn["content"])
    assert len(said) == len(set(said)), "so no question and no answer is in two splits either"
    with pytest.raises(ValueError, match="without its last answer"):
        chats.messages(["a question"])


def test_movie_reviews_are_all_there_with_labels_by_the_sign_of_the_rating():
    splits = rows("movie-reviews")
    assert {split: len(members) for split, members in splits.items()} == {
        "train": 8486,
        "validation": 1060,
        "test": 1059,
    }
    everything = [row for members in splits.values() for row in members]
    assert list(everything[0]) == ["text", "rating", "label"]
    assert all(-4 <= row["rating"] <= 4 and row["label"] == reviews.label(row["rating"]) for row in everything)
    assert Counter(row["label"] for row in everything) == {"positive": 5242, "negative": 5326, None: 37}
    assert all(f"| {split} | {len(members):,} |" in starters.card("movie-reviews") for split, members in splits.items())


@pytest.mark.long
def test_movie_reviews_are_what_the_build_makes_from_the_source_distribution(tmp_path):
    try:
        reviews.main(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("the package index cannot be reached, and the source distribution comes from it")
    for split, members in rows("movie-reviews").items():
        assert pq.read_table(tmp_path / f"{split}.parquet").to_pylist() == members


def test_copies_of_a_text_go_where_training_sees_them():
    texts = [(f"text {number}", 1.0) for number in range(3000)]
    splits = reviews.split([*texts, *texts[:50]])
    home: dict[str, set[str]] = {}
    for split, members in splits.items():
        for text, _ in members:
            home.setdefault(text, set()).add(split)
    assert all(len(found) == 1 for found in home.values())
    assert sum(map(len, splits.values())) == 3050
    assert len(splits["test"]) <= 1060


def test_authors_are_balanced_and_no_work_is_in_two_splits():
    splits = rows("authors")
    for split, size in (("train", 500), ("validation", 100), ("test", 100)):
        assert Counter(row["label"] for row in splits[split]) == {"austen": size, "melville": size, "president": size}
    works = {split: {row["work"] for row in members} for split, members in splits.items()}
    assert not works["train"] & works["test"]
    assert not works["train"] & works["validation"]
    assert not works["validation"] & works["test"]


def test_authors_have_passages_of_the_said_length_with_nothing_that_gives_them_away():
    for members in rows("authors").values():
        for row in members:
            assert 40 <= len(row["text"].split()) <= 80
            assert not any(mark in row["text"] for mark in ("—", "--", "_", "“", "’", "CHAPTER", "Austen", "Applause"))


def test_passages_stop_at_headings_and_are_whole_sentences():
    sentence = "He said that Mr. Weston had " + "very " * 20 + "much to do."
    assert list(_passages([f'{sentence} "{sentence}"', "CHAPTER II", sentence])) == [f'{sentence} "{sentence}"']
    assert plain("a—b “c” _d_") == 'a - b "c" d'


def test_every_starter_is_a_data_set_or_a_model_and_none_is_both():
    named = {f"hftune:{name}" for name in starters.names()}
    assert set(starters.data_sets()) | set(starters.models()) == named
    assert not set(starters.data_sets()) & set(starters.models())


def test_unknown_starters_name_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'hftune:authors'"):
        starters.data_files("hftune:author")
    with pytest.raises(ModelError, match="no model starter named"):
        starters.model_folder("hftune:movie-reviews")


def test_the_gpt2_that_ships_is_small_and_what_its_card_says():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, card = starters.model_folder("hftune:gpt2-mini"), starters.card("hftune:gpt2-mini")
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= 24_000_000 and f"{weights.stat().st_size / 1e6:.1f} MB" in card
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters" in card
    ids = tokenizer("The President of the United", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(model(input_ids=ids).logits[0, -1].argmax()) == " States"
