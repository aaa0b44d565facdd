"""A survey as a page: the words of each label with their intervals, shortcuts, length, the worst mistakes marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hftune.asking import surveys
from hftune.asking.surveys import Record
from hftune.commands import page
from hftune.commands.explanation_page import marked
from hftune.commands.plots import share_columns, whisker_bars
from hftune.figures import figure

TOP = 15  # words of a label for it, and as many against it
HOW = (
    "A number is what a word adds to the log-odds of the label (of a regression: to the number) in a text that has it, "
    "all its places together: the mean over texts, with Student's 95% interval over them. Blue speaks for the label, "
    "orange against it."
)


def survey_page(record: Record) -> str:
    """Return the page of a survey."""
    lead, *notes = [line.strip() for line in list(surveys.head_lines(record))[1:]]
    body = [page.paragraph(f"{record['split']}: {lead}"), page.paragraph(HOW, quiet=True)]
    body += [page.paragraph(" ".join(notes))] if notes else []
    for part in (_drivers, _shortcuts, _length, _belief, _mistakes):
        body += part(record)
    body.append(page.paragraph(surveys.time_text(record), quiet=True))
    return page.document(f"What {Path(record['run']).name} goes by", body)


def _drivers(record: Record) -> Iterator[str]:
    opposite = surveys.has_opposite(record)
    for method in record["methods"]:
        for label in (one for one in method["labels"] if one["rows"]):
            name = "the number" if record["problem"] == "regression" else label["label"]
            yield page.heading(f"What drives {name} ({label['rows']} rows, {method['title']})")
            words = surveys.driving(label, against=not opposite, top=TOP)
            if not words:
                yield page.paragraph("No word has an interval that leaves 0 out.")
                continue
            yield whisker_bars([(one["word"], one["value"], one["low"], one["high"]) for one in words])
            rows = [
                (
                    one["word"], f"{one['value']:+.3f}", f"{one['low']:+.3f} to {one['high']:+.3f}",
                    f"{one['texts']:,}", f"{one['times']:,}", f"{one['share']:.1%}",
                )
                for one in words
            ]  # fmt: skip
            yield page.table(["word", "mean", "95% interval", "texts", "times", "share of all for it"], rows)


def _shortcuts(record: Record) -> Iterator[str]:
    yield page.heading("Right answers for a wrong-looking reason")
    if not surveys.claims(record):
        yield page.paragraph("None found.")
    if record["shortcuts"]:
        yield page.paragraph(surveys.CHECK, quiet=True)
        moves = "number moves by, sd" if record["problem"] == "regression" else "probability falls by"
        heads = ["", "kind", "label", "words", "example", "hang on it", "part of all for it", "flip", moves]
        yield page.table(heads, [_shortcut(one) for one in record["shortcuts"]], 5)
    for one in surveys.claims(record):
        if one["stands"] is not None:
            yield page.paragraph(f"{one['words'][0][0]!r}: {surveys.planted_text(one)}.")
    for line in (*surveys.pair_lines(record), " ".join(surveys.blank_lines(record))):
        if line:
            yield page.paragraph(" ".join(line.split()))


def _shortcut(one: Record) -> tuple[object, ...]:
    fall, example = one["fall"], one["example"]
    ends = "" if fall["low"] is None else f" ({fall['low']:.2f} to {fall['high']:.2f})"
    return (
        "!" if one["claimed"] else "",
        one["kind"],
        one["label"],
        ", ".join(f"{word} {rows}" for word, rows in one["words"]),
        f"row {example['row']}: {example['text']}",
        f"{one['rows']} of {one['of']} ({one['share']['value']:.0%})",
        f"{one['carried']:.0%} ({one['among']:.1%} of words)",
        f"{one['flips']}",
        f"{fall['value']:.2f}{ends}",
    )


def _length(record: Record) -> Iterator[str]:
    yield page.heading(f"Length: {surveys.length_verdict(record)}")
    parts = [
        (f"{one['from']} to {one['to']} words", f"{one['rows']} rows", one["value"], one["low"], one["high"])
        for one in record["length"]["bins"]
    ]
    yield page.paragraph("Rows answered rightly by the number of words, with Wilson's 95% interval", quiet=True)
    yield share_columns(parts)
    yield from (page.paragraph(line) for line in surveys.length_texts(record))


def _belief(record: Record) -> Iterator[str]:
    rows = [
        (one["title"], f"{found['deletion']:.3f}", f"{found['chance']:.3f}", _difference(found), surveys.belief(found))
        for one in record["methods"]
        if (found := one["faithfulness"]) is not None
    ]
    if rows:
        yield page.heading("How far to believe it")
        count = record["methods"][0]["faithfulness"]["rows"]
        yield page.paragraph(f"Area under the deletion curve over {count} rows; lower is better.", quiet=True)
        yield page.table(["", "deletion", "chance", "difference", ""], rows)


def _difference(found: Record) -> str:
    one = found["difference"]
    return f"{one['value']:+.3f}" + ("" if one["low"] is None else f" ({one['low']:+.3f} to {one['high']:+.3f})")


def _mistakes(record: Record) -> Iterator[str]:
    yield page.heading(surveys.mistakes_title(record))
    for one in record["mistakes"]:
        said = f"row {one['row']}: said {surveys.answer(one['said'])}, right is {surveys.answer(one['right'])}"
        yield page.heading(f"{said}, loss {figure(one['loss'])}", 3)
        yield page.paragraph(f"for {one['label']} ({figure(one['share'])})", quiet=True)
        yield marked(one["text"], one["spans"], one["values"])
