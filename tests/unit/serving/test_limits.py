"""Limits of body, texts, queue and time; texts gathered from many requests; clients that go away."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.unit.serving.conftest import GENERATOR
from tests.unit.serving.fake_worker import prediction
from tests.unit.serving.serving import SECONDS, Server, at_once

Serve = Callable[..., Server]
CLASSIFY, COMPLETE = "/v1/classify", "/v1/completions"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that is not there yet: the worker that is asked for `gate PATH` waits for it."""
    return tmp_path / "gate"


def waiting(server: Server, count: int) -> None:
    """Wait until so many requests are in hand."""
    server.until(lambda states: sum(one["requests"] for one in states.values()) == count)


def test_texts_that_come_while_the_worker_is_busy_go_to_it_together(fake: Serve, gate: Path) -> None:
    server = fake("--max-batch", "8")
    texts = [f"{'good' if number % 3 else 'bad'} {number}" for number in range(40)]
    with at_once(41) as pool:
        held = pool.submit(server.ask, CLASSIFY, {"input": f"gate {gate}"})
        waiting(server, 1)
        asked = [pool.submit(server.ask, CLASSIFY, {"input": text}) for text in texts]
        waiting(server, 41)
        gate.touch()
        assert held.result().status == 200
        found = [one.result().json["data"][0] for one in asked]
    assert [one["label"] for one in found] == [prediction(text, 1)["label"] for text in texts]
    together = sorted(one["tokens"] for one in found)  # what came with each
    assert together == [8] * 8 + [32] * 32


def test_a_request_of_many_texts_is_answered_in_order_whatever_its_loads(fake: Serve) -> None:
    server = fake("--max-batch", "2")
    texts = [f"good {number}" for number in range(50)]
    found = server.ask(CLASSIFY, {"input": texts}).json["data"]
    shares = [one["probabilities"]["positive"] for one in found]
    assert shares == [prediction(text, 1)["probabilities"]["positive"] for text in texts]


def test_pairs_stay_pairs(fake: Serve) -> None:
    server = fake(cls={"pairs": True})
    found = server.ask(CLASSIFY, {"input": [["bad", "good"], ["bad", "bad"]]}).json["data"]
    assert [one["label"] for one in found] == ["positive", "negative"]


def test_a_text_too_long_for_the_worker_is_refused_and_does_not_harm_the_others(fake: Serve) -> None:
    server = fake("--max-body", "5000000")
    answer = server.ask(CLASSIFY, {"input": ["good", "好" * 200_000]})
    assert answer.status == 413 and answer.error["param"] == "input"
    many = server.ask(CLASSIFY, {"input": ["good" * 60_000] * 9})  # 240 KB each: several loads
    assert many.status == 200 and {one["label"] for one in many.json["data"]} == {"positive"}
    assert max(one["tokens"] for one in many.json["data"]) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue_is_told_at_once_and_takes_more_once_it_is_not(fake: Serve, stream) -> None:
    server = fake("--queue", "2", "--grace", "0.1", gen=GENERATOR)
    with openai.OpenAI(base_url=server.url, api_key="-", max_retries=0) as client, at_once(2) as pool:
        endless = [pool.submit(server.ask, COMPLETE, {"prompt": "endless"}) for _ in range(2)]
        waiting(server, 2)
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="gen", prompt="count 2", stream=stream)
        assert int(caught.value.response.headers["retry-after"]) >= 1 and caught.value.code == "queue_full"
        server.stop()
        assert {one.result().status for one in endless} == {503}


def test_a_request_that_takes_too_long_is_ended_and_its_work_too(fake: Serve) -> None:
    server = fake("--timeout", "0.3", gen=GENERATOR)
    answer = server.ask(COMPLETE, {"prompt": "endless"})
    assert answer.status == 504 and "0.3 s" in answer.error["message"]
    assert server.ask(COMPLETE, {"prompt": "count 2"}).json["choices"][0]["text"] == " 0 1"
    assert server.states()["gen"] == {"state": "ready", "requests": 0, "restarts": 0}


def test_a_stream_that_takes_too_long_ends_in_an_error(fake: Serve) -> None:
    server = fake("--timeout", "0.3", gen=GENERATOR)
    with openai.OpenAI(base_url=server.url, api_key="-", max_retries=0) as client:
        pieces = []
        with pytest.raises(openai.APIError, match="not answered within"):
            for chunk in client.completions.create(model="gen", prompt="endless", stream=True):
                pieces += [choice.text for choice in chunk.choices]
        assert pieces[:2] == [" 0", " 1"]
        assert client.completions.create(model="gen", prompt="count 1").choices[0].text == " 0"


def test_a_worker_that_does_not_leave_an_answer_is_killed_and_another_answers(fake: Serve) -> None:
    server = fake("--timeout", "0.3", gen=GENERATOR)
    assert server.ask(COMPLETE, {"prompt": "hang"}).status == 504
    server.until(lambda states: states["gen"]["restarts"] == 1 and states["gen"]["state"] == "ready")
    assert server.ask(COMPLETE, {"prompt": "count 2"}).json["choices"][0]["text"] == " 0 1"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_cancels_its_answer_and_the_next_is_written(fake: Serve, stream) -> None:
    server = fake(gen=GENERATOR)
    body = b'{"prompt": "endless", "stream": %s}' % str(stream).lower().encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        waiting(server, 1)
        if stream:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert server.ask(COMPLETE, {"prompt": "count 3"}).json["choices"][0]["text"] == " 0 1 2"
    waiting(server, 0)
    assert server.states()["gen"]["restarts"] == 0
    assert " 499 " in server.log


def test_a_client_that_goes_away_while_it_waits_is_forgotten(fake: Serve, gate: Path) -> None:
    server = fake()
    with at_once(2) as pool:
        held = pool.submit(server.ask, CLASSIFY, {"input": f"gate {gate}"})
        waiting(server, 1)
        body = b'{"input": ["die"]}'  # what nobody waits for is not asked
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
            head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            waiting(server, 2)
        waiting(server, 1)
        gate.touch()
        assert held.result().status == 200
    assert server.ask(CLASSIFY, {"input": "good"}).status == 200
    assert server.states()["cls"]["restarts"] == 0


def test_a_client_that_reads_nothing_does_not_keep_the_others_waiting(fake: Serve) -> None:
    server = fake(gen=GENERATOR)
    body = b'{"prompt": "count 50000", "stream": true}'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        waiting(server, 1)
        assert server.ask(COMPLETE, {"prompt": "count 1"}).json["choices"][0]["text"] == " 0"
        assert server.requests() == 1  # its answer is there, and waits for it


@pytest.mark.parametrize("size", [1001, 5_000_000, 10**15])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(fake: Serve, size) -> None:
    server = fake("--max-body", "1000", ready=False)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = server.raw(head + b"Content-Length: %d\r\n\r\n" % size)
    assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer and b"1000 bytes" in answer


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(fake: Serve) -> None:
    server = fake("--max-body", "1000", ready=False)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    # More than the server ever takes: if it read on, this would end otherwise.
    answer = server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_large_body_that_is_sent_whole_still_gets_its_answer(fake: Serve) -> None:
    server = fake("--max-body", "1000", ready=False)
    answer = server.ask(CLASSIFY, {"input": "x" * 3_000_000})
    assert answer.status == 413 and answer.error["code"] == "request_too_large"


def test_a_body_that_stays_away_is_not_waited_for(fake: Serve) -> None:
    server = fake(ready=False, variables={"FAKE_BODY_SECONDS": "0.2"})
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert server.raw(head + b"Content-Length: 10\r\n\r\n{").startswith(b"HTTP/1.1 408")


def test_a_head_that_does_not_end_is_not_waited_for(fake: Serve) -> None:
    server = fake(ready=False, variables={"FAKE_HEAD_SECONDS": "0.2"})
    assert server.raw(b"") == b""
    assert server.raw(b"POST /v1/classify HTTP/1.1\r\nHost: loc") == b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        connection.sendall(b"GET /health HTTP/1.1\r\nHost")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"HTTP/1.1" not in rest


def test_gone_clients_leave_no_requests_behind(fake: Serve) -> None:
    server = fake(gen=GENERATOR)
    body = b'{"prompt": "endless", "stream": true}'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    def come_and_go(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(40)))
    waiting(server, 0)
    answer: Any = server.ask(COMPLETE, {"prompt": "count 2"})
    assert answer.json["choices"][0]["text"] == " 0 1"
