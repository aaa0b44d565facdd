"""Prompts of which nothing may be left out, as a server takes them: they fit, or they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hftune.asking.decoding import Decoding
from hftune.inference.predictor import Predictor
from hftune.inference.prompts import TooManyTokensError, make_prompt, make_whole_prompt
from tests.conftest import CHATML

CONTEXT = 64


@pytest.fixture(scope="module")
def asked(generator: Path) -> Predictor:
    return Predictor.load(generator)


def tokens(asked: Predictor, text: str) -> int:
    return len(make_prompt(asked.loaded.tokenizer, "text", text, 1, None).ids)


def test_what_fits_is_answered_as_without_a_limit(asked: Predictor) -> None:
    decoding = Decoding(max_new_tokens=6, temperature=0)
    limited = asked.generate("The film was", decoding, most_tokens=CONTEXT)
    assert limited.text == asked.generate("The film was", decoding).text
    assert limited.notes == ()


def test_prompt_and_answer_that_pass_the_limit_are_refused_and_those_that_just_fit_are_not(asked: Predictor) -> None:
    prompt = "The film was"
    size = tokens(asked, prompt)
    greedy = Decoding(max_new_tokens=5, temperature=0)
    with pytest.raises(TooManyTokensError, match=f"{size} tokens of the prompt and 5 asked for .* {size + 4} "):
        asked.generate(prompt, greedy, most_tokens=size + 4)
    assert asked.generate(prompt, greedy, most_tokens=size + 5).prompt_tokens == size


def test_a_prompt_that_the_model_cannot_take_whole_is_refused_whatever_the_limit(asked: Predictor) -> None:
    with pytest.raises(TooManyTokensError, match=f"more than the {CONTEXT} "):
        asked.generate("x " * CONTEXT, Decoding(temperature=0), most_tokens=100_000)


def test_without_a_length_the_answer_takes_what_room_there_is(asked: Predictor) -> None:
    tokenizer = asked.loaded.tokenizer
    size = tokens(asked, "The film was")
    assert make_whole_prompt(tokenizer, "text", "The film was", None, size + 3, 60).max_new_tokens == 3
    assert make_whole_prompt(tokenizer, "text", "The film was", None, size + 300, 60).max_new_tokens == 60
    with pytest.raises(TooManyTokensError, match="and 1 of an answer"):
        make_whole_prompt(tokenizer, "text", "The film was", None, size, 60)


def test_no_message_of_a_conversation_is_left_out(runs, tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}]
    run = runs.generator_run(tmp_path / "chat", {"rows": rows, "messages": "messages"}, CHATML, positions=400)
    asked = Predictor.load(run)
    said = [{"role": role, "content": "The film was good."} for role in ("user", "assistant") * 3]
    messages = [*said, {"role": "user", "content": "The plot?"}]
    decoding = Decoding(max_new_tokens=2, temperature=0)
    whole = asked.generate(messages, decoding, most_tokens=400)
    assert whole.prompt_tokens == asked.generate(messages, decoding).prompt_tokens
    with pytest.raises(TooManyTokensError):
        asked.generate(messages, decoding, most_tokens=whole.prompt_tokens + 1)


@pytest.mark.parametrize("style", ["text", "completion"])
def test_whole_prompts_are_read_as_others_are(asked: Predictor, style) -> None:
    said = [{"role": "user", "content": "The film"}, {"role": "assistant", "content": " was"}]
    messages = [*said, {"role": "user", "content": "good"}]
    for prompt in (messages, "The plot is"):
        usual = make_prompt(asked.loaded.tokenizer, style, prompt, 5, None)
        assert make_whole_prompt(asked.loaded.tokenizer, style, prompt, 5, 1000, 60) == usual
