"""What methods ask of: the words of a text, and what the model scores where only some of them are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

    from hftune.explainers._words import Word

    Array = np.ndarray[Any, Any]

BATCH = 64  # texts with words left out in one forward pass


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Whoever asked does not want the answer any more."""


def never() -> bool:
    """Return False: nobody cancels."""
    return False


def require_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UsageError for a tokenizer that does not say where in the text its tokens stand."""
    if not tokenizer.is_fast:
        raise UsageError("explanations need a fast tokenizer, which knows what characters a token is of")


def require_numbers(found: Array) -> None:
    """Raise UsageError where what a model says of a text is not finite."""
    import numpy as np

    if not np.isfinite(found).all():
        raise UsageError(
            "what the model says is no number: its weights are not finite",
            hint="Did training diverge? Ask an earlier checkpoint (RUN@step).",
        )


class Asked(ABC):
    """A text whose words are explained, and one score or several of it (`targets`: how many).

    `text` holds the `words`; `ids` are all tokens, `owners` each one's word (None: not explained, it always stays);
    `passes`: texts that the model has read for it so far; `notes`: what a reader has to know. When `cancelled` turns
    true, Stopped is raised between two passes.
    """

    text: str
    words: list[Word]
    ids: list[int]
    owners: list[int | None]
    pieces: list[str]
    notes: list[str]
    targets = 1
    batch = BATCH

    def __init__(self, model: Any, cancelled: Callable[[], bool]) -> None:
        self.model, self.cancelled = model, cancelled  # the model in evaluation mode
        self.passes = 0
        self._rows: dict[bytes, Array] = {}

    @abstractmethod
    def target_scores(self, kept: Array) -> Array:
        """Return every score float64 [n, targets] for the text with only the `kept` words, bool [n, words]."""

    @abstractmethod
    def shares(self, kept: Array) -> Array:
        """Return for the same a number float64 [n] by which faithfulness is measured: a probability where it can be."""

    @abstractmethod
    def forward(self, ids: torch.Tensor, target: int = 0) -> torch.Tensor:
        """Return one score [n] of token ids int64 [n, reach(target)] without padding, with gradients."""

    def reach(self, target: int) -> int:
        """Return how many of the first tokens a score depends on."""
        return len(self.ids)

    def scores(self, kept: Array) -> Array:
        """Return the sum of the scores float64 [n]."""
        total: Array = self.target_scores(kept).sum(axis=1)
        return total

    def whole(self) -> Array:
        """Return what keeps every word, bool [1, words]; its negation keeps none."""
        import numpy as np

        return np.ones((1, len(self.words)), dtype=bool)

    def baseline_ids(self) -> torch.Tensor:
        """Return the token ids int64 [1, tokens] of a text that says nothing: what path methods begin at."""
        blank = self._blank()
        return self._tensor([[token if owner is None else blank
                              for token, owner in zip(self.ids, self.owners, strict=True)]])  # fmt: skip

    def by_word(self, tokens: Sequence[float]) -> Array:
        """Return the sums of the first tokens' numbers over each word, float64 [words]."""
        import numpy as np

        found = np.zeros(len(self.words))
        for value, owner in zip(tokens, self.owners, strict=False):
            if owner is not None:
                found[owner] += value
        return found

    def go_on(self) -> None:
        """Raise Stopped when whoever asked has cancelled."""
        if self.cancelled():
            raise Stopped

    @abstractmethod
    def _blank(self) -> int:
        """Return the token that stands for a word in a text that says nothing."""

    @abstractmethod
    def _read(self, kept: Sequence[Array]) -> Array:
        """Return what the model gives, float64 [n, any], for the text with only the kept words."""

    def _outputs(self, kept: Array) -> Array:
        """Return what `_read` gives, each combination of words read once."""
        import numpy as np

        keys = [row.tobytes() for row in np.asarray(kept, dtype=bool)]
        new = list(dict.fromkeys(key for key in keys if key not in self._rows))
        # Of like length together, so that little is padding where tokens are taken out.
        new.sort(key=lambda key: sum(key))
        for start in range(0, len(new), self.batch):
            self.go_on()
            some = new[start : start + self.batch]
            self.passes += len(some)
            for key, row in zip(some, self._read([np.frombuffer(key, dtype=bool) for key in some]), strict=True):
                self._rows[key] = row
        return np.stack([self._rows[key] for key in keys])

    def _tensor(self, rows: Sequence[int] | Sequence[Sequence[int]]) -> torch.Tensor:
        import torch

        return torch.tensor(rows, device=self.model.device)


def padded(rows: Sequence[Sequence[int]], fill: int) -> list[list[int]]:
    """Return rows of one length, filled at the end."""
    longest = max(map(len, rows))
    return [[*row, *[fill] * (longest - len(row))] for row in rows]
