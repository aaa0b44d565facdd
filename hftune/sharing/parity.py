"""The parity gate: an export answers as its run does, in a process of its own without hftune, or it is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hftune.errors import DataError, HftuneError
from hftune.figures import duration, figure, many
from hftune.inference.predictor import CLASSIFIES, GENERATES
from hftune.sharing import parity_process
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    from datasets import Dataset

    from hftune.inference.predictor import Predictor

ROWS = 500
LANGUAGE_ROWS = 64  # their logits are as wide as the vocabulary
PROMPTS, TOKENS = 20, 50
PROMPT_TOKENS = 8  # of a plain text, which has no prompt of its own
SECONDS = 3600  # that the export may take to answer
# In fp32 another order of the same sums; 50 times what was seen with models of up to 135M parameters.
TOLERANCE = 1e-3

Kind = Literal["transformers", "adapter", "onnx"]
Note = Callable[[str], None]


class ParityError(HftuneError):
    """What was exported does not answer as the run does."""


@dataclass(frozen=True)
class Questions:
    """What both sides are asked.

    `items`: held-out texts as parity_process.logits takes them. `prompts` of a generator: ids, text, and `most`, the
    tokens to be written. `limit`: tokens of a text. `end`: the token of a text's end. `kind`: a classifier's problem
    type. `windows`: the run reads longer texts in windows, for which hftune is needed; those are asked cut.
    """

    split: str
    items: list[dict[str, Any]]
    prompts: list[dict[str, Any]]
    limit: int
    end: int | None = None
    kind: str | None = None
    windows: bool = False


@dataclass(frozen=True)
class Parity:
    """How far two models agree: `difference` is the largest of all logits; `agreed` labels (or likeliest tokens).

    `agreed` is None for regression, whose answers are the logits.
    """

    split: str
    rows: int
    difference: float
    agreed: int | None
    prompts: int = 0
    same_texts: int = 0
    windows: bool = False

    def lines(self) -> list[str]:
        """Return what was found, as lines for people."""
        found = [f"asked in a process without hftune: {many(self.rows, 'text')} of {self.split}"]
        if self.agreed is not None:
            found.append(f"  same answer          {self.agreed:,} of {self.rows:,}")
        found.append(f"  largest difference   {figure(self.difference)} in any logit (allowed {TOLERANCE:g})")
        if self.prompts:
            found.append(
                f"  same text written    {self.same_texts} of {self.prompts} prompts, up to {TOKENS} tokens each"
            )
        if self.windows:
            found.append("  longer texts         cut before they were asked: hftune alone reads them in windows")
        return found

    def require(self) -> None:
        """Raise ParityError unless everything is the same."""
        whole = self.agreed in (self.rows, None) and self.same_texts == self.prompts
        if not whole or not self.difference <= TOLERANCE:
            raise ParityError(
                "the export does not answer as the run does\n  " + "\n  ".join(self.lines()),
                hint="Nothing was kept. Please report it, with the recipe.",
            )


def questions(predictor: Predictor, rows: int, note: Note) -> Questions:
    """Return held-out rows of a run's data as questions, evenly from all of them; raises DataError without any."""
    from hftune.inference.scoring import load_rows
    from hftune.tasks._encoding import token_limit

    loaded = predictor.loaded
    split, held_out = load_rows(predictor, None, None, note)
    most = rows if predictor.task == CLASSIFIES else min(rows, LANGUAGE_ROWS)
    chosen = held_out.select(_evenly(len(held_out), most))
    limit, _ = token_limit(loaded.recipe.data, loaded.model.config, loaded.tokenizer)
    windows = predictor.task == CLASSIFIES and loaded.recipe.data.too_long == "window"
    prompts = [] if predictor.task != GENERATES else _prompts(predictor, chosen)
    items = [{"text": one["text"]} for one in prompts] or _items(predictor, chosen, limit)
    if not items:
        raise DataError(f"no row of {split} can be asked: each lacks a text", key="data")
    end = loaded.tokenizer.eos_token_id
    return Questions(split, items, prompts[:PROMPTS], limit, end, predictor.problem_type, windows)


def reference(predictor: Predictor, asked: Questions) -> dict[str, Any]:
    """Return the run's own answers, a classifier's as hftune gives them; its model is on the CPU then, as theirs is."""
    import numpy as np
    import torch

    from hftune.modeling.loading import computes_in_int8

    loaded = predictor.loaded
    model, tokenizer = loaded.model.to("cpu"), loaded.tokenizer
    if model.dtype == torch.bfloat16:
        model = copy.deepcopy(model).float()  # as the other side computes: the weights are what is compared
    write = parity_process.torch_write(model)
    # What is rounded on the way is compared a text at a time: in a batch it may fall on the other side of a step.
    if predictor.task == CLASSIFIES and model is loaded.model and not computes_in_int8(model):
        pairs = [item["pair"] for item in asked.items] if loaded.recipe.data.text_pair else None
        found = predictor.classify([item["text"] for item in asked.items], pairs=pairs)
        logits = np.array([one.logits for one in found], np.float32)[:, -loaded.model.config.num_labels :]
    else:
        run = parity_process.torch_run(model)
        logits = parity_process.logits(run, tokenizer, predictor.task, asked.items, asked.limit)
    return {"logits": logits, **parity_process.written(write, tokenizer, asked.prompts, asked.end)}


def ask(folder: Path, kind: Kind, task: str, asked: Questions, base: Path | None, own: str | None) -> dict[str, Any]:
    """Return the answers of what was exported into `folder`, by a fresh Python that cannot import hftune.

    `own`: the one module of hftune that it may import, for an architecture that transformers does not have. Raises
    ParityError when it cannot be loaded or asked.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="hftune-parity-") as out:
        request = {
            "folder": str(folder), "kind": kind, "task": task, "items": asked.items, "limit": asked.limit,
            "prompts": asked.prompts, "end": asked.end, "base": str(base) if base else None, "own": own, "out": out,
        }  # fmt: skip
        done = _run(json.dumps(request))
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
            raise ParityError(f"the export cannot be loaded without hftune: {last[0]}", hint="Nothing was kept.")
        answers = json.loads((Path(out) / "answers.json").read_text(encoding="utf-8"))
        with np.load(Path(out) / "answers.npz") as arrays:
            return {**answers, "logits": arrays["logits"]}


def _run(request: str) -> subprocess.CompletedProcess[str]:
    # -P: else the script's folder is searched first, and hftune.sharing's modules stand in for packages of their name.
    command = [sys.executable, "-P", parity_process.__file__]
    try:
        return subprocess.run(command, input=request, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ParityError(f"the export gave no answer within {duration(SECONDS)}", hint="Nothing was kept.") from error


def compare(asked: Questions, expected: dict[str, Any], found: dict[str, Any]) -> Parity:
    """Return how far two sides agree."""
    import numpy as np

    ours, theirs = expected["logits"], found["logits"]
    same = [
        one == other and cut == other_cut
        for one, other, cut, other_cut in zip(
            expected["texts"], found["texts"], expected["prompts"], found["prompts"], strict=True
        )
    ]
    difference = float(np.abs(ours - theirs).max()) if np.isfinite(theirs).all() else float("inf")
    agreed = None if asked.kind == REGRESSION else int(_agreed(asked.kind, ours, theirs).sum())
    return Parity(asked.split, len(ours), difference, agreed, len(same), sum(same), asked.windows)


def _agreed(kind: str | None, ours: Any, theirs: Any) -> Any:
    """Return which rows have the same answer [rows]: the same labels, or the same likeliest one."""
    if kind == MULTI or ours.shape[1] == 1:  # a sigmoid each, also of one output that tells two classes apart
        return ((ours > 0) == (theirs > 0)).all(axis=1)
    return ours.argmax(axis=1) == theirs.argmax(axis=1)


def _evenly(total: int, most: int) -> list[int]:
    """Return at most `most` numbers below `total`, evenly apart."""
    return list(range(total)) if total <= most else [index * total // most for index in range(most)]


def _items(predictor: Predictor, rows: Dataset, limit: int) -> list[dict[str, Any]]:
    """Return the rows that have a text (an LSTM would have nothing to read otherwise), and a pair where one is due."""
    data, tokenizer = predictor.loaded.recipe.data, predictor.loaded.tokenizer
    texts = [str(text or "").strip() for text in rows[data.text]]
    if predictor.task == "fill-mask":
        return [{"text": _masked(text, tokenizer, limit)} for text in texts if text]
    pairs: Sequence[Any] = rows[data.text_pair] if data.text_pair else [None] * len(texts)
    found = zip(texts, pairs, strict=True)
    items = [{"text": text, "pair": pair} for text, pair in found if text and (pair is not None or not data.text_pair)]
    return [_short(item, tokenizer, limit) for item in items] if data.too_long == "window" else items


def _short(item: dict[str, Any], tokenizer: Any, limit: int) -> dict[str, Any]:
    """Return an item cut until it fits."""
    while len(tokenizer(item["text"], item["pair"], verbose=False)["input_ids"]) > limit and len(item["text"]) > 1:
        item = {name: value and value[: (len(value) + 1) // 2] for name, value in item.items()}
    return item


def _masked(text: str, tokenizer: Any, limit: int) -> str:
    """Return a text whose middle token is masked, with as many around it as fit."""
    ids = parity_process.cut(tokenizer, text)
    middle, width = len(ids) // 2, min(len(ids), limit)
    while True:
        before, after = ids[max(0, middle - width) : middle], ids[middle + 1 : middle + 1 + width]
        masked = f"{tokenizer.decode(before)} {tokenizer.mask_token} {tokenizer.decode(after)}".strip()
        # Cut out of a word, tokens can become more when they are read again.
        if width == 0 or len(tokenizer(masked, verbose=False)["input_ids"]) <= limit:
            return masked
        width //= 2


def _prompts(predictor: Predictor, rows: Dataset) -> list[dict[str, Any]]:
    """Return what the rows ask, as the run's model is asked it, each with the tokens that there is room for."""
    from hftune.inference.prompts import make_prompt

    tokenizer, style = predictor.loaded.tokenizer, predictor.style
    assert style is not None
    asked = [question for row in rows if (question := _question(predictor, row))]
    made = [make_prompt(tokenizer, style, question, TOKENS, predictor.context) for question in asked]
    return [{"ids": one.ids, "text": str(tokenizer.decode(one.ids)), "most": one.max_new_tokens} for one in made]


def _question(predictor: Predictor, row: dict[str, Any]) -> str | list[dict[str, str]] | None:
    """Return a row's conversation up to the first question, its prompt, or the beginning of its text; None without."""
    data, tokenizer = predictor.loaded.recipe.data, predictor.loaded.tokenizer
    if data.messages is not None:
        messages = row[data.messages] or []
        asked = [number for number, message in enumerate(messages, 1) if message["role"] == "user"]
        return messages[: asked[0]] if asked else None
    if data.prompt is not None:
        return row[data.prompt] and str(row[data.prompt])
    return str(tokenizer.decode(parity_process.cut(tokenizer, str(row[data.text] or ""))[:PROMPT_TOKENS]))
