"""The data section of a recipe to splits."""

from __future__ import annotations

import socket
import time
from collections import Counter

import pytest
from datasets import Dataset, DatasetDict

from hftune import hub
from hftune.data import load
from hftune.data.columns import require_columns
from hftune.data.files import load_file
from hftune.data.fingerprint import fingerprint
from hftune.data.load import load_splits
from hftune.errors import DataError, RecipeError
from hftune.recipe.schema import DataSection

ROWS = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(40)]


def section(**keys) -> DataSection:
    return DataSection.model_validate(keys)


def test_rows_of_the_recipe_may_be_given_by_split():
    splits = load_splits(section(rows={"train": ROWS, "validation": ROWS[:2]}, test_share=0.0))
    assert {name: len(split) for name, split in splits.items()} == {"train": len(ROWS), "validation": 2}


def test_rows_of_the_recipe_are_cut_into_three_splits():
    splits = load_splits(section(rows=ROWS))
    assert list(splits) == ["train", "validation", "test"]
    assert {name: len(split) for name, split in splits.items()} == {"train": 32, "validation": 4, "test": 4}
    assert Counter(splits["test"]["label"]) == {"a": 2, "b": 2}


def test_a_share_of_zero_cuts_nothing():
    splits = load_splits(section(rows=ROWS, validation_share=0.0, test_share=0.0))
    assert list(splits) == ["train"]


def test_given_splits_are_kept_and_synonyms_understood(tmp_path):
    for name, words in (("train", "a b c"), ("dev", "d"), ("test", "e f")):
        (tmp_path / f"{name}.txt").write_text("\n".join(words.split()))
    files = {name: str(tmp_path / f"{name}.txt") for name in ("train", "dev", "test")}
    splits = load_splits(section(files=files))
    assert {name: split["text"][:] for name, split in splits.items()} == {
        "train": ["a", "b", "c"],
        "validation": ["d"],
        "test": ["e", "f"],
    }


@pytest.mark.parametrize("keys", [{"text": "a", "text_pair": "b"}, {"prompt": "a", "completion": "b"}])
def test_texts_that_look_like_numbers_stay_as_they_are_written(tmp_path, keys):
    (tmp_path / "a.csv").write_text("a,b,g,label\n" + "".join(f"007,1.50,{n}.0,{n}\n" for n in range(9)))
    whole = {"validation_share": 0.0, "test_share": 0.0}
    train = load_splits(section(files=str(tmp_path / "a.csv"), group="g", **keys, **whole))["train"]
    assert {*train["a"], *train["b"]} == {"007", "1.50"}
    assert train["g"][:] == [f"{n}.0" for n in range(9)]
    assert train["label"][:] == list(range(9))


def test_an_unknown_split_suggests_the_nearest(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    file = str(tmp_path / "a.txt")
    with pytest.raises(DataError, match="Did you mean 'test'"):
        load_splits(section(files={"train": file, "tset": file}))
    with pytest.raises(DataError, match="given twice"):
        load_splits(section(files={"train": file, "dev": file, "val": file}))


def test_only_the_missing_split_is_cut(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {n}" for n in range(50)))
    (tmp_path / "t.txt").write_text("other")
    splits = load_splits(section(files={"train": str(tmp_path / "a.txt"), "test": str(tmp_path / "t.txt")}))
    assert {name: len(split) for name, split in splits.items()} == {"train": 45, "validation": 5, "test": 1}


def test_samples_are_drawn_with_the_split_seed():
    first = load_splits(section(rows=ROWS, max_train_samples=10, max_eval_samples=2))
    again = load_splits(section(rows=ROWS, max_train_samples=10, max_eval_samples=2))
    other = load_splits(section(rows=ROWS, max_train_samples=10, max_eval_samples=2, split_seed=1))
    assert {name: len(split) for name, split in first.items()} == {"train": 10, "validation": 2, "test": 2}
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)


def test_the_group_column_must_exist():
    with pytest.raises(RecipeError, match=r"data.group: no column 'lable'") as caught:
        load_splits(section(rows=ROWS, group="lable"))
    assert "Columns found: text, label. Did you mean 'label'?" in caught.value.problems[0].hint


def test_every_missing_column_is_named():
    data = section(rows=ROWS, text="txet", label="lable", text_pair="x")
    with pytest.raises(RecipeError) as caught:
        require_columns(Dataset.from_list(ROWS), data, ["text", "text_pair", "label"], "the train split")
    assert [(problem.key, problem.hint) for problem in caught.value.problems] == [
        ("data.text", "Columns found: text, label. Did you mean 'text'?"),
        ("data.text_pair", "Columns found: text, label."),
        ("data.label", "Columns found: text, label. Did you mean 'label'?"),
    ]


def test_require_columns_accepts_what_is_there():
    require_columns(Dataset.from_list(ROWS), section(rows=ROWS), ["text", "text_pair", "label"], "the train split")


def test_a_local_path_as_source_says_how_to_write_it():
    with pytest.raises(DataError, match=r"files: reviews.csv"):
        load_splits(section(source="reviews.csv"))


def test_a_folder_of_the_name_of_a_hub_data_set_is_not_taken_for_it(tmp_path):
    (tmp_path / "reviews").mkdir()
    with pytest.raises(DataError, match=r"reviews is a folder here"):
        load_splits(section(source="reviews"))


def test_an_unknown_starter_names_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'hftune:movie-reviews'"):
        load_splits(section(source="hftune:movie-review"))


def test_a_hub_data_set_without_the_hub_is_a_clear_error():
    with pytest.raises(DataError, match="the Hub was not used \\(HF_HUB_OFFLINE is set\\)") as caught:
        load_splits(section(source="nyu-mll/glue", subset="sst2"))
    assert "hftune:movie-reviews" in caught.value.hint


def test_a_hub_that_never_answers_costs_three_seconds_once(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # read when it was imported
    hub.forget()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(DataError, match="no answer from"):
                load_splits(section(source="nyu-mll/glue", subset="sst2"))
        assert time.monotonic() - began < 2 * hub.PROBE_SECONDS
    hub.forget()


def test_a_hidden_test_set_of_the_hub_is_replaced_by_a_cut(monkeypatch):
    train = Dataset.from_list([{"text": f"t{n}", "label": n % 2} for n in range(40)])
    hidden = Dataset.from_list([{"text": "secret", "label": -1}] * 5)
    told: list[str] = []
    monkeypatch.setattr(hub, "reach", lambda kind, name: hub.Verdict(True))
    monkeypatch.setattr(
        "datasets.load_dataset",
        lambda *args, **keys: DatasetDict({"train": train, "dev": train.select(range(4)), "test": hidden}),
    )
    splits = load_splits(section(source="some/set"), told.append)
    assert {name: len(split) for name, split in splits.items()} == {"train": 36, "validation": 4, "test": 4}
    assert any("has no labels and is left out" in line for line in told)


def test_split_names():
    assert [load.split_name(name) for name in ("Dev", "val", "train", "extra")] == [
        "validation",
        "validation",
        "train",
        "extra",
    ]


def test_fingerprint_sees_order_values_names_and_nothing_else(tmp_path):
    base = Dataset.from_list(ROWS)
    whole = fingerprint({"train": base})
    assert whole == fingerprint({"train": base.select(range(40))})
    assert whole == fingerprint({"train": base.select_columns(["label", "text"])})
    base.to_parquet(tmp_path / "a.parquet")
    assert whole == fingerprint({"train": load_file(tmp_path / "a.parquet")})
    assert whole != fingerprint({"train": base.select([1, 0, *range(2, 40)])})
    assert whole != fingerprint({"test": base})
    assert whole != fingerprint({"train": base.rename_column("text", "txt")})


def test_fingerprint_is_the_same_in_every_version():
    rows = [{"text": "é", "n": 1, "x": 0.5, "m": [{"role": "user"}], "none": None}]
    assert (
        fingerprint({"train": Dataset.from_list(rows)})
        == "ccb0732647e1f08c37dd7de60ad7b9810cb803a52eea49bb9d6e13e7b68a670e"
    )


def test_prompts_and_completions_may_be_words_with_columns_in_braces(tmp_path):
    keys = {"prompt": "{label} review:", "completion": " {text}", "validation_share": 0.0, "test_share": 0.0}
    (tmp_path / "a.csv").write_text("text,label\ngood,positive\n007,negative\nfine,\n", encoding="utf-8")
    train = load_splits(section(files=str(tmp_path / "a.csv"), **keys))["train"]
    assert train["{label} review:"][:2] == ["positive review:", "negative review:"]
    assert train[" {text}"][:2] == [" good", " 007"], "as it is written"
    empty = load_splits(section(rows=[{"text": "a", "label": None}, {"text": "b", "label": "c"}], **keys))["train"]
    assert empty["{label} review:"][:] == [None, "c review:"]


def test_a_column_that_a_prompt_names_must_exist():
    with pytest.raises(RecipeError, match="no column 'lable' in the train split") as caught:
        load_splits(section(rows=ROWS, prompt="{lable}:", completion="text"))
    assert caught.value.problems[0].key == "data.prompt" and "'label'" in caught.value.problems[0].hint


@pytest.mark.parametrize("words", ["{} review", "{label", "{label!r}", "{a.b}", "label}"])
def test_braces_that_name_no_column_are_an_error(words):
    with pytest.raises(ValueError, match="columns stand in braces"):
        section(rows=ROWS, prompt=words, completion="text")
