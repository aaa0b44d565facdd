"""One text and one class: what the model scores the class with, also when words are left out of the text.

A word is left out as the model can best bear it: by mask tokens in its place where the tokenizer has one (a BERT was
pretrained on texts with masks), else by taking its tokens out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError, closest
from hftune.explainers._asked import Asked, Stopped, never, padded, require_numbers, require_offsets
from hftune.explainers._words import Word, owners, words_of
from hftune.modeling.loading import without_cache
from hftune.tasks._answers import class_logits, negative_label
from hftune.tasks._labels import REGRESSION, SINGLE

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hftune.inference.predictor import Predictor

    Array = np.ndarray[Any, Any]

TOKENS = 1 << 12  # of a batch: whoever cancels waits for one


class Question(Asked):
    """Why is `text` scored so for `target`? A score is the class's log-odds, log p/(1-p); of a regression its number.

    Log-odds of softmax classes are z_target - logsumexp of the other logits: unlike a logit alone they stay when all
    logits move together, and of two classes they are what the one has over the other.

    `text`: of a model that reads two texts both, the second (`pair`) on a line of its own. `words`: those that the
    model read (a long text is cut as in training); `target`: the class's place. Raises UsageError for a text without
    words, for a label that the model does not have, and for one text where the model reads two or the other way round.
    """

    def __init__(
        self,
        predictor: Predictor,
        text: str,
        target: str | None = None,
        pair: str | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        predictor.require("text-classification")
        if (pair is not None) != (predictor.loaded.recipe.data.text_pair is not None):
            raise UsageError("this model takes " + ("one text" if pair is not None else "two texts at a time"))
        super().__init__(predictor.loaded.model, cancelled)
        self._tokenizer, self.kind, self.labels = predictor.loaded.tokenizer, predictor.problem_type, predictor.labels
        read = _Reading.of(predictor, text, pair)
        self.text, self.ids, self.words, self.owners = read.text, read.ids, read.words, read.owners
        self.pieces, self.notes, self._types = read.pieces, read.notes, read.types
        self.ends = [len(text), *([] if pair is None else [len(self.text)])]  # of each text in `text`
        if not self.words:
            raise UsageError("there is no word to explain", hint="Give a text.")
        self.batch = max(1, min(self.batch, TOKENS // len(self.ids)))
        self.target = self._choose(target)
        require_numbers(self._outputs(self.whole()))

    @property
    def label(self) -> str:
        """The class that is explained."""
        return self.labels[self.target]

    def target_scores(self, kept: Array) -> Array:
        """Return the score of the class float64 [n, 1] for the text with only the `kept` words, bool [n, words]."""
        import torch

        scores: Array = self._log_odds(torch.from_numpy(self._outputs(kept)))[:, None].numpy()
        return scores

    def shares(self, kept: Array) -> Array:
        """Return the probability of the class float64 [n] for the same; of a regression the number itself."""
        return self.every_share(kept)[:, self.target]

    def every_share(self, kept: Array) -> Array:
        """Return the probability of each class float64 [n, classes]; of a regression the number itself."""
        from hftune.inference.classification import probabilities

        logits = self._outputs(kept)
        return logits if self.kind == REGRESSION else probabilities(logits, self.kind)

    def forward(self, ids: torch.Tensor, target: int = 0) -> torch.Tensor:
        """Return the class's score [n] of token ids int64 [n, tokens] without padding, with gradients."""
        import torch

        self.go_on()
        types = {} if self._types is None else {"token_type_ids": self._tensor(self._types).expand_as(ids)}
        found = self.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), **types, **without_cache(self.model)
        ).logits
        return self._log_odds(class_logits(found, negative_label(self.model.config)))

    def _log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the score [n] of logits [n, classes]."""
        import torch

        if self.kind != SINGLE:
            return logits[:, self.target]
        others = [place for place in range(logits.shape[1]) if place != self.target]
        return logits[:, self.target] - torch.logsumexp(logits[:, others], dim=1)

    def _choose(self, target: str | None) -> int:
        if target is not None:
            if target not in self.labels:
                raise UsageError(f"no label {target!r}", hint=closest(target, self.labels))
            return self.labels.index(target)
        if self.kind == REGRESSION:
            return 0
        return int(self._outputs(self.whole())[0].argmax())

    def _blank(self) -> int:
        mask, pad = self._tokenizer.mask_token_id, self._tokenizer.pad_token_id
        return int(pad if mask is None else mask)

    def _read(self, kept: Sequence[Array]) -> Array:
        """Return logits float64 [n, classes]."""
        import numpy as np
        import torch

        texts = [self._without(row) for row in kept]
        inputs = {
            "input_ids": self._tensor(padded([ids for ids, _ in texts], self._tokenizer.pad_token_id or 0)),
            "attention_mask": self._tensor(padded([[1] * len(ids) for ids, _ in texts], 0)),
        }
        if self._types is not None:
            inputs["token_type_ids"] = self._tensor(padded([types for _, types in texts], 0))
        with torch.inference_mode():
            logits = class_logits(
                self.model(**inputs, **without_cache(self.model)).logits, negative_label(self.model.config)
            )
        return np.asarray(logits.float().cpu().double().numpy())

    def _without(self, kept: Array) -> tuple[list[int], list[int]]:
        """Return token ids and token types (of a model that has none: zeros) of the text with only some words."""
        mask = self._tokenizer.mask_token_id
        ids, types = [], []
        for token, kind, owner in zip(self.ids, self._types or [0] * len(self.ids), self.owners, strict=True):
            if owner is None or kept[owner] or mask is not None:
                ids.append(token if owner is None or kept[owner] else mask)
                types.append(kind)
        # Something has to be read: padding says nothing.
        return (ids, types) if ids else ([self._tokenizer.pad_token_id or 0], [0])


@dataclass(frozen=True)
class _Reading:
    """A text as the model reads it: `types` are its token types, None where all are alike or the model has none."""

    text: str
    ids: list[int]
    types: list[int] | None
    pieces: list[str]
    words: list[Word]
    owners: list[int | None]
    notes: list[str]

    @classmethod
    def of(cls, predictor: Predictor, first: str, second: str | None) -> _Reading:
        from hftune.inference.predictor import well_formed
        from hftune.tasks._encoding import token_limit

        tokenizer, data = predictor.loaded.tokenizer, predictor.loaded.recipe.data
        require_offsets(tokenizer)
        limit, _ = token_limit(data, predictor.loaded.model.config, tokenizer)
        texts = [well_formed(one) for one in (first, second) if one is not None]
        whole = tokenizer(*texts, verbose=False)["input_ids"]
        encoded = tokenizer(*texts, truncation=True, max_length=limit, return_offsets_mapping=True, verbose=False)
        starts = [0, len(texts[0]) + 1]
        offsets = []  # in both texts together
        for (start, end), part in zip(encoded["offset_mapping"], encoded.sequence_ids(0), strict=True):
            shift = starts[part] if part is not None and end > start else 0
            offsets.append((start + shift, end + shift))
        text = "\n".join(texts)
        read = [max((end for _, end in offsets if start <= end <= start + len(one)), default=0)
                for start, one in zip(starts, texts, strict=False)]  # fmt: skip
        words = [word for word in words_of(text) if word.start < read[-1 if word.start >= starts[1] else 0]]
        ids = list(encoded["input_ids"])
        types = list(encoded["token_type_ids"]) if second is not None and "token_type_ids" in encoded else None
        pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(ids)]
        notes = []
        if len(ids) < len(whole):
            more = "; the answer to the whole is pooled over windows" if data.too_long == "window" else ""
            notes.append(f"only the first {len(ids)} of {len(whole)} tokens are explained{more}")
        return cls(text, ids, types, pieces, words, owners(words, offsets), notes)


__all__ = ["Question", "Stopped"]
