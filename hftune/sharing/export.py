"""A run's model in a folder of its own, in a form that others load; kept only when it answers as the run does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hftune.errors import UsageError
from hftune.inference.loading import MODEL_CONFIG
from hftune.inference.predictor import Predictor
from hftune.modeling import onnx_graph
from hftune.modeling.loading import GRAPH, kept_in_int8, load_config
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.sharing import parity
from hftune.sharing.markdown import block, text
from hftune.sharing.model_card import TITLE
from hftune.sharing.own_code import refuse_own_code
from hftune.sharing.parity import Kind, Parity
from hftune.sharing.repository import OWN_MODULES, File, files_of, fresh_folder, write_model
from hftune.sharing.usage import ONNX_REQUIREMENTS, onnx_lines

Note = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it agrees with the run."""

    folder: Path
    files: tuple[File, ...]
    parity: Parity


def export(run: Path, step: int | None, kind: Kind, folder: Path, rows: int, note: Note) -> Exported:
    """Write a run's model as `kind` into a new `folder`, and pass the parity gate.

    `transformers`: config, weights and tokenizer, an adapter merged into its base. `adapter`: as peft reads it. `onnx`:
    the graph with its weights. `rows`: held-out texts that both are asked. Raises ParityError (nothing is kept then),
    UsageError, ModelError, DataError.
    """
    _refuse(run, kind)
    with fresh_folder(folder) as new:
        note("loading the model")
        predictor = Predictor.load(run, step, device="cpu")  # where the export is asked too
        if kind == "onnx":
            onnx_graph.check_size(predictor.loaded.model)
        note("asking the run's own model")
        asked = parity.questions(predictor, rows, note)
        expected = parity.reference(predictor, asked)
        note(f"writing {kind}")
        base = _base_folder(predictor) if kind == "adapter" else None
        own = OWN_MODULES.get(str(predictor.loaded.model.config.model_type)) if kind == "transformers" else None
        _write(predictor, kind, new)
        note("asking the export, in a process without hftune")
        found = parity.compare(asked, expected, parity.ask(new, kind, predictor.task, asked, base, own))
        found.require()
        if kind == "onnx":
            (new / TITLE).write_text(_onnx_card(run.name, predictor, asked.limit, found), encoding="utf-8")
    return Exported(folder, files_of(folder), found)


def _refuse(run: Path, kind: Kind) -> None:
    """Raise what the recipe and the config tell of a run that has no such export, before its model is loaded."""
    recipe = load_recipe(run / layout.RECIPE)
    refuse_own_code(recipe)
    _refuse_int8(run, recipe, kind)
    if kind == "adapter" and recipe.method.name != "lora":
        hint = "`--to transformers` gives the whole model."
        raise UsageError(f"{run.name} has no adapter: its method is {recipe.method.name}", hint)
    if kind == "onnx":
        onnx_graph.require_onnx()
        for config in (run / layout.MODEL / MODEL_CONFIG, run / layout.MODEL_INIT / MODEL_CONFIG):
            if config.is_file():
                onnx_graph.check_architecture(str(json.loads(config.read_bytes()).get("model_type")))


def _refuse_int8(run: Path, recipe: Recipe, kind: Kind) -> None:
    """Raise UsageError for what cannot be made of a graph or of int8 weights."""
    model = run / layout.MODEL
    if recipe.compress is None or not (model / MODEL_CONFIG).is_file():
        return
    held = kept_in_int8(model, load_config(recipe.model, model))
    if not held or (kind == "transformers" and held != GRAPH):
        return
    reader = "ONNX Runtime" if held == GRAPH else "transformers"
    hint = f"Its folder model/ is what {reader} reads. Or export the run that it was made from."
    raise UsageError(f"{run.name} holds {held}: it cannot be exported to {kind}", hint)


def _onnx_card(name: str, predictor: Predictor, limit: int, found: Parity) -> str:
    lines = block(onnx_lines(predictor.task, limit), "python")
    return (
        f"# {text(name)}, as ONNX\n\nInputs: int64 [texts, tokens], padded on the right. Output: logits.\n\n"
        f"`{ONNX_REQUIREMENTS}`\n\n{lines}\n\n## Checked\n\n{block(chr(10).join(found.lines()), '')}\n"
    )


def _write(predictor: Predictor, kind: Kind, folder: Path) -> None:
    loaded = predictor.loaded
    merges = hasattr(loaded.model, "peft_config") and kind != "adapter"
    write_model(loaded, "merged" if merges else "adapter" if kind == "adapter" else "whole", folder)
    if kind != "onnx":
        return
    # The weights go into the graph: what else was written tells what its inputs and outputs mean.
    plain = loaded.model.base_model.model if merges else loaded.model
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
        path.unlink()
    onnx_graph.write_onnx(copy.deepcopy(plain).float(), folder / onnx_graph.NAME)


def _base_folder(predictor: Predictor) -> Path:
    from hftune.modeling.resolve import resolve_model

    return resolve_model(predictor.loaded.recipe.model, tokenizer=False).folder
