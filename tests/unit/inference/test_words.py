"""Whole words of a vocabulary, the nearest ones, and what tuning did to them: against numpy and plain transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hftune import cli
from hftune.commands.embed import change_lines
from hftune.data.load import load_splits
from hftune.errors import DataError, RunError, UsageError
from hftune.inference.embedding import unit, word_table
from hftune.inference.loading import load_base, load_run
from hftune.inference.word_changes import context_changes, table_changes
from hftune.inference.words import nearest, whole_words, word_pieces, word_vector


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert cli.run(["embed", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_whole_words_are_no_pieces_and_no_special_tokens(full_run: Path) -> None:
    tokenizer = load_run(full_run).tokenizer
    found = whole_words(tokenizer)
    assert {"film", "good", "a", "7"} <= set(found.words)
    assert not {"##s", "[PAD]", "[MASK]", ".", "!"} & set(found.words)
    assert tokenizer.convert_ids_to_tokens(list(found.ids)) == list(found.words)


def test_words_of_a_byte_level_vocabulary_have_their_space(language_run: Path) -> None:
    tokenizer = load_run(language_run).tokenizer
    found = dict(zip(whole_words(tokenizer).words, whole_words(tokenizer).ids, strict=True))
    assert tokenizer.convert_ids_to_tokens(found["good"]) == "Ġgood"
    assert word_pieces(tokenizer, "good") == [found["good"]]
    assert "ing" not in found


def test_characters_are_words_where_they_are_the_tokens(lstm_run: Path) -> None:
    tokenizer = load_run(lstm_run).tokenizer
    assert set(whole_words(tokenizer).words) <= set("abcdefghijklmnopqrstuvwxyz")
    assert len(word_pieces(tokenizer, "film")) == 4


def test_neighbours_are_those_of_numpy(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_run(full_run)
    table, words = word_table(loaded.model), whole_words(loaded.tokenizer)
    ids = list(words.ids)
    query = table[loaded.tokenizer.convert_tokens_to_ids("good")]
    cosines = table[ids] @ query / np.linalg.norm(table[ids], axis=1) / np.linalg.norm(query)
    order = [place for place in np.argsort(-cosines, kind="stable") if words.words[place] != "good"][:5]
    record = shown(capsys, full_run, "--near", "good", "--top", "5")
    assert [one["word"] for one in record["neighbours"]] == [words.words[place] for place in order]
    assert [one["cosine"] for one in record["neighbours"]] == pytest.approx(cosines[order].tolist(), rel=1e-4)
    assert record["pieces"] == ["good"]


def test_a_word_of_pieces_is_their_mean(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_run(full_run)
    table, pieces = word_table(loaded.model), word_pieces(loaded.tokenizer, "goods")
    np.testing.assert_allclose(word_vector(table, pieces), table[pieces].mean(0))
    record = shown(capsys, full_run, "--near", "goods")
    assert record["pieces"] == ["good", "##s"]
    assert len(record["neighbours"]) == 10
    assert cli.run(["embed", str(full_run), "--near", "goods", "--near", "bad"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "mean of its 2 pieces: good ##s" in lines[0]
    assert "among" in lines[11] and "whole words" in lines[11]


def test_nearest_leaves_out_what_it_is_told_to() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32))
    assert [one.place for one in nearest(vectors, vectors[0], 2, {0})] == [1, 2]
    assert unit(np.zeros((1, 2), dtype=np.float32)).tolist() == [[0, 0]]


def test_an_empty_word_is_none(full_run: Path) -> None:
    with pytest.raises(UsageError, match="is no word"):
        word_pieces(load_run(full_run).tokenizer, "")


# What tuning did


def train_texts(run: Path) -> list[str]:
    texts: list[str] = load_splits(load_run(run).recipe.data)["train"]["text"][:]
    return texts


def test_moved_words_are_those_of_the_two_tables(
    full_run: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file

    before, after = (
        load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        for folder in (tiny_bert_folder, full_run / "model")
    )
    tokenizer = load_run(full_run).tokenizer
    texts = train_texts(full_run)
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    counts = np.bincount([index for ids in encoded for index in ids], minlength=len(before))
    words = [index for index in whole_words(tokenizer).ids if counts[index]]
    distances = {index: float(np.linalg.norm(after[index] - before[index])) for index in words}
    record = shown(capsys, full_run, "--changed", "--top", "4")
    assert (record["where"], record["rows"], record["texts"]) == ("table", len(words), len(texts))
    assert record["moved"] == len(words)
    assert record["mean_distance"] == pytest.approx(np.mean(list(distances.values())), rel=1e-5)
    expected = sorted(words, key=lambda index: -distances[index])[:4]
    assert [one["word"] for one in record["most"]] == tokenizer.convert_ids_to_tokens(expected)
    for one, index in zip(record["most"], expected, strict=True):
        assert one["count"] == counts[index]
        assert one["distance"] == pytest.approx(distances[index], rel=1e-5)
        cosine = np.dot(before[index], after[index]) / np.linalg.norm(before[index]) / np.linalg.norm(after[index])
        assert one["cosine"] == pytest.approx(float(cosine), rel=1e-5)


def test_neighbours_gained_and_lost_are_told(full_run: Path) -> None:
    loaded = load_run(full_run)
    base = load_base(loaded)
    found = table_changes(loaded, base, train_texts(full_run), 5)
    words = whole_words(loaded.tokenizer)
    ids = list(words.ids)
    for change in found.most:
        place = words.words.index(change.word)
        near = []
        for model in (base, loaded.model):
            units = unit(word_table(model)[ids])
            near.append([words.words[one.place] for one in nearest(units, units[place], 10, {place})])
        assert list(change.gained) == [word for word in near[1] if word not in near[0]]
        assert list(change.lost) == [word for word in near[0] if word not in near[1]]


def test_lora_leaves_the_table_and_says_so(lora_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["embed", str(lora_run), "--changed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("No word vector moved")
    assert "lora leaves the table as it is" in lines[1]
    assert "--contextual" in lines[3]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft asks transformers for it
def test_words_in_context_are_means_over_their_occurrences(
    lora_run: Path, tiny_bert_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    tokenizer, texts = load_run(lora_run).tokenizer, train_texts(lora_run)
    word = tokenizer.convert_tokens_to_ids("film")
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder, num_labels=2).eval()
    means = []
    for adapted in (False, True):
        model = PeftModel.from_pretrained(plain, lora_run / "model").eval().base_model.model if adapted else plain
        states = []
        for text in texts:
            batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=32)
            with torch.no_grad():
                states.append(model.bert(**batch).last_hidden_state[batch["input_ids"] == word])
        means.append(torch.cat(states).mean(0))
    record = shown(capsys, lora_run, "--contextual", "--top", "50")
    (found,) = [one for one in record["most"] if one["word"] == "film"]
    assert found["count"] == len(torch.cat(states))
    assert found["distance"] == pytest.approx(float((means[1] - means[0]).norm()), rel=1e-4)
    assert found["cosine"] == pytest.approx(float(torch.cosine_similarity(*means, dim=0)), rel=1e-4)
    assert all(one["count"] >= 5 for one in record["most"])
    assert record["where"] == "context" and record["moved"] == record["rows"]
    assert cli.run(["embed", str(lora_run), "--contextual", "--rows", "20", "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "20 train texts: mean last hidden states" in lines[0]
    assert max(map(len, lines)) <= 80


def test_a_model_from_scratch_has_nothing_before_it(lstm_run: Path) -> None:
    with pytest.raises(RunError, match="made from scratch"):
        load_base(load_run(lstm_run))


def test_texts_without_a_frequent_word_cannot_be_compared(lora_run: Path) -> None:
    loaded = load_run(lora_run)
    base = load_base(loaded)
    with pytest.raises(DataError, match="none of the vocabulary's words"):
        context_changes(loaded, base, ["film"], 5)
    with pytest.raises(DataError, match="no texts"):
        context_changes(loaded, base, [], 5)


def test_changes_fit_80_columns() -> None:
    one = {"word": "a" * 40, "count": 123456, "cosine": 0.5, "distance": 1.25, "gained": ["b" * 60] * 3, "lost": []}
    record = {
        "where": "table", "texts": 8486, "rows": 10316, "moved": 10316, "mean_cosine": 0.9, "mean_distance": 0.1,
        "most": [one],
    }  # fmt: skip
    for found in (record, {**record, "moved": 0}, {**record, "where": "context"}):
        assert all(len(line) <= 80 for line in change_lines(found, "minilm-mlm-20260101-000000-a1b2@500", "lora"))
