"""Starters: data sets and models that come with hftune: a first run needs no Hub.

A starter is a folder with a `card.md` that says where it is from; `movie_reviews/` is called `hftune:movie-reviews`.
One with `train.parquet` is a data set, one with `config.json` a model; each has a `build.py` that makes it again. A
model too large to ship has `origin.json` instead: the fields of modeling/catalogue.py's Entry, by which it is fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hftune.errors import DataError, HftuneError, ModelError, closest

PREFIX = "hftune:"
SPLITS = ("train", "validation", "test")
ORIGIN = "origin.json"
DATA, MODELS = ("train.parquet",), ("config.json", ORIGIN)  # one of them makes a starter one of these

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all starters, without the prefix."""
    return sorted(card.parent.name.replace("_", "-") for card in _HERE.glob("*/card.md"))


def is_starter(reference: str) -> bool:
    """Return whether `reference` names a starter; such names never touch the Hub."""
    return reference.startswith(PREFIX)


def data_files(reference: str) -> dict[str, Path]:
    """Return split -> Parquet file of a data starter; raises DataError with the nearest name."""
    folder = _folder(reference, "data set", DataError, DATA)
    return {split: path for split in SPLITS if (path := folder / f"{split}.parquet").is_file()}


def model_folder(reference: str) -> Path:
    """Return the folder of a model starter, which holds the model or its origin; raises ModelError with the nearest."""
    return _folder(reference, "model", ModelError, MODELS)


def origin(reference: str) -> dict[str, Any] | None:
    """Return by what a starter is fetched, None for one that ships or does not exist."""
    file = _HERE / _module(reference) / ORIGIN
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def card(reference: str) -> str:
    """Return the card of a starter: source, licence, how it was made, its limits."""
    return (_HERE / _module(reference) / "card.md").read_text(encoding="utf-8")


def data_sets() -> list[str]:
    """Return the names of the data starters, with the prefix."""
    return _named(DATA)


def models() -> list[str]:
    """Return the names of the model starters, with the prefix."""
    return _named(MODELS)


def _folder(reference: str, kind: str, error: type[HftuneError], marks: tuple[str, ...]) -> Path:
    folder = _HERE / _module(reference)
    if any((folder / mark).is_file() for mark in marks):
        return folder
    hint = closest(reference, _named(marks)) or f"No {kind} ships with this version of hftune."
    raise error(f"no {kind} starter named {reference!r}", hint=hint)


def _named(marks: tuple[str, ...]) -> list[str]:
    return [PREFIX + name for name in names() if any((_HERE / _module(name) / mark).is_file() for mark in marks)]


def _module(reference: str) -> str:
    return reference.removeprefix(PREFIX).replace("-", "_")
