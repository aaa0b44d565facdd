"""Integrated gradients (Sundararajan et al. 2017, eq. 1): gradients along the way from a text that says nothing.

Of the token embeddings, by Captum's layer integrated gradients; a word's value is the sum over its tokens. The values
sum to the score less that of the beginning (completeness), and steps are added until that holds to one percent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from hftune.explainers import Attribution
from hftune.explainers._captum import require_captum

if TYPE_CHECKING:
    import torch

    from hftune.explainers._asked import Asked

TITLE = "integrated gradients"
SEEDED = False
TASKS = ("text-classification", "text-generation")
GRADIENTS = True
STEPS = (16, 32, 64, 128, 256)
CLOSE_ENOUGH = 0.01  # of the difference that the values should sum to
BATCH, TOKENS = 32, 1 << 11  # of a pass: whoever cancels waits for one


def attribute(question: Asked, seed: int = 0) -> Attribution:
    """Return the integral of the gradients for each word, of each score by itself; `seed` means nothing.

    The completeness error of several scores is the sum of what each misses as a share of the sum of what each should
    sum to, so that misses do not cancel.
    """
    require_captum()
    import numpy as np
    import torch

    ends, targets = _Ends.of(question), range(question.targets)
    with torch.no_grad():
        differences = np.array([ends.difference(target) for target in targets])
    # A score that hardly depends on the words cannot be met to a percent of itself, and need not. Half of a percent of
    # its own difference and half of the mean one's are together one percent of all.
    misses = CLOSE_ENOUGH / 2 * (np.abs(differences) + np.abs(differences).mean())
    found, steps = [], STEPS[0]
    with _gradients_of(question.model):
        for target in targets:
            # The way is the same for all scores: where one needed many steps, the next does not begin with few.
            values, steps = ends.integral(target, differences[target], misses[target], steps)
            found.append(values)
    by_target = np.stack(found)
    error = float(np.abs(by_target.sum(axis=1) - differences).sum() / max(np.abs(differences).sum(), 1e-9))
    return Attribution(by_target.sum(axis=0), error, {"steps": steps}, by_target)


class _Ends:
    """The two ends of the way: token ids of a text that says nothing, and of the text."""

    def __init__(self, question: Asked, begin: torch.Tensor, end: torch.Tensor) -> None:
        from captum.attr import LayerIntegratedGradients

        self._question, self._begin, self._end = question, begin, end
        self._method = LayerIntegratedGradients(question.forward, question.model.get_input_embeddings())

    @classmethod
    def of(cls, question: Asked) -> _Ends:
        import torch

        begin = question.baseline_ids()
        return cls(question, begin, torch.tensor([question.ids], device=begin.device))

    def difference(self, target: int) -> float:
        """Return what the values of a score should sum to."""
        begin, end = self._read_for(target)
        layer = self._question.model.get_input_embeddings()
        # As on the way: only the embeddings are those of the beginning. A decoder looks for the last token by its id.
        vectors = layer(begin)
        with _output_of(layer, vectors):
            start = self._question.forward(end, target)
        return float(self._question.forward(end, target) - start)

    def integral(self, target: int, difference: float, miss: float, fewest: int) -> tuple[Any, int]:
        """Return a score's values float64 [words] and the steps, `fewest` or more, in which they come within `miss`."""
        import torch

        begin, end = self._read_for(target)
        values, steps = torch.zeros(end.shape[1]), fewest
        batch = max(1, min(BATCH, TOKENS // end.shape[1]))
        for steps in (count for count in STEPS if count >= fewest):
            values = self._method.attribute(
                end, baselines=begin, additional_forward_args=(target,), n_steps=steps, internal_batch_size=batch
            )
            values = values.detach().float().cpu().double().sum(-1)[0]
            self._question.passes += steps
            if abs(float(values.sum()) - difference) < miss:
                break
        return self._question.by_word(values.tolist()), steps

    def _read_for(self, target: int) -> tuple[torch.Tensor, torch.Tensor]:
        reach = self._question.reach(target)
        return self._begin[:, :reach], self._end[:, :reach]


@contextmanager
def _gradients_of(model: Any) -> Iterator[None]:
    """Let gradients reach the embeddings: a model that is asked has its weights frozen.

    cuDNN's recurrent layers have no way back in evaluation mode; torch's own have.
    """
    import torch

    layer = model.get_input_embeddings()
    recurrent = any(isinstance(part, torch.nn.RNNBase) for part in model.modules())
    layer.requires_grad_(True)
    try:
        with torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext():
            yield
    finally:
        layer.requires_grad_(False)


@contextmanager
def _output_of(layer: Any, vectors: Any) -> Iterator[None]:
    """Let a layer give these vectors, whatever it is given."""
    hook = layer.register_forward_hook(lambda *_: vectors)
    try:
        yield
    finally:
        hook.remove()
