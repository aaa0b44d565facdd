"""Texts on the command line may stand before, between and after options."""

from __future__ import annotations

import pytest

from hftune.cli import _parse
from hftune.errors import UsageError


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "latest", "good", "bad", "--json"],
        ["predict", "latest", "--json", "good", "bad"],
        ["predict", "latest", "good", "--json", "bad"],
        ["predict", "--json", "latest", "good", "bad"],
    ],
)
def test_texts_are_found_wherever_options_stand(words: list[str]) -> None:
    arguments = _parse(words)
    assert (arguments.run, arguments.text, arguments.json) == ("latest", ["good", "bad"], True)


def test_a_text_that_begins_with_a_dash_follows_two_dashes() -> None:
    assert _parse(["generate", "latest", "--json", "--", "-1 is a number"]).prompt == ["-1 is a number"]


@pytest.mark.parametrize("words", [["predict", "latest", "--jsno", "good"], ["stop", "latest", "again"]])
def test_what_no_verb_takes_is_an_error(words: list[str]) -> None:
    with pytest.raises(UsageError, match="unrecognized"):
        _parse(words)
