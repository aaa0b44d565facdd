"""A run's model in a folder of its own, in a form that others load; kept only when it answers as the run does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hftune.errors import UsageError
from hftune.inference.predictor import Predictor
from hftune.sharing import onnx_graph, parity
from hftune.sharing.markdown import block, text
from hftune.sharing.model_card import TITLE
from hftune.sharing.parity import Kind, Parity
from hftune.sharing.repository import OWN_MODULES, File, files_of, fresh_folder, write_model
from hftune.sharing.usage import onnx_lines

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
    if kind == "onnx":
        onnx_graph.require_onnx()
    note("loading the model")
    predictor = Predictor.load(run, step)
    loaded = predictor.loaded
    model_type, has_adapter = str(loaded.model.config.model_type), hasattr(loaded.model, "peft_config")
    if kind == "adapter" and not has_adapter:
        hint = "`--to transformers` gives the whole model."
        raise UsageError(f"{run.name} has no adapter: its method is {loaded.recipe.method.name}", hint)
    if kind == "onnx":
        onnx_graph.check_architecture(model_type)
    with fresh_folder(folder) as new:
        note("asking the run's own model")
        asked = parity.questions(predictor, rows, note)
        expected = parity.reference(predictor, asked)
        note(f"writing {kind}")
        base = _base_folder(predictor) if kind == "adapter" else None
        _write(predictor, kind, new)
        note("asking the export, in a process without hftune")
        own = OWN_MODULES.get(model_type) if kind == "transformers" else None
        found = parity.compare(asked, expected, parity.ask(new, kind, predictor.task, asked, base, own))
        found.require()
        if kind == "onnx":
            (new / TITLE).write_text(_onnx_card(run.name, predictor, found), encoding="utf-8")
    return Exported(folder, files_of(folder), found)


def _onnx_card(name: str, predictor: Predictor, found: Parity) -> str:
    data = predictor.loaded.recipe.data
    lines = block(onnx_lines(predictor.task, data.max_length), "python")
    return (
        f"# {text(name)}, as ONNX\n\nInputs: int64 [texts, tokens], padded on the right. Output: logits.\n\n"
        f"`pip install onnxruntime transformers`\n\n{lines}\n\n## Checked\n\n{block(chr(10).join(found.lines()), '')}\n"
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
    onnx_graph.write_onnx(plain.to("cpu"), folder / onnx_graph.NAME)


def _base_folder(predictor: Predictor) -> Path:
    from hftune.modeling.resolve import resolve_model

    return resolve_model(predictor.loaded.recipe.model, tokenizer=False).folder
