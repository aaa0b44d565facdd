"""Models and their configs, from a folder or from scratch, without the noise that transformers makes on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import ModelError, Problem, RecipeError, closest
from hftune.methods._weights import mark_new_weights
from hftune.modeling import onnx_graph
from hftune.recipe.schema import ModelSection

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Families whose position table starts after the padding index (their embeddings hold pad_token_id + 1 unused rows).
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "xlm-roberta-xl", "ibert"})


GRAPH = "an ONNX graph"


def load_config(
    section: ModelSection, folder: Path | None, tokenizer: PreTrainedTokenizerBase | None = None
) -> PretrainedConfig:
    """Return the base model's config: read from `folder`, or made from `architecture` and `config` (folder None).

    A new model takes vocabulary size and special tokens from `tokenizer` where `config` does not say. Raises
    RecipeError for an architecture or a config key that does not exist, ModelError for a folder without a config.
    """
    from transformers import AutoConfig

    import hftune.modeling.lstm  # noqa: F401 - makes it known to AutoConfig

    if folder is not None:
        try:
            return AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=section.trust_remote_code
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{section.id or folder}: its config.json cannot be used: {reason}") from error
    return _new_config(section, tokenizer)


def _new_config(section: ModelSection, tokenizer: PreTrainedTokenizerBase | None) -> PretrainedConfig:
    from transformers import CONFIG_MAPPING, AutoConfig

    name = section.architecture or ""
    if name not in CONFIG_MAPPING:
        near = closest(name, CONFIG_MAPPING.keys())
        hint = near if near.startswith("Did") else "Use a transformers `model_type`, for example bert or gpt2."
        raise RecipeError([Problem("model.architecture", f"transformers has no architecture {name!r}", hint)])
    plain = AutoConfig.for_model(name)
    known = {*plain.to_dict(), *plain.attribute_map}
    problems = [
        Problem(f"model.config.{key}", f"{name} has no such setting", closest(key, sorted(known)))
        for key in section.config
        if key not in known
    ]
    if problems:
        raise RecipeError(problems)
    fields: dict[str, Any] = {}
    if tokenizer is not None:
        special = {key: getattr(tokenizer, key) for key in ("pad_token_id", "bos_token_id", "eos_token_id")}
        fields = {"vocab_size": len(tokenizer), **special}
    try:
        return AutoConfig.for_model(name, **{**fields, **section.config})
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RecipeError([Problem("model.config", f"{name} cannot have these sizes: {reason}")]) from error


def max_tokens(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return how many tokens the model takes at most, None when positions are relative and there is no such limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0 and config.model_type in _OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, tokenizer.model_max_length) if isinstance(limit, int) and 0 < limit < 1e9]
    return min(limits) if limits else None


def without_cache(model: Any) -> dict[str, bool]:
    """Return what keeps a decoder from copying every layer's keys and values for tokens that nobody will ask for."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # inside a peft adapter
    return {"use_cache": False} if "use_cache" in signature(base.forward).parameters else {}


def count_parameters(model: Any) -> int:
    """Return how many parameters a model has; of an ONNX graph those of the model that it was made from."""
    from hftune.modeling.onnx_model import is_onnx

    own = model.num_parameters() if is_onnx(model) else sum(parameter.numel() for parameter in model.parameters())
    return int(own)


def kept_in_int8(folder: Path, config: PretrainedConfig) -> str:
    """Return what a folder holds instead of weights that can learn, or nothing."""
    if (folder / onnx_graph.NAME).is_file() and not any(folder.glob("*.safetensors")):
        return GRAPH
    return "quantized weights" if getattr(config, "quantization_config", None) is not None else ""


def computes_in_int8(model: Any) -> bool:
    """Whether a model rounds what it computes to int8 (an ONNX graph, torchao): it has no gradients then.

    What is a step beside a border may be rounded otherwise where sums are taken in another order, in another batch.
    """
    from hftune.modeling.onnx_model import is_onnx

    return is_onnx(model) or getattr(model.config, "quantization_config", None) is not None


def load_model(
    auto_class: Any,
    section: ModelSection,
    folder: Path | None,
    tokenizer: PreTrainedTokenizerBase,
    fields: Mapping[str, Any],
) -> PreTrainedModel:
    """Return a model of `auto_class` in fp32 with `fields` set in its config; its head is new where there was none.

    New weights come from torch's global generator: seed it first. Raises ModelError when weights of the body are
    missing or have other shapes (a new head is what fine-tuning is for, a new body would be silently random), and
    when the tokenizer knows more tokens than the model.
    """
    import torch

    name = section.id or section.architecture
    if (
        folder is not None
        and (folder / "adapter_config.json").is_file()
        and not (folder / "model.safetensors").is_file()
    ):
        hint = "Begin with a run of `method: full`, which keeps the whole model."
        raise ModelError(f"{name} holds an adapter, and not the model that it belongs to", hint=hint, key="model")
    config = load_config(section, folder, tokenizer)
    if folder is not None and (kind := kept_in_int8(folder, config)):
        hint = "Begin with the run that it was made from."
        raise ModelError(f"{name} holds {kind}, which cannot learn", hint=hint, key="model")
    _set_fields(config, fields)
    try:
        with quiet():
            if folder is None:
                model = auto_class.from_config(config)
            else:
                model, report = auto_class.from_pretrained(
                    folder,
                    config=config,
                    dtype=torch.float32,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                    local_files_only=True,
                    trust_remote_code=section.trust_remote_code,
                )
                mark_new_weights(model, _new_weights(model, report, str(name)))
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(f"{name}: the model cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    _check_vocabulary(model, tokenizer, str(name))
    return model.float()


def _set_fields(config: PretrainedConfig, fields: Mapping[str, Any]) -> None:
    # num_labels would reset id2label: names come after it.
    for key in sorted(fields, key=lambda key: key != "num_labels"):
        setattr(config, key, fields[key])


def _new_weights(model: PreTrainedModel, report: Mapping[str, Any], name: str) -> list[str]:
    mismatched = [item[0] if isinstance(item, tuple) else item for item in report["mismatched_keys"]]
    prefix = model.base_model_prefix + "."
    # A pooler is part of the head: checkpoints of masked language models have none.
    broken = [
        key
        for key in [*report["missing_keys"], *mismatched]
        if key.startswith(prefix) and not key.startswith(prefix + "pooler.")
    ]
    if broken:
        some = ", ".join(sorted(broken)[:3]) + (", …" if len(broken) > 3 else "")
        raise ModelError(
            f"{name}: {len(broken)} of the model's own weights are missing or have another shape ({some})",
            hint=f"The weights are not those of a {model.config.model_type} as its config.json describes it.",
        )
    return [*report["missing_keys"], *mismatched]


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    embedding = model.get_input_embeddings()
    rows = getattr(embedding, "num_embeddings", None)
    if rows is not None and len(tokenizer) > rows:
        raise ModelError(
            f"{name}: the tokenizer knows {len(tokenizer)} tokens, the model only {rows}",
            hint="Use the tokenizer that belongs to the model.",
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back transformers' progress bars and load report: what matters in them is checked and raised as an error."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
