"""Held-out texts that models are asked to see how fast they are: the same for all, and as people would ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.data.load import load_splits
from hftune.errors import DataError
from hftune.inference.predictor import GENERATES
from hftune.inference.prompts import style_of
from hftune.inference.text_sources import spread
from hftune.recipe.schema import DataSection, Recipe

if TYPE_CHECKING:
    from datasets import Dataset

MOST = 256  # texts
LONGEST = 1 << 18  # bytes of questions as JSON: a line to a process has a limit, four times as much
FIRST_WORDS, FIRST_LETTERS = 8, 12  # of a text that a generator goes on with
ASSISTANT = "assistant"


@dataclass(frozen=True)
class Questions:
    """What is asked: `texts` of `split`; `pairs` the second texts where there are two; `prompts` for generators.

    A prompt is a text or a conversation, as `Predictor.generate` takes it.
    """

    split: str
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None = None
    prompts: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def size(self, number: int) -> int:
        """Return the bytes of a question as JSON."""
        return len(json.dumps(self.fields(number, number + 1)))

    def fields(self, start: int, end: int) -> dict[str, Any]:
        """Return some of them as JSON holds them."""
        return {
            "texts": self.texts[start:end],
            "pairs": None if self.pairs is None else self.pairs[start:end],
            "prompts": None if self.prompts is None else self.prompts[start:end],
        }


def held_out_splits(recipe: Recipe, note: Callable[[str], None]) -> dict[str, Dataset]:
    """Return the splits that nothing was trained on, validation before test; raises DataError where there is none."""
    splits = load_splits(recipe.data, note)
    found: dict[str, Dataset] = {name: splits[name] for name in ("validation", "test") if name in splits}
    if not found:
        raise DataError(
            "there are no held-out rows to compare models on",
            hint="The run's data need a validation or a test split.",
            key="data",
        )
    return found


def questions(recipe: Recipe, split: str, rows: Dataset, most: int = MOST) -> Questions:
    """Return at most `most` questions of a split's rows, spread evenly over it.

    Raises DataError when no row has a text.
    """
    data = recipe.data
    asked = [one for row in spread(len(rows), most) if (one := _question(recipe, rows[row])) is not None]
    asked = [one for one in asked if len(json.dumps(one)) <= LONGEST]
    if not asked:
        raise DataError(f"no row of {split} has a text to ask", key="data")
    texts, pairs, prompts = zip(*asked, strict=True)
    has_pairs, has_prompts = data.text_pair is not None, recipe.task.name == GENERATES
    return Questions(split, texts, pairs if has_pairs else None, prompts if has_prompts else None)


def _question(recipe: Recipe, row: Mapping[str, Any]) -> tuple[str, str, Any] | None:
    """Return text, second text and prompt of a row; None where it has none."""
    data = recipe.data
    pair = str(row[data.text_pair] or "") if data.text_pair is not None else ""
    prompt: Any = ""
    if recipe.task.name == GENERATES:
        text, prompt = _generated(data, row)
    else:
        text = str(row[data.text] or "")
    return (text, pair, prompt) if text.strip() and (prompt or recipe.task.name != GENERATES) else None


def _generated(data: DataSection, row: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the whole text of a generator's row, and what comes before its (last) answer."""
    style = style_of(data)
    if style == "completion":
        assert data.prompt is not None and data.completion is not None
        prompt, completion = row[data.prompt] or "", row[data.completion] or ""
        return f"{prompt}{completion}", prompt
    if style == "text":
        text = str(row[data.text] or "")
        return text, _beginning(text)
    assert data.messages is not None
    messages = [{"role": one["role"], "content": one["content"]} for one in row[data.messages] or ()]
    text = "\n".join(str(one["content"]) for one in messages)
    while messages and messages[-1]["role"] == ASSISTANT:
        messages.pop()
    return text, messages


def _beginning(text: str) -> str:
    words = text.split()
    return " ".join(words[:FIRST_WORDS]) if len(words) > FIRST_WORDS else text.strip()[:FIRST_LETTERS]
