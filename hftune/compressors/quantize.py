"""Quantization: the same network, its weights in fewer bits. Nothing is learned anew.

onnx-int8: the graph with int8 weights, for ONNX Runtime: the smallest file, and the quickest for single texts.
torchao-int8: linear layers with int8 weights, as transformers reads them. bf16: half of fp32's bits, nearly the same
answers.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import Field

from hftune.compressors import Note, Options, Parent, Small
from hftune.errors import ModelError, Problem, RecipeError
from hftune.methods import full
from hftune.modeling import onnx_graph, processor

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from hftune.recipe.schema import Recipe
    from hftune.tasks import Prepared, Task

ONNX, TORCHAO, BF16 = "onnx-int8", "torchao-int8", "bf16"
_OTHERS = {ONNX: f"`format: {BF16}` works for every model.", TORCHAO: f"Use `format: {ONNX}`, or `format: {BF16}`."}
# Architectures whose weights are hardly in linear layers: an LSTM's are its gates', GPT-1's in transposed layers.
_NOT_LINEAR = frozenset({"lstm", "openai-gpt"})


class Config(Options):
    """In which format the weights are kept."""

    format: Literal["onnx-int8", "torchao-int8", "bf16"] = Field(
        "onnx-int8",
        description="onnx-int8: a quarter of the size, computed by ONNX Runtime; torchao-int8: linear layers in int8, "
        "which transformers reads; bf16: half of the size, nearly the same answers",
    )


def learns(config: Config) -> bool:
    """Return that nothing is learned."""
    return False


def training(config: Config, parent: Recipe) -> Mapping[str, Any]:
    """Return nothing: there is no training."""
    return {}


def check(config: Config, recipe: Recipe, parent_config: PretrainedConfig) -> None:
    """Raise RecipeError for an architecture that the format does not hold, ModelError for a package that is missing."""
    kind = str(parent_config.model_type)
    if config.format == ONNX:
        onnx_graph.require_onnx()
        if kind not in onnx_graph.INPUTS:
            _refuse(ONNX, f"{kind} models have no tested ONNX graph; {', '.join(onnx_graph.INPUTS)} have")
    if config.format == TORCHAO:
        if find_spec("torchao") is None:
            raise ModelError("torchao-int8 needs torchao, which is not installed", hint="pip install 'hftune[torchao]'")
        if kind in _NOT_LINEAR:
            _refuse(TORCHAO, f"torchao quantizes linear layers, and an {kind} is made of others")


def make(recipe: Recipe, parent: Parent, task: Task, prepared: Prepared, note: Note) -> Small:
    """Return the model in its new format, which learns nothing; raises ModelError for one that has such a format."""
    assert recipe.compress is not None
    config = recipe.compress.settings(Config)
    wanted = config.format
    for warning in slow_here(wanted, parent.device):
        note(warning)
    note(f"quantizing to {wanted}")
    plain = copy.deepcopy(parent.model).to("cpu")
    write = {ONNX: _onnx, TORCHAO: _torchao, BF16: _bf16}[wanted]
    model, save = write(plain, recipe.task.name)
    return Small(model, task, prepared, learns=learns(config), save=save)


def slow_here(wanted: str, device: torch.device) -> Iterator[str]:
    """Yield what is to be known, before it is made, of how fast a format is on this machine."""
    if wanted == BF16 and not processor.computes_bf16(device):
        yield (
            "this processor has no bf16 instructions: the model will be half the size, and computed in fp32 here, as "
            "fast as its parent"
        )
    if wanted != BF16 and not processor.computes_int8():
        yield (
            "this processor has no instructions for int8 dot products (VNNI): the model will be smaller, and not much "
            "faster than its parent here"
        )
    if wanted == TORCHAO:
        yield f"torchao's int8 is quicker than fp32 for batches, and slower for single texts: {ONNX} is better at those"
    if wanted != BF16 and device.type != "cpu":
        yield f"{wanted} is computed on the CPU, also where there is an accelerator"


def _refuse(wanted: str, reason: str) -> NoReturn:
    raise RecipeError([Problem("compress.format", f"{wanted}: {reason}", _OTHERS[wanted])])


def _onnx(model: PreTrainedModel, task: str) -> tuple[PreTrainedModel, Callable[[Path], None]]:
    """Return the model as a graph with int8 weights.

    Matrices and embedding tables get a scale for each channel, activations one for each token as it comes. On the movie
    reviews (MiniLM) that gives 99.5% of the parent's answers, a text's the same in any batch. One scale for all tokens
    of a batch, as ONNX Runtime has it, is a quarter faster in batches, but 1.6% of the answers depend on what other
    texts stand there; fixed scales, from 128 texts, lose half a point (95.7% the same answers); blocks of 128 weights
    (MatMulNBits) are as exact as this, and a quarter slower in batches.
    """
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

    from hftune.compressors._row_scales import quantize_by_row
    from hftune.modeling.onnx_model import make_onnx

    onnx_graph.check_size(model)
    with tempfile.TemporaryDirectory(prefix="hftune-onnx-") as folder, _without_advice():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        onnx_graph.write_onnx(model, plain)
        if model.config.model_type == "lstm":
            # In ONNX its gates stand in another order. What orders them is computed now, or there is no weight to see.
            # Of a GPT-2 the same would write the table that is its output layer, too, a second time, transposed.
            quant_pre_process(plain, plain, skip_symbolic_shape=True)
        # 7 bits of 8 (reduce_range): on processors without VNNI the products of two neighbours are added in 16 bits,
        # which 8-bit weights overflow, and the file goes to other machines. Here both are as good and as fast; unsigned
        # weights take a quarter longer.
        quantize_dynamic(plain, small, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
        quantize_by_row(small)
        onnx_graph.note_parameters(small, model.num_parameters())
        graph = make_onnx(copy.deepcopy(model.config), small.read_bytes(), task)
    if model.can_generate():
        graph.generation_config = model.generation_config
    return graph.eval(), lambda target: full.save(graph, target)


def _torchao(model: PreTrainedModel, task: str) -> tuple[PreTrainedModel, Callable[[Path], None]]:
    """Return the model with int8 linear layers: weights a scale for each row, activations one for each token as it
    comes. Weights alone in int8 are as slow as fp32 rather than 1.7 times as fast in batches, and hardly more exact.

    Layers whose weights are an embedding table's too stay as they are: torchao would part them, and the file grow.
    """
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from transformers import TorchAoConfig

    from hftune.inference.loading import auto_class
    from hftune.modeling.loading import quiet

    if model.config.model_type == "gpt2":
        from hftune.compressors._linear_gpt2 import with_linear_layers

        model = with_linear_layers(model)
    output = model.get_output_embeddings()
    kept = [name for name, module in model.named_modules() if module is output and output is not None]
    settings = TorchAoConfig(Int8DynamicActivationInt8WeightConfig(), modules_to_not_convert=kept or None)
    with tempfile.TemporaryDirectory(prefix="hftune-torchao-") as folder, quiet():
        full.save(model, Path(folder))
        small = auto_class(task).from_pretrained(folder, quantization_config=settings, dtype="auto").eval()
    small.requires_grad_(False)
    return small, lambda target: full.save(small, target)


def _bf16(model: PreTrainedModel, task: str) -> tuple[PreTrainedModel, Callable[[Path], None]]:
    """Return the model with weights of 8 significant bits and fp32's range."""
    import torch

    small = model.to(torch.bfloat16)
    if not processor.computes_bf16(torch.device("cpu")):
        small = small.float()  # computed as it will be when it is loaded here; what is saved is bf16 all the same
    return small, lambda target: full.save(copy.deepcopy(small).to(torch.bfloat16), target)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without onnxruntime's advice to prepare the graph first, which it gives where that was done, too."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
