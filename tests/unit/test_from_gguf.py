"""A GGUF file becomes a folder that plain transformers loads: the same weights, tokens and template."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from hftune.errors import ModelError
from hftune.modeling import from_gguf

PROJECT = Path(from_gguf.__file__).parents[2] / "pyproject.toml"
TURNS = [{"role": "user", "content": "the film was good ?"}, {"role": "assistant", "content": "warm and 42 times"}]


@pytest.fixture
def converted(tiny_gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(from_gguf, "tensors_digest", lambda _: "known")
    from_gguf.convert(tiny_gguf, tmp_path / "model", "known")
    return tmp_path / "model"


@pytest.fixture
def tokenizer(converted):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(converted)


def test_weights_are_bit_for_bit_those_that_transformers_reads_from_the_file(tiny_gguf, converted):
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    reference = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent,
        gguf_file=tiny_gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    ours = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    wanted, found = reference.state_dict(), ours.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert ours.lm_head.weight is ours.model.embed_tokens.weight
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        torch.testing.assert_close(ours(input_ids=ids).logits, reference(input_ids=ids).logits)


def test_the_config_says_what_the_file_says(converted):
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(converted)
    assert (config.model_type, config.hidden_size, config.num_hidden_layers) == ("llama", 64, 2)
    assert (config.num_attention_heads, config.num_key_value_heads, config.intermediate_size) == (4, 2, 96)
    assert config.max_position_embeddings == 1024
    assert config.rms_norm_eps == 1e-5
    assert config.rope_parameters["rope_theta"] == 1e5
    ends = GenerationConfig.from_pretrained(converted)
    assert (ends.bos_token_id, ends.eos_token_id, ends.pad_token_id) == (1, 2, 2)


def test_the_tokenizer_has_the_files_special_tokens_and_brings_every_text_back(tokenizer):
    special = ("<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>")
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == special
    assert tokenizer.model_max_length == 1024
    assert tokenizer("").input_ids == []
    assert tokenizer("<|im_start|>user\n<|im_end|>").input_ids[::3] == [1, 2]
    for text in ("the film was good", "  12 films\n\n 3", "naïve 日本語 🙂", "tab\tand <|im_end|> inside"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.decode([1, 2, 0], skip_special_tokens=True) == ""


def test_each_digit_is_a_token_and_takes_no_space_with_it(tokenizer):
    assert tokenizer.tokenize("was 123") == [*tokenizer.tokenize("was"), "Ġ", "1", "2", "3"]


def test_the_template_is_the_files(tokenizer):
    text = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>user\nthe film was good ?<|im_end|>\n"
        "<|im_start|>assistant\nwarm and 42 times<|im_end|>\n<|im_start|>assistant\n"
    )


def test_others_may_read_what_was_written(converted):
    allowed = converted.stat().st_mode & 0o666
    assert all(path.stat().st_mode & 0o777 == allowed for path in converted.iterdir())


def test_weights_that_are_not_the_known_ones_are_refused(tiny_gguf, tmp_path):
    with pytest.raises(ModelError, match="converted to other weights than those that hftune knows"):
        from_gguf.convert(tiny_gguf, tmp_path / "model", "0" * 64)


def test_the_digest_goes_by_names_and_values_alone(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    one, two = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, dtype=np.float32)
    save_file({"a": one, "b": two}, tmp_path / "first", metadata={"format": "pt"})
    save_file({"b": two, "a": one.copy()}, tmp_path / "second")
    save_file({"a": one.reshape(3, 2), "b": two}, tmp_path / "third")
    first, second, third = (from_gguf.tensors_digest(tmp_path / name) for name in ("first", "second", "third"))
    assert first == second != third


def test_files_of_another_kind_say_what_they_are(tiny_gguf, tmp_path):
    (tmp_path / "text.gguf").write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"text\.gguf cannot be read as GGUF"):
        from_gguf.convert(tmp_path / "text.gguf", tmp_path / "model", "")
    for word, other, message in (
        (b"smollm", b"qwen22", "a tokenizer of the kind gpt2/qwen22"),
        (b"llama", b"gemma", "a model of the kind gemma"),
        (b"blk.1.ffn_up", b"blk.1.ffn_ux", r"a tensor that is not known here: blk\.1\.ffn_ux"),
        (b"tokenizer.chat_template", b"tokenizer.that_template", r"does not say its tokenizer\.chat_template"),
    ):
        shutil.copy(tiny_gguf, tmp_path / "other.gguf")
        content = (tmp_path / "other.gguf").read_bytes()
        (tmp_path / "other.gguf").write_bytes(content.replace(word, other, 1))
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        with pytest.raises(ModelError, match=message):
            from_gguf.convert(tmp_path / "other.gguf", tmp_path / "model", "")


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="the package gguf, which reads it, is missing") as caught:
        from_gguf.require_gguf("hftune:some-model")
    assert caught.value.hint.endswith("-m pip install 'gguf>=0.18'")


@pytest.mark.skipif(not PROJECT.is_file(), reason="an installed package has no pyproject.toml to look at")
def test_the_extra_asks_for_the_version_that_the_error_names():
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extras["gguf"] == [from_gguf.REQUIREMENT]
    assert from_gguf.REQUIREMENT in extras["dev"]
