"""Writing an answer with transformers' `generate`, token by token."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hftune.asking.decoding import Decoding
from hftune.errors import ModelError
from hftune.inference.banned import BannedWords, canonical_spellings, token_pieces
from hftune.inference.prompts import Prompt
from hftune.inference.streaming import StopText, TokenText

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

COLDEST = 1e-6  # divided by less, logits are no numbers any more

FinishReason = Literal["stop", "length", "eos", "cancelled"]


@dataclass(frozen=True)
class Generation:
    """An answer. `text` is exactly what was streamed, without stop text and special tokens.

    `finish_reason`: stop (a stop text came), length (no more tokens allowed), eos (the model ended it) or cancelled.
    `tokens` and `prompt_tokens` count tokens; `seconds` is the whole time, `time_to_first_token` its part before the
    first token (reading the prompt). `seed` gives the same answer again; None when decoding was greedy. `ids`: the
    tokens, without the one that ended it.
    """

    text: str
    finish_reason: FinishReason
    tokens: int
    prompt_tokens: int
    seconds: float
    time_to_first_token: float
    seed: int | None
    notes: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """The rate after the first token; over the whole time when there is only one."""
        rest = self.seconds - self.time_to_first_token
        if self.tokens > 1 and rest > 0:
            return (self.tokens - 1) / rest
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON holds it."""
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "seconds": round(self.seconds, 4),
            "tokens_per_second": round(self.tokens_per_second, 2),
            "time_to_first_token": round(self.time_to_first_token, 4),
            "seed": self.seed,
            "notes": list(self.notes),
        }


class Answer:
    """A stopping criterion that watches the ids grow: it makes the text, streams it, and says when to end.

    `generate` calls it once after each token, whatever the version, so streaming and stopping cannot get out of step.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt_tokens: int,
        ends: set[int],
        stops: tuple[str, ...],
        on_text: Callable[[str, int], None],
        cancelled: Callable[[], bool],
        trim: bool = False,
    ) -> None:
        """`trim`: white space before the first word is not part of the answer (a template leaves it to the model)."""
        self._trim = trim
        self.started = time.monotonic()
        self.first_token_at: float | None = None
        self.text = ""
        self.tokens = 0
        self.ids: list[int] = []
        self.ended = self.cancelled = False
        self._seen = prompt_tokens
        self._ends, self._on_text, self._is_cancelled = ends, on_text, cancelled
        self._stop = StopText(stops)
        self._characters = TokenText(
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Take in the tokens that are new in `input_ids` [1, length]; return [1] bool, true to end."""
        for token in input_ids[0, self._seen :].tolist():
            self._take(token)
        self._seen = input_ids.shape[1]
        self.cancelled = self.cancelled or self._is_cancelled()
        import torch

        return torch.tensor([self.cancelled or self._stop.stopped], device=input_ids.device)

    def close(self) -> FinishReason:
        """Stream what was held back and return why the answer ended."""
        # Whatever ended it, the text so far is what the model wrote: only half a character and a stop text are dropped.
        self._show(self._stop.push(self._characters.close()))
        self._show(self._stop.close())
        if self._stop.stopped:
            return "stop"
        if self.ended:
            return "eos"
        return "cancelled" if self.cancelled else "length"

    def _take(self, token: int) -> None:
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        self.tokens += 1
        if token in self._ends:
            self.ended = True
            return
        self.ids.append(token)
        self._show(self._stop.push(self._characters.push(token)))

    def _show(self, piece: str) -> None:
        if self._trim and not self.text:
            piece = piece.lstrip()
        if piece:
            self.text += piece
            self._on_text(piece, self.tokens)


def write_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    decoding: Decoding,
    on_text: Callable[[str, int], None],
    cancelled: Callable[[], bool],
    trim: bool = False,
) -> Generation:
    """Generate after `prompt`; `on_text(piece, tokens so far)` gets the text as it becomes certain."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    from hftune.modeling.loading import quiet

    ends = end_tokens(model, tokenizer)
    seed = None if decoding.greedy else (secrets.randbits(32) if decoding.seed is None else decoding.seed)
    if seed is not None:
        torch.manual_seed(seed)
    config = GenerationConfig(
        max_new_tokens=prompt.max_new_tokens,
        do_sample=not decoding.greedy,
        repetition_penalty=decoding.repetition_penalty,
        bad_words_ids=canonical_spellings(tokenizer, decoding.ban) or None,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0),
        **sampling_settings(decoding),
    )
    ids = torch.tensor([prompt.ids], device=model.device)
    answer = Answer(tokenizer, len(prompt.ids), ends, decoding.stop, on_text, cancelled, trim)
    processors = []
    if decoding.ban:
        processors.append(_banned_processor(model, tokenizer, prompt, decoding.ban))
    try:
        with torch.inference_mode(), quiet():  # transformers takes a prompt of end-of-text alone for padding
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList([answer]),
            )
    except RuntimeError as error:
        if "probability tensor" not in str(error):
            raise
        raise ModelError(
            "the model gives no next token: its figures are not numbers",
            hint="Did training diverge? Ask an earlier checkpoint (RUN@step), and with the default settings.",
        ) from error
    reason = answer.close()
    seconds = time.monotonic() - answer.started
    first = (answer.first_token_at or time.monotonic()) - answer.started
    notes, written = tuple(prompt.notes), tuple(answer.ids)
    return Generation(answer.text, reason, answer.tokens, len(prompt.ids), seconds, first, seed, notes, written)


def sampling_settings(decoding: Decoding) -> dict[str, Any]:
    """Return what GenerationConfig takes for sampling; greedy decoding takes nothing and would warn."""
    if decoding.greedy:
        return {}
    return {"temperature": max(decoding.temperature, COLDEST), "top_p": decoding.top_p, "top_k": decoding.top_k}


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return every token that ends an answer: the tokenizer's and those the model was saved with."""
    saved = getattr(model.generation_config, "eos_token_id", None)
    listed = saved if isinstance(saved, list) else [saved]
    return {int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None}


def _banned_processor(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, words: tuple[str, ...]
) -> Any:
    from transformers import LogitsProcessor

    banned = BannedWords(words, token_pieces(tokenizer, model.config.vocab_size))
    kept = 4 * max(len(word) for word in words) + 8  # tokens whose text is longer than any word

    class NoBannedWords(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            tail = tokenizer.decode(
                input_ids[0, -kept:].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            forbidden = sorted(banned.after(tail))
            if not forbidden or len(forbidden) >= scores.shape[-1]:
                return scores
            masked = scores.clone()
            masked[:, forbidden] = -math.inf
            return masked

    return NoBannedWords()
