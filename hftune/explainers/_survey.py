"""A model explained over many rows: what drives each label, shortcuts, length, its worst mistakes.

Each row is asked once a method: for its answer (of labels that may apply together: for each). What is counted from that
stands in modules of its own: _drivers.py, _shortcuts.py, _lengths.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError
from hftune.explainers._cases import Asker, Case, Drop
from hftune.explainers._drivers import LabelDrivers, drivers, least_texts
from hftune.explainers._intervals import mean
from hftune.explainers._labelled import LabelledRows
from hftune.explainers._lengths import Length, lengths
from hftune.explainers._shortcuts import Shortcut, adding, shortcuts
from hftune.explainers._suspects import Suspects
from hftune.figures import duration, many
from hftune.inference.statistics import Interval, share
from hftune.inference.text_sources import spread
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor

MEASURED = 50  # rows whose explanations are measured: each of them takes up to seventeen texts, and chance as many
WORST = 5
DROVE = 3  # words named of a mistake

_FIGURES: dict[str, str] = {MULTI: "exact match", REGRESSION: "mean absolute error"}

Note = Callable[[str], None]


@dataclass(frozen=True)
class Belief:
    """How faithful a method was over `rows`: mean area under the deletion curve, and that of one draw by chance a row.

    `difference`: the mean of the paired differences, below 0 where the method is better than chance.
    """

    rows: int
    deletion: float
    chance: float
    difference: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**asdict(self), "difference": self.difference.to_dict()}


@dataclass(frozen=True)
class MethodSurvey:
    """What one method found: the words of each label, how faithful it was, and the seconds it took."""

    method: str
    title: str
    labels: list[LabelDrivers]
    faithfulness: Belief | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "method": self.method,
            "title": self.title,
            "labels": [one.to_dict() for one in self.labels],
            "faithfulness": None if self.faithfulness is None else self.faithfulness.to_dict(),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Mistake:
    """A row answered wrongly: `values` (of the first method, at `spans` of `text`) are for `label`, given `share`."""

    row: int
    said: Any
    right: Any
    loss: float
    label: str
    share: float
    text: str
    spans: list[tuple[int, int]]
    values: list[float]
    drove: list[tuple[str, float]]


@dataclass(frozen=True)
class Survey:
    """What `hftune explain RUN --data` gives; `rows` of `of` in `split`, `least`: texts that a word has to stand in.

    `figure` is named by `figure_name`: accuracy, exact match, of a regression the mean absolute error. `blank`: by
    label in how many of the rows that got it the answer stays with no word at all, and its mean probability then.
    `alone`: of two texts, in how many right rows the answer stays without the first, and without the second.
    """

    run: str
    step: int | None
    split: str
    of: int
    rows: int
    problem: str | None
    labels: list[str]
    figure_name: str
    figure: Interval
    least: int
    methods: list[MethodSurvey]
    shortcuts: list[Shortcut]
    length: Length
    blank: dict[str, dict[str, Any]]
    alone: list[dict[str, float | None]]
    mistakes: list[Mistake]
    wrong: int
    seconds: float
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the survey as JSON holds it."""
        own = {name: value for name, value in vars(self).items() if name not in ("methods", "shortcuts", "mistakes")}
        return {
            **own,
            "figure": self.figure.to_dict(),
            "length": self.length.to_dict(),
            "methods": [one.to_dict() for one in self.methods],
            "shortcuts": [one.to_dict() for one in self.shortcuts],
            "mistakes": [asdict(one) for one in self.mistakes],
        }


def survey(predictor: Predictor, data: LabelledRows, names: Sequence[str], seed: int, note: Note) -> Survey:
    """Explain rows by the methods called `names`; `note` hears how far it is.

    Raises UsageError for a method that does not exist and where no row has a word, MissingPackage.
    """
    began = time.monotonic()
    labels, kind = predictor.labels, predictor.problem_type
    suspects = Suspects.of(data.counts, labels)
    asker = Asker(predictor, names, seed)
    cases = _ask(asker, data, suspects, note)
    least, rows = least_texts(len(data.rows)), data.rows
    explained = len({case.row.number for case in cases})
    methods = [
        MethodSurvey(name, title, drivers(cases, labels, name, least), _belief(cases, name), asker.seconds[name])
        for name, title in asker.titles.items()
    ]
    masks = predictor.loaded.tokenizer.mask_token_id is not None
    return Survey(
        run=str(predictor.loaded.path), step=predictor.loaded.step, split=data.split, of=data.of,
        rows=explained, problem=kind, labels=labels,
        figure_name=_FIGURES.get(str(kind), "accuracy"),
        figure=_figure(data), least=least, methods=methods,
        shortcuts=shortcuts(cases, labels, suspects, adding(predictor, rows)),
        length=lengths(cases, labels, masks), blank=_blank(cases, labels), alone=_alone(cases),
        mistakes=_mistakes(cases, labels), wrong=sum(row.wrong for row in rows),
        seconds=round(time.monotonic() - began, 3), notes=[*data.notices, *_notes(asker, len(rows) - explained)],
    )  # fmt: skip


def _ask(asker: Asker, data: LabelledRows, suspects: Suspects, note: Note) -> list[Case]:
    rows, found = data.rows, list[Case]()
    measured = set(spread(len(rows), MEASURED))
    began = time.monotonic()
    for place, row in enumerate(rows):
        # The first row waits for packages to be loaded: it would make the estimate too long.
        if place == 1:
            began = time.monotonic()
        left = f", {duration((time.monotonic() - began) / (place - 1) * (len(rows) - place))} left" if place > 1 else ""
        note(f"explaining row {place + 1:,} of {len(rows):,}{left}")
        try:
            found += asker.ask(row, suspects, place in measured)
        except UsageError as error:  # a text without words; what hinders each row is raised
            if place == len(rows) - 1 and not found:
                raise error
    return found


def _notes(asker: Asker, wordless: int) -> list[str]:
    notes = [f"{many(wordless, 'row')} without a word cannot be explained"] if wordless else []
    if not asker.cut:
        return notes
    return [
        *notes,
        f"of {many(asker.cut, 'text')} only the beginning was explained: as much as the model reads at once",
    ]


def _figure(data: LabelledRows) -> Interval:
    rows = data.rows
    if data.counts is None:
        return mean([abs(float(row.said) - float(row.right)) for row in rows])
    return share(sum(not row.wrong for row in rows), len(rows))


def _belief(cases: Sequence[Case], method: str) -> Belief | None:
    """Return how faithful a method was where that was measured."""
    pairs = [case.deletions[method] for case in cases if method in case.deletions]
    if not pairs:
        return None
    own, chance = [one for one, _ in pairs], [other for _, other in pairs]
    difference = mean([one - other for one, other in pairs])
    return Belief(len(pairs), mean(own).value, mean(chance).value, difference)


def _blank(cases: Sequence[Case], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return by label what is left of the rows that it was given to when no word is there."""
    found = {}
    for place, label in enumerate(labels):
        drops = [case.blank for case in cases if case.label == place and case.given]
        if drops:
            stays, shares = _stays(drops), mean([drop.share for drop in drops]).value
            found[label] = {"rows": len(drops), "stays": stays, "share": shares}
    return found


def _alone(cases: Sequence[Case]) -> list[dict[str, float | None]]:
    """Return of two texts how often a right answer stays without the first, and without the second."""
    pairs = [case.alone for case in cases if case.alone and case.right and case.kind != REGRESSION]
    return [share(_stays(drops), len(pairs)).to_dict() for drops in zip(*pairs, strict=True)]


def _stays(drops: Sequence[Drop]) -> int:
    return sum(not drop.flipped for drop in drops)


def _mistakes(cases: Sequence[Case], labels: Sequence[str]) -> list[Mistake]:
    by_row: dict[int, list[Case]] = {}
    for case in cases:
        if case.row.wrong:
            by_row.setdefault(case.row.number, []).append(case)
    # Of several labels the one that the model is furthest from the truth with.
    worst = [max(some, key=lambda case: abs(case.share - (case.label in case.row.labels))) for some in by_row.values()]
    worst.sort(key=lambda case: -case.row.loss)
    return [_mistake(case, labels) for case in worst[:WORST]]


def _mistake(case: Case, labels: Sequence[str]) -> Mistake:
    method, row = next(iter(case.values)), case.row
    # What a label was given for spoke for it, what one was missed for against it; a number too large was driven up.
    up = row.said > row.right if case.kind == REGRESSION else case.given
    order = sorted(case.sums(method).items(), key=lambda one: -one[1] if up else one[1])
    return Mistake(
        row=row.number,
        said=row.said,
        right=row.right,
        loss=row.loss,
        label=labels[case.label],
        share=case.share,
        text=case.text,
        spans=[(word.start, word.end) for word in case.words],
        values=case.values[method].tolist(),
        drove=[(word, value) for word, value in order[:DROVE] if (value > 0) == up],
    )
