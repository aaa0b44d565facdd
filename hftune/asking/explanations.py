"""Explanations, as `hftune explain --json` and the worker give them, as lines of a terminal at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hftune.figures import figure
from hftune.sanitize import columns_of, pad, sanitize, wrapped

Record = Mapping[str, Any]

WORDS = 12  # shown in a table; the text above it has all
COLUMNS, WORD, TITLE, BAR = 79, 16, 22, 20
FIGURES = ("deletion", "insertion", "comprehensiveness", "sufficiency")  # of faithfulness, as they are shown
NOTED = 0.15  # of the largest value: below, a word did little


def shares_of_most(values: Sequence[float]) -> list[float]:
    """Return each word's value as a share of the largest, signed; 0 for a word that did little."""
    most = max(map(abs, values), default=0.0) or 1.0
    return [value / most if abs(value) >= NOTED * most else 0.0 for value in values]


def marked_pieces(text: str, spans: Sequence[Sequence[int]], values: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yield the text in pieces, each with its word's share of the largest value; 0 for what lies between words."""
    at = 0
    for (start, end), share in zip(spans, shares_of_most(values), strict=True):
        if start > at:
            yield text[at:start], 0.0
        yield text[start:end], share
        at = end
    if at < len(text):
        yield text[at:], 0.0


def bracketed(piece: str, share: float) -> str:
    """Return a piece of a text marked without colours: [for the label], {against it}."""
    if share == 0:
        return piece
    return f"[{piece}]" if share > 0 else f"{{{piece}}}"


def explanation_lines(record: Record, most: int | None = WORDS) -> Iterator[str]:
    """Yield the tables of an explanation; `most`: words that are shown, None for all of them."""
    yield f"  {sanitize(record['label'])} {figure(record['share'])}; + speaks for it, - against it"
    yield from (f"  {sanitize(note)}" for note in record["notes"])
    yield ""
    yield from word_lines(record, most)
    yield ""
    yield from belief_lines(record)


def word_lines(record: Record, most: int | None = WORDS) -> Iterator[str]:
    """Yield a table of the words that did most, with each method's values; of one method with bars."""
    methods, order = record["methods"], word_order(record)
    widths = [max(10, len(one["title"])) for one in methods]
    yield f"  {pad('word', WORD)} " + " ".join(
        f"{one['title']:>{width}}" for one, width in zip(methods, widths, strict=True)
    )
    for place in order[:most]:
        cells = (f"{one['values'][place]:>+{width}.3f}" for one, width in zip(methods, widths, strict=True))
        line = f"  {pad(sanitize(record['words'][place]), WORD)} {' '.join(cells)}"
        if len(methods) == 1:
            line += "  " + pad(_bar(methods[0]["values"], place), BAR)
        with_pieces = f"{line}  {pieces_of(record, place)}".rstrip()
        yield with_pieces if columns_of(with_pieces) <= COLUMNS else line.rstrip()
    if most is not None and len(order) > most:
        yield f"  … and {len(order) - most} more words that did less"


def word_order(record: Record) -> list[int]:
    """Return the places of the words, what did most (by the mean over methods of its share of the largest) first."""
    sums = [0.0] * len(record["words"])
    for one in record["methods"]:
        most = max(map(abs, one["values"])) or 1.0
        for place, value in enumerate(one["values"]):
            sums[place] += abs(value) / most
    return sorted(range(len(sums)), key=lambda place: -sums[place])


def _bar(values: Sequence[float], place: int) -> str:
    most = max(map(abs, values)) or 1.0
    return ("█" if values[place] > 0 else "░") * max(1, round(BAR * abs(values[place]) / most))


def pieces_of(record: Record, place: int) -> str:
    """Return the tokens of a word that is made of several, empty for one that is a token."""
    found = [piece for piece, owner in zip(record["pieces"], record["owners"], strict=True) if owner == place]
    return sanitize(" ".join(found)) if len(found) > 1 else ""


def belief_lines(record: Record) -> Iterator[str]:
    """Yield how faithful each method was, chance below them."""
    heads = ("deletion↓", "insertion↑", "compreh.↑", "suffic.↓", "complete")
    yield f"  {'how far to believe it':{TITLE}}" + "".join(f"{head:>11}" for head in heads)
    titles = {one["method"]: one["title"] for one in record["methods"]}
    for one in record["methods"]:
        yield f"  {one['title']:{TITLE}}{_figures(one['faithfulness'])}{completeness(one):>11}".rstrip()
    if record["chance"] is not None:
        yield f"  {'chance (mean)':{TITLE}}{_figures(record['chance'])}"
    for one in record["methods"]:
        if one["stability"] != 1:
            alike = figure(one["stability"])
            yield f"  {one['title']} with another seed ranks the words alike: {alike} (1 is the same)"
    for pair, value in record["agreement"].items():
        first, _, second = pair.partition(" and ")
        yield f"  {titles[first]} and {titles[second]} rank the words alike: {figure(value)}"
    yield f"  {verdict(record)}"


def _figures(found: Record) -> str:
    return "".join(f"{found[name]:>11.3f}" for name in FIGURES)


def completeness(one: Record) -> str:
    """Return which share of what a method's values should sum to they do; nothing where it promises none."""
    error = one["completeness_error"]
    return "" if error is None else f"{100 * (1 - error):.1f}%"


def verdict(record: Record) -> str:
    """Return in a sentence which method is to be believed, if any."""
    titles = {one["method"]: one["title"] for one in record["methods"]}
    if len(record["words"]) < 2:
        return "One word: there is no order to judge."
    if record["best"] is None:
        return "No better than chance here: do not believe it."
    told = f"better than {record['beaten']} of {record['orders']} random orders"
    if len(titles) > 1:
        return f"Most faithful here: {titles[record['best']]}, {told}."
    return f"{told[:1].upper()}{told[1:]}."


def counterfactual_lines(found: Record, alone: bool) -> Iterator[str]:
    """Yield what would have been answered otherwise; `alone`: the text itself stands above."""
    if alone:
        yield sanitize(found["text"])
        yield f"  {sanitize(found['label'])} {figure(found['share'])}"
    yield ""
    if not found["found"]:
        yield "  No text with up to three changed words was found that is answered otherwise."
        return
    yield "  it would have been"
    for one in found["found"]:
        head = f"{sanitize(one['label'])} {figure(one['share'])}  {sanitize(changes(one))}{fluency(one)}"
        yield from wrapped(head, COLUMNS, "  ")
        yield from wrapped(sanitize(one["text"]), COLUMNS, "    ")


def fluency(one: Record) -> str:
    """Return how a counterfactual reads beside the text that it was."""
    ratio = one.get("perplexity_ratio")
    return "" if ratio is None else f"  perplexity ×{ratio:.2f}"


def changes(one: Record) -> str:
    """Return the edits of a counterfactual as words: `'warm' → 'sweaty', without 'very'`."""
    return ", ".join(
        f"{edit['old']!r} → {edit['new']!r}" if edit["new"] else f"without {edit['old']!r}" for edit in one["edits"]
    )
