"""Banned words are not written, however they are spelt."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hftune.inference.banned import BannedWords, canonical_spellings, token_pieces

PIECES = ["good", " good", "go", "od", "g", " ", "G", "oo", "d", "ness", ".", " goods", "the", "!good!", " Go", "OD"]


@given(st.lists(st.integers(0, len(PIECES) - 1), max_size=30))
def test_no_way_of_spelling_it_writes_a_banned_word(tokens: list[int]) -> None:
    banned, text = BannedWords(["good"], PIECES), ""
    for token in tokens:
        if token not in banned.after(text):
            text += PIECES[token]
    assert not re.search(r"(?<!\w)good(?!\w)", text, re.IGNORECASE)


def test_words_that_only_contain_a_banned_one_can_be_written() -> None:
    banned = BannedWords(["good"], PIECES)
    assert PIECES.index(" goods") not in banned.after("all")
    assert PIECES.index("od") not in banned.after("some f")
    assert PIECES.index("od") in banned.after("some go")


def test_spellings_are_all_casings_alone_and_after_a_space(runs: Any) -> None:
    tokenizer = runs.byte_tokenizer()
    written = {tokenizer.decode(ids) for ids in canonical_spellings(tokenizer, ["film"])}
    assert written == {lead + word for lead in ("", " ") for word in ("film", "FILM", "Film")}


def test_pieces_are_what_each_token_adds_to_a_text(runs: Any) -> None:
    tokenizer = runs.byte_tokenizer()
    pieces = token_pieces(tokenizer, len(tokenizer) + 3)
    ids = tokenizer("The film was good.")["input_ids"]
    assert "".join(pieces[token] for token in ids) == "The film was good."
    assert pieces[tokenizer.eos_token_id] == "" and pieces[-1] == ""
