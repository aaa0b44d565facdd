"""Why a model answered so, as rows: the text with its words marked, the words that did most, how far to believe it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from hftune.asking.explanations import bracketed, changes, fluency, marked_pieces, shares_of_most, verdict

from ..answers import Answer, Explanation
from ..drawing import columns_of, sanitize
from .wrapped import TAB, breaks, wrap

Piece = tuple[str, str]
Row = tuple[Piece, ...]
KINDS = ("for", "against")

MOST_ROWS = 12  # of a text that is marked
NAMED = 3  # words on each side
BETWEEN: Piece = ("   ", "")


def explanation_rows(answer: Answer, columns: int) -> list[Row]:
    """Return the explanation that is shown of an answer as rows of at most `columns`."""
    found = answer.explanation
    if found is None:
        return []
    if found.record is None:
        return _words(_no_record(found), columns)
    if "counterfactuals" in found.record:
        return _counterfactuals(found.record["counterfactuals"], columns)
    record = found.record
    values = record["methods"][0]["values"]
    rows = marked_rows(_marked(record["text"], record["spans"], values), columns)
    rows += _most(record, answer.prediction or {}, columns)
    rows += [row for note in record["notes"] for row in _words(f"! {note}", columns, "warning")]
    return [*rows, *_words(f"{record['methods'][0]['title']} · {_believed(record)}", columns)]


def _no_record(found: Explanation) -> str:
    if not found.failed:
        return f"… explaining: {found.words}"
    return " · ".join(filter(None, (f"not explained: {found.words}", found.hint)))


def _believed(record: Mapping[str, Any]) -> str:
    said = verdict(record).rstrip(".")
    return said[:1].lower() + said[1:]


def _marked(text: str, spans: Sequence[Sequence[int]], values: Sequence[float]) -> Iterator[Piece]:
    for piece, share in marked_pieces(text, spans, values):
        clean = sanitize(piece, lines=True).replace("\t", TAB)
        if clean:
            yield bracketed(clean, share), "" if share == 0 else "for" if share > 0 else "against"


def marked_rows(pieces: Iterator[Piece], columns: int) -> list[Row]:
    """Return pieces of a text broken into rows between words; of a long text the first ones."""
    known = list(pieces)
    ends = list(accumulate(len(words) for words, _ in known))
    text = "".join(words for words, _ in known)
    rows: list[Row] = []
    start = 0
    for line in text.split("\n"):
        for first, last in breaks(line, columns):
            if len(rows) == MOST_ROWS:
                return [*rows, (("… t shows all words", "muted"),)]
            rows.append(tuple(_cut(known, ends, start + first, start + last)))
        start += len(line) + 1
    return rows


def _cut(pieces: Sequence[Piece], ends: Sequence[int], first: int, last: int) -> Iterator[Piece]:
    """Yield the pieces of characters [first, last) of the text that all of them make up."""
    for (words, kind), end in zip(pieces, ends, strict=True):
        begin = end - len(words)
        if begin < last and end > first:
            yield words[max(0, first - begin) : last - begin], kind


def _most(record: Mapping[str, Any], prediction: Mapping[str, Any], columns: int) -> list[Row]:
    """Return the words that did most, those for the label and those against it, on one row where there is room."""
    values = record["methods"][0]["values"]
    shares = shares_of_most(values)
    order = sorted(range(len(values)), key=lambda place: -abs(values[place]))
    most = abs(values[order[0]])
    digits = min(6, max(2, 1 - math.floor(math.log10(most)))) if most else 2  # two of the largest are not 0
    sides: list[Piece] = []
    for name, kind, sign in zip(_towards(record["label"], prediction), KINDS, (1, -1), strict=True):
        named = [f"{sanitize(record['words'][place])} {values[place]:+.{digits}f}" for place in order
                 if shares[place] * sign > 0]  # fmt: skip
        if named:
            sides.append((f"{name}: {' · '.join(named[:NAMED])}", kind))
    if sum(columns_of(words) + len(BETWEEN[0]) for words, _ in sides) <= columns + len(BETWEEN[0]):
        return [tuple(piece for side in sides for piece in (BETWEEN, side))[1:]] if sides else []
    return [row for words, kind in sides for row in _words(words, columns, kind)]


def _towards(label: str, prediction: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the words on both sides did; of two labels that exclude each other, against one is for the other."""
    labels = list(prediction.get("probabilities") or ())
    name, others = sanitize(label), [sanitize(one) for one in labels if one != label]
    if not labels:  # a number
        return f"more {name}", f"less {name}"
    either = len(others) == 1 and not isinstance(prediction.get("label"), list)
    return f"toward {name}", f"toward {others[0]}" if either else f"against {name}"


def _counterfactuals(found: Mapping[str, Any], columns: int) -> list[Row]:
    if not found["found"]:
        return _words("no text with up to three changed words was found that is answered otherwise", columns)
    rows: list[Row] = [(("it would have been", "muted"),)]
    for one in found["found"]:
        share = "" if one["share"] is None else f" {one['share']:.3f}"
        rows += _words(f"{one['label']}{share}  {changes(one)}{fluency(one)}", columns, "")
    return [*rows, *_words("counterfactuals · each was read and answered by the model", columns)]


def _words(text: str, columns: int, kind: str = "muted") -> list[Row]:
    return [((row, kind),) for row in wrap(text, columns)]
