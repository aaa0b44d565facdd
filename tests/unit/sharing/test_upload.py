"""A staged repository onto a Hub that answers, is busy, breaks off, or says no: at most one commit, and clear words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hftune.errors import UsageError
from hftune.hub import endpoint
from hftune.sharing import patience as patience_module
from hftune.sharing.errors import PushError
from hftune.sharing.patience import Patience, kept_to
from hftune.sharing.repository import Staged
from hftune.sharing.upload import Place, Pushed, changes, look, require_own_card, settle_visibility, upload
from tests.hub.server import HubServer

from .conftest import Clock

REPO = "anna/model"
Stage = Callable[..., Staged]


@contextmanager
def talking(seconds: float = 300.0) -> Iterator[tuple[Any, Patience, list[str]]]:
    from huggingface_hub import HfApi, get_token

    patience, said = Patience(seconds), []
    with kept_to(patience, said.append):
        yield HfApi(endpoint=endpoint(), token=get_token()), patience, said


def send(
    staged: Staged, private: bool = True, seconds: float = 300.0, progress: Callable[[int, int], None] | None = None
) -> Pushed:
    with talking(seconds) as (api, patience, _):
        place = look(api, REPO, patience)
        return upload(api, place, private, staged, "a message", patience, progress or (lambda *_: None))


def commits(hub: HubServer) -> list[str]:
    return [commit.message for commit in hub.repos[REPO].commits if commit.message != "initial commit"]


def files(hub: HubServer) -> dict[str, bytes]:
    return {name: data for name, data in hub.repos[REPO].files().items() if name != ".gitattributes"}


def test_a_new_repository_is_private_and_has_the_files_in_one_commit(hub: HubServer, staged: Stage) -> None:
    large = bytes(range(256)) * 45_000  # over 10 MB
    pushed = send(staged(config_json=b"{}", model_safetensors=large, README_md=b"# model"))
    assert hub.repos[REPO].private
    assert files(hub) == {"config.json": b"{}", "model.safetensors": large, "README.md": b"# model"}
    assert commits(hub) == ["a message"]
    assert (pushed.commit, pushed.unchanged, pushed.private) == (hub.repos[REPO].head, False, True)
    assert pushed.url == f"{hub.endpoint}/{REPO}"


def test_the_same_files_again_are_no_commit(hub: HubServer, staged: Stage) -> None:
    content = {"config_json": b"{}", "model_safetensors": b"\0" * 100}
    first = send(staged(0, **content))
    again = send(staged(1, **content))
    assert again.unchanged
    assert again.commit == first.commit
    assert len(commits(hub)) == 1
    assert len(hub.asked("PUT", "lfs")) == 1


def test_what_an_earlier_push_left_goes_and_what_others_put_there_stays(hub: HubServer, staged: Stage) -> None:
    before = {"adapter_model.safetensors": b"\0old", "adapter_config.json": b"{}"}
    others = {"vocab.txt": b"mine", "images/curve.png": b"\0png", "model.onnx": b"\0graph"}
    hub.create(REPO, private=True, files={**before, **others})
    send(staged(model_safetensors=b"\0new"))
    assert files(hub) == {"model.safetensors": b"\0new", **others}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "where",
    [
        ("POST", "/commit/"), ("POST", "/preupload/"), ("PUT", "lfs"), ("GET", "/tree/"), ("GET", "/api/models/"),
        ("POST", "/repos/create"),
    ],
)  # fmt: skip
def test_a_busy_hub_is_asked_again(hub: HubServer, staged: Stage, status: int, where: tuple[str, str]) -> None:
    hub.fail(*where, status=status, times=1)
    send(staged(model_safetensors=b"\0" * 2000))
    assert files(hub) == {"model.safetensors": b"\0" * 2000}
    assert commits(hub) == ["a message"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_repository_whose_making_is_not_answered_is_made_once(hub: HubServer, staged: Stage, moment: Any) -> None:
    hub.fail("POST", "/repos/create", drop=moment)
    send(staged(config_json=b"{}"))
    assert hub.repos[REPO].private
    assert commits(hub) == ["a message"]


def test_a_repository_that_somebody_else_makes_meanwhile_is_left_alone(hub: HubServer, staged: Stage) -> None:
    theirs = {"config.json": b"theirs"}
    hub.fail("POST", "/repos/create", before=lambda: hub.create(REPO, private=True, files=theirs))
    with pytest.raises(PushError, match="made by somebody else"):
        send(staged(config_json=b"ours"))
    assert files(hub) == theirs


@pytest.mark.parametrize("where", [("GET", "/api/models/"), ("GET", "/tree/"), ("POST", "/commit/"), ("PUT", "lfs")])
def test_a_silent_hub_is_given_up_in_time(
    hub: HubServer, staged: Stage, clock: Clock, monkeypatch: pytest.MonkeyPatch, where: tuple[str, str]
) -> None:
    monkeypatch.setattr(patience_module, "ANSWER_SECONDS", 0.1)
    hub.fail(*where, hang="before", times=None)
    began = clock.now
    with pytest.raises(PushError):
        send(staged(model_safetensors=b"\0" * 50), seconds=10)
    assert clock.now - began <= 25
    assert not hub.repos or commits(hub) == []


def test_a_mistake_of_the_program_is_not_tried_again(
    hub: HubServer, staged: Stage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    def wrong(*_: object, **__: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(HfApi, "create_commit", wrong)
    with pytest.raises(PushError, match="a mistake"):
        send(staged(config_json=b"{}"))
    assert clock.waited == []


def test_nothing_goes_to_a_repository_that_became_public_meanwhile(hub: HubServer, staged: Stage) -> None:
    hub.create(REPO, private=True, files={"config.json": b"old"})
    with talking() as (api, patience, _):
        place = look(api, REPO, patience)
        hub.repos[REPO].private = False
        with pytest.raises(PushError, match="who may see"):
            upload(api, place, True, staged(config_json=b"{}"), "a message", patience, lambda *_: None)
    assert files(hub) == {"config.json": b"old"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_that_breaks_off_in_the_commit_makes_one_commit(
    hub: HubServer, staged: Stage, moment: Any
) -> None:
    hub.fail("POST", "/commit/", drop=moment)
    pushed = send(staged(config_json=b"{}"))
    assert commits(hub) == ["a message"]
    assert pushed.commit == hub.repos[REPO].head
    assert not pushed.unchanged, "it is this push that brought it there"
    assert len(hub.asked("POST", "/commit/")) == (2 if moment == "before" else 1)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_that_is_never_answered_is_looked_for(
    hub: HubServer, staged: Stage, moment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience_module, "ANSWER_SECONDS", 0.3)
    hub.fail("POST", "/commit/", hang=moment)
    send(staged(config_json=b"{}"))
    assert commits(hub) == ["a message"]


def test_a_server_error_after_the_commit_was_made_is_no_second_commit(hub: HubServer, staged: Stage) -> None:
    send(staged(0, config_json=b"old"))
    head = hub.repos[REPO].head
    hub.fail(
        "POST", "/commit/", status=504, before=lambda: hub.commit(REPO, {"config.json": b"{}"}, message="a message")
    )
    send(staged(1, config_json=b"{}"))
    assert hub.repos[REPO].head != head
    assert commits(hub) == ["a message", "a message"]


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub: HubServer, staged: Stage) -> None:
    hub.create(REPO, private=True, files={"config.json": b"old"})
    hub.fail("POST", "/commit/", before=lambda: hub.commit(REPO, {"config.json": b"theirs"}), status=412)
    with pytest.raises(PushError, match="changed by somebody else") as caught:
        send(staged(config_json=b"ours"))
    assert "push again" in caught.value.hint
    assert files(hub) == {"config.json": b"theirs"}


def test_the_hub_itself_refuses_a_commit_on_an_old_head(hub: HubServer, staged: Stage) -> None:
    hub.create(REPO, private=True, files={"config.json": b"old"})
    hub.fail("POST", "/preupload/", after=lambda: hub.commit(REPO, {"config.json": b"theirs"}))
    with pytest.raises(PushError, match="changed by somebody else"):
        send(staged(config_json=b"ours"))
    assert hub.asked("POST", "/commit/")[0].status == 412
    assert files(hub) == {"config.json": b"theirs"}


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_that_does_not_end_is_said(hub: HubServer, staged: Stage, status: int) -> None:
    hub.fail("POST", "/commit/", status=status, times=None)
    with pytest.raises(PushError, match=str(status)) as caught:
        send(staged(config_json=b"{}"))
    assert caught.value.hint
    assert commits(hub) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "refuses"), (401, "not accepted"), (403, "may not do this"), (404, "not there"), (413, "too large")],
)
def test_a_refusal_is_said_at_once(hub: HubServer, staged: Stage, status: int, words: str) -> None:
    hub.create(REPO, private=True, files={"config.json": b"old"})
    hub.fail("POST", "/commit/", status=status, error="the server's reason", times=None)
    with pytest.raises(PushError, match=words) as caught:
        send(staged(config_json=b"{}"))
    assert "the server's reason" in caught.value.message
    assert files(hub) == {"config.json": b"old"}
    assert len(hub.asked("POST", "/commit/")) == 1


@pytest.mark.parametrize("headers", [{"Retry-After": "86400"}, {"RateLimit": '"api";r=0;t=86400'}])
@pytest.mark.parametrize("where", [("POST", "/commit/"), ("POST", "/preupload/"), ("PUT", "lfs")])
def test_who_asks_to_wait_for_a_day_is_not_waited_for(
    hub: HubServer, staged: Stage, clock: Clock, headers: dict[str, str], where: tuple[str, str]
) -> None:
    hub.fail(*where, status=429, headers=headers, times=None)
    with pytest.raises(PushError, match="asks to wait 1d00h") as caught:
        send(staged(model_safetensors=b"\0" * 50))
    assert "--timeout" in caught.value.hint
    assert sum(clock.waited) < 300
    assert commits(hub) == []


def test_who_asks_to_wait_a_little_is_waited_for(hub: HubServer, staged: Stage, clock: Clock) -> None:
    hub.fail("POST", "/preupload/", status=429, headers={"Retry-After": "40"})
    send(staged(config_json=b"{}"))
    assert max(clock.waited) == pytest.approx(40, abs=2)
    assert commits(hub) == ["a message"]


@pytest.mark.parametrize("where", [("POST", "/commit/"), ("POST", "/preupload/"), ("PUT", "lfs"), ("GET", "/tree/")])
def test_a_hub_that_stays_busy_is_given_up_in_time(
    hub: HubServer, staged: Stage, clock: Clock, where: tuple[str, str]
) -> None:
    began = clock.now
    hub.fail(*where, status=503, times=None)
    with pytest.raises(PushError) as caught:
        send(staged(model_safetensors=b"\0" * 50), seconds=60)
    assert clock.now - began <= 75, "the last pause of the client itself may go over it"
    assert caught.value.hint
    assert commits(hub) == []


def test_a_page_of_a_proxy_is_not_taken_for_an_answer(hub: HubServer, staged: Stage) -> None:
    hub.create(REPO, private=True, files={"config.json": b"old"})
    hub.fail("POST", "/commit/", page=True, times=None)
    with pytest.raises(PushError):
        send(staged(config_json=b"{}"), seconds=20)
    assert files(hub) == {"config.json": b"old"}


def test_progress_counts_the_bytes_that_go_out_and_starts_again_with_a_try(hub: HubServer, staged: Stage) -> None:
    told: list[tuple[int, int]] = []
    content = b"\0" * 300_000
    hub.fail("PUT", "lfs", status=500, times=1)
    send(staged(config_json=b"{}", model_safetensors=content), progress=lambda *now: told.append(now))
    assert {total for _, total in told} == {300_002}
    assert max(done for done, _ in told) == 300_002


def test_who_listens_no_more_ends_it(hub: HubServer, staged: Stage, clock: Clock) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    with pytest.raises(PushError, match="has gone"):
        send(staged(model_safetensors=b"\0" * 2000), progress=gone)
    assert len(hub.asked("POST", "/commit/")) == 0
    assert sum(clock.waited) == 0, "it is no trouble of the network"


def test_time_in_which_bytes_go_out_is_no_waiting(hub: HubServer, staged: Stage, clock: Clock) -> None:
    def slow(*_: object) -> None:
        clock.now += 9

    send(staged(model_safetensors=b"\0" * 5_000_000), seconds=150, progress=slow)
    assert clock.now > 1500
    assert len(commits(hub)) == 1


def test_bytes_that_do_not_flow_are_waited_for_no_longer(hub: HubServer, staged: Stage, clock: Clock) -> None:
    def stuck(*_: object) -> None:
        clock.now += 40

    with pytest.raises(PushError, match="did not take everything"):
        send(staged(model_safetensors=b"\0" * 5_000_000), seconds=150, progress=stuck)
    assert commits(hub) == []


@pytest.mark.parametrize(
    ("there", "asked", "private"), [(None, None, True), (None, False, False), (True, None, True), (False, False, False)]
)
def test_private_is_what_nobody_asked_otherwise(there: bool | None, asked: bool | None, private: bool) -> None:
    assert settle_visibility(Place(REPO, None if there is None else "head", there), asked) is private


def test_a_public_repository_is_pushed_to_only_when_that_is_said() -> None:
    with pytest.raises(UsageError, match="everybody would see"):
        settle_visibility(Place(REPO, "head", False), None)


def test_what_a_push_does_to_what_is_there_is_known_before(hub: HubServer, staged: Stage) -> None:
    there = {"config.json": b"old", "tokenizer.json": b"{}", "adapter_model.safetensors": b"\0", "notes.txt": b"mine"}
    hub.create(REPO, private=True, files=there)
    with talking() as (api, patience, _):
        files = staged(config_json=b"new", tokenizer_json=b"{}", model_safetensors=b"\0")
        planned = changes(api, look(api, REPO, patience), files, patience)
    assert [file.name for file in planned.add] == ["config.json", "model.safetensors"]
    assert (planned.replaced, planned.removed) == (("config.json",), ("adapter_model.safetensors",))


@pytest.mark.parametrize(
    ("card", "ours"),
    [
        (b"---\ntags:\n- hftune\n---\n# model", True),
        (b"# by hand", False),
        (b"---\ntags: [bert]\n---\nhftune", False),
        (b"---\n: broken [\n---\n", False),
    ],
)
def test_a_readme_that_hftune_did_not_write_is_not_replaced(
    hub: HubServer, staged: Stage, card: bytes, ours: bool
) -> None:
    hub.create(REPO, private=True, files={"README.md": card})
    with talking() as (api, patience, _):
        place = look(api, REPO, patience)
        planned = changes(api, place, staged(README_md=b"# new"), patience)
        if ours:
            require_own_card(api, place, planned, patience)
        else:
            with pytest.raises(UsageError, match="did not write") as caught:
                require_own_card(api, place, planned, patience)
            assert "--replace" in caught.value.hint


def test_a_repository_is_hidden_before_and_shown_after_the_commit(hub: HubServer, staged: Stage) -> None:
    hub.create(REPO, private=False, files={"config.json": b"old"})
    send(staged(0, config_json=b"{}"), private=True)
    assert hub.repos[REPO].private
    send(staged(1, config_json=b"[]"), private=False)
    assert not hub.repos[REPO].private
    order = [
        "settings" if request.path.endswith("/settings") else "commit"
        for request in hub.requests
        if request.path.endswith("/settings") or "/commit/" in request.path
    ]
    assert order == ["settings", "commit", "commit", "settings"]


def test_the_hubs_client_is_as_before_afterwards(hub: HubServer, staged: Stage) -> None:
    from huggingface_hub.utils import get_session, logging

    before = logging.get_verbosity()
    send(staged(config_json=b"{}"))
    session = get_session()
    assert session.timeout.read is None
    assert len(session.event_hooks["request"]) == 1
    assert not session.event_hooks["response"]
    assert logging.get_verbosity() == before
