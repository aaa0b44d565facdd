"""A text explained by some methods, each with how far it can be believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hftune.explainers import CHANCE, Attribution, registry
from hftune.explainers._faithfulness import Faithfulness, agreement, measure, stability
from hftune.explainers._question import Question

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SEEDS = 2  # that a method which draws is tried with
CHANCE_DRAWS = 5  # one draw may be lucky

Note = Callable[[str], None]


@dataclass(frozen=True)
class Explained:
    """One method's answer: a value a word, and how faithful they are; `stability` is 1 for what draws nothing.

    `passes`: texts that the model read for the values; `seconds` they took.
    """

    method: str
    title: str
    values: list[float]
    faithfulness: Faithfulness
    stability: float
    completeness_error: float | None
    passes: int
    seconds: float


@dataclass(frozen=True)
class Explanation:
    """Why `text` got `share` for `label`: `words` and tokens (`pieces`, `owners`: each one's word) and each method.

    `spans`: each word's characters [start, end) of `text`. `agreement`: rank correlation of each two methods. `best`:
    the most faithful method here, None where none beats chance. `notes`: what was not read.
    """

    text: str
    label: str
    share: float
    words: list[str]
    spans: list[tuple[int, int]]
    pieces: list[str]
    owners: list[int | None]
    methods: list[Explained] = field(default_factory=list)
    chance: Faithfulness | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    best: str | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON holds it."""
        return asdict(self)


def explain(question: Question, names: Sequence[str], seed: int, note: Note) -> Explanation:
    """Explain what the model answers to a question by the methods called `names`.

    Raises UsageError for a method that does not exist, ModelError where a package is missing, Stopped when whoever
    asked has cancelled.
    """
    plugins = {name: registry.load(name) for name in names if name != CHANCE}
    found: list[Explained] = []
    drawn: dict[str, Array] = {}
    for name, plugin in plugins.items():
        note(f"{plugin.TITLE}: {len(question.words)} words")
        began, before = time.monotonic(), question.passes
        first = plugin.attribute(question, seed)
        seconds, passes = time.monotonic() - began, question.passes - before
        others = [plugin.attribute(question, seed + more) for more in range(1, SEEDS)] if plugin.SEEDED else []
        drawn[name] = first.values
        found.append(
            Explained(
                method=name,
                title=plugin.TITLE,
                values=[float(value) for value in first.values],
                faithfulness=measure(question, first.values),
                stability=stability([first.values, *(other.values for other in others)]),
                completeness_error=first.completeness_error,
                passes=passes,
                seconds=round(seconds, 3),
            )
        )
    chance = _chance(question, seed)
    best = max(found, key=lambda one: one.faithfulness.gain, default=None)
    return Explanation(
        text=question.text,
        label=question.label,
        share=float(question.shares(question.whole())[0]),
        words=[word.text for word in question.words],
        spans=[(word.start, word.end) for word in question.words],
        pieces=question.pieces,
        owners=question.owners,
        methods=found,
        chance=chance,
        agreement={f"{one} and {other}": value for (one, other), value in agreement(drawn).items()},
        best=best.method if best is not None and best.faithfulness.gain > chance.gain else None,
        notes=question.notes,
    )


def _chance(question: Question, seed: int) -> Faithfulness:
    """Return the mean faithfulness of values that know nothing."""
    plugin = registry.load(CHANCE)
    drawn: list[Attribution] = [plugin.attribute(question, seed + more) for more in range(CHANCE_DRAWS)]
    found = [asdict(measure(question, one.values)) for one in drawn]
    return Faithfulness(**{name: sum(one[name] for one in found) / len(found) for name in found[0]})
