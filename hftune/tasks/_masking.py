"""Which tokens are masked, and by what: drawn anew from where an example stands, never from a generator's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerBase

    Ids = npt.NDArray[np.int32]

# Cross-entropy leaves this target out.
IGNORED = -100
# Of the chosen tokens; the rest stays as it is (Devlin et al. 2019, 3.1).
MASKED, RANDOM = 0.8, 0.1
_TRAINING, _EVALUATION = 1, 2


@dataclass(frozen=True)
class Masking:
    """What is drawn: `probability` of a token to be chosen, the mask's id, and what a random token can be."""

    probability: float
    mask: int
    ordinary: Ids

    def training(self, example: Mapping[str, Any], epoch: int, seed: int) -> dict[str, Any]:
        """Return an example masked as training sees it in an epoch: other masks each time (Liu et al. 2019, 4.1)."""
        return self._masked(example, (_TRAINING, seed, epoch))

    def evaluation(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """Return an example masked as every evaluation of every model sees it, so that figures compare."""
        return self._masked(example, (_EVALUATION, 0, 0))

    def _masked(self, example: Mapping[str, Any], drawn_for: tuple[int, int, int]) -> dict[str, Any]:
        """Mask a share of the tokens that have a label; `labels` keeps those chosen and -100 elsewhere.

        As in BERT's own code so many are chosen as the rounded share says, but one at least: no text teaches nothing.
        """
        import numpy as np

        ids, labels = (np.array(example[name], dtype=np.int32) for name in ("input_ids", "labels"))
        (places,) = np.nonzero(labels != IGNORED)
        count = min(len(places), max(1, round(self.probability * len(places))))
        # The raw output of PCG64 is a stream that numpy keeps for good. Always as many parts: shorter ones are padded.
        source = np.random.PCG64(np.random.SeedSequence((*drawn_for, example["row"], example["window"])))
        order, kinds, tokens = source.random_raw(3 * len(places)).reshape(3, -1)
        chosen = places[np.argsort(order, kind="stable")[:count]]
        targets = np.full_like(labels, IGNORED)
        targets[chosen] = labels[chosen]
        share = kinds[:count] / 2.0**64
        replaced = np.where(share < MASKED, self.mask, self.ordinary[tokens[:count] % len(self.ordinary)])
        ids[chosen] = np.where(share < MASKED + RANDOM, replaced, ids[chosen])
        return {**example, "input_ids": ids, "labels": targets}


def make_masking(tokenizer: PreTrainedTokenizerBase, probability: float) -> Masking:
    """Return the masking of a vocabulary; a random token is any but a special one."""
    import numpy as np

    special = set(tokenizer.all_special_ids)
    ordinary = sorted(index for index in tokenizer.get_vocab().values() if index not in special)
    assert tokenizer.mask_token_id is not None
    return Masking(probability, tokenizer.mask_token_id, np.array(ordinary, dtype=np.int32))


def maskable(ids: Ids, special: Ids, start: int) -> Ids:
    """Return labels for what may be masked: each token's own id from position `start` on, -100 for special tokens."""
    import numpy as np

    labels: Ids = np.where(np.isin(ids, special), IGNORED, ids).astype(np.int32)
    labels[:start] = IGNORED
    return labels
