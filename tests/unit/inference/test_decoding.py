"""Settings are checked; streamed text is whole characters without stop texts; banned words are not written."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftune.errors import UsageError
from hftune.inference.banned import BannedWords, canonical_spellings, token_pieces
from hftune.inference.decoding import Decoding, StopText, TokenText, decoding_from, longest_answer, parse_setting
from hftune.verbs import DECODING


def test_flags_and_settings_have_the_same_defaults() -> None:
    flags = {item.flags[0].removeprefix("--").replace("-", "_"): item.default for item in DECODING}
    defaults = Decoding().to_dict()
    assert {name: value or ([] if name in ("stop", "ban") else None) for name, value in flags.items()} == defaults


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"temperature": True},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"top_k": 1.5},
        {"max_new_tokens": 0},
        {"repetition_penalty": 0},
        {"stop": [""]},
        {"stop": 3},
        {"ban": [" "]},
        {"seed": -1},
        {"temprature": 1},
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        decoding_from(wrong)
    assert next(iter(wrong)) in caught.value.message


def test_settings_from_json_change_only_what_they_name() -> None:
    base = Decoding(top_k=7, stop=("x",))
    assert decoding_from({"temperature": 0, "stop": "y"}, base) == Decoding(top_k=7, temperature=0.0, stop=("y",))
    assert (parse_setting("max-new-tokens", "5"), parse_setting("seed", "none")) == (5, None)
    with pytest.raises(UsageError, match="not a number"):
        parse_setting("top_k", "many")


def test_an_answer_in_a_chat_may_be_longer_unless_someone_says() -> None:
    assert (longest_answer("text", 1024), longest_answer("completion", None)) == (60, 60)
    assert (longest_answer("chat", 8192), longest_answer("chat", None), longest_answer("chat", 128)) == (256, 256, 64)
    base = decoding_from({"max_new_tokens": 5})
    assert decoding_from({"max_new_tokens": parse_setting("max_new_tokens", "none")}, base) == Decoding()
    with pytest.raises(UsageError, match="not a whole number"):
        decoding_from({"top_k": None})


def bytes_decoder(tokens: list[int]) -> str:
    return bytes(tokens).decode("utf-8", "replace")


@given(st.text(max_size=80))
def test_a_text_cut_into_bytes_streams_as_whole_characters(text: str) -> None:
    stream = TokenText(bytes_decoder)
    pieces = [stream.push(byte) for byte in text.encode()]
    assert "".join([*pieces, stream.close()]) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_text_stream_as_they_decode(data: bytes) -> None:
    stream = TokenText(bytes_decoder)
    shown = "".join([*(stream.push(byte) for byte in data), stream.close()])
    assert shown == data.decode("utf-8", "replace") or shown + "\ufffd" == data.decode("utf-8", "replace")


def test_an_unfinished_character_at_the_end_is_not_shown() -> None:
    stream = TokenText(bytes_decoder)
    assert "".join(stream.push(byte) for byte in "ok 🙂".encode()[:-1]) + stream.close() == "ok "


@given(st.text("ab#\n", max_size=60), st.lists(st.text("ab#\n", min_size=1, max_size=4), max_size=3), st.integers())
def test_stop_texts_end_the_answer_and_never_leak(text: str, stops: list[str], seed: int) -> None:
    draw, filtered, pieces, at = random.Random(seed), StopText(stops), [], 0
    while at < len(text):
        size = draw.randint(1, 5)
        pieces.append(filtered.push(text[at : at + size]))
        at += size
        shown = "".join(pieces)
        assert not any(stop in shown for stop in stops)
    shown = "".join([*pieces, filtered.close()])
    assert text.startswith(shown)
    assert filtered.stopped == any(stop in text for stop in stops)
    if not filtered.stopped:
        assert shown == text


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
