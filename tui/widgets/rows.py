"""What is asked and answered as rows: pieces of cleaned text, each with what it is. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

from hftune.asking.answers import filling_lines, prediction_lines
from hftune.figures import many

from ..answers import Answer, Exchange, Item, Notice
from ..drawing import columns_of, pad, sanitize
from . import explained
from .wrapped import Wrapped, wrap

Row = explained.Row
KINDS = ("asked", "muted", "first", "heading", "warning", "wrong", "match", *explained.KINDS)

BESIDE_COLUMNS = 110  # of a terminal from which on two answers stand beside each other
QUESTION_ROWS = 12
AROUND_BAR = 26  # columns around a name and its bar: mark, share, margin
LONGEST_BAR = 66
MARKS = {"info": "·", "warning": "!", "error": "✗"}
NOTICE_KINDS = {"info": "muted", "warning": "warning", "error": "wrong"}
ENDINGS = {
    "eos": "ended by itself", "length": "as long as it may be", "stop": "ended at a stop text",
    "cancelled": "stopped",
}  # fmt: skip


class Block:
    """The rows of one item of a conversation, made again only when it changed or the columns did."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.rows: list[Row] = []
        self._key: tuple[int, ...] = ()
        self._texts = [Wrapped() for _ in item.answers] if isinstance(item, Exchange) else []

    def lay_out(self, columns: int, side_by_side: bool) -> bool:
        """Bring `rows` up to date; tell whether they had to be made."""
        item = self.item
        versions = [answer.version for answer in item.answers] if isinstance(item, Exchange) else []
        key = (columns, side_by_side, *versions)
        if key == self._key:
            return False
        self._key = key
        if isinstance(item, Notice):
            self.rows = [*_notice_rows(item, columns), ()]
        else:
            self.rows = [*_question_rows(item, columns), *self._answers(item, columns, side_by_side), ()]
        return True

    def _answers(self, item: Exchange, columns: int, side_by_side: bool) -> Iterable[Row]:
        if len(item.answers) == 1:
            return _indented(answer_rows(item.answers[0], self._texts[0], columns - 2))
        if not side_by_side:
            stacked: list[Row] = []
            for answer, text in zip(item.answers, self._texts, strict=True):
                stacked += [_heading(answer), *answer_rows(answer, text, columns - 2)]
            return _indented(stacked)
        each = (columns - 5) // 2
        left, right = (
            [_heading(answer), *answer_rows(answer, text, each)]
            for answer, text in zip(item.answers, self._texts, strict=True)
        )
        return _indented(
            (*_filled(one, each), (" │ ", "muted"), *two) for one, two in zip_longest(left, right, fillvalue=())
        )


def weight(item: Item) -> int:
    """Return about how many characters an item shows."""
    if isinstance(item, Notice):
        return len(item.text)
    return min(2000, len(item.text)) + sum(min(100_000, len(answer.text)) + 200 for answer in item.answers)


def answer_rows(answer: Answer, text: Wrapped, columns: int) -> list[Row]:
    """Return one answer as rows of at most `columns`; `text` keeps the rows of what is written."""
    rows: list[Row] = []
    longest = max(12, min(LONGEST_BAR, columns - AROUND_BAR))
    if answer.prediction is not None:
        rows += _bars(prediction_lines(answer.prediction, longest)) + explained.explanation_rows(answer, columns)
    elif answer.filling is not None:
        rows += _bars(filling_lines(answer.filling, longest))
    elif answer.text:
        text.grow(answer.text, columns, anew=answer.over)
        rows += [((row, ""),) for row in text.rows]
        if text.hidden:
            rows.append(((f"… {many(text.hidden, 'character')} more: y copies all of it", "muted"),))
    return rows + _ending(answer, columns)


def settings_words(settings: Mapping[str, Any], seed: int | None = None) -> str:
    """Return the settings of decoding in force as words: `temperature 0.8 · top_p 0.95 · top_k 50`."""
    if settings.get("temperature") == 0:
        said = ["greedy"]
    else:
        said = [f"temperature {settings.get('temperature'):g}"]
        said += [f"top_p {settings['top_p']:g}"] if settings.get("top_p", 1) < 1 else []
        said += [f"top_k {settings['top_k']}"] if settings.get("top_k") else []
    if (penalty := settings.get("repetition_penalty", 1)) != 1:
        said.append(f"repetition_penalty {penalty:g}")
    if settings.get("max_new_tokens"):
        said.append(f"max_new_tokens {settings['max_new_tokens']}")
    said += [f"{name} {', '.join(map(repr, settings[name]))}" for name in ("stop", "ban") if settings.get(name)]
    if seed is not None:
        said.append(f"seed {seed}")
    elif settings.get("seed") is not None:
        said.append(f"seed {settings['seed']}")
    return " · ".join(said)


def pace_words(answer: Answer) -> str:
    """Return how fast an answer comes or came: `34 tokens · 12.5 tokens/s · first after 0.25 s`."""
    said = [many(answer.tokens, "token")]
    if answer.tokens_per_second:
        said.append(f"{answer.tokens_per_second:.1f} tokens/s")
    if answer.first_token_seconds is not None:
        said.append(f"first after {answer.first_token_seconds:.2f} s")
    return " · ".join(said)


def _ending(answer: Answer, columns: int) -> list[Row]:
    """Return what is to be said below an answer, or in its place."""
    if answer.state == "failed":
        return [*_words(f"✗ {answer.error}", "wrong", columns), *_words(answer.hint, "muted", columns)]
    if answer.state == "waiting":
        return [(("… waits for its turn", "muted"),)]
    if answer.state == "asked":
        return [] if answer.text else [(("…", "muted"),)]
    written = answer.prediction is None and answer.filling is None
    if not written:
        return []
    if not answer.finish_reason:
        return [(("stopped before anything was written", "muted"),)] if answer.state == "stopped" else []
    empty: list[Row] = [] if answer.text else [(("(nothing was written)", "muted"),)]
    reason = ENDINGS.get(answer.finish_reason, answer.finish_reason)
    words = f"{reason} · {pace_words(answer)} · {settings_words(answer.settings, answer.seed)}"
    notes = [row for note in answer.notes for row in _words(f"! {note}", "warning", columns)]
    return [*empty, *_words(words, "muted", columns), *notes]


def _question_rows(item: Exchange, columns: int) -> list[Row]:
    shown = wrap(item.text[: QUESTION_ROWS * columns], columns - 2)
    rows: list[Row] = [(("once more:", "muted"),)] if item.again else []
    rows += [(("› " if number == 0 else "  ", "heading"), (row, "asked")) for number, row in enumerate(shown)]
    kept = len(rows) if len(rows) <= QUESTION_ROWS and len(item.text) <= QUESTION_ROWS * columns else QUESTION_ROWS
    if kept < len(rows) or len(item.text) > QUESTION_ROWS * columns:
        rows = [*rows[:kept], ((f"  … ({many(len(item.text), 'character')} in all)", "muted"),)]
    return rows


def _notice_rows(notice: Notice, columns: int) -> list[Row]:
    kind = NOTICE_KINDS[notice.level]
    rows = wrap(notice.text, columns - 2)
    return [((f"{MARKS[notice.level] if number == 0 else ' '} ", kind), (row, kind)) for number, row in enumerate(rows)]


def _bars(lines: Iterable[str]) -> list[Row]:
    return [((sanitize(line), "first" if number == 0 else ""),) for number, line in enumerate(lines)]


def _words(text: str, kind: str, columns: int) -> list[Row]:
    return [((row, kind),) for row in wrap(text, columns)] if text else []


def _heading(answer: Answer) -> Row:
    return ((sanitize(answer.model), "heading"),)


def _indented(rows: Iterable[Row]) -> list[Row]:
    return [(("  ", ""), *row) for row in rows]


def _filled(row: Row, columns: int) -> Row:
    """Return a row in exactly so many columns."""
    used = sum(columns_of(text) for text, _ in row)
    if used <= columns:
        return (*row, (" " * (columns - used), ""))
    (text, kind), *_ = row
    return ((pad(text, columns), kind),)


def words_of(row: Row) -> str:
    """Return the text of a row."""
    return "".join(text for text, _ in row)


def answer_text(answer: Answer) -> str:
    """Return an answer as text alone, for the clipboard."""
    if answer.prediction is not None:
        return "\n".join(prediction_lines(answer.prediction))
    if answer.filling is not None:
        return "\n".join(filling_lines(answer.filling))
    return answer.text
