"""Figures over a split, fed batch by batch: each batch becomes a few numbers a row, and its logits are let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.data.windows import Pooling, WindowPool
from hftune.tasks import Batch
from hftune.tasks._labels import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    import torch

# (logits [batch, labels], batch) -> summed loss, weight; scalars.
TotalLoss = Callable[["torch.Tensor", Batch], tuple["torch.Tensor", "torch.Tensor"]]

HELD = 1 << 24  # fp32 numbers of a language model's logits held at once

_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {"f1_micro": ("f1", {"average": "micro"})}


class ClassificationStream:
    """Loss and the figures of one problem type.

    Held are, for each row, the predicted and the true class (a 0/1 for each label when multi-label, a number for
    regression) and, for windowed documents only, one pooled vector of logits a document.
    """

    def __init__(
        self,
        problem_type: str,
        figures: Sequence[str],
        total_loss: TotalLoss,
        as_classes: Callable[[torch.Tensor], torch.Tensor],
        pooling: Pooling | None,
    ) -> None:
        """`as_classes`: outputs [batch, outputs] -> a logit for each class."""
        self._problem_type = problem_type
        self._figures = figures
        self._total_loss = total_loss
        self._as_classes = as_classes
        self._pool = WindowPool(pooling) if pooling else None
        self._labels: dict[int, torch.Tensor] = {}
        self._losses: list[float] = []
        self._weights: list[float] = []
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def update(self, logits: torch.Tensor, batch: Batch) -> None:
        """Take in logits [batch, labels] of any float dtype and the batch (labels; row and window when pooled)."""
        if self._pool is None:
            self._take(logits.detach().float(), batch)
            return
        self._pool.add(logits, batch["row"], batch["window"])
        self._labels.update(zip(batch["row"].tolist(), batch["labels"].detach().cpu(), strict=True))

    def compute(self) -> dict[str, float]:
        """Return loss and the problem type's figures; raises ValueError when nothing came in."""
        import torch

        from hftune import metrics

        if self._pool is not None and self._labels:
            rows, logits = self._pool.result()
            self._predictions, self._references, self._losses, self._weights = [], [], [], []
            self._take(logits, {"labels": torch.stack([self._labels[row] for row in rows])})
        if not self._losses:
            raise ValueError("no batch came in: there is nothing to measure")
        import numpy as np

        predictions, references = np.concatenate(self._predictions), np.concatenate(self._references)
        found = {"loss": metrics.compute("loss", loss_sum=self._losses, weight=self._weights)}
        for figure in self._figures:
            name, options = _OPTIONS.get(figure, (figure, {}))
            config_name = "multilabel" if self._problem_type == MULTI else None
            found[figure] = metrics.compute(
                name, config_name=config_name, options=options, predictions=predictions, references=references
            )
        return found

    def _take(self, logits: torch.Tensor, batch: Batch) -> None:
        loss, weight = self._total_loss(logits, batch)
        self._losses.append(float(loss))
        self._weights.append(float(weight))
        logits = self._as_classes(logits).cpu()
        if self._problem_type == SINGLE:
            predictions = logits.argmax(-1)
        elif self._problem_type == REGRESSION:
            predictions = logits.squeeze(-1).double()
        else:
            # A sigmoid of one half is a logit of 0.
            predictions = (logits > 0).long()
        self._predictions.append(predictions.numpy())
        self._references.append(batch["labels"].cpu().to(predictions.dtype).numpy())


@dataclass(frozen=True)
class TokenScores:
    """Each learned token of a batch, all [targets]: row, negative log likelihood, smoothed loss; the likeliest token in
    its place, and whether that is right."""

    rows: torch.Tensor
    nll: torch.Tensor
    loss: torch.Tensor
    guess: torch.Tensor
    right: torch.Tensor


def token_scores(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> TokenScores:
    """Score guesses of `targets` [batch, tokens], -100 where there is none; logits [batch, tokens, vocabulary].

    Or targets [guessed] and logits [guessed, vocabulary] without the other tokens; `rows` are then places among them.
    Logits are of any float dtype, each for the token in its own place (`next_tokens` makes them so). Only those that
    have a target are brought to fp32, a piece at a time: all of them can be gigabytes.
    """
    import torch
    from torch.nn import functional

    places = (targets != -100).nonzero(as_tuple=True)
    size = max(1, HELD // logits.shape[-1])
    found = []
    for start in range(0, max(1, len(places[0])), size):  # one empty piece where nothing is learned
        some = tuple(index[start : start + size] for index in places)
        piece, wanted = logits[some].float(), targets[some]
        nll = functional.cross_entropy(piece, wanted, reduction="none")
        loss = nll
        if smoothing:
            loss = functional.cross_entropy(piece, wanted, reduction="none", label_smoothing=smoothing)
        guess = piece.argmax(-1)
        found.append((nll, loss, guess, guess == wanted))
    return TokenScores(places[0], *map(torch.cat, zip(*found, strict=True)))


def next_tokens(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and the targets they are for, of a model whose logits at t are for token t + 1."""
    return logits[:, :-1], labels[:, 1:]


class TokenStream:
    """Loss, perplexity and accuracy of guesses at tokens in their own places; held are four numbers a batch."""

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._losses: list[float] = []
        self._nlls: list[float] = []
        self._tokens: list[int] = []
        self._correct: list[int] = []
        self._bytes: list[int] = []

    def update(self, logits: torch.Tensor, batch: Batch) -> None:
        """Take in logits [batch, tokens, vocabulary] and the batch (labels; text_bytes for plain texts)."""
        logits, targets = self._aligned(logits.detach(), batch["labels"])
        scores = token_scores(logits, targets, self._smoothing)
        self._nlls.append(float(scores.nll.sum()))
        self._losses.append(float(scores.loss.sum()))
        self._tokens.append(len(scores.rows))
        self._correct.append(int(scores.right.sum()))
        if "text_bytes" in batch:
            self._bytes.append(int(batch["text_bytes"].sum()))

    def compute(self) -> dict[str, float]:
        """Return the figures; raises ValueError when nothing came in."""
        from hftune import metrics

        if not sum(self._tokens):
            raise ValueError("no token came in: there is nothing to measure")
        tokens = self._tokens
        found = {
            "loss": metrics.compute("loss", loss_sum=self._losses, weight=[float(count) for count in tokens]),
            "perplexity": metrics.compute("perplexity", nll_sum=self._nlls, tokens=tokens),
            "token_accuracy": metrics.compute("token_accuracy", correct=self._correct, tokens=tokens),
        }
        if sum(self._bytes):
            found["bits_per_byte"] = metrics.compute("bits_per_byte", nll_sum=self._nlls, text_bytes=self._bytes)
        return found

    def _aligned(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return logits, labels


class GenerationStream(TokenStream):
    """The same of a model that guesses the next token, and bits per byte where the batches know their bytes."""

    def _aligned(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return next_tokens(logits, labels)
