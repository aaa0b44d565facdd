"""From a run directory to a model in memory: a finished run's `model/`, or any checkpoint while the run still trains.

Reads the run directory and, for an adapter, the base model that the recipe names; nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import ModelError, RunError
from hftune.modeling import onnx_graph
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.reader import lasting_name

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_HEAD = "config.json"
MODEL_CONFIG = "config.json"
# What a task sets in the base's config; the rest is the base's own.
TASK_FIELDS = (
    "num_labels", "id2label", "label2id", "problem_type", "negative_label", "pad_token_id", "class_weights",
)  # fmt: skip
Note = Callable[[str], None]


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True)
class LoadedRun:
    """A run's model, ready to be asked: in evaluation mode, on its device.

    It computes in fp32, but for one that was made smaller: that is an ONNX graph or has int8 weights, both on the CPU,
    or computes in bf16 where the device does so in hardware.
    `step` None: the finished model, or with `is_base` the one that the run began from, before any tuning.
    """

    path: Path
    step: int | None
    recipe: Recipe
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    is_base: bool = False


def load_run(run: Path, step: int | None = None, device: str = "auto") -> LoadedRun:
    """Return the model of a run; raises RunError when it is not there yet, naming the checkpoints that are."""
    from hftune.recipe.load import load_recipe

    recipe_file = _recipe_file(run)
    checkpoint = None if step is None else _checkpoint(run, step)
    if checkpoint is None and not (run / layout.MODEL).is_dir():
        raise RunError(f"{run.name} has no finished model yet", hint=_what_there_is(run))
    recipe = load_recipe(recipe_file)
    if checkpoint is None:
        model, tokenizer = _finished(recipe, run / layout.MODEL)
    else:
        model, tokenizer = _at_checkpoint(recipe, run, checkpoint)
    return LoadedRun(run, step, recipe, _ready(model, pick_device(device)), tokenizer)


def load_run_base(run: Path, device: str = "auto", note: Note = _quiet) -> LoadedRun:
    """Return the model that a run began from: of a compressed run its parent's, of any other the pretrained one.

    That has the run's labels and tokenizer.
    What the pretrained weights do not have (a new head) is drawn from the recipe's seed. `note` is told where the model
    is fetched from. Raises RunError where there is no such model, where it cannot be found any more, and for a run that
    has not got as far as loading it.
    """
    import torch

    from hftune.recipe.load import load_recipe

    recipe = load_recipe(_recipe_file(run))
    if recipe.compress is not None:
        return replace(load_run(_parent(recipe, run), None, device), is_base=True)
    _require_base(recipe, run)
    folder = next(
        (one for one in (run / layout.MODEL_INIT, run / layout.MODEL) if (one / MODEL_CONFIG).is_file()), None
    )
    if folder is None:
        hint = f"`hftune watch {lasting_name(run)}` shows how far it is."
        raise RunError(f"{run.name} has no {layout.MODEL_INIT}/{MODEL_CONFIG} yet", hint=hint)
    tokenizer = _tokenizer(recipe, folder)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.training.seed)
        model = _base_model(recipe, _config(recipe, folder), tokenizer, note)
    return LoadedRun(run, None, recipe, _ready(model, pick_device(device)), tokenizer, is_base=True)


def load_base(loaded: LoadedRun) -> PreTrainedModel:
    """Return the model that a run began with, ready to be asked: of a compressed run its parent's.

    What the checkpoint does not have (a new head) is drawn at random, as in training. Raises RunError where it was made
    from scratch, and for a parent that is gone or has another vocabulary.
    """
    if loaded.recipe.compress is not None:
        parent = load_run(_parent(loaded.recipe, loaded.path), None, str(loaded.model.device))
        if parent.tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
            raise RunError(f"{loaded.path.name} and its parent {parent.path.name} have different vocabularies")
        return parent.model
    _require_base(loaded.recipe, loaded.path)
    return _ready(_base_model(loaded.recipe, loaded.model.config, loaded.tokenizer), str(loaded.model.device))


def load_word_guesser(loaded: LoadedRun, note: Note = _quiet) -> LoadedRun | None:
    """Return the model that a run began from as one that guesses masked words, with the run's tokenizer and recipe.

    None where that model was not trained to guess words, or is not found any more.
    """
    from hftune.modeling.loading import load_config, load_model
    from hftune.modeling.resolve import resolve_model

    section, tokenizer = loaded.recipe.model, loaded.tokenizer
    if section.id is None or tokenizer.mask_token is None:
        return None
    try:
        base = resolve_model(section, note, tokenizer=False)
        config = load_config(section, base.folder)
    except ModelError:
        return None
    if not any(name.endswith("ForMaskedLM") for name in config.architectures or ()):
        return None
    task = loaded.recipe.task.model_copy(update={"name": "fill-mask", "config": None})
    recipe = loaded.recipe.model_copy(update={"task": task})
    model = load_model(auto_class("fill-mask"), section, base.folder, tokenizer, {})
    return LoadedRun(loaded.path, None, recipe, _ready(model, str(loaded.model.device)), tokenizer, is_base=True)


def _require_base(recipe: Recipe, run: Path) -> None:
    if recipe.model.id is None:
        raise RunError(f"{run.name} was made from scratch: there is no model before it to compare with")


def _parent(recipe: Recipe, run: Path) -> Path:
    """Return the run directory of the model that was made smaller; raises RunError where it is gone."""
    parent = parent_folder(recipe, run)
    if not (parent / layout.MODEL).is_dir():
        hint = f"Put it beside {run.name}, or where it was."
        raise RunError(f"{run.name} was made of {parent.name}, which is no longer there: {parent}", hint)
    return parent


def parent_folder(recipe: Recipe, child: Path | None = None) -> Path:
    """Return the run directory of the parent that a recipe names; where it is gone, one of its name beside `child`."""
    assert recipe.compress is not None
    named = Path(str(recipe.compress.options["parent"]))
    beside = child.parent / named.name if child is not None else named  # where both were copied to
    return beside if not (named / layout.MODEL).is_dir() and (beside / layout.MODEL).is_dir() else named


def _ready(model: PreTrainedModel, device: str) -> PreTrainedModel:
    import torch

    from hftune.modeling.loading import computes_in_int8
    from hftune.modeling.processor import computes_bf16

    # Accelerators multiply int8 of some shapes alone; what is made for processors is computed there.
    model.to("cpu" if computes_in_int8(model) else device).eval()
    if model.dtype == torch.bfloat16 and not computes_bf16(model.device):
        model.float()
    model.requires_grad_(False)
    return model


def _recipe_file(run: Path) -> Path:
    recipe_file = run / layout.RECIPE
    if not recipe_file.is_file():
        raise RunError(f"{run} is not a run directory: it has no {layout.RECIPE}")
    return recipe_file


def pick_device(wanted: str = "auto") -> str:
    """Return the device to ask on: the accelerator when there is one, else cpu."""
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def auto_class(task: str) -> Any:
    """Return the transformers class that loads a task's models."""
    import transformers

    import hftune.modeling.lstm  # noqa: F401 - makes it known to AutoModelForSequenceClassification

    names = {
        "text-classification": "AutoModelForSequenceClassification",
        "text-generation": "AutoModelForCausalLM",
        "fill-mask": "AutoModelForMaskedLM",
    }
    if task not in names:
        raise ModelError(f"models of the task {task} cannot be asked yet", hint="Known: " + ", ".join(names) + ".")
    return getattr(transformers, names[task])


def _checkpoint(run: Path, step: int) -> Path:
    folder = run / layout.CHECKPOINTS / layout.checkpoint_name(step)
    if not (folder / layout.MANIFEST).is_file():
        raise RunError(f"{run.name} has no checkpoint of step {step}", hint=_what_there_is(run))
    return folder


def _what_there_is(run: Path) -> str:
    steps = [layout.checkpoint_step(path) for path in layout.checkpoints(run)]
    name = lasting_name(run)
    parts = [f"{name}@{step}" for step in steps]
    finished = [name] if (run / layout.MODEL).is_dir() else []
    if not parts and not finished:
        return f"It has no checkpoint either: `hftune watch {name}` shows how far it is."
    return "There is: " + ", ".join(finished + parts) + "."


def _tokenizer(recipe: Recipe, folder: Path) -> PreTrainedTokenizerBase:
    from hftune.modeling.tokenizer import load_tokenizer

    # The one saved with the run is complete: it must not be looked up again by the recipe's name.
    return load_tokenizer(recipe.model.model_copy(update={"tokenizer": None}), folder)


def _finished(recipe: Recipe, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = _tokenizer(recipe, folder)
    if (folder / ADAPTER_CONFIG).is_file():
        return _with_adapter(recipe, folder, tokenizer), tokenizer
    if (folder / onnx_graph.NAME).is_file():
        from hftune.modeling.onnx_model import load_onnx

        return load_onnx(folder, _config(recipe, folder), recipe.task.name), tokenizer
    return _from_folder(recipe, folder), tokenizer


def _at_checkpoint(recipe: Recipe, run: Path, checkpoint: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Rebuild the model from `model_init/`, its base where the method needs one, and the checkpoint's weights."""
    import safetensors.torch

    from hftune import methods

    init = run / layout.MODEL_INIT
    if not (init / "config.json").is_file():
        raise RunError(
            f"{run.name}@{layout.checkpoint_step(checkpoint)} cannot be asked: the run has no {init.name}/config.json",
            hint=f"It was made by an older version; `hftune resume {lasting_name(run)}` finishes it, then ask the "
            "finished model.",
        )
    tokenizer = _tokenizer(recipe, init)
    config = _config(recipe, init)
    method = methods.registry.load(recipe.method.name)
    try:
        state = safetensors.torch.load_file(checkpoint / layout.TRAINABLE)
    except Exception as error:
        raise RunError(f"{checkpoint.name}/{layout.TRAINABLE} cannot be read: {_first_line(error)}") from error
    if recipe.method.name == "full" or recipe.model.id is None:
        # Every weight is in the checkpoint, so what the model begins with does not matter.
        model = auto_class(recipe.task.name).from_config(config, trust_remote_code=recipe.model.trust_remote_code)
        model = model.float()
    else:
        model = _base_model(recipe, config, tokenizer)
    if recipe.method.config is None:
        raise RunError(f"{run.name}: its recipe has no settings for the method {recipe.method.name}")
    model = method.adapt(model, recipe.method.config, recipe.model, recipe.task.name)
    method.load_state(model, dict(state))
    return model, tokenizer


def _with_adapter(recipe: Recipe, folder: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Put the saved adapter on its base, which is found by what the recipe calls it."""
    from peft import PeftModel

    run = folder.parent
    init = next((one for one in (folder, run / layout.MODEL_INIT) if (one / ADAPTER_HEAD).is_file()), None)
    if init is None:
        message = f"{run.name} has an adapter but no {layout.MODEL_INIT}/config.json that says what its labels are"
        raise RunError(message)
    base = _base_model(recipe, _config(recipe, init), tokenizer)
    try:
        with warnings.catch_warnings():
            # peft asks transformers for something by a name that transformers no longer likes.
            warnings.simplefilter("ignore", FutureWarning)
            return PeftModel.from_pretrained(base, folder)
    except Exception as error:
        raise ModelError(f"the adapter in {folder} does not fit its base: {_first_line(error)}") from error


def _base_model(
    recipe: Recipe, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, note: Note = _quiet
) -> PreTrainedModel:
    """Return the base that an adapter stands on, with the labels of the run's own config, as training loaded it."""
    from hftune.modeling.loading import load_model
    from hftune.modeling.resolve import resolve_model

    fields = {name: getattr(config, name) for name in TASK_FIELDS if getattr(config, name, None) is not None}
    try:
        base = resolve_model(recipe.model, note, tokenizer=False)  # the run has its own
    except ModelError as error:
        raise RunError(
            f"the model that the run began from cannot be found any more: {error.message}", error.hint
        ) from error
    return load_model(auto_class(recipe.task.name), recipe.model, base.folder, tokenizer, fields)


def _config(recipe: Recipe, folder: Path) -> PretrainedConfig:
    from hftune.modeling.loading import load_config

    return load_config(recipe.model, folder)


def _from_folder(recipe: Recipe, folder: Path) -> PreTrainedModel:
    """Return the model as it was saved: fp32, or what a quantized run has (its config says which)."""
    from hftune.modeling.loading import quiet

    try:
        with quiet():
            return auto_class(recipe.task.name).from_pretrained(
                folder,
                dtype="auto",
                local_files_only=True,
                trust_remote_code=recipe.model.trust_remote_code,
            )
    except ImportError as error:  # transformers asks for it by the config
        hint = "pip install 'hftune[torchao]'" if "torchao" in str(error) else ""
        raise ModelError(f"the model in {folder} cannot be loaded: {_first_line(error)}", hint) from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
