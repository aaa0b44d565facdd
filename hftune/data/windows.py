"""How the windows of a document become one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Pooling = Literal["mean", "max", "first"]


class WindowPool:
    """Logits of windows, pooled by document as they come; holds one vector a document, never one a window.

    mean: the average of the windows' logits. max: the largest of each label's. first: those of window 0. The order
    in which windows come does not matter (sums are kept in float64).
    """

    def __init__(self, pooling: Pooling) -> None:
        self.pooling = pooling
        self._sums: dict[int, torch.Tensor] = {}
        self._counts: dict[int, int] = {}

    def add(self, logits: torch.Tensor, rows: torch.Tensor, windows: torch.Tensor) -> None:
        """Take in logits [batch, labels] of windows `windows` [batch] of documents `rows` [batch]."""
        import torch

        for vector, row, window in zip(logits.detach().cpu().double(), rows.tolist(), windows.tolist(), strict=True):
            if self.pooling == "first" and window != 0:
                continue
            held = self._sums.get(row)
            if held is None:
                self._sums[row], self._counts[row] = vector.clone(), 1
                continue
            self._sums[row] = torch.maximum(held, vector) if self.pooling == "max" else held + vector
            self._counts[row] += 1

    def result(self) -> tuple[list[int], torch.Tensor]:
        """Return the documents' rows, sorted, and their logits [documents, labels] float32."""
        import torch

        rows = sorted(self._sums)
        divided = (self._sums[row] / (self._counts[row] if self.pooling == "mean" else 1) for row in rows)
        return rows, torch.stack(list(divided)).float()
