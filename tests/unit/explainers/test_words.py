"""Words as people see them, and which word each token is of."""

from __future__ import annotations

import pytest

from hftune.explainers._words import Word, owners, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The film, wasn't good.", ["The", "film", ",", "wasn't", "good", "."]),
        ("这部电影不好", ["这", "部", "电", "影", "不", "好"]),
        ("我爱BERT模型", ["我", "爱", "BERT", "模", "型"]),
        ("これはペンです", list("これはペンです")),
        ("café naïve", ["café", "naïve"]),
        ("so good!!", ["so", "good", "!", "!"]),
        ("🙂 fine", ["🙂", "fine"]),
        ("  ", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, words: list[str]) -> None:
    found = words_of(text)
    assert [word.text for word in found] == words
    assert all(text[word.start : word.end] == word.text for word in found)


def test_pieces_belong_to_the_word_they_are_of() -> None:
    words = words_of("unbelievable film.")
    assert owners(words, [(0, 0), (0, 2), (2, 8), (8, 12), (13, 17), (17, 18), (0, 0)]) == [None, 0, 0, 0, 1, 2, None]


def test_a_token_with_its_space_belongs_to_its_word() -> None:
    words = words_of("a film")
    assert owners(words, [(0, 1), (1, 6)]) == [0, 1]


def test_a_token_of_space_belongs_to_the_word_after_it() -> None:
    words = words_of("a  b ")
    assert owners(words, [(0, 1), (1, 2), (2, 4), (4, 5)]) == [0, 1, 1, 1]


def test_a_token_over_several_words_belongs_to_the_one_it_shares_most_with() -> None:
    words = [Word("ab", 0, 2), Word("cdef", 2, 6)]
    assert owners(words, [(0, 6)]) == [1]
    assert owners([], [(0, 3)]) == [None]
