"""Surveys, as `hftune explain --data --json` gives them, as lines of a terminal at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hftune.figures import duration, figure, many
from hftune.sanitize import clip, pad, sanitize, wrapped

Record = Mapping[str, Any]

COLUMNS = 79
TOP = 8  # words for a label, and as many against it where it has no opposite
LABELS = 6  # shown
WORD, BAR, KIND, LABEL = 16, 16, 14, 13
UNCLAIMED = 3  # kinds of evidence shown of which nothing is claimed
STAYS = 0.8  # of the right answers stay without one of two texts: the lower end of the interval
CHECK = (
    "A right answer hangs on its strongest word. All words of that kind left out, it flips or its probability falls; "
    "claimed (!) is where enough rows hang on it and their probability falls, by the lower ends of both intervals."
)


def head_lines(record: Record) -> Iterator[str]:
    """Yield what was explained, and how right the model is there."""
    at = "" if record["step"] is None else f"@{record['step']}"
    yield clip(f"{sanitize(Path(record['run']).name)}{at} on {sanitize(record['split'])}", COLUMNS)
    rows = f"{record['rows']:,} of {many(record['of'], 'row')}"
    yield f"  {rows}, {record['figure_name']} {_interval(record['figure'])}"
    if record["problem"] == "regression":
        yield "  right is called what is off by no more than half a standard deviation"
    for note in record["notes"]:
        yield from _wrapped(f"! {sanitize(note)}")


def driver_lines(record: Record) -> Iterator[str]:
    """Yield for each label the words that speak most for it, and against it where it has no opposite."""
    yield from _wrapped(_how(record), "")
    methods, shown = record["methods"], shown_labels(record)
    for place in shown:
        found = [one["labels"][place] for one in methods]
        yield ""
        yield _driver_head(record, found[0], methods)
        words = driving(found[0], against=not has_opposite(record))
        most = max((abs(word["value"]) for word in words), default=1.0)
        for word in words:
            yield _driver_line(word, found, methods, most)
        if not words:
            yield "    no word here has an interval that leaves 0 out"
    known = sum(one["rows"] > 0 for one in methods[0]["labels"])
    if hidden := known - len(shown):
        yield f"  … and {many(hidden, 'more label')}: --html, --json"


def has_opposite(record: Record) -> bool:
    """Tell whether what speaks against a label speaks for the other one."""
    return len(record["labels"]) == 2 and record["problem"] == "single_label_classification"


def shown_labels(record: Record) -> list[int]:
    """Return the places of the labels with the most rows, as many as are shown."""
    rows = [one["rows"] for one in record["methods"][0]["labels"]]
    known = [place for place, count in enumerate(rows) if count]
    return sorted(sorted(known, key=lambda place: -rows[place])[:LABELS])


def driving(label: Record, against: bool, top: int = TOP) -> list[Record]:
    """Return a label's words whose interval leaves 0 out: those for it, and perhaps those against it."""
    sure = [word for word in label["words"] if word["low"] is not None and word["low"] * word["high"] > 0]
    speaking = [word for word in sure if word["value"] > 0][:top]
    return speaking + ([word for word in sure if word["value"] < 0][-top:] if against else [])


def _how(record: Record) -> str:
    unit = "the number" if record["problem"] == "regression" else "its log-odds"
    asked = {
        "multi_label_classification": "each row is asked for every label",
        "regression": "each row is asked once",
    }.get(record["problem"], "each row is asked why it got its answer")
    what = "it" if record["problem"] == "regression" else "each label"
    titles = ", ".join(one["title"] for one in record["methods"])
    mirrored = "; what speaks for one label speaks against the other" if has_opposite(record) else ""
    return (
        f"Which words drive {what}, by {titles}: what a word adds to {unit} in a text that has it (mean, 95% "
        f"t-interval over texts), its share of all that speaks for it; words of {record['least']} texts or more. "
        f"{asked.capitalize()}{mirrored}."
    )


def _driver_head(record: Record, label: Record, methods: Sequence[Record]) -> str:
    what = "number" if record["problem"] == "regression" else f"for {label['label']}"
    if len(methods) == 1:
        name = pad(sanitize(f"{what} ({many(label['rows'], 'row')})"), WORD + 8)
        return f"  {name}{'mean':>4}  {'95% interval':<16}{'texts':>6}{'share':>7}"
    return f"  {pad(sanitize(what), WORD + 2)}{_titles(methods)}{'texts':>7}"


def _titles(methods: Sequence[Record]) -> str:
    return "".join(f" {one['title']:>{_width(one)}}" for one in methods)


def _width(method: Record) -> int:
    return max(9, len(method["title"]))


def _driver_line(word: Record, found: Sequence[Record], methods: Sequence[Record], most: float) -> str:
    name = pad(sanitize(word["word"]), WORD)
    if len(found) == 1:
        bar = ("█" if word["value"] > 0 else "░") * max(1, round(BAR * abs(word["value"]) / most))
        ends = f"{word['low']:+.2f} to {word['high']:+.2f}"
        return f"    {name} {word['value']:>+9.2f}  {ends:<16}{word['texts']:>6,}{word['share']:>7.1%}  {bar}"
    cells = ""
    for label, method in zip(found, methods, strict=True):
        same = next(other for other in label["words"] if other["word"] == word["word"])
        cells += f" {same['value']:>+{_width(method)}.2f}"
    return f"    {name}{cells}{word['texts']:>7,}"


def shortcut_lines(record: Record) -> Iterator[str]:
    """Yield what right answers hang on that looks wrong, with what the model says without it."""
    claimed, rest = claims(record), [one for one in record["shortcuts"] if not one["claimed"]]
    titles = f"by {record['methods'][0]['title']}"
    yield f"Right answers for a wrong-looking reason ({titles})" + ("" if claimed else ": none found")
    if record["shortcuts"]:
        yield from _wrapped(CHECK)
        moves = "number moves by" if record["problem"] == "regression" else f"{'flip':<10}probability falls"
        yield f"    {'kind':{KIND}}{'label':{LABEL}}{'hang on it':<17}{moves}"
    for one in claimed:
        yield "  ! " + _shortcut(one, record)
        yield from _details(one)
    for one in rest[:UNCLAIMED]:
        yield "    " + _shortcut(one, record)
    if len(rest) > UNCLAIMED:
        yield f"    … and {len(rest) - UNCLAIMED} more with less effect: --json"
    yield from pair_lines(record)
    yield from blank_lines(record)


def claims(record: Record) -> list[Record]:
    """Return the shortcuts that the numbers bear."""
    return [one for one in record["shortcuts"] if one["claimed"]]


def _shortcut(one: Record, record: Record) -> str:
    hang = f"{one['rows']} of {one['of']} ({one['share']['value']:.0%})"
    fall = one["fall"]
    ends = "" if fall["low"] is None else f" ({fall['low']:.2f} to {fall['high']:.2f})"
    falls = f"{fall['value']:.2f}{ends}"
    if record["problem"] == "regression":
        falls += " sd"
    else:
        falls = f"{one['flips']} ({one['flips'] / one['rows']:.0%})".ljust(10) + falls
    kind, label = pad(sanitize(one["kind"]), KIND - 1), pad(sanitize(one["label"]), LABEL - 1)
    return f"{kind} {label} {hang:<16} {falls}"


def _details(one: Record) -> Iterator[str]:
    words = ", ".join(f"{word!r} {rows}" for word, rows in one["words"])
    yield from _wrapped(sanitize(f"{words}: {part_text(one)}"), " " * 6)
    if one["stands"] is not None:
        yield from _wrapped(sanitize(planted_text(one)), " " * 6)
    example = one["example"]
    what = repr(example["word"]) if one["stands"] is not None else f"its {one['kind']}"
    said = f"row {example['row']}: {figure(example['share'])}, without {what} {figure(example['without'])}"
    yield from _wrapped(f"{sanitize(said)}: {sanitize(example['text'])}", " " * 6)


def part_text(one: Record) -> str:
    """Return which part of all that speaks for the label a kind of evidence is, and what its strongest word does."""
    text = f"{one['carried']:.0%} of what speaks for {one['label']}, being {one['among']:.1%} of the words"
    if one["stands"] is not None:
        return text
    return (
        f"{text}; the strongest word alone left out flips {one['word_flips']}, falls by {one['word_fall']['value']:.2f}"
    )


def planted_text(one: Record) -> str:
    """Return where the word of a label stands in the data, and what it does to other texts."""
    stands, added, label = one["stands"], one["added"], one["label"]
    text = f"it stands in {stands['texts']:,} of {stands['of']:,} texts of {label} and in {stands['others']:,} others"
    if not added["rows"]:
        return text
    return f"{text}; put before {many(added['rows'], 'other text')} it makes {added['flips']} of them {label}"


def pair_lines(record: Record) -> Iterator[str]:
    """Yield of a model that reads two texts whether it reads both."""
    for which, other, stays in zip(("first", "second"), ("second", "first"), record["alone"], strict=False):
        mark = "!" if stays["low"] is not None and stays["low"] > STAYS else " "
        yield f"  {mark} without the {which} text {_interval(stays)} of the right answers stay: the {other} suffices"


def blank_lines(record: Record) -> Iterator[str]:
    """Yield what the model says to texts without words."""
    if record["problem"] == "regression" or not record["blank"]:
        return
    some = sorted(record["blank"].items(), key=lambda one: -one[1]["rows"])[:LABELS]
    said = ", ".join(f"{name} {one['stays']} of {one['rows']}" for name, one in some)
    yield from _wrapped(sanitize(f"Answers that stay with every word left out: {said}."))


def length_lines(record: Record) -> Iterator[str]:
    """Yield how right the model is by length, and whether the answer follows it."""
    length = record["length"]
    yield f"Length: {length_verdict(record)}"
    yield f"    {'words':12}{'rows':>6}{'right':>8}  95% interval"
    for part in length["bins"]:
        words = f"{part['from']}" if part["from"] == part["to"] else f"{part['from']} to {part['to']}"
        ends = f"{part['low']:.2f} to {part['high']:.2f}"
        bar = "█" * round(BAR * part["value"])
        yield f"    {words:12}{part['rows']:>6,}{part['value']:>8.0%}  {ends:<14}{bar}".rstrip()
    for line in length_texts(record):
        yield from _wrapped(line, " " * 4)


def length_verdict(record: Record) -> str:
    """Return in a few words whether the answer follows the length."""
    return "! the answer follows it" if record["length"]["claimed"] else "no sign that the answer follows it"


def length_texts(record: Record) -> Iterator[str]:
    """Yield the figures behind the verdict."""
    length = record["length"]
    what = "the number said" if record["problem"] == "regression" else f"the answer {length['label']}"
    said, true = length["said"], length["true"]
    yield sanitize(f"correlation with {what} {_interval(said)}, with the right one {figure(true['value'])}")
    if length["blank"] is not None:
        short, long = length["blank"]
        yield f"all words masked: {short:.2f} for the shortest quarter, {long:.2f} for the longest"


def belief_lines(record: Record) -> Iterator[str]:
    """Yield how faithful each method was over some of the rows."""
    methods = [one for one in record["methods"] if one["faithfulness"] is not None]
    if not methods:
        return
    rows = methods[0]["faithfulness"]["rows"]
    yield f"How far to believe it: area under the deletion curve, {many(rows, 'row')}, lower is better"
    yield f"    {'':21}{'deletion':>9}{'chance':>8}  difference"
    for one in methods:
        found = one["faithfulness"]
        yield (
            f"    {one['title']:21}{found['deletion']:>9.3f}{found['chance']:>8.3f}  "
            f"{_interval(found['difference'])}: {belief(found)}"
        )


def belief(found: Record) -> str:
    """Return in a few words whether a method does better than chance."""
    high = found["difference"]["high"]
    return "better" if high is not None and high < 0 else "no better"


def mistake_head(one: Record) -> str:
    """Return what was said of a row, what is right, and what drove it."""
    drove = ", ".join(f"{word!r} {value:+.2f}" for word, value in one["drove"])
    said = f"said {answer(one['said'])}, right is {answer(one['right'])}, loss {figure(one['loss'])}"
    return sanitize(f"row {one['row']}: {said}; for {one['label']} ({figure(one['share'])}): {drove}")


def answer(value: Any) -> str:
    """Return a label, labels or a number as people read it."""
    if isinstance(value, list):
        return " + ".join(value) or "(none)"
    return figure(value) if isinstance(value, float) else str(value)


def mistakes_title(record: Record) -> str:
    """Return the heading of the worst mistakes."""
    shown = len(record["mistakes"])
    if not shown:
        return "Worst mistakes: none of these rows is answered wrongly"
    return f"Worst mistakes, the highest loss first ({shown} of {record['wrong']:,} wrong rows)"


def time_text(record: Record) -> str:
    """Return how long it took."""
    spent = record["seconds"]
    return f"{many(record['rows'], 'row')} in {duration(spent)}, {figure(spent / max(1, record['rows']))} s each"


def _interval(found: Record) -> str:
    value = "nan" if found["value"] is None else f"{found['value']:.3f}"
    return value if found["low"] is None else f"{value} ({found['low']:.3f} to {found['high']:.3f})"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return wrapped(text, COLUMNS, indent)
