"""Nothing from data or models steers the terminal, and no text is lost to it."""

import pytest

from hftune.sanitize import clip, columns_of, pad, sanitize


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain [bold]ünï 漢字 👍🏽[/bold]", "plain [bold]ünï 漢字 👍🏽[/bold]"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;aGk=\x1b\\text", "text"),
        ("\x1bP1;2q\x1b\\text", "text"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("a\x1b]0;never ended", "a0;never ended"),
        ("a\x1bcb", "ab"),
        ("a\x00\x07\x08\x7f\x85b", "a b"),
        ("one\r\ntwo\tthree\u2028four", "one two three four"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("\ud800half", "half"),
        ("\x1b[", ""),
        ("\x1b", ""),
    ],
)
def test_controls_go_and_text_stays(text, clean):
    assert sanitize(text) == clean


def test_lines_can_be_kept():
    assert sanitize("one\r\n\ttwo\rthree\x1b[2J", lines=True) == "one\n\ttwothree"


def test_anything_can_be_printed():
    assert sanitize(None) == "None"


@pytest.mark.parametrize("text", ["short", "a line that is too long", "一部很好看的电影", "films 🙂🙂🙂🙂🙂🙂"])
def test_a_line_takes_no_more_columns_than_there_are(text):
    assert columns_of(clip(text, 10)) <= 10
    assert columns_of(pad(text, 10)) == columns_of(pad(text, 10, right=True)) == 10
    assert clip(text, 10) == text if columns_of(text) <= 10 else clip(text, 10).endswith("…")
