"""A model asked without hftune: both sides of the parity gate answer by this code, the exported one as a script.

As a script it reads a request (parity.py's `ask` writes it) as JSON on stdin, and writes answers.npz and answers.json
into the request's folder `out`. It imports nothing of hftune, and as a script it cannot.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}

Array = np.ndarray[Any, Any]
# int64 [1, tokens] by name -> logits, float32 [1, labels] or [1, tokens, vocabulary]
Run = Callable[[Mapping[str, Array]], Array]
# (token ids, how many more at most, the end of text) -> the likeliest next tokens, up to and with the end
Write = Callable[[Sequence[int], int, int | None], list[int]]


def logits(run: Run, tokenizer: Any, task: str, items: Sequence[Mapping[str, Any]], limit: int) -> Array:
    """Return one row of logits an item [items, labels or vocabulary] float32.

    An item has `text` (and `pair`). A language model's row is of its last token, or of the masked one.
    """
    rows = []
    for item in items:
        pair = (item["pair"],) if item.get("pair") is not None else ()
        encoded = tokenizer(item["text"], *pair, truncation=True, max_length=limit, return_tensors="np")
        inputs = {name: np.asarray(values, dtype=np.int64) for name, values in encoded.items()}
        found = run(inputs)[0]
        rows.append(found if found.ndim == 1 else found[_place(inputs["input_ids"][0], tokenizer, task)])
    return np.stack(rows).astype(np.float32)


def _place(ids: Array, tokenizer: Any, task: str) -> int:
    if task != "fill-mask":
        return -1
    return int(np.flatnonzero(ids == tokenizer.mask_token_id)[0])


def step_by_step(run: Run) -> Write:
    """Return what writes by asking for all logits anew at each token, as a graph without a cache must."""

    def write(ids: Sequence[int], most: int, end: int | None) -> list[int]:
        written: list[int] = []
        while len(written) < most and (not written or written[-1] != end):
            given = np.array([[*ids, *written]], dtype=np.int64)
            written.append(int(run({"input_ids": given, "attention_mask": np.ones_like(given)})[0, -1].argmax()))
        return written

    return write


def torch_write(model: Any) -> Write:
    """Return what writes with a transformers model, its cache in use."""
    import torch
    from transformers import GenerationConfig

    def write(ids: Sequence[int], most: int, end: int | None) -> list[int]:
        plain = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=end or 0)
        given = torch.tensor([list(ids)], device=model.device)
        with torch.inference_mode():
            whole = model.generate(input_ids=given, attention_mask=torch.ones_like(given), generation_config=plain)
        return [int(token) for token in whole[0, len(ids) :].tolist()]

    return write


def torch_run(model: Any) -> Run:
    """Return what runs a transformers model."""
    import torch

    def run(inputs: Mapping[str, Array]) -> Array:
        given = {name: torch.from_numpy(values).to(model.device) for name, values in inputs.items()}
        with torch.inference_mode():
            return np.asarray(model(**given).logits.float().cpu().numpy())

    return run


def onnx_run(file: Path) -> Run:
    """Return what runs an ONNX graph."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}

    def run(inputs: Mapping[str, Array]) -> Array:
        return np.asarray(session.run(None, {name: inputs[name] for name in inputs if name in names})[0])

    return run


def cut(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def written(
    write: Write, tokenizer: Any, prompts: Sequence[Mapping[str, Any]], end: int | None
) -> dict[str, list[Any]]:
    """Return what is written after each prompt (its `ids`, `most` tokens), and the tokens of its `text`.

    That those are the same shows that the tokenizer is.
    """
    return {
        "texts": [tokenizer.decode(write(one["ids"], one["most"], end)) for one in prompts],
        "prompts": [cut(tokenizer, one["text"]) for one in prompts],
    }


def _load(request: Mapping[str, Any]) -> tuple[Run, Write]:
    folder = Path(request["folder"])
    if request["kind"] == "onnx":
        run = onnx_run(folder / "model.onnx")
        return run, step_by_step(run)
    import torch
    import transformers

    auto = getattr(transformers, CLASSES[request["task"]])
    if request["kind"] == "adapter":
        import peft

        config = transformers.AutoConfig.from_pretrained(folder)
        model = auto.from_pretrained(request["base"], config=config, dtype=torch.float32)
        model = peft.PeftModel.from_pretrained(model, folder)
    else:
        model = auto.from_pretrained(folder, dtype=torch.float32)
    return torch_run(model.eval()), torch_write(model)


def _main() -> None:
    request = json.load(sys.stdin)
    if not request["own"]:
        sys.modules["hftune"] = None  # type: ignore[assignment]  # importing it would raise
    else:  # an architecture that is hftune's own
        __import__(request["own"])
    import transformers

    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(request["folder"])
    (run, write), out = _load(request), Path(request["out"])
    np.savez(out / "answers.npz", logits=logits(run, tokenizer, request["task"], request["items"], request["limit"]))
    answers = written(write, tokenizer, request["prompts"], request["end"])
    (out / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    _main()
