"""Tokenizers: always with a pad token, and never a made-up vocabulary."""

from __future__ import annotations

import json
import shutil

import pytest

from hftune.errors import ModelError
from hftune.modeling.tokenizer import ensure_pad_token, load_tokenizer
from hftune.recipe.schema import ModelSection


def test_gpt2_pads_with_its_end_of_text_and_grows_no_vocabulary(tiny_gpt2_folder):
    tokenizer = load_tokenizer(ModelSection(id=str(tiny_gpt2_folder)))
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    with_end = tokenizer(["the film" + tokenizer.eos_token, "the"], padding=True)
    assert with_end["input_ids"][0][-1] == tokenizer.eos_token_id
    assert with_end["attention_mask"][0][-1] == 1, "an end-of-text in the text is no padding"
    assert with_end["attention_mask"][1][-1] == 0


def test_a_pad_token_that_exists_is_kept(tiny_bert_folder):
    tokenizer = load_tokenizer(ModelSection(id=str(tiny_bert_folder)), tiny_bert_folder)
    assert tokenizer.pad_token == "[PAD]"


def test_another_tokenizer_than_the_models_own(tiny_bert_folder, tiny_gpt2_folder):
    section = ModelSection(id=str(tiny_bert_folder), tokenizer=str(tiny_gpt2_folder))
    assert load_tokenizer(section, tiny_bert_folder).eos_token == "<|endoftext|>"


def test_a_folder_without_tokenizer_files_is_an_error(tiny_bert_folder, tmp_path):
    shutil.copy(tiny_bert_folder / "config.json", tmp_path)
    with pytest.raises(ModelError, match="no tokenizer in") as caught:
        load_tokenizer(ModelSection(id=str(tmp_path)), tmp_path)
    assert "model.tokenizer" in caught.value.hint


def test_a_broken_tokenizer_file_is_an_error(tiny_bert_folder, tmp_path):
    shutil.copy(tiny_bert_folder / "config.json", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        load_tokenizer(ModelSection(id=str(tmp_path)), tmp_path)


def test_lengths_saved_in_the_tokenizer_file_are_forgotten(tiny_bert_folder, tmp_path):
    shutil.copytree(tiny_bert_folder, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = load_tokenizer(ModelSection(id=str(tmp_path / "model")))
    assert tokenizer.backend_tokenizer.truncation is None
    assert len(tokenizer("the film was good and great")["input_ids"]) == 8


def test_a_tokenizer_that_cannot_pad_at_all_is_an_error(tiny_bert_folder):
    tokenizer = load_tokenizer(ModelSection(id=str(tiny_bert_folder)))
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="neither a pad token nor an end-of-text token"):
        ensure_pad_token(tokenizer)


def test_characters_are_tokens_and_others_unknown(tmp_path):
    section = ModelSection.model_validate({"architecture": "lstm", "tokenizer": {"fit": "characters"}})
    tokenizer = load_tokenizer(section, texts=["这是一个文本", "这是\n这"])
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["[PAD]", "[UNK]", "这", "是"], "the most frequent first"
    ids = tokenizer("这是新的一个\n")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["这", "是", "[UNK]", "[UNK]", "一", "个", "\n"]
    assert tokenizer.decode(tokenizer("这是文本")["input_ids"]) == "这是文本"
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(ModelSection(id=str(tmp_path)))("这是新的")["input_ids"] == ids[:4]


def fit_bytes_of(texts, **section):
    fitted = {"fit": "byte-level-bpe", **section}
    return load_tokenizer(ModelSection.model_validate({"architecture": "gpt2", "tokenizer": fitted}), texts=texts)


def test_bytes_are_fitted_as_gpt2s_and_no_text_is_unknown(tmp_path):
    texts = ["the film was good, the film was long"] * 20
    tokenizer = fit_bytes_of(texts, vocab_size=300)
    assert tokenizer.eos_token == tokenizer.bos_token == tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.eos_token_id == 0
    assert "Ġfilm" in tokenizer.get_vocab(), "a word carries the space before it"
    for text in ("the film 这是 🎬\n\tend", " leading", "", "naïve"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(ModelSection(id=str(tmp_path)))
    assert again("the film 这")["input_ids"] == tokenizer("the film 这")["input_ids"]


def test_bytes_fitted_twice_are_the_same():
    texts = [f"word{i % 7} and word{i % 5} of the film number {i}" for i in range(200)]
    one, two = (fit_bytes_of(texts, vocab_size=400).backend_tokenizer.to_str() for _ in range(2))
    assert one == two
    assert len(fit_bytes_of(texts)) <= 8192
