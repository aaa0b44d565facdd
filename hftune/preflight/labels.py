"""Classes: how many examples each has in each split, and what about that is worth a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hftune.tasks import Notice, Prepared, _answers
from hftune.tasks._labels import REGRESSION

if TYPE_CHECKING:
    from datasets import Dataset

SCARCE = 10  # examples a class needs before figures about it mean something
LOPSIDED = 0.9  # share of one class from which on accuracy says little


def class_counts(prepared: Prepared) -> dict[str, dict[str, int]]:
    """Return class -> split -> examples, in the order of the labels; empty where the task has no classes.

    Windows of one document count once. With several labels a text each of them counts.
    """
    names = class_names(prepared)
    if not names:
        return {}
    counts = {name: dict.fromkeys(prepared.splits, 0) for name in names}
    for split, dataset in prepared.splits.items():
        for _, labels in labels_by_row(dataset):
            for label in labels:
                counts[names[label]][split] += 1
    return counts


def class_names(prepared: Prepared) -> list[str]:
    """Return the labels' names by position; empty for regression and for tasks without labels."""
    fields = prepared.model_config
    if fields.get("problem_type") == REGRESSION:
        return []
    return _answers.class_names(fields.get("id2label") or {}, fields.get(_answers.NEGATIVE_LABEL))


def labels_by_row(dataset: Dataset) -> list[tuple[int, list[int]]]:
    """Return (row, positions of its labels) once a row, in the order of the data."""
    if "labels" not in dataset.column_names:
        return []
    found: dict[int, list[int]] = {}
    for row, label in zip(dataset["row"][:], dataset["labels"][:], strict=True):
        if row not in found:
            yes = isinstance(label, list)
            found[row] = [index for index, value in enumerate(label) if value] if yes else [int(label)]
    return list(found.items())


def label_findings(counts: Mapping[str, Mapping[str, int]]) -> list[Notice]:
    """Return what is worth a word about the class counts."""
    train = {name: splits.get("train", 0) for name, splits in counts.items()}
    present = [name for name, count in train.items() if count]
    if not counts or not present:
        return []
    if len(present) == 1:
        message = f"every train text has the same label ({present[0]!r}): there is nothing to learn"
        hint = "Check data.label and how the data were filtered."
        return [Notice("warning", "one-class", message, hint)]
    notices = []
    absent = [name for name, count in train.items() if not count]
    if absent:
        message = f"no example in train of {_named(absent)}: it cannot be learned"
        notices.append(Notice("warning", "class-not-in-train", message, "Check data.label_names and the splits."))
    scarce = [name for name in present if train[name] < SCARCE]
    if scarce:
        message = f"fewer than {SCARCE} examples in train of {_named(scarce)}"
        notices.append(Notice("warning", "scarce-class", message, "Figures about so few are mostly chance."))
    unseen = {
        split: [name for name, splits in counts.items() if splits.get(split) == 0 and train[name]]
        for split in ("validation", "test")
        if any(split in splits for splits in counts.values())
    }
    for split, names in unseen.items():
        if names:
            message = f"no example in {split} of {_named(names)}: figures on it leave that out"
            notices.append(Notice("warning", f"class-not-in-{split}", message, "Make the split larger or by class."))
    largest = max(train, key=lambda name: train[name])
    share = train[largest] / sum(train.values())
    if share >= LOPSIDED:
        message = f"{share:.0%} of train is {largest!r}: answering it always would look that good"
        hint = "Judge by f1 or balanced figures rather than accuracy; class weights may help."
        notices.append(Notice("warning", "lopsided", message, hint))
    return notices


def _named(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
