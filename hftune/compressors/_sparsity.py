"""Small weights set to zero, wherever they stand (unstructured magnitude pruning): for study, as nothing shrinks.

Of all matrices but the embeddings the weights smallest in size are set to zero, one threshold for all (global magnitude
pruning: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015; Blalock et al., What is
the State of Neural Network Pruning?, 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def sparsify(model: PreTrainedModel, share: float) -> tuple[int, int]:
    """Set this share of the weights to zero; return how many are, and of how many.

    They stay zero while the model learns: their gradients are zero from now on, and what an optimizer makes of a weight
    and a gradient that always were zero, decay included, is zero.
    """
    matrices = _matrices(model)
    sizes = torch.cat([matrix.detach().abs().flatten() for matrix in matrices])
    zeros = int(share * len(sizes))
    if not zeros:
        return 0, len(sizes)
    threshold = sizes.kthvalue(zeros).values
    set_to_zero = 0
    for matrix in matrices:
        kept = matrix.detach().abs() > threshold
        with torch.no_grad():
            matrix.mul_(kept)
        matrix.register_hook(_only_of(kept))  # type: ignore[no-untyped-call]
        set_to_zero += int((~kept).sum())
    return set_to_zero, len(sizes)


def _matrices(model: PreTrainedModel) -> list[nn.Parameter]:
    """Return the matrices that are not embeddings, nor tied to any: rare words have small vectors, and need them."""
    embeddings = {
        id(weight) for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()
    }
    return [weight for weight in model.parameters() if weight.dim() == 2 and id(weight) not in embeddings]


def _only_of(kept: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what leaves of a gradient the weights that are kept alone."""
    return lambda gradient: gradient * kept.to(gradient.device)
