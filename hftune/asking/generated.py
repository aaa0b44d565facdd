"""Explanations of a generator's answer, as `hftune explain --json` and the worker give them, as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hftune.asking.explanations import COLUMNS, Record, belief_lines, word_lines
from hftune.figures import figure
from hftune.sanitize import clip, pad, sanitize

WORDS, WORD, NUMBER = 24, 16, 8  # answer words shown; columns
REASONS = 3  # prompt words named for each
LEAST = 0.05  # nats: below, a word did nothing worth naming


def shown_method(record: Record) -> Record:
    """Return the method that is shown where there is room for one: the most faithful, else the first."""
    found: Record = next((one for one in record["methods"] if one["method"] == record["best"]), record["methods"][0])
    return found


def answer_lines(record: Record) -> Iterator[str]:
    """Yield the tables of an explained answer."""
    yield f"  probability {figure(record['share'])} a token (geometric mean); + made the answer likelier (nats)"
    yield from (f"  {sanitize(note)}" for note in record["notes"])
    yield ""
    yield from word_lines(record)
    yield ""
    yield from reason_lines(record)
    yield ""
    yield from belief_lines(record)


def reason_lines(record: Record) -> Iterator[str]:
    """Yield each word of the answer with its log probability and the words of the prompt that made it most likely."""
    one = shown_method(record)
    rows = list(answer_words(record, one))
    by = f" ({one['title']})" if len(record["methods"]) > 1 else ""
    yield f"  {pad('answer', WORD)} {'log p':>{NUMBER}}  made likely by{by}"
    for word, score, values in rows[:WORDS]:
        named = ", ".join(f"{record['words'][place]} {values[place]:+.2f}" for place in reasons(values))
        yield clip(f"  {pad(sanitize(word), WORD)} {score:>{NUMBER}.2f}  {sanitize(named) or '-'}", COLUMNS)
    if len(rows) > WORDS:
        yield f"  … and {len(rows) - WORDS} more words"


def reasons(values: Sequence[float]) -> list[int]:
    """Return the places of the words that did most for a word of the answer, most first."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    return [place for place in order if values[place] >= LEAST][:REASONS]


def answer_words(record: Record, method: Record) -> Iterator[tuple[str, float, list[float]]]:
    """Yield each word of the answer, its log probability, and what each word of the prompt did for it: sums over its
    tokens."""
    tokens: list[dict[str, Any]] = record["answer_tokens"]
    for place, word in enumerate(record["answer_words"]):
        own = [number for number, token in enumerate(tokens) if token["owner"] == place]
        columns = zip(*(method["by_token"][number] for number in own), strict=True)
        values = [sum(column) for column in columns] if own else [0.0] * len(record["words"])
        yield word, sum(tokens[number]["log_probability"] for number in own), values
