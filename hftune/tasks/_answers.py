"""What a classifier's outputs mean: its labels, its kind of problem, a logit for each class.

A model with one sigmoid output tells two classes apart. For transformers it is a multi-label model with one label; its
config also keeps the name of the other class (`negative_label`), and everything here and after sees two classes: for
an output z the logits (0, z), whose softmax is (1 - σ(z), σ(z)) and whose cross-entropy is the binary one of σ(z).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hftune.tasks._labels import MULTI, SINGLE

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

NEGATIVE_LABEL = "negative_label"


def negative_label(config: PretrainedConfig) -> str | None:
    """Return what a model with one sigmoid output calls the class it does not stand for; None for other models."""
    name: str | None = getattr(config, NEGATIVE_LABEL, None)
    # A model that was taken on with other outputs still has the name in its config.
    return name if config.num_labels == 1 and config.problem_type == MULTI else None


def label_names(config: PretrainedConfig) -> list[str]:
    """Return the labels of a model in the order of its classes."""
    return class_names(config.id2label or {}, negative_label(config))


def class_names(id2label: Mapping[int, str], negative: str | None) -> list[str]:
    """Return the names of the classes that outputs called `id2label` tell apart."""
    names = [str(id2label[position]) for position in sorted(id2label)]
    return names if negative is None else [negative, *names]


def problem_type(config: PretrainedConfig) -> str | None:
    """Return the kind of problem that a model answers."""
    kind: str | None = config.problem_type
    return kind if negative_label(config) is None else SINGLE


def class_logits(logits: torch.Tensor, negative: str | None) -> torch.Tensor:
    """Return logits [rows, classes] of outputs [rows, outputs]; those of two classes are left as they are."""
    from torch.nn import functional

    one_output = negative is not None and logits.shape[-1] == 1
    return functional.pad(logits, (1, 0)) if one_output else logits
