"""What is asked explained by some methods, each with how far it can be believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hftune.explainers import CHANCE, Attribution, registry
from hftune.explainers._asked import Asked
from hftune.explainers._faithfulness import Faithfulness, agreement, measure, stability

if TYPE_CHECKING:
    import numpy as np

    from hftune.explainers._continuation import Continuation
    from hftune.explainers._question import Question

    Array = np.ndarray[Any, Any]

SEEDS = 2  # that a method which draws is tried with
CHANCE_DRAWS = 5  # one draw may be lucky

Note = Callable[[str], None]


@dataclass(frozen=True)
class Explained:
    """One method's answer: a value a word, and how faithful they are; `stability` is 1 for what draws nothing.

    `passes`: texts that the model read for the values and had not read before; `seconds` they took.
    """

    method: str
    title: str
    values: list[float]
    faithfulness: Faithfulness
    stability: float
    completeness_error: float | None
    passes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _WordsExplained:
    """What explanations of labels and of written answers share.

    `share`: the label's probability, or the geometric mean of those of the answer's tokens. `words` and tokens
    (`pieces`, `owners`: each one's word) of what is explained, `spans`: each word's characters [start, end) of it.
    `agreement`: rank correlation of each two methods. `chance`: the mean of random orders; `best`: the most faithful
    method here, which beats `beaten` of the `orders`; None where that is not most of them. `notes`: what was not read.
    """

    share: float
    words: list[str]
    spans: list[tuple[int, int]]
    pieces: list[str]
    owners: list[int | None]
    methods: Sequence[Explained]
    chance: Faithfulness
    agreement: dict[str, float]
    best: str | None
    beaten: int
    orders: int = CHANCE_DRAWS
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Explanation(_WordsExplained):
    """Why `text` got `share` for `label`."""

    text: str
    label: str


@dataclass(frozen=True)
class ExplainedAnswer(Explained):
    """One method's answer for a generator: `values` of the whole answer, `by_token` [tokens][words] of each token."""

    by_token: list[list[float]]


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer: its piece of the vocabulary, its log probability in nats, and its word's place."""

    piece: str
    log_probability: float
    owner: int | None


@dataclass(frozen=True, kw_only=True)
class AnswerExplanation(_WordsExplained):
    """What in `prompt` made each token of `answer` likely.

    `prompt` is what people wrote: what a chat template adds has no word. `answer_words`, `answer_spans`: the answer's.
    """

    kind: str = "generation"
    prompt: str
    answer: str
    answer_words: list[str]
    answer_spans: list[tuple[int, int]]
    answer_tokens: list[AnswerToken]


@dataclass(frozen=True)
class _Found:
    """What the methods found, in the order asked for; the rest as of an explanation."""

    attributions: list[Attribution]
    methods: list[Explained]
    chance: Faithfulness
    agreement: dict[str, float]
    best: str | None
    beaten: int

    def shared(self, question: Asked) -> dict[str, Any]:
        """Return what explanations of all kinds hold of it, and of what was asked."""
        return {
            "share": float(question.shares(question.whole())[0]),
            "words": [word.text for word in question.words],
            "spans": [(word.start, word.end) for word in question.words],
            "pieces": question.pieces,
            "owners": question.owners[: len(question.pieces)],
            "methods": self.methods,
            "chance": self.chance,
            "agreement": self.agreement,
            "best": self.best,
            "beaten": self.beaten,
            "notes": question.notes,
        }


def explain(question: Question, names: Sequence[str], seed: int, note: Note) -> Explanation:
    """Explain what the model answers to a question by the methods called `names`.

    Raises UsageError for a method that does not exist, ModelError where a package is missing, Stopped when whoever
    asked has cancelled.
    """
    found = _ask(question, names, seed, note)
    return Explanation(text=question.text, label=question.label, **found.shared(question))


def explain_answer(question: Continuation, names: Sequence[str], seed: int, note: Note) -> AnswerExplanation:
    """Explain what a generator answers by the methods called `names`; raises as `explain` does."""
    found, answered = _ask(question, names, seed, note), question.answered
    tokens = zip(answered.pieces, question.target_scores(question.whole())[0], answered.owners, strict=True)
    methods = [
        ExplainedAnswer(**vars(one), by_token=_by_token(attribution))
        for one, attribution in zip(found.methods, found.attributions, strict=True)
    ]
    return AnswerExplanation(
        prompt=question.text,
        answer=answered.text,
        answer_words=[word.text for word in answered.words],
        answer_spans=[(word.start, word.end) for word in answered.words],
        answer_tokens=[AnswerToken(piece, float(score), owner) for piece, score, owner in tokens],
        **{**found.shared(question), "methods": methods},
    )


def _by_token(found: Attribution) -> list[list[float]]:
    assert found.by_target is not None, "a method whose TASKS have text-generation tells the answer's tokens apart"
    return [[float(value) for value in row] for row in found.by_target]


def _ask(question: Asked, names: Sequence[str], seed: int, note: Note) -> _Found:
    plugins = {name: registry.load(name) for name in names if name != CHANCE}
    attributions: list[Attribution] = []
    found: list[Explained] = []
    for name, plugin in plugins.items():
        scores = f", {question.targets} tokens of the answer" if question.targets > 1 else ""
        note(f"{plugin.TITLE}: {len(question.words)} words{scores}")
        began, before = time.monotonic(), question.passes
        first = plugin.attribute(question, seed)
        seconds, passes = time.monotonic() - began, question.passes - before
        others = [plugin.attribute(question, seed + more) for more in range(1, SEEDS)] if plugin.SEEDED else []
        attributions.append(first)
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
    chance, gains = _chance(question, seed)
    alike = agreement({one.method: drawn.values for one, drawn in zip(found, attributions, strict=True)})
    best = max(found, key=lambda one: one.faithfulness.gain, default=None)
    beaten = sum(best.faithfulness.gain > gain for gain in gains) if best is not None else 0
    return _Found(
        attributions=attributions,
        methods=found,
        chance=chance,
        agreement={f"{one} and {other}": value for (one, other), value in alike.items()},
        best=best.method if best is not None and beaten > len(gains) / 2 else None,
        beaten=beaten,
    )


def _chance(question: Asked, seed: int) -> tuple[Faithfulness, list[float]]:
    """Return the mean faithfulness of values that know nothing, and each one's gain."""
    plugin = registry.load(CHANCE)
    drawn: list[Attribution] = [plugin.attribute(question, seed + more) for more in range(CHANCE_DRAWS)]
    found = [measure(question, one.values) for one in drawn]
    names = asdict(found[0])
    mean = {name: sum(getattr(one, name) for one in found) / len(found) for name in names}
    return Faithfulness(**mean), [one.gain for one in found]
