"""The unchanged `openai` client against `hftune serve` of real runs: answers as in one process, errors as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from hftune.asking.decoding import Decoding
from hftune.inference.predictor import Predictor
from tests.unit.serving.serving import Server, at_once

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12}
SAME = Decoding(temperature=0, max_new_tokens=12)
HELLO = [{"role": "user", "content": "The film was"}]


@pytest.fixture(scope="module")
def chatting(chat_run: Path) -> Predictor:
    return Predictor.load(chat_run)


@pytest.fixture(scope="module")
def continuing(language_run: Path) -> Predictor:
    return Predictor.load(language_run)


def test_a_chat_is_answered_as_in_the_same_process(client: openai.OpenAI, chat_run: Path, chatting: Predictor) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    expected = chatting.generate(messages, SAME)
    found = client.chat.completions.create(model=chat_run.name, messages=messages, **GREEDY)
    (choice,) = found.choices
    assert choice.message.role == "assistant" and choice.message.content == expected.text
    assert choice.finish_reason == ("length" if expected.finish_reason == "length" else "stop")
    used = found.usage
    assert (used.prompt_tokens, used.completion_tokens) == (expected.prompt_tokens, expected.tokens)
    assert used.total_tokens == expected.prompt_tokens + expected.tokens
    assert (found.object, found.model) == ("chat.completion", chat_run.name)


def test_a_streamed_chat_is_the_same_in_pieces(client: openai.OpenAI, chat_run: Path, chatting: Predictor) -> None:
    expected = chatting.generate(HELLO, SAME)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=chat_run.name, messages=HELLO, **GREEDY, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == expected.text and len([piece for piece in pieces if piece]) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == expected.tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_an_answer_can_be_handed_back_as_it_came(client: openai.OpenAI, chat_run: Path, chatting: Predictor) -> None:
    first = client.chat.completions.create(model=chat_run.name, messages=HELLO, **GREEDY).choices[0].message
    again = {"role": "user", "content": [{"type": "text", "text": "Any"}, {"type": "text", "text": " more?"}]}
    found = client.chat.completions.create(model=chat_run.name, messages=[*HELLO, first, again], **GREEDY)
    said = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": "Any more?"}]
    assert found.choices[0].message.content == chatting.generate(said, SAME).text


def test_a_text_is_continued_and_several_are_in_order(
    client: openai.OpenAI, language_run: Path, continuing: Predictor
) -> None:
    prompts = ["the film", "the plot was", "we"]
    found = client.completions.create(model=language_run.name, prompt=prompts, **GREEDY)
    expected = [continuing.generate(prompt, SAME) for prompt in prompts]
    assert [choice.text for choice in found.choices] == [one.text for one in expected]
    assert [choice.index for choice in found.choices] == [0, 1, 2]
    assert found.usage.completion_tokens == sum(one.tokens for one in expected)
    alone = client.completions.create(model=language_run.name, prompt="the film", **GREEDY)
    assert alone.choices[0].text == expected[0].text


def test_streamed_completions_come_one_after_the_other(client: openai.OpenAI, language_run: Path) -> None:
    prompts = ["the film", "the plot was"]
    whole = client.completions.create(model=language_run.name, prompt=prompts, **GREEDY)
    texts = ["", ""]
    for chunk in client.completions.create(model=language_run.name, prompt=prompts, stream=True, **GREEDY):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]


def test_a_text_run_continues_a_conversation_as_one_text(
    client: openai.OpenAI, language_run: Path, continuing: Predictor
) -> None:
    said = [{"role": "user", "content": "the film"}, {"role": "assistant", "content": " was"}]
    messages = [*said, {"role": "user", "content": " good"}]
    found = client.chat.completions.create(model=language_run.name, messages=messages, **GREEDY)
    assert found.choices[0].message.content == continuing.generate("the film was good", SAME).text


def test_sampling_is_the_same_with_a_seed_and_as_hftune_samples(
    client: openai.OpenAI, language_run: Path, continuing: Predictor
) -> None:
    asked: dict[str, Any] = {"model": language_run.name, "prompt": "the film", "max_tokens": 16, "seed": 7}
    first = client.completions.create(**asked, temperature=1.3, top_p=0.9)
    decoding = Decoding(max_new_tokens=16, seed=7, temperature=1.3, top_p=0.9)
    assert first.choices[0].text == continuing.generate("the film", decoding).text
    more = {"top_k": 3, "repetition_penalty": 1.5, "ban": ["good"]}
    found = client.completions.create(**asked, extra_body=more).choices[0].text
    decoding = Decoding(max_new_tokens=16, seed=7, top_k=3, repetition_penalty=1.5, ban=("good",))
    assert found == continuing.generate("the film", decoding).text


@pytest.mark.parametrize("stop", ["good", ["dreadful", "good"]])
def test_a_stop_text_ends_the_answer(client: openai.OpenAI, language_run: Path, stop) -> None:
    found = client.completions.create(model=language_run.name, prompt="the film was", stop=stop, temperature=0)
    assert found.choices[0].finish_reason == "stop" and "good" not in found.choices[0].text
    whole = client.completions.create(model=language_run.name, prompt="the film was", temperature=0)
    assert whole.choices[0].text.startswith(found.choices[0].text + "good")


def test_max_completion_tokens_is_max_tokens(client: openai.OpenAI, chat_run: Path) -> None:
    found = client.chat.completions.create(
        model=chat_run.name, messages=HELLO, max_completion_tokens=3, max_tokens=3, temperature=0
    )
    assert found.usage.completion_tokens == 3 and found.choices[0].finish_reason == "length"


def test_models_are_listed_and_found_by_shorter_names(client: openai.OpenAI, chat_run: Path, served: Server) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed == served.hello["models"] and len(listed) == 5
    assert client.models.retrieve(chat_run.name).model_extra["task"] == "text-generation"
    for name in ("chat-", "chat-aaaa", "aaaa"):
        found = client.chat.completions.create(model=name, messages=HELLO, max_tokens=1)
        assert found.model == chat_run.name
    assert client.models.retrieve("latest").id in listed


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("changed", "kind", "param", "says"),
    [
        ({"model": "gpt-4"}, openai.NotFoundError, "model", "chat-20260101-000000-aaaa"),
        ({"model": "tiny"}, openai.NotFoundError, "model", "could be"),
        ({"model": "default"}, openai.BadRequestError, "model", "5 are served"),
        ({"model": "pair-"}, openai.BadRequestError, "model", "/v1/classify"),
        ({"n": 2}, openai.BadRequestError, "n", "n is not supported"),
        ({"temperature": -1}, openai.BadRequestError, "temperature", "0 or more"),
        ({"top_p": 0}, openai.BadRequestError, "top_p", "above 0"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens", "1 to 300"),
        ({"max_tokens": 301}, openai.BadRequestError, "max_tokens", "1 to 300"),
        ({"max_tokens": 256}, openai.BadRequestError, None, "more than the 256"),
        ({"messages": []}, openai.BadRequestError, "messages", "empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, openai.BadRequestError, "messages[0].role", "system"),
        ({"tools": [{"type": "function"}]}, openai.BadRequestError, "tools", "not supported"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs", "not supported"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format", "not supported"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "temprature", "'temperature'"),
    ],
)
def test_errors_are_the_clients_own_and_name_the_field(
    client: openai.OpenAI, chat_run: Path, stream, changed, kind, param, says
) -> None:
    asked = {"model": chat_run.name, "messages": HELLO, "max_tokens": 2, "stream": stream, **changed}
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**asked)
    assert caught.value.param == param and says in caught.value.message
    assert caught.value.body["message"] and caught.value.body["type"]


def test_a_prompt_that_does_not_fit_is_refused_whole(client: openai.OpenAI, language_run: Path) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=language_run.name, prompt="the film was good " * 60)
    assert caught.value.code == "context_length_exceeded"


def test_what_fits_no_limit_of_the_body_is_refused(client: openai.OpenAI, language_run: Path) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model=language_run.name, prompt="x" * (1 << 21))
    assert caught.value.status_code == 413


def test_many_ask_at_once_and_each_gets_its_own_answer(
    client: openai.OpenAI, language_run: Path, continuing: Predictor
) -> None:
    prompts = [f"the {thing} {verb}" for thing in ("film", "plot", "story", "movie") for verb in ("was", "is")] * 2

    def ask(number: int) -> str:
        asked: dict[str, Any] = {"model": language_run.name, "prompt": prompts[number], **GREEDY}
        if number % 2:
            return "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
        return client.completions.create(**asked).choices[0].text

    with at_once(8) as pool:
        found = list(pool.map(ask, range(len(prompts))))
    assert found == [continuing.generate(prompt, SAME).text for prompt in prompts]
