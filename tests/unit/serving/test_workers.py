"""Workers that are killed, die over and over, or cannot load: what was in flight is an error, the next is answered."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from tests.unit.serving.conftest import GENERATOR
from tests.unit.serving.serving import SECONDS, Server, at_once

Serve = Callable[..., Server]
CLASSIFY, COMPLETE = "/v1/classify", "/v1/completions"


def kill(server: Server) -> None:
    for worker in server.workers():
        worker.kill()


def test_a_worker_killed_in_the_midst_of_a_stream_is_an_error_there_and_another_answers(
    served: Server, client: openai.OpenAI, language_run: Path
) -> None:
    """With a real model: its state is ready again once another process has loaded it."""
    name = language_run.name
    asked: dict[str, Any] = {"model": name, "prompt": "the", "temperature": 0}
    before = client.completions.create(**asked, max_tokens=8).choices[0].text
    restarts = served.states()[name]["restarts"]
    worker = next(one for one in served.workers() if str(language_run) in one.cmdline())
    stream = client.completions.create(**asked, max_tokens=60, stream=True)
    next(iter(stream))
    worker.send_signal(signal.SIGSTOP)  # so that the answer is not at its end when it is killed
    worker.kill()
    with pytest.raises(openai.APIError, match="started again"):
        list(stream)
    assert client.completions.create(**asked, max_tokens=8).choices[0].text == before
    assert served.states()[name] == {"state": "ready", "requests": 0, "restarts": restarts + 1}


@pytest.mark.parametrize("stream", [False, True])
def test_who_waited_in_line_behind_a_killed_worker_is_answered(fake: Serve, stream) -> None:
    server = fake(gen=GENERATOR)
    with openai.OpenAI(base_url=server.url, api_key="-", max_retries=0) as client, at_once(4) as pool:
        endless = pool.submit(server.ask, COMPLETE, {"prompt": "endless", "stream": stream})
        server.until(lambda states: states["gen"]["requests"] == 1)
        waiting = [pool.submit(client.completions.create, model="gen", prompt="count 2") for _ in range(3)]
        server.until(lambda states: states["gen"]["requests"] == 4)
        kill(server)
        died = endless.result()
        assert b"worker_died" in died.body and died.status == (200 if stream else 503)
        assert stream or died.headers["retry-after"] == "1"
        assert [one.result().choices[0].text for one in waiting] == [" 0 1"] * 3


def test_the_clients_own_retry_gets_the_answer(fake: Serve, tmp_path: Path) -> None:
    """With its usual settings the client asks again after a 503, and whoever uses it sees nothing."""
    server = fake()
    gate = tmp_path / "gate"
    with openai.OpenAI(base_url=server.url, api_key="-") as client, at_once(1) as pool:
        asked = pool.submit(client.post, "/classify", cast_to=object, body={"input": [f"gate {gate}"]})
        server.until(lambda states: states["cls"]["requests"] == 1)
        kill(server)
        server.until(lambda states: states["cls"]["restarts"] == 1 and states["cls"]["requests"] == 1)
        gate.touch()
        assert asked.result()["data"][0]["label"] == "negative"


def test_a_text_that_kills_its_worker_again_and_again_stops_being_tried_for_a_while(fake: Serve) -> None:
    server = fake(gen=GENERATOR)
    answers = [server.ask(COMPLETE, {"prompt": "die"}) for _ in range(3)]
    assert [one.status for one in answers] == [503] * 3
    states = server.until(lambda states: states["gen"]["state"] == "failed")
    assert "signal 9" in states["gen"]["reason"]
    assert server.ask("/health").status == 503 and server.ask("/health").json["status"] == "failed"
    refused = server.ask(COMPLETE, {"prompt": "count 1"})
    assert refused.status == 503 and refused.error["code"] == "model_failed"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert server.workers() == []
    # The pause is a second in these tests; then a request starts it again.
    server.until(lambda _: server.ask(COMPLETE, {"prompt": "count 2"}).status == 200)
    assert server.states()["gen"]["state"] == "ready"


def test_a_sound_answer_in_between_makes_deaths_count_anew(fake: Serve) -> None:
    server = fake(gen=GENERATOR)
    for _ in range(4):
        assert server.ask(COMPLETE, {"prompt": "die"}).status == 503
        assert server.ask(COMPLETE, {"prompt": "count 1"}).status == 200
    assert server.states()["gen"] == {"state": "ready", "requests": 0, "restarts": 4}


def test_a_worker_that_dies_while_it_loads_is_tried_again_and_requests_wait(fake: Serve) -> None:
    server = fake(ready=False, cls={"starts": ["dies", "dies"]})
    assert server.ask(CLASSIFY, {"input": "good"}).status == 200
    assert server.log.count("trying again") == 2


def test_a_worker_that_never_loads_ends_the_server_with_its_reason(fake: Serve) -> None:
    server = fake(ready=False, cls={"starts": ["dies"] * 5}, other={})
    assert server.process.wait(SECONDS) == 1
    assert "hftune: cls: the worker ended (signal 9)" in server.log


def test_a_run_that_cannot_be_loaded_ends_the_server_with_its_reason(fake: Serve) -> None:
    server = fake(ready=False, cls={"refuses": True}, other={})
    assert server.process.wait(SECONDS) == 1
    assert "hftune: cls: the run is broken\n  Mend it." in server.log


def test_a_run_whose_model_answers_nothing_here_is_refused(fake: Serve) -> None:
    server = fake(ready=False, mask={"task": "fill-mask"})
    assert server.process.wait(SECONDS) == 1
    assert "mask guesses masked words" in server.log and "hftune predict" in server.log


def test_health_says_loading_until_it_is_not(fake: Serve, tmp_path: Path) -> None:
    server = fake(ready=False, cls={"starts": []})
    server.until(lambda states: states["cls"]["state"] in ("loading", "ready"))
    server.ready()
    assert server.ask("/health").status == 200


def test_no_worker_outlives_a_server_that_is_killed(fake: Serve) -> None:
    server = fake(gen=GENERATOR, cls={})
    with at_once(1) as pool:
        asked = pool.submit(server.ask, COMPLETE, {"model": "gen", "prompt": "endless"})
        server.until(lambda states: states["gen"]["requests"] == 1)
        workers = server.workers()
        assert len(workers) == 2
        server.process.kill()
        with pytest.raises(OSError):
            asked.result()
    gone, alive = psutil.wait_procs(workers, SECONDS)
    assert alive == [] and len(gone) == 2


def test_log_lines_hold_no_text_of_requests(fake: Serve) -> None:
    server = fake(gen=GENERATOR, cls={})
    secret = "xyzzy"
    server.ask(COMPLETE, {"model": "gen", "prompt": f"count 1 {secret}"})
    server.ask(COMPLETE, {"model": "gen", "prompt": f"long {secret}"})
    server.ask(COMPLETE, {"model": secret, secret: secret})
    server.ask(CLASSIFY, {"model": "cls", "input": [secret]})
    server.ask(CLASSIFY, f"{{{secret}".encode())
    server.ask(f"/v1/{secret}?{secret}={secret}", headers={"User-Agent": secret, "Authorization": secret})
    server.raw(f"{secret} \r\n\r\n".encode())
    server.ask(COMPLETE, {"model": "gen", "prompt": f"die {secret}"})
    assert server.stop() == 0
    assert "POST /v1/completions 200" in server.log and "POST /v1/classify 200" in server.log
    assert secret not in server.log


def test_the_server_itself_loads_no_torch(served: Server) -> None:
    maps = Path(f"/proc/{served.process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    assert "torch" not in maps.read_text()
