"""How an answer is written: the settings of decoding, read and checked without the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from hftune.errors import UsageError, closest

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Decoding:
    """The settings of one answer.

    `max_new_tokens` in tokens; None: `longest_answer`. `temperature` 0 is greedy and then top_p, top_k and seed mean
    nothing. `top_k` 0 is all tokens. `stop`: texts that end the answer and are not part of it. `ban`: words that are
    not written, in any casing. `seed` None draws one; the answer says which, so that it can be had again. Raises
    UsageError when out of range.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 50
    repetition_penalty: float = 1.1
    stop: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None:
            _check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "1 or more")
        _check(0 <= self.temperature < math.inf, "temperature", self.temperature, "0 or more")
        _check(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _check(self.top_k >= 0, "top_k", self.top_k, "0 (all) or more")
        _check(0 < self.repetition_penalty < math.inf, "repetition_penalty", self.repetition_penalty, "above 0")
        _check(all(self.stop), "stop", "", "a text that is not empty")
        _check(all(word.strip() for word in self.ban), "ban", "", "a word that is not empty")
        if self.seed is not None:
            _check(0 <= self.seed <= MAX_SEED, "seed", self.seed, "a whole number from 0")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


LONGEST_TEXT = 60
LONGEST_TURN = 256
NONE_IS_A_VALUE = ("max_new_tokens", "seed")
KINDS: dict[str, type] = {
    "max_new_tokens": int,
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "repetition_penalty": float,
    "stop": tuple,
    "ban": tuple,
    "seed": int,
}


def longest_answer(style: str, context: int | None) -> int:
    """Return how many tokens an answer may have where nobody says: a turn of a chat ends by itself, a text does not.

    In a chat at most half of `context`, so that the default never takes the room of what was asked.
    """
    if style != "chat":
        return LONGEST_TEXT
    return LONGEST_TURN if context is None else max(1, min(LONGEST_TURN, context // 2))


def decoding_from(settings: Mapping[str, Any], base: Decoding | None = None) -> Decoding:
    """Return `base` (or the defaults) with `settings` from JSON; raises UsageError naming the setting that is wrong."""
    known = [field.name for field in fields(Decoding)]
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise UsageError(f"decoding has no setting {key!r}", hint=closest(key, known))
        values[key] = _typed(key, value)
    start = base or Decoding()
    return Decoding(**{**{name: getattr(start, name) for name in known}, **values})


def parse_setting(key: str, text: str) -> Any:
    """Return the value of a setting that a person typed (`temperature`, `0.5`); raises UsageError."""
    name = key.strip().replace("-", "_")
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"decoding has no setting {key!r}", hint=closest(name, KINDS))
    if kind is tuple:
        return [text] if text else []
    if name in NONE_IS_A_VALUE and text.lower() in ("", "none", "random"):
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not a number") from None


def _typed(key: str, value: Any) -> Any:
    kind = KINDS[key]
    if kind is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, Sequence) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise UsageError(f"{key}: {value!r} is not a list of texts")
    if key in NONE_IS_A_VALUE and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise UsageError(f"{key}: {value!r} is not a {'whole ' if kind is int else ''}number")
    return kind(value)


def _check(right: bool, key: str, value: object, expected: str) -> None:
    if not right:
        raise UsageError(f"{key}: {value!r} cannot be used", hint=f"It must be {expected}.")
