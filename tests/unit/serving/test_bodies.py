"""Whatever a body holds: a 400 that names what is wrong with it, never a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftune.serving import requests
from hftune.serving.exchange import as_json, parse
from hftune.serving.limits import Limits
from hftune.serving.problems import ApiError
from tests.unit.serving.conftest import GENERATOR, fake_run
from tests.unit.serving.serving import Server

CHAT, COMPLETE, CLASSIFY = "/v1/chat/completions", "/v1/completions", "/v1/classify"
LIMITS = Limits()
USER = {"role": "user", "content": "hello"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("bodies")
    started = Server(folder, [fake_run(folder / "gen", GENERATOR)], fake=True)
    yield started.ready()
    started.close()


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": [USER], **fields}


def deep(depth: int) -> bytes:
    return b'{"messages": ' + b"[" * depth + b"]" * depth + b"}"


WRONG = [
    (CHAT, b"", None, "not JSON"),
    (CHAT, b"{", None, "not JSON"),
    (CHAT, b"null", None, "not an object"),
    (CHAT, b'"text"', None, "not an object"),
    (CHAT, b"[]", None, "not an object"),
    (CHAT, b'{"messages": []} x', None, "not JSON"),
    (CHAT, b'\xff\xfe{"a": 1}', None, "not UTF-8 (byte 0)"),
    (CHAT, b'{"messages": [{"role": "user", "content": "\xe9"}]}', None, "not UTF-8"),
    (CHAT, b'{"temperature": NaN}', None, "NaN is no JSON"),
    (CHAT, b'{"temperature": -Infinity}', None, "-Infinity is no JSON"),
    (CHAT, b'{"seed": ' + b"9" * 5000 + b"}", None, "not JSON"),
    (CHAT, deep(100_000), None, "nested too deeply"),
    (CHAT, deep(50), "messages[0]", "a list, not a message"),
    (CHAT, {}, "messages", "missing"),
    (CHAT, {"messages": "hello"}, "messages", "not a list"),
    (CHAT, {"messages": []}, "messages", "empty"),
    (CHAT, {"messages": [3]}, "messages[0]", "3, not a message"),
    (CHAT, {"messages": [USER, {"role": "user"}]}, "messages[1].content", "missing"),
    (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role", "missing"),
    (CHAT, {"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", "not a text"),
    (CHAT, {"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role", '"bot", not one of'),
    (CHAT, {"messages": [{**USER, "content": 5}]}, "messages[0].content", "5, not a text"),
    (CHAT, {"messages": [{**USER, "content": ["x"]}]}, "messages[0].content[0]", "not a part"),
    (CHAT, {"messages": [{**USER, "content": [{"type": "image_url"}]}]}, "messages[0].content[0]", "not supported"),
    (CHAT, {"messages": [{**USER, "content": "\ud800"}]}, "messages[0].content", "surrogate"),
    (CHAT, {"messages": [{**USER, "tool_calls": [1]}]}, "messages[0].tool_calls", "not supported"),
    (CHAT, {"messages": [{**USER, "contents": "x"}]}, "messages[0].contents", "Did you mean 'content'?"),
    (CHAT, chat(model=3), "model", "3, not a text"),
    (CHAT, chat(stream="yes"), "stream", "true or false"),
    (CHAT, chat(stream_options=[]), "stream_options", "not an object"),
    (CHAT, chat(stream_options={"include": True}), "stream_options.include", "no field"),
    (CHAT, chat(temperature="hot"), "temperature", "not a number"),
    (CHAT, chat(temperature=True), "temperature", "not a number"),
    (CHAT, b'{"messages": [{"role": "user", "content": ""}], "temperature": 1e999}', "temperature", "not a number"),
    (CHAT, chat(temperature=-0.5), "temperature", "0 or more"),
    (CHAT, chat(top_p=1.5), "top_p", "at most 1"),
    (CHAT, chat(top_k=-1), "top_k", "0 (all) or more"),
    (CHAT, chat(repetition_penalty=0), "repetition_penalty", "above 0"),
    (CHAT, chat(seed=-1), "seed", "from 0"),
    (CHAT, chat(seed=2**70), "seed", "from 0"),
    (CHAT, chat(seed=1.5), "seed", "not a whole number"),
    (CHAT, chat(max_tokens=-1), "max_tokens", "1 to 4096"),
    (CHAT, chat(max_tokens=10**30), "max_tokens", "1 to 4096"),
    (CHAT, chat(max_tokens="9"), "max_tokens", "not a whole number"),
    (CHAT, chat(max_tokens=1, max_completion_tokens=2), "max_tokens", "differ"),
    (CHAT, chat(stop=3), "stop", "not a text or a list"),
    (CHAT, chat(stop=["a", 3]), "stop[1]", "not a text"),
    (CHAT, chat(stop=["a"] * 17), "stop", "17 items, and 16"),
    (CHAT, chat(stop=""), "stop", "not empty"),
    (CHAT, chat(ban=["x"] * 65), "ban", "65 items"),
    (CHAT, chat(n=2), "n", "but as 1"),
    (CHAT, chat(n=True), "n", "but as 1"),
    (CHAT, chat(presence_penalty=0.5), "presence_penalty", "not supported"),
    (CHAT, chat(logit_bias={"5": 1}), "logit_bias", "not supported"),
    (CHAT, chat(tools=[{}]), "tools", "not supported"),
    (CHAT, chat(top_logprobs=2), "top_logprobs", "not supported"),
    (CHAT, chat(prompt="x"), "prompt", "no field"),
    (CHAT, {**chat(), "x" * 5000: 1}, "x" * 60, "no field"),
    (COMPLETE, {}, "prompt", "missing"),
    (COMPLETE, {"prompt": []}, "prompt", "empty"),
    (COMPLETE, {"prompt": [1, 2, 3]}, "prompt", "token ids are not supported"),
    (COMPLETE, {"prompt": {"text": "x"}}, "prompt", "an object, not a text"),
    (COMPLETE, {"prompt": ["x"] * 257}, "prompt", "257 items"),
    (COMPLETE, {"prompt": "x", "echo": True}, "echo", "not supported"),
    (COMPLETE, {"prompt": "x", "best_of": 3}, "best_of", "not supported"),
    (COMPLETE, {"prompt": "x", "logprobs": 0}, "logprobs", "not supported"),
    (COMPLETE, {"prompt": "x", "max_completion_tokens": 3}, "max_completion_tokens", "no field"),
    (CLASSIFY, {}, "input", "missing"),
    (CLASSIFY, {"input": None}, "input", "missing"),
    (CLASSIFY, {"input": []}, "input", "empty"),
    (CLASSIFY, {"input": ""}, "input", "empty"),
    (CLASSIFY, {"input": ["x", " \n"]}, "input[1]", "empty"),
    (CLASSIFY, {"input": [None]}, "input[0]", "missing"),
    (CLASSIFY, {"input": 7}, "input", "7, not a text"),
    (CLASSIFY, {"input": {"a": 1}}, "input", "an object, not a text"),
    (CLASSIFY, {"input": ["x", ["a", "b"]]}, "input", "mixes"),
    (CLASSIFY, {"input": [["a"]]}, "input[0]", "1 texts; a pair has two"),
    (CLASSIFY, {"input": [["a", 1]]}, "input[0][1]", "not a text"),
    (CLASSIFY, {"input": ["x"] * 257}, "input", "257 items, and 256"),
    (CLASSIFY, {"input": "x", "inputs": "y"}, "inputs", "Did you mean 'input'?"),
]


@pytest.mark.parametrize(("path", "body", "param", "says"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named(server: Server, path, body, param, says) -> None:
    answer = server.ask(path, body)
    assert answer.status == 400, answer.body
    assert (answer.error["param"], answer.error["type"]) == (param, "invalid_request_error")
    assert says in answer.error["message"] and len(answer.error["message"]) <= 501


def test_nothing_of_that_harmed_the_server(server: Server) -> None:
    assert server.ask(COMPLETE, {"prompt": "count 2"}).json["choices"][0]["text"] == " 0 1"
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "user": "me", "store": False},
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "logprobs": False},
        {"temperature": None, "stop": None, "max_tokens": None, "stream_options": None, "seed": None},
        {"stop": [], "parallel_tool_calls": True, "metadata": {"a": "b"}, "service_tier": "auto"},
        {"stop": ["x", "y"], "top_p": 1, "temperature": 0, "seed": 2**63 - 1, "max_completion_tokens": 4096},
    ],
)
def test_what_changes_no_answer_is_taken(fields) -> None:
    assert requests.chat(chat(**fields), LIMITS).asked == ({"messages": [USER]},)


def test_what_is_left_out_is_as_in_hftune_chat() -> None:
    from hftune.asking.decoding import Decoding

    assert requests.chat(chat(), LIMITS).decoding == Decoding()
    assert requests.chat(chat(temperature=0.1, stop="x"), LIMITS).decoding == Decoding(temperature=0.1, stop=("x",))


FIELDS = (
    "model messages prompt input role content type text stream stream_options include_usage temperature top_p top_k "
    "max_tokens max_completion_tokens stop ban seed n tools logprobs user repetition_penalty echo"
)
NAMES = st.sampled_from(FIELDS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["user", "text", "system"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=5),
    max_leaves=20,
)
BODIES = st.dictionaries(NAMES | st.text(), VALUES, max_size=6)
NEARLY = st.fixed_dictionaries(
    {"messages": st.just([USER]), "prompt": st.just("x"), "input": st.just("x")}, optional={}
).flatmap(lambda right: st.tuples(NAMES, VALUES).map(lambda wrong: {**right, wrong[0]: wrong[1]}))


@given(st.sampled_from(["chat", "completion", "classify"]), BODIES | NEARLY)
def test_any_json_is_read_or_refused_with_a_reason(kind: str, body: dict[str, Any]) -> None:
    keep = {"chat": "messages", "completion": "prompt", "classify": "input"}
    record = {name: value for name, value in body.items() if name == keep[kind] or name not in keep.values()}
    try:
        getattr(requests, kind)(record, LIMITS)
    except ApiError as error:
        assert error.status == 400 and error.message
        json.loads(as_json(error.to_dict()))


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        assert isinstance(parse(body), dict)
    except ApiError as error:
        assert error.status == 400


@pytest.mark.parametrize("depth", range(100, 3000, 300))
def test_no_depth_of_nesting_is_more_than_refused(depth) -> None:
    with pytest.raises(ApiError):
        requests.chat(parse(deep(depth)), LIMITS)


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/classify HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=["no request", "no host", "negative length", "two lengths", "endless head"],
)
def test_what_is_no_http_is_refused(server: Server, sent) -> None:
    try:
        answer = server.raw(sent)
    except ConnectionError:  # it ended while we were still sending
        return
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431"), answer[:200]


def test_unknown_addresses_and_methods_are_refused_in_the_same_shape(server: Server) -> None:
    for path, method, status in (
        ("/", "GET", 404),
        ("/v1/chat", "POST", 404),
        (CHAT, "DELETE", 405),
        (CHAT, "GET", 405),
    ):
        answer = server.ask(path, None, method=method)
        assert answer.status == status and set(answer.error) == {"message", "type", "param", "code"}
