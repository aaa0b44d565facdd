"""The test server against the client that it is made for: huggingface_hub's own."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from hftune import hub as probe

from .client import environment, use_here, without_waiting
from .repos import git_oid
from .server import HubServer

WEIGHTS = random.Random(0).randbytes(11_000_000)
SMALL = {"README.md": b"---\nlicense: mit\n---\nA model.\n", "config.json": b"{}", "runs/notes.txt": b"one\ntwo\n"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as hub:
        use_here(hub, monkeypatch, tmp_path / "hub-cache")
        yield hub


@pytest.fixture
def anna(hub: HubServer) -> HfApi:
    return HfApi(token=hub.add_user("anna", orgs={"acme": "write", "readers": "read"}))


def added(files: dict[str, bytes]) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, data) for path, data in files.items()]


def put(api: HfApi, name: str = "anna/model", parent: str | None = None, **files: bytes) -> str:
    operations = added({f"{path}.txt": data for path, data in files.items()})
    return api.create_commit(name, operations, commit_message="More", parent_commit=parent).oid


def refused(act: Callable[[], object]) -> HfHubHTTPError:
    with pytest.raises(HfHubHTTPError) as refusal:
        act()
    return refusal.value


def test_a_commit_of_small_files_and_a_large_one_is_there_to_download(
    hub: HubServer, anna: HfApi, tmp_path: Path
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(WEIGHTS)
    url = anna.create_repo("anna/model")
    assert (str(url), url.repo_id) == (f"{hub.endpoint}/anna/model", "anna/model")
    first = hub.repos["anna/model"].head
    operations = [*added(SMALL), CommitOperationAdd("model.safetensors", weights)]
    done = anna.create_commit("anna/model", operations, commit_message="All of it", parent_commit=first)

    commit = hub.repos["anna/model"].commits[-1]
    assert (commit.sha, commit.parent, commit.message, commit.author) == (done.oid, first, "All of it", "anna")
    files = hub.repos["anna/model"].files()
    assert files.pop(".gitattributes").startswith(b"*.safetensors")
    assert files == {**SMALL, "model.safetensors": WEIGHTS}
    for path, data in files.items():
        assert Path(hf_hub_download("anna/model", path)).read_bytes() == data
    folder = Path(snapshot_download("anna/model", local_dir=tmp_path / "copy"))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "runs" / "notes.txt").read_bytes() == SMALL["runs/notes.txt"]
    (upload,) = hub.asked("PUT", "/lfs-upload/")
    assert "authorization" not in upload.headers
    assert all(request.status in (200, 206) for request in hub.requests)


def test_a_large_file_that_is_there_is_not_sent_again(hub: HubServer, anna: HfApi) -> None:
    anna.create_repo("anna/model")
    for name in ("one.bin", "two.bin", "two.bin"):
        anna.upload_file(path_or_fileobj=b"\x00" * 2000, path_in_repo=name, repo_id="anna/model")
    assert len(hub.asked("PUT", "/lfs-upload/")) == 1
    assert len(hub.asked("POST", "/commit/")) == 2  # the third changes nothing


def test_the_tree_names_files_as_git_and_lfs_do(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model", files={**SMALL, "deep/er/model.onnx": b"weights"})
    tree = {entry.path: entry for entry in anna.list_repo_tree("anna/model", recursive=True)}
    assert [path for path, entry in tree.items() if isinstance(entry, RepoFolder)] == ["deep", "deep/er", "runs"]
    readme, weights = tree["README.md"], tree["deep/er/model.onnx"]
    assert isinstance(readme, RepoFile) and isinstance(weights, RepoFile) and weights.lfs
    assert (readme.blob_id, readme.size, readme.lfs) == (git_oid("blob", SMALL["README.md"]), 30, None)
    assert weights.lfs.sha256 == hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{weights.lfs.sha256}\nsize 7\n".encode()
    assert (weights.size, weights.blob_id, weights.lfs.pointer_size) == (7, git_oid("blob", pointer), len(pointer))

    top = [entry.path for entry in anna.list_repo_tree("anna/model")]
    assert top == ["deep", "runs", ".gitattributes", "README.md", "config.json"]
    assert [entry.path for entry in anna.list_repo_tree("anna/model", "deep/er")] == ["deep/er/model.onnx"]
    told = anna.get_paths_info("anna/model", ["README.md", "runs", "nothing"])
    assert [entry.path for entry in told] == ["README.md", "runs"]
    with pytest.raises(EntryNotFoundError):
        list(anna.list_repo_tree("anna/model", "nothing"))


def test_a_model_tells_its_commit_its_files_and_who_may_see_it(hub: HubServer, anna: HfApi) -> None:
    repo = hub.create("anna/model", private=True, files={"model.bin": b"weights"})
    info = anna.model_info("anna/model", files_metadata=True)
    assert (info.id, info.author, info.sha, info.private) == ("anna/model", "anna", repo.head, True)
    assert info.siblings and info.siblings[1].lfs and info.siblings[1].lfs.size == 7
    assert anna.model_info("anna/model", revision=repo.commits[0].sha).sha == repo.commits[0].sha
    short = anna.model_info("anna/model", expand=["sha"])
    assert (short.sha, short.siblings) == (repo.head, None)
    assert [each.title for each in anna.list_repo_commits("anna/model")] == ["Upload files", "initial commit"]
    anna.update_repo_settings("anna/model", private=False)
    assert not repo.private


def test_a_commit_on_another_parent_than_the_head_is_refused(hub: HubServer, anna: HfApi) -> None:
    old = hub.create("anna/model").head
    new = hub.commit("anna/model", {"theirs.txt": b"theirs"})
    refusal = refused(lambda: put(anna, parent=old, mine=b"mine"))
    assert refusal.response.status_code == 412
    assert "A commit has happened since. Please refresh and try again." in str(refusal)
    assert hub.repos["anna/model"].head == new


def test_files_and_folders_are_deleted(hub: HubServer, anna: HfApi) -> None:
    repo = hub.create("anna/model", files={**SMALL, "runs/more/x.txt": b"x"})
    delete = [CommitOperationDelete("config.json"), CommitOperationDelete("runs/")]
    anna.create_commit("anna/model", delete, commit_message="Less")
    assert set(repo.files()) == {".gitattributes", "README.md"}
    assert set(repo.files(repo.commits[1].sha)) == {".gitattributes", *SMALL, "runs/more/x.txt"}
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        anna.create_commit("anna/model", [CommitOperationDelete("nothing")], commit_message="Less")


def test_a_commit_of_a_large_file_that_was_never_sent_is_refused(hub: HubServer, anna: HfApi) -> None:
    head = hub.create("anna/model").head
    hub.fail("POST", "/objects/batch", status=200, json={"objects": []})  # the client takes it that none is missing
    refusal = refused(
        lambda: anna.create_commit("anna/model", added({"a.bin": b"weights", "b.txt": b"b"}), commit_message="More")
    )
    assert refusal.response.status_code == 400
    assert "LFS pointer pointed to a file that does not exist" in str(refusal)
    assert hub.repos["anna/model"].head == head


def test_an_upload_that_is_not_what_was_announced_is_refused(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(b"right").hexdigest(), "size": 5}]}
    headers = {"Authorization": f"Bearer {anna.token}"}
    batch = httpx2.post(f"{hub.endpoint}/anna/model.git/info/lfs/objects/batch", json=asked, headers=headers).json()
    address = batch["objects"][0]["actions"]["upload"]["href"]
    assert httpx2.put(address, content=b"wrong").status_code == 400
    assert httpx2.put(address, content=iter([b"ri", b"ght"])).status_code == 200  # in chunks
    assert httpx2.put(address[:-1], content=b"right").status_code == 403
    assert list(hub.repos["anna/model"].lfs.values()) == [b"right"]


def test_what_git_ignores_is_not_committed(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model", files={".gitignore": b"*.log\n"})
    anna.create_commit("anna/model", added({"a.log": b"a", "b.txt": b"b"}), commit_message="More")
    assert set(hub.repos["anna/model"].files()) == {".gitattributes", ".gitignore", "b.txt"}


def test_a_private_model_is_not_there_for_others(hub: HubServer, anna: HfApi) -> None:
    anna.create_repo("anna/model", private=True)
    stranger, nobody = HfApi(token=hub.add_user("eve")), HfApi(token=False)
    assert anna.file_exists("anna/model", ".gitattributes")
    for api, status in ((stranger, 404), (nobody, 401)):
        with pytest.raises(RepositoryNotFoundError) as refusal:
            api.model_info("anna/model")
        assert refusal.value.response.status_code == status
        assert not api.file_exists("anna/model", ".gitattributes")
    with pytest.raises(RepositoryNotFoundError):
        put(stranger, a=b"a")


def test_what_is_missing_has_the_name_of_its_kind(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    with pytest.raises(RepositoryNotFoundError):
        anna.model_info("anna/nothing")
    with pytest.raises(RevisionNotFoundError):
        anna.model_info("anna/model", revision="nothing")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("anna/model", "nothing")
    hub.create("meta/gated", gated="manual", files=SMALL)
    with pytest.raises(GatedRepoError):
        hf_hub_download("meta/gated", "config.json", token=anna.token)


def test_a_token_tells_whose_it_is_and_what_it_may_do(hub: HubServer, anna: HfApi) -> None:
    told = anna.whoami()
    assert (told["name"], told["auth"]["accessToken"]["role"]) == ("anna", "write")
    assert [(org["name"], org["roleInOrg"]) for org in told["orgs"]] == [("acme", "write"), ("readers", "read")]
    fine = hub.add_user("anna", "fineGrained", scoped={"anna": ["repo.content.read"], "acme/model": ["repo.write"]})
    assert anna.whoami(token=fine)["auth"]["accessToken"]["fineGrained"]["scoped"][1]["entity"]["type"] == "model"
    refusal = refused(lambda: anna.whoami(token="hf_wrong"))
    assert refusal.response.status_code == 401
    assert refused(lambda: anna.model_info("any/model", token="hf_wrong")).response.status_code == 401


def test_a_token_may_write_where_its_role_lets_it(hub: HubServer, anna: HfApi) -> None:
    for name in ("anna/model", "acme/model", "readers/model", "eve/model"):
        hub.create(name)
    reader = HfApi(token=hub.add_user("anna", "read"))
    fine = HfApi(token=hub.add_user("anna", "fineGrained", scoped={"acme/model": ["repo.write"]}))
    for api, name in ((anna, "anna/model"), (anna, "acme/model"), (fine, "acme/model")):
        put(api, name, a=os.urandom(4).hex().encode())
    for api, name, reason in (
        (anna, "readers/model", "create_pr=1"),
        (anna, "eve/model", "create_pr=1"),
        (reader, "anna/model", "you must use a write token"),
        (fine, "anna/model", "Authorization error"),
    ):
        refusal = refused(lambda api=api, name=name: put(api, name, a=b"a"))
        assert refusal.response.status_code == 403 and reason in str(refusal)
    anna.create_repo("acme/new")
    for api, name in ((anna, "readers/new"), (anna, "eve/new"), (reader, "anna/new"), (fine, "anna/new")):
        refusal = refused(lambda api=api, name=name: api.create_repo(name))
        assert refusal.response.status_code == 403 and "rights to create a model under the namespace" in str(refusal)


def test_a_model_is_made_once(hub: HubServer, anna: HfApi) -> None:
    anna.create_repo("model")
    assert refused(lambda: anna.create_repo("anna/model")).response.status_code == 409
    assert anna.create_repo("anna/model", exist_ok=True).repo_id == "anna/model"
    assert list(hub.repos) == ["anna/model"]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 412, 429, 500, 502, 503, 504])
def test_an_answer_can_be_an_error_once(hub: HubServer, anna: HfApi, status: int) -> None:
    hub.create("anna/model")
    hub.fail("POST", "/commit/main$", status=status, error="not now \x1b[31m", headers={"Retry-After": "7"})
    refusal = refused(lambda: put(anna, a=b"a"))
    assert refusal.response.status_code == status and "not now" in str(refusal)
    assert refusal.response.headers["Retry-After"] == "7"
    assert refusal.response.json() == {"error": "not now \x1b[31m"}
    put(anna, a=b"a")
    assert [request.status for request in hub.asked("POST", "/commit/")] == [status, 200]


def test_the_client_waits_as_long_as_it_is_told_to(
    hub: HubServer, anna: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("anna/model")
    waited = without_waiting(monkeypatch)
    hub.fail("POST", "/preupload/", status=503, headers={"Retry-After": "86400"})
    hub.fail("POST", "/preupload/", status=429, headers={"RateLimit": '"api";r=0;t=55'}, times=2)
    put(anna, a=b"a")
    assert waited == [86401, 56, 56]


def test_an_error_has_a_code_and_comes_after_those_that_are_let_through(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    hub.fail("GET", "/api/models/", status=403, code="GatedRepo", skip=1, times=None)
    anna.model_info("anna/model")
    for _ in range(2):
        with pytest.raises(GatedRepoError):
            anna.model_info("anna/model")


def test_a_proxy_answers_with_a_page(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    hub.fail("GET", "/api/", page=True, times=2)
    verdict = probe.reach("model", "anna/model")
    assert not verdict.ok and "is not the Hub" in verdict.reason
    with pytest.raises(ValueError, match="Expecting value"):
        anna.model_info("anna/model")


def test_a_connection_is_dropped_before_the_commit(hub: HubServer, anna: HfApi) -> None:
    head = hub.create("anna/model").head
    hub.fail("POST", "/commit/", drop="before")
    with pytest.raises(httpx2.RemoteProtocolError):
        put(anna, a=b"a")
    assert hub.repos["anna/model"].head == head
    assert hub.asked("POST", "/commit/")[0].status is None


def test_a_connection_is_dropped_after_the_commit(hub: HubServer, anna: HfApi) -> None:
    repo = hub.create("anna/model")
    head = repo.head
    hub.fail("POST", "/commit/", drop="after")
    with pytest.raises(httpx2.RemoteProtocolError):
        put(anna, parent=head, a=b"a")
    assert (repo.commits[-1].parent, repo.files()["a.txt"]) == (head, b"a")
    assert refused(lambda: put(anna, parent=head, b=b"b")).response.status_code == 412


def test_an_answer_that_never_comes_does_not_keep_the_server_open(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    hub.fail("GET", "/api/models/", hang="before", times=None)
    with pytest.raises(httpx2.ReadTimeout):
        anna.model_info("anna/model", timeout=0.1)
    start = time.monotonic()
    hub.close()
    assert time.monotonic() - start < 1
    with pytest.raises(httpx2.ConnectError):
        anna.model_info("anna/model")


def test_an_answer_trickles(hub: HubServer, anna: HfApi) -> None:
    hub.create("anna/model")
    hub.fail("GET", "/api/models/", trickle=0.002)
    start = time.monotonic()
    assert anna.model_info("anna/model", timeout=1).id == "anna/model"  # no byte is late, but all of them are
    assert time.monotonic() - start > 1


def test_a_download_that_breaks_goes_on_where_it_was(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("anna/model", files={"model.bin": WEIGHTS})
    hub.fail("GET", "/resolve/", cut=10_700_000)  # the client writes by 10 MiB
    without_waiting(monkeypatch)
    assert Path(hf_hub_download("anna/model", "model.bin")).read_bytes() == WEIGHTS
    ranges = [request.headers.get("range") for request in hub.asked("GET", "/resolve/")]
    assert ranges == [None, "bytes=10485760-"]


def test_somebody_else_can_come_in_between(hub: HubServer, anna: HfApi) -> None:
    repo = hub.create("anna/model")
    hub.fail("POST", "/preupload/", after=lambda: hub.commit("anna/model", {"theirs.txt": b"theirs"}))
    assert refused(lambda: put(anna, parent=repo.head, mine=b"mine")).response.status_code == 412
    assert [commit.message for commit in repo.commits] == ["initial commit", "Somebody else's commit"]


def test_what_a_hook_finds_wrong_fails_the_test() -> None:
    def wrong() -> None:
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"), HubServer() as hub:
        hub.fail("GET", "/", before=wrong)
        assert httpx2.get(hub.endpoint).status_code == 500


def test_a_connection_is_used_again_and_may_ask_before_it_sends(hub: HubServer) -> None:
    def asked(*headers: str) -> bytes:
        connection.sendall("\r\n".join(["POST /api/nothing HTTP/1.1", "Host: x", *headers, "", ""]).encode())
        return connection.recv(10_000)

    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])), timeout=5) as connection:
        assert asked("Content-Length: 4", "Expect: 100-continue").startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body")
        assert connection.recv(10_000).startswith(b"HTTP/1.1 404 ")
        assert asked("Content-Length: 0").startswith(b"HTTP/1.1 404 ")
    assert [request.body for request in hub.requests] == [b"body", b""]


def test_a_process_uses_it_by_its_environment(hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
    token = hub.add_user("anna")
    code = "import huggingface_hub as h; print(h.create_repo('model'), h.whoami()['name'])"
    settings = {**os.environ, **environment(hub, token)}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{hub.endpoint}/anna/model", "anna"]
    assert capfd.readouterr().err == ""  # the server says nothing
