"""How good models are: each beside the one that all are made of, over the same held-out rows, which that is asked once.

Validation rows choose, test rows judge: of several models the one that does best on some rows does a little too well
there, by luck, and other rows do not share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.compressors._comparison import Answered, answered, beside
from hftune.inference.predictor import Predictor
from hftune.inference.statistics import Interval
from hftune.runs.compression import Comparison

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Quality:
    """A model on the rows of one split: fields as `compressors._comparison.Comparison` has them."""

    split: str
    rows: int
    metric: str
    value: Interval
    parent_value: Interval
    loss: Interval
    relative: bool
    agreement: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Quality:
        """Return it from JSON; raises TypeError or KeyError for what is none."""
        values: dict[str, Any] = {
            name: _interval(each) if isinstance(each, dict) else each for name, each in record.items()
        }
        return cls(**values)

    def of_parent(self) -> Quality:
        """Return what these rows tell of the parent, which loses nothing against itself."""
        none, same = Interval(0.0, 0.0, 0.0), Interval(1.0, 1.0, 1.0)
        agreement = None if self.agreement is None else same
        return Quality(
            self.split, self.rows, self.metric, self.parent_value, self.parent_value, none, self.relative, agreement
        )


@dataclass(frozen=True)
class Judged:
    """A model on all held-out splits by name; how many weights it and the parent have, and their sizes on disk.

    Of a parent that is an adapter the base counts, which it is nothing without; what is made of it is whole.
    """

    by_split: dict[str, Quality]
    parameters: int
    parent_parameters: int
    bytes: int
    parent_bytes: int


class Judge:
    """Asks models the rows of the held-out `splits` by name; the parent when it is first needed."""

    def __init__(self, parent: Path, splits: Mapping[str, Dataset]) -> None:
        self._parent, self._splits = parent, splits
        self._answers: dict[str, Answered] = {}

    def judge(self, run: Path) -> Judged:
        """Return how a run's model does beside the parent; raises HftuneError when it cannot be asked."""
        self._answers = self._answers or self._ask(self._parent)
        answers = self._ask(run)
        found = {split: beside(answers[split], self._answers[split]) for split in self._splits}
        one = next(iter(found.values()))
        return Judged(
            {split: _quality(comparison) for split, comparison in found.items()},
            one.parameters,
            one.parent_parameters,
            one.bytes,
            one.parent_bytes,
        )

    def _ask(self, run: Path) -> dict[str, Answered]:
        predictor = Predictor.load(run)
        return {split: answered(predictor, split, rows) for split, rows in self._splits.items()}


def _quality(found: Comparison) -> Quality:
    return Quality(
        split=found.split,
        rows=found.rows,
        metric=found.metric,
        value=_interval(found.value),
        parent_value=_interval(found.parent_value),
        loss=_interval(found.loss),
        relative=found.relative,
        agreement=None if found.agreement is None else _interval(found.agreement),
    )


def _interval(record: Mapping[str, Any]) -> Interval:
    value = record["value"]
    return Interval(float("nan") if value is None else float(value), record["low"], record["high"])
