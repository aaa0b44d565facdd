"""A prompt and an answer to it: how likely each token of the answer is, also when words are left out of the prompt.

A word is left out by taking its tokens out, so that what stands behind moves up: a decoder has no mask token, and this
is how a shorter prompt reads. End-of-text in its place would say that a document ends there, and whatever stands before
would count no more.

A prompt that says nothing, where integrated gradients begin, is one of spaces, as many as it has tokens. End-of-text
and the marks of a chat say something: beside a prompt of those, a GPT-2 that had learned an answer to "bad review :"
owed it to the colon, since that ends no document, and not to "bad".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hftune.asking.decoding import Decoding
from hftune.errors import UsageError
from hftune.explainers._asked import Asked, never, padded, require_numbers
from hftune.explainers._spelling import NO_LIMIT, answer_ids, spell_answer, spell_prompt
from hftune.inference.predictor import GENERATES, well_formed
from hftune.inference.prompts import check_messages, start_token
from hftune.modeling.loading import without_cache
from hftune.modeling.output_layer import only_at

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hftune.inference.predictor import Predictor
    from hftune.inference.prompts import Message

    Array = np.ndarray[Any, Any]

MAX_NEW_TOKENS = 20  # of an answer that is explained where nobody says
HELD = 1 << 24  # fp32 numbers of logits held at once
TOKENS = 1 << 13  # of a batch


class Continuation(Asked):
    """Why does the model go on so? A score for each token of the answer: its log probability, given what stands before.

    In nats. `asked`: a prompt or messages; `answer`: what is explained, None for the model's own greedy answer of at
    most `max_new_tokens` tokens. `answered`: the answer's tokens and words. Raises UsageError for a prompt without
    words, an answer without tokens, a model of another task, and TooManyTokensError where something does not fit.
    """

    def __init__(
        self,
        predictor: Predictor,
        asked: str | Sequence[Message],
        answer: str | None = None,
        max_new_tokens: int | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        predictor.require(GENERATES)
        super().__init__(predictor.loaded.model, cancelled)
        self._tokenizer = predictor.loaded.tokenizer
        asked = well_formed(asked) if isinstance(asked, str) else [
            {**one, "content": well_formed(one["content"])} for one in check_messages(asked)
        ]  # fmt: skip
        given = None if answer is None else answer_ids(predictor, asked, well_formed(answer))
        prompt = spell_prompt(predictor, asked, max_new_tokens if given is None else len(given), MAX_NEW_TOKENS)
        self.prompt_ids, self.text, self.words, self.pieces = prompt.ids, prompt.text, prompt.words, prompt.pieces
        if not self.words:
            raise UsageError("there is no word to explain in the prompt", hint="Give a prompt.")
        ids = _greedy(predictor, asked, prompt.room, cancelled) if given is None else given
        self.go_on()
        self.answered = spell_answer(self._tokenizer, ids)
        self.notes, self.targets = [], len(ids)
        self.ids = [*prompt.ids, *ids]
        self.owners = [*prompt.owners, *[None] * len(ids)]
        self.batch = max(1, min(self.batch, HELD // (len(ids) * len(self._tokenizer)), TOKENS // len(self.ids)))
        require_numbers(self._outputs(self.whole()))

    def target_scores(self, kept: Array) -> Array:
        """Return the log probability of each of the answer's tokens float64 [n, tokens]; `kept`: bool [n, words]."""
        return self._outputs(kept)

    def shares(self, kept: Array) -> Array:
        """Return the geometric mean probability of the answer's tokens float64 [n], exp of their mean log probability.

        The answer's own probability is their product: close to 0 for a long one, whatever the prompt.
        """
        import numpy as np

        shares: Array = np.exp(self._outputs(kept).mean(axis=1))
        return shares

    def reach(self, target: int) -> int:
        """Return how many of the first tokens stand before the answer's token `target`."""
        return len(self.prompt_ids) + target

    def forward(self, ids: torch.Tensor, target: int = 0) -> torch.Tensor:
        """Return the log probability [n] of the answer's token `target` behind ids int64 [n, reach], with gradients."""
        import torch

        self.go_on()
        last = torch.zeros_like(ids, dtype=torch.bool)
        last[:, -1] = True
        wanted = self._tensor([self.answered.ids[target]]).expand(len(ids))
        return -torch.nn.functional.cross_entropy(
            self._logits(ids, torch.ones_like(ids), last), wanted, reduction="none"
        )

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return fp32 logits [places, vocabulary] at `places`, bool [n, tokens]."""
        with only_at(self.model, places):
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, **without_cache(self.model)).logits
        return (logits if logits.dim() == 2 else logits[places]).float()

    def _read(self, kept: Sequence[Array]) -> Array:
        import numpy as np
        import torch

        answer = self.answered.ids
        prompts = [self._without(row) for row in kept]
        # What follows the last token of the answer is nobody's question.
        ids = self._tensor(padded([[*prompt, *answer[:-1]] for prompt in prompts], start_token(self._tokenizer)))
        ends = self._tensor([len(prompt) for prompt in prompts])[:, None]
        at = torch.arange(ids.shape[1], device=ids.device)
        places = (at >= ends - 1) & (at < ends - 1 + len(answer))
        with torch.inference_mode():
            logits = self._logits(ids, (at < ends - 1 + len(answer)).long(), places)
            wanted = self._tensor(answer * len(prompts))
            losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        return np.asarray(-losses.float().cpu().double().numpy()).reshape(len(prompts), len(answer))

    def _without(self, kept: Array) -> list[int]:
        pairs = zip(self.prompt_ids, self.owners, strict=False)
        return [token for token, owner in pairs if owner is None or kept[owner]] or [start_token(self._tokenizer)]

    def _blank(self) -> int:
        space = self._tokenizer(" ", add_special_tokens=False, verbose=False)["input_ids"]
        return int(space[0]) if len(space) == 1 else start_token(self._tokenizer)


def _greedy(
    predictor: Predictor, asked: str | Sequence[Message], most: int, cancelled: Callable[[], bool]
) -> list[int]:
    """Return the tokens of the answer that `hftune generate` gives at temperature 0; raises UsageError for none."""
    decoding = Decoding(max_new_tokens=most, temperature=0)
    found = predictor.generate(asked, decoding, cancelled=cancelled, most_tokens=predictor.context or NO_LIMIT)
    if not found.ids and not cancelled():
        raise UsageError("the model ends its answer at once", hint="Give an answer to explain: --answer TEXT.")
    return list(found.ids)
