"""From texts to token ids with the tokens to be learned; long ones cut, windowed or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hftune.recipe.schema import DataSection
from hftune.tasks._chat import Segment
from hftune.tasks._encoding import CHUNK, Encoded, Example, check_window, compact

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Cross-entropy leaves this target out.
IGNORED = -100


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], rows: Sequence[int], data: DataSection, max_length: int
) -> Encoded:
    """Tokenize plain texts, each ended by end-of-text; every token but a text's first is learned, exactly once.

    Examples hold input_ids, labels (as long, -100 where nothing is learned), text_bytes (UTF-8 bytes that the learned
    tokens stand for, end-of-text none), length, row, window. truncate drops the end. window makes blocks that repeat
    `data.window.stride` tokens of the one before as context. A text with nothing to learn makes no example.
    """
    check_window(tokenizer, data, max_length, pair=False)
    examples: list[Example] = []
    too_long: dict[int, int] = {}
    unlearned = 0
    for row, (ids, ends) in zip(rows, _documents(tokenizer, texts), strict=True):
        if len(ids) > max_length:
            too_long[row] = len(ids)
        if len(ids) > 1:
            examples.extend(_blocks(ids, ends, row, data, max_length))
        else:
            unlearned += 1
    return Encoded(examples, too_long, unlearned)


def encode_packed(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], rows: Sequence[int], max_length: int
) -> Encoded:
    """Tokenize plain texts, each ended by end-of-text, into blocks of `max_length` tokens, one text after the other.

    Each block has position_ids that begin at 0 with each text: a model that goes by them never looks from one text
    into another. A text that does not fit goes on in the next block, where the token before is repeated, so that every
    token but a text's first is learned, exactly once. Other columns as of `encode_texts`.
    """
    packer, unlearned = _Packer(max_length), 0
    for row, (ids, ends) in zip(rows, _documents(tokenizer, texts), strict=True):
        if len(ids) > 1:
            packer.add(ids, ends, row)
        else:
            unlearned += 1
    packer.close()
    return Encoded(packer.blocks, {}, unlearned)


class _Packer:
    """Fills blocks with pieces of texts."""

    def __init__(self, max_length: int) -> None:
        self.blocks: list[Example] = []
        self._max_length = max_length
        self._begin()

    def _begin(self) -> None:
        self._ids: list[int] = []
        self._labels: list[int] = []
        self._positions: list[int] = []
        self._bytes, self._row = 0, -1

    def add(self, ids: list[int], ends: list[int] | None, row: int) -> None:
        """Put a text of two tokens or more behind what is there."""
        start = 0
        while start < len(ids) - 1:
            room = self._max_length - len(self._ids)
            if room < 2:  # a piece needs one token to begin with and one to learn
                self.close()
                continue
            piece = ids[start : start + room]
            if not self._ids:
                self._row = row
            self._ids += piece
            self._labels += [IGNORED, *piece[1:]]
            self._positions += range(len(piece))
            stop = start + len(piece) - 1
            self._bytes += 0 if ends is None else max(0, ends[stop] - ends[start])
            start = stop

    def close(self) -> None:
        """Finish the block that is being filled."""
        if self._ids:
            block = {"input_ids": compact(self._ids), "labels": compact(self._labels)}
            block |= {"position_ids": compact(self._positions), "length": len(self._ids)}
            self.blocks.append({**block, "row": self._row, "window": 0, "text_bytes": self._bytes})
        self._begin()


def _documents(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Iterator[tuple[list[int], list[int] | None]]:
    """Yield each text's token ids, end-of-text behind them, and how many bytes of the text end with each."""
    for start in range(0, len(texts), CHUNK):
        part = list(texts[start : start + CHUNK])
        encoding = tokenizer(part, verbose=False, return_offsets_mapping=tokenizer.is_fast)
        for index, ids in enumerate(encoding["input_ids"]):
            offsets = encoding["offset_mapping"][index] if tokenizer.is_fast else None
            yield _ended(ids, _byte_ends(part[index], offsets), tokenizer)


def encode_segments(
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Sequence[Segment]],
    rows: Sequence[int],
    max_length: int,
) -> Encoded:
    """Tokenize documents made of pieces, some learned, and end the last learned one with end-of-text.

    Each piece is tokenized by itself, as a prompt is when the model is asked. What does not fit is dropped from the
    start of the unlearned beginning first (the answer is what matters), then from the end. A document with nothing to
    learn makes no example.
    """
    examples: list[Example] = []
    too_long: dict[int, int] = {}
    unlearned = 0
    for document, row in zip(documents, rows, strict=True):
        ids, labels = _joined(tokenizer, document)
        if len(ids) > max_length:
            too_long[row] = len(ids)
            unlearned = next((i for i, label in enumerate(labels) if label != IGNORED), len(ids))
            # One token of the beginning stays, so that the first learned one has something to follow.
            cut = max(0, min(len(ids) - max_length, unlearned - 1))
            ids, labels = ids[cut : cut + max_length], labels[cut : cut + max_length]
        if any(label != IGNORED for label in labels[1:]):
            example = {"input_ids": compact(ids), "labels": compact(labels)}
            examples.append({**example, "length": len(ids), "row": row, "window": 0})
        else:
            unlearned += 1
    return Encoded(examples, too_long, unlearned)


def _joined(tokenizer: Any, document: Sequence[Segment]) -> tuple[list[int], list[int]]:
    end = tokenizer.eos_token_id
    ids: list[int] = []
    labels: list[int] = []
    if tokenizer.bos_token_id is not None and _adds_start(tokenizer) and document:
        ids, labels = [tokenizer.bos_token_id], [IGNORED]
        if tokenizer.bos_token and document[0][0].startswith(tokenizer.bos_token):
            ids, labels = [], []
    last = max((index for index, (_, learned) in enumerate(document) if learned), default=-1)
    for index, (text, learned) in enumerate(document):
        piece = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if index == last and end is not None and (not piece or piece[-1] != end):
            piece = [*piece, end]
        ids += piece
        labels += piece if learned else [IGNORED] * len(piece)
    return ids, labels


def _adds_start(tokenizer: Any) -> bool:
    """Whether the tokenizer itself starts texts with its begin-of-text token (Llama does, GPT-2 does not)."""
    ids = tokenizer("", verbose=False)["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def _byte_ends(text: str, offsets: Sequence[tuple[int, int]] | None) -> list[int] | None:
    """Return for each token how many UTF-8 bytes of the text end with it; None without character offsets."""
    if offsets is None:
        return None
    if text.isascii():
        return [end for _, end in offsets]
    sums = [0]
    for character in text:
        sums.append(sums[-1] + len(character.encode("utf-8", "surrogatepass")))
    return [sums[end] for _, end in offsets]


def _ended(ids: list[int], ends: list[int] | None, tokenizer: Any) -> tuple[list[int], list[int] | None]:
    end = tokenizer.eos_token_id
    if end is None or (ids and ids[-1] == end):
        return ids, ends
    return [*ids, end], None if ends is None else [*ends, max(ends, default=0)]


def _blocks(ids: list[int], ends: list[int] | None, row: int, data: DataSection, max_length: int) -> Iterator[Example]:
    """Yield the text as one block, cut, or as windows; tokens before `learned` are context only."""
    start, learned, window = 0, 1, 0
    while True:
        stop = min(start + max_length, len(ids))
        example = {
            "input_ids": compact(ids[start:stop]),
            "labels": compact([IGNORED] * (learned - start) + ids[learned:stop]),
            "length": stop - start,
            "row": row,
            "window": window,
        }
        if ends is not None:
            example["text_bytes"] = max(0, ends[stop - 1] - ends[learned - 1])
        yield example
        if data.too_long != "window" or stop == len(ids):
            return
        start, learned, window = stop - data.window.stride, stop, window + 1
