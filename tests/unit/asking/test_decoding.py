"""Settings of answers are checked, wherever they come from."""

from __future__ import annotations

from typing import Any

import pytest

from hftune.asking.decoding import Decoding, decoding_from, longest_answer, parse_setting
from hftune.errors import UsageError
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
