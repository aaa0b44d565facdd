"""A model as an ONNX graph: token ids and mask in, logits out, any number of texts and tokens."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hftune.errors import ModelError
from hftune.figures import size

NAME = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the last one for the parity gate
MOST_BYTES = 1536 * 2**20  # of a larger model torch writes the weights beside the graph, whatever it is told
_PARAMETERS = "parameters"
# Architecture -> its inputs. Another one may well work; it is named here once its parity was seen.
INPUTS: dict[str, tuple[str, ...]] = {
    "bert": ("input_ids", "attention_mask", "token_type_ids"),
    "gpt2": ("input_ids", "attention_mask"),
    "lstm": ("input_ids", "attention_mask"),
}


def require_onnx() -> None:
    """Raise ModelError with the command to type where a package is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ModelError(f"ONNX needs {', '.join(missing)}", hint="pip install 'hftune[onnx]'")


def check_architecture(model_type: str) -> None:
    """Raise ModelError for an architecture that has no tested graph, naming those that have and what works instead."""
    if model_type not in INPUTS:
        known = ", ".join(INPUTS)
        raise ModelError(
            f"{model_type} models cannot be exported to ONNX here; those that can: {known}",
            hint="`--to transformers` works for every model.",
        )


def check_size(model: Any) -> None:
    """Raise ModelError for a model whose weights do not fit into its graph."""
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    if weights > MOST_BYTES:
        raise ModelError(
            f"its weights are {size(weights)}, and an ONNX graph holds {size(MOST_BYTES)} of them at most",
            hint="`--to transformers` works for every model.",
        )


def write_onnx(model: Any, file: Path) -> None:
    """Write the graph of a transformers model, in fp32, with its weights inside.

    Inputs int64 [texts, tokens], padded on the right; output `logits` as the model has them.
    """
    import torch

    names = INPUTS[model.config.model_type]
    texts, tokens = torch.export.Dim("texts"), torch.export.Dim("tokens", min=2, max=_most_tokens(model))
    ids = torch.ones(2, min(7, _most_tokens(model)), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, -2:] = 0  # an example without padding would let the exporter take the mask for a constant
    examples = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    with _quietly():
        torch.onnx.export(
            _make_graph(model, names).eval(),
            tuple(examples[name] for name in names),
            str(file),
            input_names=list(names),
            output_names=["logits"],
            dynamic_shapes=(tuple({0: texts, 1: tokens} for _ in names),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_origins(file)


def note_parameters(file: Path, count: int) -> None:
    """Write into a graph how many parameters the model has that it was made from: quantized, it has others."""
    import onnx

    graph = onnx.load(file)
    onnx.helper.set_model_props(graph, {_PARAMETERS: str(count)})
    onnx.save(graph, file)


def read_parameters(session: Any) -> int:
    """Return what `note_parameters` wrote, of an ONNX Runtime session; 0 where it was not called."""
    return int(session.get_modelmeta().custom_metadata_map.get(_PARAMETERS, "0"))


def _forget_origins(file: Path) -> None:
    """Take out what the exporter notes of where each operation stands in which source file: paths of this machine."""
    import onnx

    model = onnx.load(file)
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        values = [*getattr(graph, "input", ()), *getattr(graph, "output", ()), *graph.value_info]
        named = [*graph.node, *getattr(graph, "initializer", ()), *(one for one in values if not isinstance(one, str))]
        for part in (graph, *named):
            part.doc_string = ""
            del part.metadata_props[:]
    model.doc_string = ""
    del model.metadata_props[:]
    onnx.save(model, file)


def _make_graph(model: Any, names: Sequence[str]) -> Any:
    """Return the module whose forward pass is traced: positional tensors in, logits out."""
    from torch import nn

    from hftune.modeling.loading import without_cache

    class Graph(nn.Module):
        def __init__(self, compute: Callable[..., Any]) -> None:
            super().__init__()
            self.model, self.compute = model, compute

        def forward(self, *tensors: Any) -> Any:
            return self.compute(dict(zip(names, tensors, strict=True)))

    if model.config.model_type == "lstm":
        return Graph(lambda given: _lstm_logits(model, **given))
    return Graph(lambda given: model(**given, **without_cache(model)).logits)


def _lstm_logits(model: Any, input_ids: Any, attention_mask: Any) -> Any:
    """Return the LSTM's logits without packing, which has no ONNX: its state after a text's last token is the same."""
    states, _ = model.lstm(model.embedding(input_ids))
    last = attention_mask.sum(1).clamp(min=1) - 1
    final = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[-1]))[:, 0]
    return model.classifier(final)


def _most_tokens(model: Any) -> int:
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if isinstance(limit, int) else 1 << 20


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's words about what it skips (torchvision's operators) and what it will rename."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
