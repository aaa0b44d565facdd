"""Streamed text is whole characters without stop texts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hftune.inference.streaming import StopText, TokenText


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
