"""Explained answers of a generator as a page: prompts on the colours of their words, answer x prompt as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hftune.asking.explanations import Record, verdict
from hftune.asking.generated import LEAST, answer_words
from hftune.commands import page
from hftune.commands.explanation_page import belief_table, marked, words_table
from hftune.figures import figure

HOW = (
    "A number is what a word of the prompt adds to the log probability (nats) of a word of the answer, given the "
    "prompt and the answer before it; over the prompt, to that of the whole answer. Blue made it likelier, orange "
    "less likely. Ablation: what is lost when the word is taken out of the prompt. Integrated gradients: what it "
    "adds to a prompt that says nothing. Deletion: probability of the answer's tokens (geometric mean) while words "
    "of the prompt go, the most important first (lower is better); insertion: while they come (higher); "
    "comprehensiveness: what is lost without the top words (higher); sufficiency: what is lost with them alone "
    "(lower). Chance knows nothing: a method that does no better is not to be believed."
)


def generation_page(name: str, records: Sequence[Record]) -> str:
    """Return the page of a run's explained answers."""
    parts = (part for record in records for part in generation_parts(record))
    return page.document(f"Why {name} wrote so", [page.paragraph(HOW, quiet=True), *parts])


def generation_parts(record: Record) -> Iterator[str]:
    """Yield one answer's part of a page."""
    yield page.heading(record["answer"].strip())
    yield page.paragraph(f"Probability of a token (geometric mean): {figure(record['share'])}")
    yield from (page.paragraph(note) for note in record["notes"])
    for one in record["methods"]:
        if len(record["methods"]) > 1:
            yield page.heading(one["title"], 3)
        yield marked(record["prompt"], record["spans"], one["values"])
        yield _heat_map(record, one)
    yield words_table(record)
    yield belief_table(record)
    yield page.paragraph(verdict(record))


def _heat_map(record: Record, method: Record) -> str:
    """Return a table of the answer's words, each with what each word of the prompt did for it."""
    rows = list(answer_words(record, method))
    # One word that did everything must not leave all others without a colour: what is worth naming has one.
    most = max((abs(value) for _, _, values in rows for value in values), default=0.0) or 1.0
    cells = [
        (word, f"{score:.2f}", *(page.shaded(f"{v:+.2f}", v / most if abs(v) >= LEAST else 0.0) for v in values))
        for word, score, values in rows
    ]
    return page.table(["answer", "log p", *record["words"]], cells)
