"""The parity gate: an export answers as its run does, in a process of its own without hftune, or it is refused."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hftune.errors import HftuneError
from hftune.figures import figure, many
from hftune.sharing import parity_process

if TYPE_CHECKING:
    from datasets import Dataset

    from hftune.inference.predictor import Predictor

ROWS = 500
LANGUAGE_ROWS = 64  # their logits are as wide as the vocabulary
PROMPTS, TOKENS = 20, 50
PROMPT_TOKENS = 8  # of a plain text, which has no prompt of its own
# In fp32 another order of the same sums; 50 times what was seen with models of up to 135M parameters.
TOLERANCE = 1e-3

Kind = Literal["transformers", "adapter", "onnx"]
Note = Callable[[str], None]


class ParityError(HftuneError):
    """What was exported does not answer as the run does."""


@dataclass(frozen=True)
class Questions:
    """What both sides are asked: held-out texts, and for a generator prompts as token ids with their texts."""

    split: str
    items: list[dict[str, Any]]
    prompts: list[list[int]]
    prompt_texts: list[str]
    limit: int
    end: int | None


@dataclass(frozen=True)
class Parity:
    """How far two models agree: `difference` is the largest of all logits; `agreed` labels (or likeliest tokens)."""

    split: str
    rows: int
    difference: float
    agreed: int
    prompts: int = 0
    same_texts: int = 0

    def lines(self) -> list[str]:
        """Return what was found, as lines for people."""
        found = [
            f"asked in a process without hftune: {many(self.rows, 'text')} of {self.split}",
            f"  same answer          {self.agreed:,} of {self.rows:,}",
            f"  largest difference   {figure(self.difference)} in any logit (allowed {TOLERANCE:g})",
        ]
        if self.prompts:
            found.append(f"  same {TOKENS} tokens       {self.same_texts} of {self.prompts} prompts")
        return found

    def require(self) -> None:
        """Raise ParityError unless everything is the same."""
        whole = self.agreed == self.rows and self.same_texts == self.prompts
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
    most = rows if predictor.task == "text-classification" else min(rows, LANGUAGE_ROWS)
    chosen = held_out.select(_evenly(len(held_out), most))
    limit, _ = token_limit(loaded.recipe.data, loaded.model.config, loaded.tokenizer)
    if predictor.task != "text-generation":
        return Questions(split, _items(predictor, chosen, limit), [], [], limit, None)
    prompts = [_prompt(predictor, row) for row in chosen]
    texts = [str(loaded.tokenizer.decode(ids)) for ids in prompts]
    items = [{"text": text} for text in texts]
    return Questions(split, items, prompts[:PROMPTS], texts[:PROMPTS], limit, loaded.tokenizer.eos_token_id)


def reference(predictor: Predictor, asked: Questions) -> dict[str, Any]:
    """Return the run's own answers."""
    loaded = predictor.loaded
    run, tokenizer = parity_process.torch_run(loaded.model), loaded.tokenizer
    write = parity_process.torch_write(loaded.model)
    return {
        "logits": parity_process.logits(run, tokenizer, predictor.task, asked.items, asked.limit),
        "texts": [tokenizer.decode(write(ids, TOKENS, asked.end)) for ids in asked.prompts],
        "prompts": [parity_process.cut(tokenizer, text) for text in asked.prompt_texts],
    }


def ask(folder: Path, kind: Kind, task: str, asked: Questions, base: Path | None, own: str | None) -> dict[str, Any]:
    """Return the answers of what was exported into `folder`, by a fresh Python that cannot import hftune.

    `own`: the one module of hftune that it may import, for an architecture that transformers does not have. Raises
    ParityError when it cannot be loaded or asked.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="hftune-parity-") as out:
        request = {
            "folder": str(folder), "kind": kind, "task": task, "items": asked.items, "limit": asked.limit,
            "prompts": asked.prompts, "prompt_texts": asked.prompt_texts, "end": asked.end, "tokens": TOKENS,
            "base": str(base) if base else None, "own": own, "out": out,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, parity_process.__file__], input=json.dumps(request), capture_output=True, text=True
        )
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
            raise ParityError(f"the export cannot be loaded without hftune: {last[0]}", hint="Nothing was kept.")
        answers = json.loads((Path(out) / "answers.json").read_text(encoding="utf-8"))
        with np.load(Path(out) / "answers.npz") as arrays:
            return {**answers, "logits": arrays["logits"]}


def compare(asked: Questions, expected: dict[str, Any], found: dict[str, Any]) -> Parity:
    """Return how far two sides agree."""
    import numpy as np

    ours, theirs = expected["logits"], found["logits"]
    if ours.shape[1] == 1:  # one output: a sigmoid's sign, or a number, which is its own answer
        agreed = np.sign(ours[:, 0]) == np.sign(theirs[:, 0])
    else:
        agreed = ours.argmax(axis=1) == theirs.argmax(axis=1)
    same = [
        one == other and cut == other_cut
        for one, other, cut, other_cut in zip(
            expected["texts"], found["texts"], expected["prompts"], found["prompts"], strict=True
        )
    ]
    difference = float(np.abs(ours - theirs).max()) if np.isfinite(theirs).all() else float("inf")
    return Parity(asked.split, len(ours), difference, int(agreed.sum()), len(same), sum(same))


def _evenly(total: int, most: int) -> list[int]:
    """Return at most `most` numbers below `total`, evenly apart."""
    return list(range(total)) if total <= most else [index * total // most for index in range(most)]


def _items(predictor: Predictor, rows: Dataset, limit: int) -> list[dict[str, Any]]:
    data, tokenizer = predictor.loaded.recipe.data, predictor.loaded.tokenizer
    texts = [str(text or "") for text in rows[data.text]]
    if predictor.task == "fill-mask":
        return [{"text": _masked(text, tokenizer, limit)} for text in texts]
    pairs: Sequence[Any] = rows[data.text_pair] if data.text_pair else [None] * len(texts)
    # A row without a text has no label either; an LSTM would have nothing to read.
    return [{"text": text, "pair": pair} for text, pair in zip(texts, pairs, strict=True) if text.strip()]


def _masked(text: str, tokenizer: Any, limit: int) -> str:
    """Return a text whose middle word is masked, not so long that the mask would be cut off."""
    words = text.split()[: max(1, limit // 4)] or [""]
    words[len(words) // 2] = tokenizer.mask_token
    return " ".join(words)


def _prompt(predictor: Predictor, row: dict[str, Any]) -> list[int]:
    """Return the token ids of a row's prompt as the run's model is asked it, with room for what is written."""
    from hftune.inference.prompts import make_prompt

    data, tokenizer, style = predictor.loaded.recipe.data, predictor.loaded.tokenizer, predictor.style
    assert style is not None
    asked: Any
    if data.messages is not None:
        asked = list(itertools.takewhile(lambda message: message["role"] != "assistant", row[data.messages]))
    elif data.prompt is not None:
        asked = str(row[data.prompt])
    else:
        words = tokenizer(str(row[data.text]), add_special_tokens=False)["input_ids"][:PROMPT_TOKENS]
        asked = str(tokenizer.decode(words))
    return make_prompt(tokenizer, style, asked, TOKENS, predictor.context).ids
