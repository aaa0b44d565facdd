"""A Llama kept as GGUF (llama.cpp's format) becomes plain transformers files, once: weights, config, tokenizer.

transformers reads GGUF too, but slowly, it keeps a quantizer that can neither train nor save, and it cuts these texts
as GPT-2's. Weights become fp32 because the file's values, small integers times a scale plus an offset, are rounded by
bf16 (four of five of them) and by fp16 (two of five).
"""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

WEIGHTS = "model.safetensors"
CONVERSION = 1  # counts up when the same file would be converted to something else: older copies are made again
REQUIREMENT = "gguf>=0.18"
# `tokenizer.ggml.pre` of files whose texts are cut at each digit first, then as GPT-2's (llama.cpp, llama-vocab.cpp).
CUT_AT_DIGITS = ("smollm",)
CONTROL = 3  # `tokenizer.ggml.token_type` of special tokens

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def require_gguf(name: str) -> None:
    """Raise ModelError with the command to type when the package that reads GGUF is missing."""
    if importlib.util.find_spec("gguf") is None:
        command = f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(REQUIREMENT)}"
        raise ModelError(f"{name} is kept as GGUF, and the package gguf, which reads it, is missing", hint=command)


def convert(source: Path, target: Path, tensors_sha256: str) -> None:
    """Write a GGUF file's weights, config, generation config, tokenizer and chat template to a new folder `target`.

    Raises ModelError for a file that is of another kind than those known here, and when the tensors are not those that
    hftune knows (`tensors_digest`); OSError when the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file
    from transformers import GenerationConfig

    from hftune.methods._weights import open_modes

    facts = _Facts(source)
    config, tokenizer = make_config(facts), make_tokenizer(facts)
    target.mkdir()
    try:
        save_file(facts.weights(), target / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk has its number only in the message
        raise OSError(str(error)) from error
    if tensors_digest(target / WEIGHTS) != tensors_sha256:
        raise ModelError(
            f"{source.name} was converted to other weights than those that hftune knows", hint="Nothing was kept."
        )
    config.save_pretrained(target)
    GenerationConfig.from_model_config(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    open_modes(target)


def make_config(facts: _Facts) -> PretrainedConfig:
    """Return the transformers config of the file's model."""
    import numpy as np
    from transformers import LlamaConfig

    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        # The file has a float32, whose shortest name is the number that was meant: 1e-05.
        rms_norm_eps=float(str(np.float32(facts["llama.attention.layer_norm_rms_epsilon"]))),
        rope_parameters={"rope_type": "default", "rope_theta": float(facts["llama.rope.freq_base"])},
        tie_word_embeddings="output.weight" not in facts.tensors,
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
    )


def make_tokenizer(facts: _Facts) -> PreTrainedTokenizerBase:
    """Return the file's byte-level BPE with its special tokens and its chat template.

    Raises ModelError for a vocabulary of another kind, or whose texts are cut in a way that is not known here.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kind, cut = facts["tokenizer.ggml.model"], facts["tokenizer.ggml.pre"]
    if kind != "gpt2" or cut not in CUT_AT_DIGITS:
        known = ", ".join(f"gpt2/{name}" for name in CUT_AT_DIGITS)
        raise ModelError(f"{facts.name} has a tokenizer of the kind {kind}/{cut}", hint=f"Known here: {known}.")
    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True) if kind == CONTROL]
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    named = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=facts["tokenizer.chat_template"],
        model_max_length=facts["llama.context_length"],
        model_input_names=["input_ids", "attention_mask"],
        **{name: tokens[facts[f"tokenizer.ggml.{key}_token_id"]] for name, key in named.items()},
    )
    return tokenizer


class _Facts:
    """What a GGUF file says: `facts[key]`, and its tensors by name; raises ModelError for what it lacks."""

    def __init__(self, source: Path) -> None:
        from gguf import GGUFReader

        self.name = source.name
        try:
            self._reader = GGUFReader(source)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ModelError(f"{source.name} cannot be read as GGUF: {error}") from error
        self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        if (kind := self["general.architecture"]) != "llama":
            raise ModelError(f"{source.name} holds a model of the kind {kind}", hint="Known here: llama.")

    def __getitem__(self, key: str) -> Any:
        field = self._reader.get_field(key)
        if field is None:
            raise ModelError(f"{self.name} does not say its {key}")
        return field.contents()

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights by transformers' names, in fp32."""
        import numpy as np
        from gguf import dequantize

        heads = {"attn_q": self["llama.attention.head_count"], "attn_k": self["llama.attention.head_count_kv"]}
        found: dict[str, np.ndarray] = {}
        for name, tensor in self.tensors.items():
            part = name.split(".")[-2] if name.startswith("blk.") else ""
            weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
            if part in heads:
                weight = _halves(weight, heads[part])
            found[self._public(name, part)] = np.ascontiguousarray(weight)
        return found

    def _public(self, name: str, part: str) -> str:
        if name in _OUTER:
            return _OUTER[name]
        if part not in _INNER or not name.endswith(f".{part}.weight"):
            raise ModelError(f"{self.name} holds a tensor that is not known here: {name}")
        return f"model.layers.{name.split('.')[1]}.{_INNER[part]}.weight"


def _halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's order of a head's rows [heads x size, inputs]: it turns neighbours, transformers halves."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def tensors_digest(file: Path) -> str:
    """Return the sha256 of a safetensors file's tensors, by name: the same whatever their order and the metadata."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(file, framework="numpy") as tensors:
        for name in sorted(tensors.keys()):
            tensor = tensors.get_tensor(name)
            digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            digest.update(tensor.tobytes())
    return digest.hexdigest()
