"""Floating-point operations by torch's counter: what a row of so many tokens takes, from passes over a few lengths.

What a row takes is a polynomial of its length (a transformer's layers are linear in it, its attention quadratic), so
three lengths tell all. Counted are products of matrices, attention and (on a processor) LSTMs, a multiplication and an
addition as two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RowCost:
    """Operations of one row of L tokens: a + b L + c L²."""

    coefficients: tuple[float, float, float]

    def of(self, lengths: Array) -> float:
        """Return the operations of rows of these lengths (padding included), int [rows]."""
        import numpy as np

        a, b, c = self.coefficients
        tokens = np.asarray(lengths, dtype=float)
        return float((a + b * tokens + c * tokens**2).sum())


def row_cost(work: Callable[[int], object], lengths: Sequence[int]) -> RowCost:
    """Return what a row costs; `work(length)` passes one row of so many tokens through a model.

    `lengths`: one to three, all different; of fewer than three the cost is taken to be a simpler function of length.
    """
    import numpy as np

    counts = [count(partial(work, length)) for length in lengths]
    found = np.polyfit(lengths, counts, len(lengths) - 1)[::-1].tolist()
    a, b, c = [*found, 0.0, 0.0][:3]
    return RowCost((a, b, c))


def count(work: Callable[[], object]) -> int:
    """Return the operations of what `work` does with torch."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, custom_mapping=_uncounted())
    with counter:
        work()
    return int(counter.get_total_flops())


def _uncounted() -> dict[Any, Any]:
    """Return formulas for what torch's counter does not know: attention and LSTMs on a processor."""
    import torch
    from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

    def attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def attention_backward(gradient: Sequence[int], *shapes: Sequence[int], **_: Any) -> int:
        return int(sdpa_backward_flop_count(gradient, *shapes[:3]))  # type: ignore[no-untyped-call]

    def lstm(tokens: Sequence[int], inwards: Sequence[int], across: Sequence[int], *_: Any, **__: Any) -> int:
        steps, rows = tokens[:2]
        return 2 * steps * rows * (inwards[0] * inwards[1] + across[0] * across[1])

    def lstm_backward(*shapes: Any, **named: Any) -> int:
        return 2 * lstm(*shapes, **named)  # the gradients of inputs and of weights

    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
        aten.mkldnn_rnn_layer: lstm,
        aten.mkldnn_rnn_layer_backward: lstm_backward,
    }
