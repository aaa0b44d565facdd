"""LoRA: the weights stay as they are, low-rank matrices beside some of them learn, and a new head learns whole."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hftune.errors import ModelError, Problem, RecipeError, closest
from hftune.methods._weights import copy_into, new_weights, open_modes
from hftune.recipe.paths import public_name
from hftune.recipe.schema import ModelSection, Names, PluginConfig, Positive, Share

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

# Ten times that of full fine-tuning: the matrices start at zero, and far fewer numbers have to carry the change.
DEFAULT_LEARNING_RATE = 5e-4
# Ten times that of full fine-tuning as well (Schulman et al. 2025, LoRA Without Regret); Hu et al. 2021: 2e-4 to 5e-4.
_USUAL_LEARNING_RATES = (1e-4, 3e-3)

ALL_LINEAR = "all-linear"
_AUTO_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}
_LANGUAGE_MODELS = ("text-generation", "fill-mask")  # their head is of the base; peft has no type for the latter
_TASK_TYPES = {"text-classification": "SEQ_CLS", "text-generation": "CAUSAL_LM"}
# Where peft's own table has no entry or another one.
_TARGETS: dict[str, tuple[str, ...]] = {"distilbert": ("q_lin", "v_lin"), "albert": ("query", "value")}


def _one_name(value: Any) -> Any:
    return (value,) if isinstance(value, str) and value != ALL_LINEAR else value


class Config(PluginConfig):
    """Size and place of the low-rank matrices; the names are peft's."""

    r: Positive = Field(8, description="rank: how many directions each adapted weight may move in")
    lora_alpha: Annotated[float, Field(gt=0)] = Field(
        16.0, description="the change is scaled by lora_alpha / r, so that r can vary at the same learning rate"
    )
    lora_dropout: Share = Field(0.05, description="dropout before the matrices, in training")
    target_modules: Annotated[Names | Literal["all-linear"] | None, BeforeValidator(_one_name)] = Field(
        None, description="modules to adapt; left out: the attention projections usual for the architecture"
    )
    bias: Literal["none", "all", "lora_only"] = Field("none", description="which biases learn too")
    modules_to_save: Names = Field(
        (), description="modules that learn whole and are saved with the adapter, beside a new head"
    )


def usual_learning_rates(base: ModelSection) -> tuple[float, float]:
    """Return the band that Adam's rates are usually in."""
    return _USUAL_LEARNING_RATES


def check(config: PluginConfig, base: ModelSection, base_config: PretrainedConfig, task: str) -> None:
    """Raise RecipeError for modules that the architecture has not, and for a model made from scratch.

    Raises ModelError when the architecture cannot do the task, or its code cannot be run.
    The architecture is built without memory or values (torch's meta device), so no weight is loaded for this.
    """
    assert isinstance(config, Config)
    _require_base(base)
    if not isinstance(config.target_modules, tuple) and not config.modules_to_save:
        return
    import torch
    import transformers

    auto = getattr(transformers, _AUTO_CLASSES.get(task, "AutoModel"))
    try:
        with torch.device("meta"):
            skeleton = auto.from_config(base_config, trust_remote_code=base.trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{base.id}: the model cannot be built: {str(error).strip().splitlines()[0]}") from error
    if found := problems(skeleton, config, task):
        raise RecipeError(found)


def adapt(model: PreTrainedModel, config: PluginConfig, base: ModelSection, task: str) -> PreTrainedModel:
    """Return the model wrapped by peft: everything frozen but LoRA's matrices, the head and what has new weights.

    Raises RecipeError naming the modules that exist when one of target_modules or modules_to_save does not, and when
    the model is made from scratch (an adapter is nothing without its base).
    """
    import peft

    assert isinstance(config, Config)
    _require_base(base)
    heads = _whole_modules(model, config, task)
    targets = _target_modules(model, config, heads)
    adapter = peft.LoraConfig(
        task_type=_TASK_TYPES.get(task),
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
        exclude_modules=_pattern(heads) if heads else None,
        modules_to_save=heads or None,
        bias=config.bias,
        fan_in_fan_out=_is_transposed(model, targets),
    )
    with warnings.catch_warnings():
        # peft asks transformers for something by a name that transformers no longer likes.
        warnings.simplefilter("ignore", FutureWarning)
        adapted = peft.get_peft_model(model, adapter, revision=base.revision)
    # peft itself writes down where the base was read from: a private path.
    adapter.base_model_name_or_path = public_name(str(base.id))
    return adapted


def problems(model: PreTrainedModel, config: Config, task: str) -> list[Problem]:
    """Return what is wrong with the names in `config` for this model, which may be on the meta device."""
    found: list[Problem] = []
    heads = tuple(_head_modules(model, task))
    if not _linear_modules(model, heads):
        return [Problem("method", "this model has no layer that LoRA can adapt", "Use `method: full`.")]
    if isinstance(config.target_modules, tuple):
        leaves = sorted({name.rsplit(".", 1)[-1] for name in _linear_modules(model, heads)})
        for wanted in config.target_modules:
            if not any(_named(name, wanted) for name in _linear_modules(model, heads)):
                message = f"no module {wanted!r} that LoRA can adapt; this model has: {', '.join(leaves)}"
                near = closest(wanted, leaves)
                found.append(Problem("method.target_modules", message, near if near.startswith("Did") else ""))
    modules = [name for name, _ in model.named_modules() if name]
    for wanted in config.modules_to_save:
        if not any(_named(name, wanted) for name in modules):
            leaves = sorted({name.rsplit(".", 1)[-1] for name in modules if not name.rsplit(".", 1)[-1].isdigit()})
            message = f"no module {wanted!r}; this model has: {', '.join(leaves)}"
            found.append(Problem("method.modules_to_save", message, closest(wanted, leaves)))
    return found


def trainable_state(model: PreTrainedModel) -> dict[str, object]:
    """Return the adapter's matrices, the head's weights and the biases that learn, by peft's names."""
    return dict(_state(model))


def load_state(model: PreTrainedModel, state: dict[str, object]) -> None:
    """Copy the adapter's weights back in place; raises ModelError when names or shapes differ."""
    copy_into(_state(model), state)


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors as peft reads them, and config.json with the labels.

    The base goes by its Hub id and revision (a local folder by its last name), never by a path on this machine.
    """
    import copy

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in _state(model).items()}
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter = copy.deepcopy(model.peft_config["default"])
    adapter.inference_mode = True
    adapter.modules_to_save = list(dict.fromkeys(adapter.modules_to_save or ())) or None
    adapter.save_pretrained(str(folder))
    model.config.save_pretrained(folder)
    open_modes(folder)


def _require_base(base: ModelSection) -> None:
    if base.id is None:
        hint = "Use `method: full`, or name a pretrained model."
        raise RecipeError([Problem("method", "an adapter needs pretrained weights to stand on", hint)])


def _state(model: Any) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    # Embeddings are never resized here, and with "auto" peft would look for the base's config on the Hub.
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def _whole_modules(model: PreTrainedModel, config: Config, task: str) -> list[str]:
    if found := problems(model, config, task):
        raise RecipeError(found)
    return list(dict.fromkeys([*_head_modules(model, task), *config.modules_to_save]))


def _head_modules(model: PreTrainedModel, task: str) -> list[str]:
    """Return the modules with weights that the base does not have: a frozen random head could not be rebuilt."""
    heads = []
    if task not in _LANGUAGE_MODELS:
        body = model.base_model_prefix
        heads = [
            name for name, child in model.named_children() if name != body and any(True for _ in child.parameters())
        ]
    embeddings = list(model.get_input_embeddings().parameters())
    for weight in new_weights(model):
        parent = weight.rpartition(".")[0]
        if any(parent == head or parent.startswith(head + ".") for head in heads):
            continue
        # A new head that is tied to the embeddings is not new: a bias beside them stays at the 0 it begins with.
        if not any(each is own for each in model.get_submodule(parent).parameters() for own in embeddings):
            heads.append(parent)
    return heads


def _linear_modules(model: PreTrainedModel, heads: Sequence[str]) -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    inside = re.compile(_pattern(heads)) if heads else None
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Embedding, Conv1D)) and not (inside and inside.fullmatch(name))
    ]


def _target_modules(model: PreTrainedModel, config: Config, heads: Sequence[str]) -> list[str] | str:
    if config.target_modules is not None:
        return config.target_modules if isinstance(config.target_modules, str) else list(config.target_modules)
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

    kind = model.config.model_type
    usual = _TARGETS.get(kind, USUAL.get(kind, ALL_LINEAR))
    names = _linear_modules(model, heads)
    if isinstance(usual, str) or not all(any(_named(name, target) for name in names) for target in usual):
        return usual if isinstance(usual, str) else ALL_LINEAR
    return list(usual)


def _is_transposed(model: PreTrainedModel, targets: Iterable[str]) -> bool:
    from transformers.pytorch_utils import Conv1D

    # Conv1D (GPT-2) keeps its weight as [in, out].
    return any(
        isinstance(module, Conv1D) and (targets == ALL_LINEAR or any(_named(name, target) for target in targets))
        for name, module in model.named_modules()
    )


def _named(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith("." + wanted)


def _pattern(modules: Iterable[str]) -> str:
    return rf"(.*\.)?({'|'.join(map(re.escape, modules))})(\..*)?"
