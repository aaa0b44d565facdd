"""The lines of a model card that load the model, with transformers or peft alone, and ask it something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hftune.recipe.schema import template_columns
from hftune.sharing.facts import Kept
from hftune.sharing.parity_process import CLASSES

Weights = Literal["whole", "adapter", "merged"]

ONNX_REQUIREMENTS = "pip install onnxruntime transformers"  # which brings huggingface_hub
_NAMES = {"text-classification": "classifier", "text-generation": "generator", "fill-mask": "filler"}


@dataclass(frozen=True)
class Loading:
    """What the lines depend on.

    `base` and `revision`: of an adapter; `imports`: modules that make its class known; `prompt`: data.prompt.
    """

    repo: str
    task: str
    weights: Weights
    base: str = ""
    max_length: int = 128
    revision: str | None = None
    imports: Sequence[str] = ()
    pairs: bool = False
    several_labels: bool = False
    chats: bool = False
    prompt: str = ""
    mask: str = ""
    kept: Kept = "float32"


def lines(loading: Loading) -> str:
    """Return the lines, which run as they stand."""
    if loading.kept == "onnx-int8":
        return onnx_lines(loading.task, loading.max_length, loading.repo)
    name = _NAMES[loading.task]
    head = [f"import {module}  # pip install hftune" for module in loading.imports]
    if loading.weights == "adapter":
        body = _adapter_lines(loading, name)
    else:
        body = [
            "from transformers import pipeline",
            "",
            f"{name} = pipeline({_s(loading.task)}, model={_s(loading.repo)}{_cut(loading)})",
        ]
    return "\n".join([*head, *body, f"print({name}({_asked(loading)}))"])


def requirements(loading: Loading) -> str:
    """Return what to install for them."""
    if loading.kept == "onnx-int8":
        return ONNX_REQUIREMENTS
    more = " torchao" if loading.kept == "torchao-int8" else " peft" if loading.weights == "adapter" else ""
    return f"pip install torch transformers{more}"


def _adapter_lines(loading: Loading, name: str) -> list[str]:
    auto, repo = CLASSES[loading.task], _s(loading.repo)
    revision = f", revision={_s(loading.revision)}" if loading.revision else ""
    return [
        "from peft import PeftModel",
        f"from transformers import AutoConfig, {auto}, pipeline",
        "",
        f"base = {auto}.from_pretrained({_s(loading.base)}{revision}, config=AutoConfig.from_pretrained({repo}))",
        f"model = PeftModel.from_pretrained(base, {repo}).merge_and_unload()",
        f"{name} = pipeline({_s(loading.task)}, model=model, tokenizer={repo}{_cut(loading)})",
    ]


def _cut(loading: Loading) -> str:
    """A classifier reads no more than it was trained on, as in hftune; by itself the pipeline fails on long texts."""
    return f", truncation=True, max_length={loading.max_length}" if loading.task == "text-classification" else ""


def _asked(loading: Loading) -> str:
    if loading.task == "fill-mask":
        return _s(f"This is a {loading.mask} text.")
    if loading.task == "text-generation":
        if loading.chats:
            return '[{"role": "user", "content": "Hello!"}], max_new_tokens=60'
        return f"{_s(_prompt(loading.prompt))}, max_new_tokens=60"
    asked = '{"text": "A first text.", "text_pair": "A second text."}' if loading.pairs else _s("A text to judge.")
    return f"{asked}, top_k=None" if loading.several_labels else asked


def _prompt(prompt: str) -> str:
    """Return words with columns in braces with a word for each, and for a column, whose texts are the data's, a few."""
    columns = template_columns(prompt)
    return prompt.format(**dict.fromkeys(columns, "this")) if columns else "Once upon a time"


def _s(value: str) -> str:
    # Python reads JSON's quotes and signs as JSON does, but not its pairs of surrogates.
    return json.dumps(value, ensure_ascii=False).encode("ascii", "backslashreplace").decode()


def _inside(name: str, repo: str) -> str:
    """Return the Python that names a file of the folder."""
    return f'f"{{folder}}/{name}"' if repo else _s(name)


def onnx_lines(task: str, max_length: int, repo: str = "") -> str:
    """Return lines that ask an ONNX graph with onnxruntime and a tokenizer, in its folder or of a `repo` on the Hub."""
    last = {
        "text-classification": "print(names, logits)  # a softmax makes shares of them, of a single one a sigmoid",
        "text-generation": "print(tokenizer.decode(logits[0, -1].argmax()))  # the likeliest next token",
        "fill-mask": "print(tokenizer.decode(logits[0, inputs['input_ids'][0] == tokenizer.mask_token_id].argmax(-1)))",
    }[task]
    asked = {"fill-mask": 'f"This is a {tokenizer.mask_token} text."'}.get(task, _s("A text to judge."))
    names = f'names = json.load(open({_inside("config.json", repo)}))["id2label"]'
    classifies = task == "text-classification"
    return "\n".join(
        [
            *(["import json", ""] if classifies else []),
            "import onnxruntime",
            *(["from huggingface_hub import snapshot_download"] if repo else []),
            "from transformers import AutoTokenizer",
            "",
            *([f"folder = snapshot_download({_s(repo)})"] if repo else []),
            f"tokenizer = AutoTokenizer.from_pretrained({'folder' if repo else _s('.')})",
            *([names] if classifies else []),
            f"session = onnxruntime.InferenceSession({_inside('model.onnx', repo)})",
            f'inputs = tokenizer([{asked}], truncation=True, max_length={max_length}, return_tensors="np")',
            "logits = session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})[0]",
            last,
        ]
    )
