"""The text of each row, as the recipe's columns name it, read a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from hftune.data.columns import input_columns
from hftune.recipe.schema import DataSection

if TYPE_CHECKING:
    from datasets import Dataset

CHUNK = 4096


class Texts(Sequence[str]):
    """The texts of one split by row; columns that belong together are joined by a newline. Nothing is held."""

    def __init__(self, dataset: Dataset, data: DataSection) -> None:
        self._dataset = dataset
        self._columns = [name for name in input_columns(data) if name in dataset.column_names]

    def __len__(self) -> int:
        return len(self._dataset) if self._columns else 0

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            rows = self._dataset[start : start + CHUNK]
            parts = zip(*(rows[name] for name in self._columns), strict=True)
            yield from ("\n".join(map(_plain, part)) for part in parts)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        example = self._dataset[row]
        return "\n".join(_plain(example[name]) for name in self._columns)


def _plain(value: Any) -> str:
    """Return a cell as text: a conversation is its turns' contents, nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(str(turn.get("content", "")) if isinstance(turn, dict) else str(turn) for turn in value)
    return str(value)
