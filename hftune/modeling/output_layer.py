"""The output layer of a language model, kept from computing what nobody asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def only_at(model: Any, places: torch.Tensor | None) -> Iterator[None]:
    """Let the output layer see the hidden states at `places` (bool [batch, tokens]) alone; None: all of them.

    Logits are then [places, vocabulary], in the order of the tokens. Of a vocabulary of 30,000 the layer is half of a
    small model's work, and masked language models are asked for one token in seven. A model without such a layer
    computes all logits as ever.
    """
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    layer = plain.get_output_embeddings() if places is not None else None
    if layer is None:
        yield
        return

    def pick(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0][places], *given[1:])

    hook = layer.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
