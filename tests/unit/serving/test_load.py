"""A bounded load while processes are killed: each request is answered rightly or is an error that its client sees."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.unit.serving.conftest import GENERATOR, fake_run
from tests.unit.serving.fake_worker import prediction
from tests.unit.serving.serving import Server, at_once

Serve = Callable[..., Server]
CLIENTS, EACH = 8, 40


class Load:
    """So many clients that ask one thing after the other; what each got."""

    def __init__(self, server: Server) -> None:
        self.client = openai.OpenAI(base_url=server.url, api_key="-", max_retries=0, timeout=60)
        self.right = self.failed = 0
        self.wrong: list[Any] = []
        self.errors: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Semaphore(0)
        self.there = threading.Event()  # whether the server is; who got an error waits for that
        self.there.set()

    def run(self, number: int) -> None:
        for step in range(EACH):
            try:
                found, expected = self._ask(number, step)
            except openai.APIError as error:
                with self._lock:
                    self.failed += 1
                    self.errors.add(type(error).__name__)
                self.there.wait(60)
            else:
                with self._lock:
                    if found == expected:
                        self.right += 1
                    else:
                        self.wrong.append((found, expected))
            self._ended.release()

    def wait(self, count: int) -> None:
        """Wait until so many more requests have come to an end."""
        for _ in range(count):
            assert self._ended.acquire(timeout=60)

    def _ask(self, number: int, step: int) -> tuple[Any, Any]:
        kind = (number + step) % 3
        if kind == 0:
            text = f"{'good' if step % 2 else 'bad'} {number} {step}"
            found: Any = self.client.post("/classify", cast_to=object, body={"model": "cls", "input": text})
            return found["data"][0]["probabilities"], prediction(text, 1)["probabilities"]
        words = number + step + 1
        expected = "".join(f" {index}" for index in range(words))
        asked: dict[str, Any] = {"model": "gen", "prompt": f"count {words}"}
        if kind == 1:
            return self.client.completions.create(**asked).choices[0].text, expected
        chunks = list(self.client.completions.create(**asked, stream=True))
        whole = chunks[-1].choices[0].finish_reason is not None  # a stream that just ends is no answer
        return "".join(chunk.choices[0].text for chunk in chunks), expected if whole else None


def test_workers_killed_under_load_lose_only_what_was_in_flight(fake: Serve) -> None:
    server = fake(gen=GENERATOR, cls={})
    load = Load(server)
    kills = 4
    with at_once(CLIENTS) as pool:
        running = [pool.submit(load.run, number) for number in range(CLIENTS)]
        for _ in range(kills):
            load.wait(CLIENTS * EACH // (kills + 2))
            for worker in server.workers():
                worker.kill()
        for one in running:
            one.result()
    assert load.wrong == []
    assert load.right + load.failed == CLIENTS * EACH
    assert load.failed <= kills * CLIENTS  # no client has more than one request in flight
    assert server.ready().ask("/v1/classify", {"model": "cls", "input": "good"}).status == 200
    assert server.ask("/v1/completions", {"model": "gen", "prompt": "count 1"}).status == 200


def test_a_server_killed_and_started_again_under_load_loses_only_what_was_in_flight(fake: Serve, tmp_path) -> None:
    server = fake(gen=GENERATOR, cls={})
    load = Load(server)
    with at_once(CLIENTS) as pool:
        running = [pool.submit(load.run, number) for number in range(CLIENTS)]
        load.wait(CLIENTS * EACH // 3)
        load.there.clear()
        server.process.kill()
        server.process.wait()
        runs = [fake_run(tmp_path / "gen", GENERATOR), fake_run(tmp_path / "cls", {})]
        again = Server(tmp_path, runs, "--port", str(server.port), fake=True)
        load.there.set()  # it listens; that its models are loaded is what requests wait for
        try:
            for one in running:
                one.result()
        finally:
            again.close()
    assert load.wrong == []
    assert load.right + load.failed == CLIENTS * EACH
    assert 1 <= load.failed <= CLIENTS  # what was in flight, and who asked while it was gone
    assert load.errors <= {"APIConnectionError", "APIError"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_killed_in_the_midst_of_an_answer_is_an_error_that_the_client_sees(fake: Serve, stream) -> None:
    server = fake(gen=GENERATOR)
    client = openai.OpenAI(base_url=server.url, api_key="-", max_retries=0)

    def ask() -> list[Any]:
        found = client.completions.create(model="gen", prompt="endless", stream=stream)
        return list(found) if stream else [found]

    with at_once(1) as pool:
        asked = pool.submit(ask)
        server.until(lambda states: states["gen"]["requests"] == 1)
        server.process.kill()
        error = asked.exception(60)
    assert error is not None and ("Connection" in type(error).__name__ or "Protocol" in type(error).__name__)
