"""Labelled rows with the model's answers to them, and which words stand in the texts of which label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError
from hftune.explainers._asked import require_numbers
from hftune.explainers._words import words_of
from hftune.figures import many
from hftune.inference.predictor import CLASSIFIES, Predictor
from hftune.inference.text_sources import spread
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

    from hftune.tasks import Prepared

    Array = np.ndarray[Any, Any]

MOST_COUNTED = 5000  # rows whose words are counted: enough for any share


@dataclass(frozen=True)
class LabelledRow:
    """A row with its answer: `right` and `said` are a label's name, names or a number; `wrong`: they differ.

    `number`: its place in the data from 0; `labels`: the places of the labels that are right; `given`: of those that
    the model gave; `loss`: the task's own.
    """

    number: int
    text: str
    pair: str | None
    right: Any
    said: Any
    labels: tuple[int, ...]
    given: tuple[int, ...]
    probabilities: dict[str, float]
    loss: float
    wrong: bool


@dataclass(frozen=True)
class WordCounts:
    """In how many texts each word (lower case) stands, by label: `by_word` word -> counts [labels]; `rows` [labels].

    `texts`: how many were counted, `in_texts`: word -> in how many of them.
    """

    texts: int
    rows: Array
    by_word: dict[str, Array]
    in_texts: Counter[str]


@dataclass(frozen=True)
class LabelledRows:
    """Rows to be surveyed, evenly spread over `of` in `split`; `counts` of more of them, of a regression None."""

    split: str
    of: int
    rows: list[LabelledRow]
    counts: WordCounts | None
    notices: list[str]


def label_rows(
    predictor: Predictor, split: str, dataset: Dataset, most: int, note: Callable[[str], None]
) -> LabelledRows:
    """Return at most `most` rows of a data set with their answers.

    Raises RecipeError for missing columns, DataError for unknown labels and where no row can be used.
    """
    from hftune.inference.row_answers import prepare_rows

    predictor.require(CLASSIFIES)
    loaded, kind = predictor.loaded, predictor.problem_type
    places = spread(len(dataset), max(most, MOST_COUNTED))
    wide = dataset.select(places)
    note(f"reading {many(len(wide), 'row')}")
    name, prepared = prepare_rows(predictor, split, wide)
    targets = dict(zip(prepared.splits[name]["row"], prepared.splits[name]["labels"], strict=True))
    if not targets:
        raise DataError(f"{split}: no row with a text and a label")
    labels = {row: _label_places(targets[row], kind) for row in sorted(targets)}
    counts = None if kind == REGRESSION else _count(wide, loaded.recipe.data, labels, len(predictor.labels))
    chosen = [list(labels)[place] for place in spread(len(labels), most)]
    answers = _Answers(predictor, wide, chosen)
    losses = answers.losses(prepared, [targets[row] for row in chosen])
    near = _near([targets[row] for row in chosen]) if kind == REGRESSION else 0.0
    rows = [
        answers.row(index, places[row], targets[row], labels[row], losses[index], near)
        for index, row in enumerate(chosen)
    ]
    notices = [notice.message for notice in prepared.notices if notice.level != "info"]
    return LabelledRows(split, len(dataset), rows, counts, notices)


class _Answers:
    """What the model says to some rows."""

    def __init__(self, predictor: Predictor, dataset: Dataset, chosen: Sequence[int]) -> None:
        data, some = predictor.loaded.recipe.data, dataset.select(chosen)
        self._predictor = predictor
        self._texts = some[data.text][:]
        self._pairs = some[data.text_pair][:] if data.text_pair else None
        self._found = predictor.classify(self._texts, pairs=self._pairs)

    def losses(self, prepared: Prepared, targets: Sequence[Any]) -> list[float]:
        """Return each row's loss as the task has it in training."""
        import numpy as np

        from hftune import tasks
        from hftune.inference.row_answers import row_losses

        task = tasks.registry.load(CLASSIFIES)
        logits, kind = np.array([one.logits for one in self._found]), self._predictor.problem_type
        require_numbers(logits)
        losses, _ = row_losses(task, self._predictor.loaded.recipe, prepared, kind, logits, np.array(targets))
        return [float(loss) for loss in losses]

    def row(
        self, index: int, number: int, target: Any, labels: tuple[int, ...], loss: float, near: float
    ) -> LabelledRow:
        """Return one of the rows with its answer."""
        names, kind, found = self._predictor.labels, self._predictor.problem_type, self._found[index]
        said: Any = found.answer
        if kind == REGRESSION:
            right: Any = float(target)
            given: tuple[int, ...] = (0,)
            wrong = not abs(said - right) <= near
        else:
            right = [names[place] for place in labels] if kind == MULTI else names[labels[0]]
            given = tuple(names.index(one) for one in (said if isinstance(said, list) else [said]))
            wrong = set(given) != set(labels)
        pair = self._pairs[index] if self._pairs else None
        return LabelledRow(
            number, self._texts[index], pair, right, said, labels, given, found.probabilities, loss, wrong
        )


def _near(numbers: Sequence[float]) -> float:
    """Return how far from the right number an answer may be: half a standard deviation of the right numbers."""
    return pstdev(numbers) / 2


def _label_places(target: Any, kind: str | None) -> tuple[int, ...]:
    if kind == REGRESSION:
        return (0,)
    if kind == MULTI:
        return tuple(place for place, present in enumerate(target) if present)
    return (int(target),)


def _count(dataset: Dataset, data: Any, labels: dict[int, tuple[int, ...]], classes: int) -> WordCounts:
    import numpy as np

    from hftune.data.texts import Texts

    rows, in_texts = np.zeros(classes, dtype=int), Counter[str]()
    by_word: dict[str, Array] = {}
    texts = Texts(dataset, data)
    for row, places in labels.items():
        seen = {word.text.lower() for word in words_of(texts[row])}
        in_texts.update(seen)
        rows[list(places)] += 1
        for word in seen:
            by_word.setdefault(word, np.zeros(classes, dtype=int))[list(places)] += 1
    return WordCounts(len(labels), rows, by_word, in_texts)
