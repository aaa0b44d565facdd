"""A model that is an ONNX graph, asked as transformers' own models are: ids and mask in, `.logits` out, on the CPU.

It has no weights that torch knows: it gives answers, and no gradients, hidden states or word vectors.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput, MaskedLMOutput, SequenceClassifierOutput
from transformers.utils import GENERATION_CONFIG_NAME

from hftune.errors import ModelError
from hftune.modeling.onnx_graph import NAME, read_parameters

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_PARENT = "Ask the run that it was made from (`compress.parent` of its recipe)."
_OUTPUTS = {
    "text-classification": SequenceClassifierOutput,
    "text-generation": CausalLMOutput,
    "fill-mask": MaskedLMOutput,
}


class OnnxModel(PreTrainedModel):  # type: ignore[misc]
    """An ONNX graph, computed by ONNX Runtime on as many threads as torch has here.

    Raises ModelError where onnxruntime is missing or cannot read the graph. One with weights in other files has them
    not: nothing beside model.onnx is read.
    """

    main_input_name = "input_ids"
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # attention is the graph's own: any name will do

    def __init__(self, config: PretrainedConfig, graph: bytes, task: str) -> None:
        super().__init__(config)
        self._graph, self._session = graph, _open(graph)
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._output = _OUTPUTS[task]
        self._parameters_in_graph = read_parameters(self._session)

    @property
    def device(self) -> torch.device:
        """Where inputs belong: the CPU, wherever the model is sent."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The format of its logits."""
        return torch.float32

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the parameters of the model that the graph was made from; none of them can be trained."""
        return 0 if only_trainable else self._parameters_in_graph

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        use_cache: bool = False,
        return_dict: bool | None = None,
    ) -> Any:
        """Return the logits float32 [texts, labels] or [texts, tokens, vocabulary] of int64 [texts, tokens].

        Raises MemoryError where memory does not suffice.
        """
        given = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            "token_type_ids": torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids,
        }
        inputs = {name: given[name].to("cpu", torch.int64).numpy() for name in self._inputs}
        try:
            (logits,) = self._session.run(None, inputs)
        except Exception as error:
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise
        return self._output(logits=torch.from_numpy(logits))

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Write model.onnx and what says what its answers mean: config.json, a generator's generation_config.json."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_bytes(self._graph)
        self.config.save_pretrained(folder)
        if self.can_generate():
            self.generation_config.save_pretrained(folder)

    def get_output_embeddings(self) -> None:
        """Return None: the graph computes all logits or none."""

    def get_input_embeddings(self) -> NoReturn:
        """Raise ModelError: the table is in the graph, where nothing else can look words up."""
        raise _lacking("gives no word vectors and no gradients")


class OnnxGenerator(OnnxModel, GenerationMixin):  # type: ignore[misc]
    """The same for a model that writes text. It has no cache: each token reads the whole text again."""

    def generate(self, inputs: Any = None, generation_config: GenerationConfig | None = None, **given: Any) -> Any:
        """Write as transformers' `generate` does, with `use_cache=False` whatever is asked for."""
        plain = copy.deepcopy(self.generation_config if generation_config is None else generation_config)
        plain.use_cache = False
        return super().generate(inputs, generation_config=plain, **given)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return what a step reads: all tokens so far."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}


def make_onnx(config: PretrainedConfig, graph: bytes, task: str) -> OnnxModel:
    """Return a graph as the model of a task."""
    return (OnnxGenerator if task == "text-generation" else OnnxModel)(config, graph, task)


def load_onnx(folder: Path, config: PretrainedConfig, task: str) -> OnnxModel:
    """Return the model of a folder with model.onnx; raises ModelError where it cannot be run."""
    try:
        model = make_onnx(config, (folder / NAME).read_bytes(), task)
    except OSError as error:
        raise ModelError(f"{folder / NAME} cannot be read: {error.strerror}") from error
    if model.can_generate() and (folder / GENERATION_CONFIG_NAME).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def is_onnx(model: Any) -> bool:
    """Whether a model is an ONNX graph."""
    return isinstance(model, OnnxModel)


def refuse(model: Any, lacks: str, hint: str = _PARENT) -> None:
    """Raise ModelError saying what an ONNX graph `lacks`, and what works instead; any other model passes."""
    if is_onnx(model):
        raise _lacking(lacks, hint)


def _lacking(lacks: str, hint: str = _PARENT) -> ModelError:
    return ModelError(f"its model is an ONNX graph, which {lacks}", hint=hint)


def _open(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        hint = "pip install 'hftune[onnx]'"
        raise ModelError(f"{NAME} is computed by ONNX Runtime, which is not installed", hint=hint) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a class for each of its states, all of them private
        raise ModelError(f"{NAME} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
