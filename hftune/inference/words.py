"""Words of a vocabulary: which tokens stand for whole words, words made of pieces, and the nearest ones by cosine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError
from hftune.inference.embedding import unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

_CHUNK = 4096
_SHOWN = 40  # characters of a word in a message


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that stand for whole words: their ids, and the words as people read them."""

    ids: tuple[int, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Neighbour:
    """Something near: its place in what was searched, and the cosine of the angle between both vectors."""

    place: int
    cosine: float


def whole_words(tokenizer: Any) -> Vocabulary:
    """Return the tokens that are what the tokenizer makes of the word they spell.

    So no pieces, no special tokens; nor punctuation.
    """
    special = set(tokenizer.all_special_ids)
    ids = sorted(index for index in tokenizer.get_vocab().values() if index not in special)
    kept: list[tuple[int, str]] = []
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        texts = [text.strip() for text in tokenizer.batch_decode([[index] for index in part])]
        made = _pieces_of(tokenizer, texts)
        kept += [
            (index, text)
            for index, text, pieces in zip(part, texts, made, strict=True)
            if pieces == [index] and "\ufffd" not in text and any(map(str.isalnum, text))
        ]
    return Vocabulary(tuple(index for index, _ in kept), tuple(word for _, word in kept))


def word_pieces(tokenizer: Any, word: str) -> list[int]:
    """Return the tokens of a word as it stands within a text; raises UsageError for an unknown and an empty one."""
    (pieces,) = _pieces_of(tokenizer, [word.strip()])
    shown = repr(word[:_SHOWN])
    if not pieces:
        raise UsageError(f"{shown} is no word")
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown in pieces:
        raise UsageError(f"the vocabulary does not know {shown}", hint="Was it written as in the texts?")
    if len(word.split()) > 1:
        hint = "Nearest texts: --split train, or --input FILE. Nearest words: one word at a time."
        raise UsageError(f"{shown} is more than one word", hint=hint)
    return pieces


def word_vector(table: Floats, pieces: Sequence[int]) -> Floats:
    """Return the vector of a word: its row of the table, or the mean of its pieces' rows."""
    found: Floats = table[list(pieces)].mean(axis=0)
    return found


def nearest(vectors: Floats, query: Floats, top: int, without: Collection[int] = ()) -> list[Neighbour]:
    """Return the `top` rows of `vectors` [n, width], of length 1 each, with the largest cosine to `query` [width]."""
    import numpy as np

    cosines = vectors @ unit(query)
    order = np.argsort(-cosines, kind="stable")[: top + len(without)].tolist()
    return [Neighbour(place, float(cosines[place])) for place in order if place not in without][:top]


def _pieces_of(tokenizer: Any, words: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each word as it stands within a text."""
    if not words:
        return []
    # Byte-level vocabularies have the space before a word in its token, written so.
    spaced = any(token.startswith("Ġ") and len(token) > len("Ġa") for token in tokenizer.get_vocab())
    texts = [" " + word if spaced and word else word for word in words]
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return found
