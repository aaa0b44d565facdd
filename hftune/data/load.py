"""From the recipe's `data` section to splits: starters, Hub data sets, local files, rows in the recipe.

A split that is missing is cut from train (splits.py). Nothing is cached beside the user's files: those are read into
memory, and Hub data sets stay in the Hub's own cache, where other tools find them too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune import hub, starters
from hftune.data.columns import fill_templates, input_columns, require_columns, text_columns
from hftune.data.files import READERS, load_file, rows_dataset
from hftune.data.splits import classes, cut, sample
from hftune.errors import DataError, closest
from hftune.recipe.schema import DataSection

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["SPLITS", "load_data_file", "load_splits", "split_name"]

SPLITS = ("train", "validation", "test")
SYNONYMS = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation"}
UNLABELLED = -1  # what Hub data sets give the examples of a hidden test set

Note = Callable[[str], None]


def _quiet(_: str) -> None:
    return None


def load_splits(data: DataSection, note: Note = _quiet) -> dict[str, Dataset]:
    """Return train, validation and test (those that are given or have a share to be cut), in that order.

    Deterministic: the same files and recipe give the same rows in the same order on every machine. Raises DataError
    for data that cannot be found or read, naming file and line where there is one.
    """
    splits = {name: fill_templates(one, data, f"the {name} split") for name, one in _load(data, note).items()}
    if "train" not in splits:
        raise DataError("the data have no train split", f"Splits found: {', '.join(splits) or 'none'}.", key="data")
    for name, dataset in splits.items():
        if len(dataset) == 0:
            raise DataError(f"the {name} split is empty", key="data")
    splits = _cut_missing(splits, data, note)
    return {name: _limit(splits[name], name, data, note) for name in SPLITS if name in splits}


def load_data_file(path: str | Path, data: DataSection) -> Dataset:
    """Return a file's rows as a recipe's data section reads them; raises DataError.

    Its texts stay as they are written, whatever they look like ("007", "1.50"), and so do the names of groups.
    """
    rows = load_file(path, as_text=[*text_columns(data), data.group or ""])
    return fill_templates(rows, data, str(path))


def split_name(name: str) -> str:
    """Return train, validation or test for a split's name or its usual synonyms; other names as they are."""
    return SYNONYMS.get(name.lower(), name.lower())


def _load(data: DataSection, note: Note) -> dict[str, Dataset]:
    if isinstance(data.rows, Mapping):
        return {split: rows_dataset(rows, f"data.rows.{split}") for split, rows in data.rows.items()}
    if data.rows is not None:
        return {"train": rows_dataset(data.rows, "data.rows")}
    if data.files is not None:
        return _from_files(data, data.files)
    assert data.source is not None  # the schema sees to it that one of the three is given
    if starters.is_starter(data.source):
        return {name: load_file(path) for name, path in starters.data_files(data.source).items()}
    if Path(data.source).suffix.lower() in READERS or data.source.startswith((".", "/", "~")):
        raise DataError(f"{data.source} is a local path", hint=f"Write `files: {data.source}`.", key="data.source")
    if Path(data.source).is_dir():
        hint = "Write `files: {train: FOLDER/FILE}`; for the data set of that name on the Hub, work in another folder."
        raise DataError(
            f"{data.source} is a folder here, and would be read instead of the Hub", hint, key="data.source"
        )
    return _from_hub(data, data.source, note)


def _from_files(data: DataSection, files: str | Mapping[str, str]) -> dict[str, Dataset]:
    if isinstance(files, str):
        return {"train": _recipe_file(data, files, "data.files")}
    splits: dict[str, Dataset] = {}
    for name, path in files.items():
        split = split_name(name)
        if split not in SPLITS:
            raise DataError(f"unknown split {name!r}", hint=closest(name, SPLITS), key="data.files")
        if split in splits:
            raise DataError(f"{split} is given twice (as {name!r} too)", key="data.files")
        splits[split] = _recipe_file(data, path, f"data.files.{name}")
    return splits


def _recipe_file(data: DataSection, path: str, key: str) -> Dataset:
    try:
        return load_data_file(path, data)
    except DataError as error:
        raise DataError(error.message, error.hint, key=key) from error


def _from_hub(data: DataSection, source: str, note: Note) -> dict[str, Dataset]:
    import datasets

    datasets.disable_progress_bars()
    verdict = hub.reach("dataset", source)
    note(f"data: {source} from {'the Hub' if verdict.ok else 'the local cache'}")
    try:
        with nullcontext() if verdict.ok else _only_cached():
            loaded = datasets.load_dataset(source, data.subset, revision=data.revision)
    except Exception as error:  # datasets raises many kinds, from ValueError to its own; all of them end the run here
        raise _hub_error(source, data, error, verdict) from error
    splits: dict[str, Dataset] = {}
    for name, dataset in loaded.items():
        if (split := split_name(name)) in SPLITS and split not in splits:
            splits[split] = dataset
        else:
            note(f"data: split {name!r} of {source} is not used")
    return _drop_unlabelled(splits, data, note)


@contextmanager
def _only_cached() -> Iterator[None]:
    """Keep `datasets` off a network that the probe found dead: it would wait for a time-out at every file."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _hub_error(source: str, data: DataSection, error: Exception, verdict: hub.Verdict) -> DataError:
    said = str(error).strip() or type(error).__name__
    if "Config name is missing" in said or "BuilderConfig" in said:
        return DataError(f"data.subset: {source} has several parts", hint=said.replace("\n", " ")[:600])
    known = ", ".join(starters.data_sets())
    if not verdict.ok:
        return DataError(
            f"cannot get the data set {source}: the Hub was not used ({verdict.reason}) and it is not in the cache",
            hint=f"Without the Hub use `files:` or a starter ({known}).",
        )
    return DataError(
        f"cannot get the data set {source} from the Hub: {said.splitlines()[0][:300]}",
        hint=f"Check its name; a private one needs HF_TOKEN. Starters: {known}.",
    )


def _drop_unlabelled(splits: dict[str, Dataset], data: DataSection, note: Note) -> dict[str, Dataset]:
    """Leave out a held-out split whose labels are all hidden, as in GLUE: nothing could be measured on it."""
    kept = {}
    for name, dataset in splits.items():
        hidden = name != "train" and data.label in dataset.column_names and len(dataset) > 0
        if hidden and set(map(str, dataset[data.label])) <= {str(UNLABELLED), "None"}:
            note(f"data: the {name} split has no labels and is left out; another is cut from train")
            continue
        kept[name] = dataset
    return kept


def _cut_missing(splits: dict[str, Dataset], data: DataSection, note: Note) -> dict[str, Dataset]:
    shares = {"test": data.test_share, "validation": data.validation_share}
    wanted = {name: share for name, share in shares.items() if name not in splits and share > 0}
    if not wanted:
        return splits
    if sum(wanted.values()) >= 1:
        raise DataError("data.validation_share and data.test_share leave nothing to train on")
    train = splits["train"]
    labels = classes(train[data.label][:]) if data.label in train.column_names else None
    rows = cut(len(train), wanted, data.split_seed, _binding(train, data), labels)
    sizes = ", ".join(f"{name} {len(rows[name]):,}" for name in SPLITS if name in rows)
    note(f"data: {' and '.join(wanted)} cut from train with seed {data.split_seed} ({sizes})")
    return splits | {name: train.select(numbers) for name, numbers in rows.items()}


def _binding(train: Dataset, data: DataSection) -> list[list[Hashable]]:
    """Return the columns of values that keep rows together: the group, and the whole input (exact duplicates)."""
    keys: list[list[Hashable]] = []
    if data.group is not None:
        require_columns(train, data, ["group"], "the train split")
        keys.append([_hashable(value) for value in train[data.group]])
    inputs = [train[name] for name in input_columns(data) if name in train.column_names]
    if inputs:
        rows = zip(*inputs, strict=True)
        keys.append([None if all(value is None for value in row) else _hashable(row) for row in rows])
    return keys


def _hashable(value: Any) -> Hashable:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, sort_keys=True, default=str)


def _limit(dataset: Dataset, name: str, data: DataSection, note: Note) -> Dataset:
    limit = data.max_train_samples if name == "train" else data.max_eval_samples
    rows = sample(len(dataset), limit, data.split_seed, name)
    if rows is None:
        return dataset
    note(f"data: {len(rows):,} of {len(dataset):,} {name} examples are used")
    return dataset.select(rows)
