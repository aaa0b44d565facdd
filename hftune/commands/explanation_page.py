"""Explanations as a page: each text on the colours of its words, all words with their numbers, how far to believe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hftune.asking.explanations import (
    FIGURES,
    Record,
    changes,
    completeness,
    fluency,
    marked_pieces,
    pieces_of,
    verdict,
    word_order,
)
from hftune.commands import page
from hftune.figures import figure

HOW = (
    "A number is what a word adds to the log-odds of the label (of a regression: to the number). Blue speaks for the "
    "label, orange against it. Deletion: mean probability while words go, the most important first (lower is better); "
    "insertion: while they come (higher); comprehensiveness: what is lost without the top words (higher); sufficiency: "
    "what is lost with them alone (lower). Chance knows nothing: a method that does no better is not to be believed."
)


def explanations_page(name: str, records: Sequence[Record]) -> str:
    """Return the page of explained texts of a run."""
    parts = (part for record in records for part in explanation_parts(record))
    return page.document(f"Why {name} said so", [page.paragraph(HOW, quiet=True), *parts])


def explanation_parts(record: Record) -> Iterator[str]:
    """Yield one text's part of a page."""
    if "methods" in record:
        yield page.heading(f"{record['label']} {figure(record['share'])}")
        yield from (page.paragraph(note) for note in record["notes"])
        for one in record["methods"]:
            if len(record["methods"]) > 1:
                yield page.heading(one["title"], 3)
            yield marked(record["text"], record["spans"], one["values"])
        yield words_table(record)
        yield belief_table(record)
        yield page.paragraph(verdict(record))
    if "counterfactuals" in record:
        yield from _flips(record["counterfactuals"], alone="methods" not in record)


def marked(text: str, spans: Sequence[Sequence[int]], values: Sequence[float]) -> str:
    """Return a text on the colours of its words' values, with the values of those that did something."""
    numbers = {start: f"{value:+.2f}" for (start, _), value in zip(spans, values, strict=True)}
    pieces, at = [], 0
    for piece, share in marked_pieces(text, spans, values):
        pieces.append((piece, share, numbers.get(at, "")))
        at += len(piece)
    return page.marked_text(pieces)


def words_table(record: Record) -> str:
    """Return all words with each method's values."""
    methods = record["methods"]
    most = max((abs(value) for value in methods[0]["values"]), default=0.0) or 1.0
    rows = [
        (
            record["words"][place],
            pieces_of(record, place),
            *(f"{one['values'][place]:+.3f}" for one in methods),
            *([page.bar(methods[0]["values"][place] / most)] if len(methods) == 1 else []),
        )
        for place in word_order(record)
    ]
    return page.table(
        ["word", "pieces", *(one["title"] for one in methods), *([""] if len(methods) == 1 else [])], rows, 2
    )


def belief_table(record: Record) -> str:
    """Return how faithful each method was, chance below them, and how the methods agree."""
    rows = [
        (
            one["title"],
            *(f"{one['faithfulness'][name]:.3f}" for name in FIGURES),
            completeness(one),
            figure(one["stability"]),
            f"{one['passes']:,}",
            figure(one["seconds"]),
        )
        for one in record["methods"]
    ]
    if record["chance"] is not None:
        rows.append(("chance (mean)", *(f"{record['chance'][name]:.3f}" for name in FIGURES), "", "", "", ""))
    heads = ["how far to believe it", "deletion ↓", "insertion ↑", "comprehensiveness ↑", "sufficiency ↓"]
    table = page.table([*heads, "complete", "stability", "texts read", "seconds"], rows)
    if not record["agreement"]:
        return table
    return table + page.table(["rank the words alike", ""], [(k, figure(v)) for k, v in record["agreement"].items()])


def _flips(found: Record, alone: bool) -> Iterator[str]:
    if alone:
        yield page.heading(f"{found['label']} {figure(found['share'])}")
        yield page.paragraph(found["text"])
    yield page.heading("It would have been", 3)
    if not found["found"]:
        yield page.paragraph("No text with up to three changed words was found that is answered otherwise.")
        return
    rows = [
        (
            one["label"],
            changes(one),
            one["text"],
            len(one["edits"]),
            figure(one["share"]),
            fluency(one).strip(),
        )
        for one in found["found"]
    ]
    yield page.table(["answer", "changes", "text", "changed words", "probability", "how it reads"], rows, 3)
