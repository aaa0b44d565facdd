"""From the label column to numbers: what kind of problem it is, the labels' names and order, each row's target."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from hftune.errors import DataError, Problem, RecipeError, closest
from hftune.tasks import Notice

if TYPE_CHECKING:
    from datasets import Dataset

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
PROBLEM_TYPES: tuple[ProblemType, ...] = get_args(ProblemType)
SINGLE, MULTI, REGRESSION = PROBLEM_TYPES


@dataclass(frozen=True)
class LabelSpace:
    """The problem and its labels; for regression `names` holds the column's name.

    `multi_hot`: a row's labels are a 0 or 1 for each name, and not a list of the names that apply.
    """

    problem_type: ProblemType
    names: tuple[str, ...]
    multi_hot: bool = False

    @property
    def index(self) -> dict[str, int]:
        """Name -> position."""
        return {name: position for position, name in enumerate(self.names)}


def infer_problem_type(values: Sequence[Any]) -> ProblemType:
    """Return what the label values look like: lists multi-label, floats regression, anything else single label."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, (list, tuple)):
        return MULTI
    return REGRESSION if isinstance(first, float) else SINGLE


def is_missing(value: Any) -> bool:
    """Whether a label is absent: null, or NaN as CSV readers write it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def column_values(dataset: Dataset, column: str) -> list[Any]:
    """Return a label column's values; ClassLabel numbers become their names (-1, no label, becomes None)."""
    from datasets import ClassLabel

    feature = dataset.features[column]
    values: list[Any] = dataset[column][:]
    inner = getattr(feature, "feature", None)
    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.int2str(value) for value in values]
    if isinstance(inner, ClassLabel):
        return [value if value is None else [inner.int2str(item) for item in value] for value in values]
    return values


def class_label_names(dataset: Dataset, column: str) -> tuple[str, ...] | None:
    """Return the names and order that a ClassLabel column declares, None for other columns."""
    from datasets import ClassLabel

    feature = dataset.features[column]
    feature = getattr(feature, "feature", feature)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def label_name(value: Any) -> str:
    """Return a label as it is called: 2.0 and 2 are `2`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def shown_name(value: Any, names: Collection[str]) -> str:
    """Return which of `names` a label is: its own, or that of its number where the names are no numbers."""
    # Read from a file of nothing but numbers, "1.0" is a number; beside labels that are words it is the word it was.
    name = str(value) if str(value) in names else label_name(value)
    if name in names or not isinstance(value, int) or not 0 <= value < len(names):
        return name
    return name if any(known.lstrip("-").isdigit() for known in names) else list(names)[value]


def observed_names(values: Sequence[Any], column: str) -> tuple[str, ...]:
    """Return the distinct labels in `values` (labels or lists of them): numbers by size, words by alphabet."""
    found: set[str] = set()
    for value in values:
        if not is_missing(value):
            found.update(map(label_name, value) if isinstance(value, (list, tuple)) else [label_name(value)])
    if all(name.lstrip("-").isdigit() for name in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def is_multi_hot(values: Sequence[Any], names: Sequence[str] | None) -> bool:
    """Whether lists of labels say 0 or 1 to each label: equally long, nothing but 0 and 1, and not class numbers.

    Lists of 0 and 1 could also be class numbers; they are not when some list repeats one, when they are floats or
    booleans, or when they are as long as the labels that the recipe names.
    """
    lists = [value for value in values if isinstance(value, (list, tuple))]
    width = len(lists[0]) if lists else 0
    if not width or any(len(value) != width for value in lists):
        return False
    if any(isinstance(item, str) or item not in (0, 1) for value in lists for item in value):
        return False
    if names is not None:
        return width == len(names)
    return any(len(set(value)) < width or not all(type(item) is int for item in value) for value in lists)


def targets(values: Sequence[Any], rows: Sequence[int], space: LabelSpace, split: str) -> list[Any]:
    """Return one target a value: int (single label), list of 0.0/1.0 (multi-label), float (regression).

    `rows` number the values for messages. Raises DataError naming the row of a label that is not known.
    """
    index = space.index
    if space.problem_type == REGRESSION:
        return [_number(value, row, split) for value, row in zip(values, rows, strict=True)]
    if space.problem_type == SINGLE:
        return [_position(value, index, row, split) for value, row in zip(values, rows, strict=True)]
    return [_several(value, space, index, row, split) for value, row in zip(values, rows, strict=True)]


def _number(value: Any, row: int, split: str) -> float:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise DataError(f"{split}, row {row} (from 0): the label {value!r} is not a number", key="data.label")


def _position(value: Any, index: Mapping[str, int], row: int, split: str) -> int:
    if isinstance(value, (list, tuple, dict)):
        raise DataError(
            f"{split}, row {row} (from 0): the label {value!r} is not one label",
            hint="For several labels a text set task.problem_type: multi_label_classification.",
            key="data.label",
        )
    name = shown_name(value, index)
    if name in index:
        return index[name]
    raise DataError(
        f"{split}, row {row} (from 0): unknown label {value!r}", hint=closest(name, index), key="data.label"
    )


def _several(value: Any, space: LabelSpace, index: Mapping[str, int], row: int, split: str) -> list[float]:
    if not isinstance(value, (list, tuple)):
        if len(index) == 1 and value in (0, 1):
            return [float(value)]
        value = [value]
    if space.multi_hot:
        if len(value) != len(index) or any(item not in (0, 1) for item in value):
            raise DataError(
                f"{split}, row {row} (from 0): {value!r} does not say 0 or 1 to each of the {len(index)} labels",
                key="data.label",
            )
        return [float(item) for item in value]
    target = [0.0] * len(index)
    for item in value:
        target[_position(item, index, row, split)] = 1.0
    return target


def alike_notices(names: Sequence[str]) -> tuple[Notice, ...]:
    """Return a warning for labels that differ only by case or space."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault("".join(name.split()).casefold(), []).append(name)
    alike = [" / ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not alike:
        return ()
    message = f"labels that differ only by case or space are different classes: {', '.join(alike)}"
    return (Notice("warning", "labels-alike", message, "Clean the label column when they mean the same."),)


def class_weights(
    wanted: Literal["balanced"] | Mapping[str, float] | None, space: LabelSpace, train_targets: Sequence[Any]
) -> list[float] | None:
    """Return one weight a label, None for equal ones.

    balanced: rows / (classes x rows of the class), as in scikit-learn; for multi-label the weight of a label that
    applies, rows without it / rows with it. A label that train never has keeps weight 1. A mapping gives weights by
    name, 1 for those it leaves out. Raises RecipeError for a name that is no label, and for regression.
    """
    if wanted is None:
        return None
    if space.problem_type == REGRESSION:
        raise RecipeError([Problem("task.class_weights", "regression has no classes", "Leave class_weights out.")])
    if wanted != "balanced":
        assert isinstance(wanted, Mapping)
        problems = [
            Problem(f"task.class_weights.{name}", "no such label", closest(name, space.names))
            for name in wanted
            if name not in space.names
        ]
        if problems:
            raise RecipeError(problems)
        weights = [float(wanted.get(name, 1.0)) for name in space.names]
        if not any(weights):
            raise RecipeError([Problem("task.class_weights", "every class weighs 0: there is nothing to learn")])
        return weights
    rows, total = [0] * len(space.names), len(train_targets)
    for target in train_targets:
        applies = [target] if space.problem_type == SINGLE else [i for i, value in enumerate(target) if value]
        for position in applies:
            rows[position] += 1
    if space.problem_type == MULTI:
        return [(total - count) / count if 0 < count < total else 1.0 for count in rows]
    seen = sum(count > 0 for count in rows)
    return [total / (seen * count) if count else 1.0 for count in rows]
