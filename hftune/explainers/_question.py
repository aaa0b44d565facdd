"""One text and one class: what the model scores the class with, also when words are left out of the text.

A word is left out as the model can best bear it: by mask tokens in its place where the tokenizer has one (a BERT was
pretrained on texts with masks), else by taking its tokens out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError, closest
from hftune.explainers._words import Word, owners, words_of
from hftune.tasks._answers import class_logits, negative_label
from hftune.tasks._labels import REGRESSION, SINGLE

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hftune.inference.predictor import Predictor

    Array = np.ndarray[Any, Any]

BATCH = 64  # texts with words left out in one forward pass


class Question:
    """Why is `text` scored so for `target`? A score is the class's log-odds, log p/(1-p); of a regression its number.

    Log-odds of softmax classes are z_target - logsumexp of the other logits: unlike a logit alone they stay when all
    logits move together, and of two classes they are what the one has over the other.

    `words`: those that the model read (a long text is cut as in training); `owners`: each token's word; `target`: the
    class's place; `passes`: texts that the model has read for it so far. Raises UsageError for a text without words,
    for a label that the model does not have, and for models that read two texts.
    """

    def __init__(self, predictor: Predictor, text: str, target: str | None = None) -> None:
        predictor.require("text-classification")
        if predictor.loaded.recipe.data.text_pair is not None:
            raise UsageError("models that read two texts cannot be explained yet")
        self._loaded, self.kind = predictor.loaded, predictor.problem_type
        self.text, self.labels, self.passes = text, predictor.labels, 0
        self._rows: dict[bytes, Array] = {}
        self.ids, self.pieces, self.words, self.owners = _encode(predictor, text)
        if not self.words:
            raise UsageError("there is no word to explain", hint="Give a text.")
        self.target = self._choose(target)

    @property
    def label(self) -> str:
        """The class that is explained."""
        return self.labels[self.target]

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        return self._loaded.model

    def scores(self, kept: Array) -> Array:
        """Return the score of the class float64 [n] for the text with only the `kept` words, bool [n, words]."""
        import torch

        scores: Array = self._log_odds(torch.from_numpy(self._logits(kept))).numpy()
        return scores

    def shares(self, kept: Array) -> Array:
        """Return the probability of the class float64 [n] for the same; of a regression the number itself."""
        from hftune.inference.classification import probabilities

        logits = self._logits(kept)
        return logits[:, self.target] if self.kind == REGRESSION else probabilities(logits, self.kind)[:, self.target]

    def whole(self) -> Array:
        """Return what keeps every word, bool [1, words]; its negation keeps none."""
        import numpy as np

        return np.ones((1, len(self.words)), dtype=bool)

    def baseline_ids(self) -> torch.Tensor:
        """Return the token ids int64 [1, tokens] of a text that says nothing: what path methods begin at."""
        import torch

        blank = self._loaded.tokenizer.mask_token_id
        blank = self._loaded.tokenizer.pad_token_id if blank is None else blank
        ids = [token if owner is None else blank for token, owner in zip(self.ids, self.owners, strict=True)]
        return torch.tensor([ids], device=self.model.device)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the class's score [n] of token ids int64 [n, tokens] without padding, with gradients."""
        import torch

        model = self.model
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return self._log_odds(class_logits(found, negative_label(model.config)))

    def _log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the score [n] of logits [n, classes]."""
        import torch

        if self.kind != SINGLE:
            return logits[:, self.target]
        others = [place for place in range(logits.shape[1]) if place != self.target]
        return logits[:, self.target] - torch.logsumexp(logits[:, others], dim=1)

    def by_word(self, tokens: Sequence[float]) -> Array:
        """Return the sums of the tokens' numbers over each word, float64 [words]."""
        import numpy as np

        found = np.zeros(len(self.words))
        for value, owner in zip(tokens, self.owners, strict=True):
            if owner is not None:
                found[owner] += value
        return found

    def _choose(self, target: str | None) -> int:
        if target is not None:
            if target not in self.labels:
                raise UsageError(f"no label {target!r}", hint=closest(target, self.labels))
            return self.labels.index(target)
        if self.kind == REGRESSION:
            return 0
        return int(self._logits(self.whole())[0].argmax())

    def _logits(self, kept: Array) -> Array:
        """Return logits float64 [n, classes], each combination of words read once."""
        import numpy as np

        keys = [row.tobytes() for row in np.asarray(kept, dtype=bool)]
        new = list(dict.fromkeys(key for key in keys if key not in self._rows))
        # Of like length together, so that little is padding where tokens are taken out.
        new.sort(key=lambda key: sum(key))
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            for key, row in zip(some, self._read([np.frombuffer(key, dtype=bool) for key in some]), strict=True):
                self._rows[key] = row
        return np.stack([self._rows[key] for key in keys])

    def _read(self, kept: Sequence[Array]) -> Array:
        import numpy as np
        import torch

        self.passes += len(kept)
        texts = [self._without(row) for row in kept]
        longest = max(map(len, texts))
        pad = self._loaded.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*text, *[pad] * (longest - len(text))] for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
        device = self.model.device
        with torch.inference_mode():
            found = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            logits = class_logits(found, negative_label(self.model.config))
        return np.asarray(logits.double().cpu().numpy())

    def _without(self, kept: Array) -> list[int]:
        """Return the token ids of the text with only some words."""
        mask = self._loaded.tokenizer.mask_token_id
        found = []
        for token, owner in zip(self.ids, self.owners, strict=True):
            if owner is None or kept[owner]:
                found.append(token)
            elif mask is not None:
                found.append(mask)
        # Something has to be read: padding says nothing.
        return found or [self._loaded.tokenizer.pad_token_id or 0]


def _encode(predictor: Predictor, text: str) -> tuple[list[int], list[str], list[Word], list[int | None]]:
    """Return token ids, their texts, the words that were read, and each token's word."""
    from hftune.inference.predictor import well_formed
    from hftune.tasks._encoding import token_limit

    tokenizer, data = predictor.loaded.tokenizer, predictor.loaded.recipe.data
    limit, _ = token_limit(data, predictor.loaded.model.config, tokenizer)
    text = well_formed(text)
    if not tokenizer.is_fast:
        raise UsageError("explanations need a fast tokenizer, which knows what characters a token is of")
    encoded = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True, verbose=False)
    ids, offsets = list(encoded["input_ids"]), [(start, end) for start, end in encoded["offset_mapping"]]
    read = max((end for _, end in offsets), default=0)
    words = [word for word in words_of(text) if word.start < read]
    pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(ids)]
    return ids, pieces, words, owners(words, offsets)
