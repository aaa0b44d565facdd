"""What kind of problem the label column poses, and the labels' names and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hftune.recipe.schema import DataSection
from hftune.tasks import Notice, _answers
from hftune.tasks._labels import (
    MULTI,
    REGRESSION,
    SINGLE,
    LabelSpace,
    ProblemType,
    alike_notices,
    class_label_names,
    infer_problem_type,
    is_multi_hot,
    label_name,
    observed_names,
    shown_name,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


def label_space(
    wanted: ProblemType | None,
    data: DataSection,
    splits: Mapping[str, Dataset],
    usable: Mapping[str, tuple[list[int], list[Any]]],
    base_config: PretrainedConfig,
) -> tuple[LabelSpace, tuple[Notice, ...]]:
    """Decide the problem type and the labels, from the train split; without one they are those of `base_config`.

    `usable` maps split -> (rows, label values). Names come from the recipe, else from a ClassLabel column, else from
    the values that train has.
    """
    split = "train" if "train" in splits else next(iter(splits))
    values = usable[split][1]
    trained = None if split == "train" or data.label_names else _trained_names(base_config)
    kind: Any = _answers.problem_type(base_config) if trained else None
    problem_type: ProblemType | None = wanted or kind
    notices: tuple[Notice, ...] = ()
    if problem_type is None:
        problem_type, notices = _inferred(values, data.label)
    if problem_type == REGRESSION:
        return LabelSpace(REGRESSION, (data.label,)), notices
    names = trained or data.label_names or class_label_names(splits[split], data.label)
    multi_hot = problem_type == MULTI and is_multi_hot(values, names)
    names = names or _names_in(values, problem_type, multi_hot, data.label)
    if problem_type == SINGLE and trained is None:
        if len(set(map(label_name, values))) == 1:
            notices = (*notices, _one_class(shown_name(values[0], names)))
        if len(names) == 1:
            # transformers takes no single-label head with one output; the second class is never seen.
            names = (f"not {names[0]}", *names)
    return LabelSpace(problem_type, names, multi_hot), (*notices, *alike_notices(names))


def _trained_names(config: PretrainedConfig) -> tuple[str, ...] | None:
    names = tuple(_answers.label_names(config))
    return None if not names or names == tuple(f"LABEL_{i}" for i in range(len(names))) else names


def _names_in(values: Sequence[Any], problem_type: str, multi_hot: bool, column: str) -> tuple[str, ...]:
    if multi_hot:
        return tuple(str(position) for position in range(len(values[0])))
    scalars = not any(isinstance(value, (list, tuple)) for value in values)
    if problem_type == MULTI and scalars and all(not isinstance(value, str) and value in (0, 1) for value in values):
        return (column,)
    return observed_names(values, column)


def _inferred(values: Sequence[Any], column: str) -> tuple[ProblemType, tuple[Notice, ...]]:
    problem_type = infer_problem_type(values)
    message = f"task.problem_type is {problem_type}, by the values of {column!r} (for example {values[0]!r})"
    distinct = set(values) if problem_type == REGRESSION else set()
    if distinct and len(distinct) <= 20 and all(float(value).is_integer() for value in distinct):
        hint = "The numbers look like classes: set task.problem_type: single_label_classification if they are."
        return problem_type, (Notice("warning", "problem-type", message, hint),)
    return problem_type, (Notice("info", "problem-type", message),)


def _one_class(name: str) -> Notice:
    message = f"every train text has the same label ({name!r}): there is nothing to learn, and figures mean nothing"
    return Notice("warning", "one-class", message, "Check data.label and how the data were filtered.")
