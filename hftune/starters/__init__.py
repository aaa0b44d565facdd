"""Starters: data sets (and later models) that ship with hftune: a first run needs no Hub.

A starter is a folder with a `card.md` that says where it is from; `movie_reviews/` is called `hftune:movie-reviews`.
One with `train.parquet` is a data set, one with `config.json` is a model. Each has a `build.py` that makes it again.
"""

from __future__ import annotations

from pathlib import Path

from hftune.errors import DataError, HftuneError, ModelError, closest

PREFIX = "hftune:"
SPLITS = ("train", "validation", "test")

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all starters, without the prefix."""
    return sorted(card.parent.name.replace("_", "-") for card in _HERE.glob("*/card.md"))


def is_starter(reference: str) -> bool:
    """Return whether `reference` names a starter; such names never touch the Hub."""
    return reference.startswith(PREFIX)


def data_files(reference: str) -> dict[str, Path]:
    """Return split -> Parquet file of a data starter; raises DataError with the nearest name."""
    folder = _folder(reference, "data set", DataError, "train.parquet")
    return {split: path for split in SPLITS if (path := folder / f"{split}.parquet").is_file()}


def model_folder(reference: str) -> Path:
    """Return the folder of a model starter; raises ModelError with the nearest name."""
    return _folder(reference, "model", ModelError, "config.json")


def card(reference: str) -> str:
    """Return the card of a starter: source, licence, how it was made, its limits."""
    return (_HERE / _module(reference) / "card.md").read_text(encoding="utf-8")


def _folder(reference: str, kind: str, error: type[HftuneError], mark: str) -> Path:
    folder = _HERE / _module(reference)
    if (folder / mark).is_file():
        return folder
    known = [PREFIX + name for name in names() if (_HERE / _module(name) / mark).is_file()]
    hint = closest(reference, known) or f"No {kind} ships with this version of hftune."
    raise error(f"no {kind} starter named {reference!r}", hint=hint)


def _module(reference: str) -> str:
    return reference.removeprefix(PREFIX).replace("-", "_")
