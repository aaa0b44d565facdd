"""GPT-2 with linear layers: the same network as transformers' GPTBigCode, whose layers quantizers know.

transformers' GPT-2 multiplies by transposed weights in a layer of its own (`Conv1D`), which torchao leaves as it is.
GPTBigCode without multi-query attention (Ben Allal et al., SantaCoder, 2023) computes what GPT-2 does with `Linear`;
of its projection the rows stand head by head: query, key and value of the first head, then of the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

# What both configs have under the same name; the rest of GPT-2's is for other losses than ours.
_SAME = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function", "layer_norm_epsilon",
    "initializer_range", "resid_pdrop", "embd_pdrop", "attn_pdrop", "scale_attn_weights", "bos_token_id",
    "eos_token_id", "pad_token_id", "tie_word_embeddings", "id2label", "label2id", "problem_type", "negative_label",
)  # fmt: skip
_TRANSPOSED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def with_linear_layers(model: PreTrainedModel) -> PreTrainedModel:
    """Return a GPT-2 as a GPTBigCode that gives the same answers (fp32, on the CPU, in evaluation mode)."""
    import transformers

    kind = getattr(
        transformers, type(model).__name__.replace("GPT2LMHeadModel", "GPT2ForCausalLM").replace("GPT2", "GPTBigCode")
    )
    config = _config(model.config)
    other = kind(config)
    state = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    other.load_state_dict(_state(state, config.n_head))
    if model.can_generate():
        other.generation_config = model.generation_config
    return other.eval()


def _config(config: PretrainedConfig) -> PretrainedConfig:
    from transformers import GPTBigCodeConfig

    fields = {name: getattr(config, name) for name in _SAME if hasattr(config, name)}
    inner = fields.get("n_inner") or 4 * config.n_embd
    return GPTBigCodeConfig(
        **{**fields, "n_inner": inner},
        multi_query=False,
        # In fp32 these change nothing; in others they would compute otherwise than GPT-2.
        attention_softmax_in_fp32=False,
        scale_attention_softmax_in_fp32=False,
    )


def _state(state: dict[str, torch.Tensor], heads: int) -> dict[str, Any]:
    found = {}
    for name, tensor in state.items():
        module = name.rpartition(".")[0]
        if module.endswith(_TRANSPOSED):
            tensor = tensor.t().contiguous() if tensor.dim() == 2 else tensor
        if module.endswith("attn.c_attn"):
            # [3, heads, width of a head, …] -> [heads, 3, width of a head, …]
            parts = tensor.reshape(3, heads, -1, *tensor.shape[1:])
            tensor = parts.transpose(0, 1).reshape(tensor.shape).contiguous()
        found[name] = tensor
    return found
