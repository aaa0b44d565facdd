"""Who may ask: a key beyond this machine, no page of a browser, a port that is taken, what the command refuses."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from hftune import cli
from hftune.errors import UsageError
from hftune.serving.access import Access, Address, access_for, find_address, host_name
from hftune.serving.problems import ApiError
from tests.unit.serving.conftest import fake_run
from tests.unit.serving.serving import Server

Serve = Callable[..., Server]
KEY = "a-key-of-some-length"
HELLO = [{"role": "user", "content": "hello"}]


class Refused:
    """How `hftune serve` ended, when it did not begin to serve."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def serve(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Refused]:
    """Return a function that runs `hftune serve` in this process: everything that is refused is so before it serves."""

    def run_it(*arguments: str, key: str | None = None) -> Refused:
        monkeypatch.delenv("HFTUNE_API_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("HFTUNE_API_KEY", key)
        monkeypatch.setattr("hftune.serving.server.Server.run", lambda self, greet: pytest.fail("it serves"))
        code = cli.run(["serve", *arguments])
        return Refused(code, *capsys.readouterr())

    return run_it


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(fake_run(tmp_path / "cls", {}))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("keyed")
    server = Server(folder, [fake_run(folder / "cls", {})], fake=True, HFTUNE_API_KEY=KEY)
    yield server.ready()
    server.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_this_machine_a_key_is_needed_and_its_lack_says_how(serve, run: str, host) -> None:
    done = serve(run, "--host", host, "--port", "0")
    assert done.code == 2 and done.out == ""
    assert "$HFTUNE_API_KEY is not set" in done.err and "HFTUNE_API_KEY=$(openssl rand" in done.err
    assert serve(run, "--host", host, "--port", "0", key="").code == 2


def test_with_a_key_everything_but_health_needs_it(keyed: Server) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=keyed.url, api_key="another", max_retries=0).models.list()
    assert caught.value.code == "invalid_api_key"
    assert [one.id for one in openai.OpenAI(base_url=keyed.url, api_key=KEY).models.list()] == ["cls"]
    for path, body in (("/v1/models", None), ("/v1/classify", {"input": "good"}), ("/nowhere", None)):
        assert keyed.ask(path, body, {"Authorization": ""}).status == 401
    assert keyed.ask("/v1/classify", {"input": "good"}).status == 200


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer x", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "é"])
def test_nothing_but_the_key_opens(given) -> None:
    access = Access(KEY, None)
    with pytest.raises(ApiError) as caught:
        access.check_key({"authorization": given})
    assert caught.value.status == 401
    access.check_key({"authorization": f"bearer  {KEY}"})


def test_without_the_key_health_tells_no_names(keyed: Server) -> None:
    answer = keyed.ask("/health", headers={"Authorization": ""})
    assert answer.status == 200 and answer.json == {"status": "ready"}
    assert keyed.ask("/health").json["models"]["cls"]["state"] == "ready"


def test_the_workers_do_not_get_the_key(keyed: Server) -> None:
    (worker,) = keyed.workers()
    assert "HFTUNE_API_KEY" not in worker.environ()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_page_that_calls_this_machine_by_another_name_gets_nothing(served: Server, host) -> None:
    for path, body in (("/health", None), ("/v1/models", None), ("/v1/classify", {"input": "good"})):
        answer = served.ask(path, body, {"Host": host})
        assert answer.status == 403 and answer.error["code"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:9", "[::1]"])
def test_this_machine_by_its_names_and_through_a_tunnel_is_served(served: Server, host) -> None:
    assert served.ask("/v1/models", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonp"]
)
def test_what_a_page_can_send_unasked_is_refused_and_none_may_read_answers(served: Server, kind) -> None:
    origin = {"Origin": "http://evil.example"}
    answer = served.ask("/v1/classify", b'{"input": "good"}', {"Content-Type": kind, **origin})
    assert answer.status == 415
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type", **origin}
    preflight = served.ask("/v1/classify", headers=asked, method="OPTIONS")
    assert preflight.status == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(serve, run: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(run, "--port", str(port), "--json")
    assert done.code == 2 and "already in use" in done.err and f"port {port}" in done.err
    assert "already in use" in json.loads(done.out)["error"]["message"]
    assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "--port 70000"),
        (["--host", "no.such.name.invalid"], "no.such.name.invalid"),
        (["--host", ""], "is no address"),
        (["--host", "192.0.2.1"], "HFTUNE_API_KEY"),
        (["--queue", "0"], "--queue 0"),
        (["--timeout", "nan"], "--timeout nan"),
        (["--timeout", "0"], "above 0"),
        (["--max-batch", "-1"], "--max-batch -1"),
        (["--grace", "-1"], "--grace -1"),
        (["--max-body", "0"], "--max-body 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(serve, run: str, arguments, says) -> None:
    done = serve(run, *arguments)
    assert done.code == 2 and says in done.err and len(done.err.splitlines()) <= 3


def test_a_run_that_is_not_there_or_given_twice_is_refused(serve, run: str) -> None:
    assert "no run 'nowhere'" in serve("nowhere").err
    assert "given twice" in serve(run, run).err


def test_an_address_of_another_machine_cannot_be_listened_on(serve, run: str) -> None:
    done = serve(run, "--host", "192.0.2.1", key=KEY)
    assert done.code == 2 and "cannot be listened on" in done.err


@pytest.mark.parametrize("key", ["with space", "ключ", "tab\t", "new\nline"])
def test_a_key_that_no_header_can_carry_is_refused(key) -> None:
    with pytest.raises(UsageError, match="HFTUNE_API_KEY"):
        access_for(find_address("127.0.0.1", 0), key)


@pytest.mark.parametrize(
    ("ip", "open_"), [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("10.0.0.1", False), ("fe80::1", False)]
)
def test_loopback_is_what_the_address_is_not_what_it_is_called(ip, open_) -> None:
    address = Address("localhost", ip, socket.AF_INET, (ip, 0))
    if open_:
        assert access_for(address, None).key is None
    else:
        with pytest.raises(UsageError):
            access_for(address, None)


def test_host_names_lose_their_ports() -> None:
    assert [host_name(each) for each in ("A.b:1", "[::1]:8", "[::1]", "::1", " x ", "")] == [
        "a.b", "::1", "::1", "", "x", "",
    ]  # fmt: skip


def test_ipv6_is_served_and_printed_as_an_address(tmp_path: Path, run: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = Server(tmp_path, [run], "--host", "::1", fake=True)
    try:
        assert server.url == f"http://[::1]:{server.port}/v1"
        with openai.OpenAI(base_url=server.url, api_key="-", max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["cls"]
    finally:
        server.close()


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    import hftune
    from hftune.commands import serve as command

    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        command.require_server()
    assert "starlette and uvicorn" in caught.value.message and "-m pip install" in caught.value.hint
    project = Path(hftune.__file__).parent.parent / "pyproject.toml"
    if project.is_file():
        extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        assert extras["serve"] == list(command.REQUIREMENTS) and set(command.REQUIREMENTS) <= set(extras["dev"])
