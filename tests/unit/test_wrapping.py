"""Streamed text in a terminal: broken between words, whatever the pieces it comes in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hftune.commands.wrapping import Wrapping
from hftune.sanitize import columns_of

TEXTS = st.text(alphabet="ab,. \n中é", max_size=120)
PROSE = "A small network is trained on its own, which takes time."


def shown(width: int, *pieces: str) -> str:
    wrapping = Wrapping(width)
    return "".join([*map(wrapping.push, pieces), wrapping.close()])


def test_lines_end_between_words() -> None:
    assert shown(20, PROSE) == "A small network is\ntrained on its own,\nwhich takes time."
    assert shown(80, PROSE) == PROSE
    assert shown(18, PROSE) == "A small network is\ntrained on its\nown, which takes\ntime.", "a line that is just full"


def test_a_word_is_held_until_it_is_whole_and_no_longer() -> None:
    wrapping = Wrapping(20)
    assert [wrapping.push(piece) for piece in ("one", " tw", "o", " ", "three")] == ["", "one", "", " two", ""]
    assert wrapping.close() == " three"


def test_new_lines_and_indents_of_the_text_stay() -> None:
    assert shown(12, "- one two\n  - three four\n\nend") == "- one two\n  - three\nfour\n\nend"
    assert shown(12, "end\n") == "end\n"


def test_a_word_longer_than_a_line_is_left_to_the_terminal() -> None:
    assert shown(5, "ab " + "x" * 12 + " cd") == "ab\n" + "x" * 12 + " cd"


def test_text_without_spaces_is_shown_as_it_comes() -> None:
    wrapping = Wrapping(20)
    assert "".join(map(wrapping.push, "这是一个示例")) == "这是一个示例"


@given(TEXTS, st.integers(1, 30), st.lists(st.integers(0, 120), max_size=8))
def test_nothing_is_lost_and_no_line_of_words_that_fit_is_too_long(text: str, width: int, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]
    found = shown(width, *pieces)
    assert found.split() == text.split() or "中" in text
    assert "".join(found.split()) == "".join(text.split())
    if all(columns_of(word) <= width for word in text.split()) and "中" not in text:
        indented = any(line[:1] == " " for line in text.split("\n"))
        for line in [] if indented else found.split("\n"):
            assert columns_of(line.rstrip()) <= width and line[:1] != " "
