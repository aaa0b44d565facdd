"""From a model's name to a folder, where nothing goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from hftune import hub
from hftune.errors import ModelError
from hftune.modeling import catalogue, from_hub
from hftune.modeling.resolve import resolve_model, resolve_tokenizer_folder
from hftune.recipe.schema import ModelSection

BARE = {"config.json": b"{}", "model.safetensors": b"w"}
WHOLE = {**BARE, "vocab.txt": b"[PAD]"}


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("HFTUNE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.forget()
    yield
    hub.forget()


def snapshot(tmp_path, model_id: str, revision: str, files: dict[str, bytes], ref: str | None = None):
    """Write a snapshot into the Hub cache the way huggingface_hub does: blobs, and links to them."""
    repository = tmp_path / "hub" / ("models--" + model_id.replace("/", "--"))
    folder = repository / "snapshots" / revision
    folder.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    for name, content in files.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (folder / name).symlink_to(blob)
    if ref:
        (repository / "refs").mkdir()
        (repository / "refs" / ref).write_text(revision)
    return folder


def test_a_local_folder_is_used_as_it_is(tiny_bert_folder):
    notes: list[str] = []
    found = resolve_model(ModelSection(id=str(tiny_bert_folder)), notes.append)
    assert (found.folder, found.revision, found.origin) == (tiny_bert_folder, None, "a local folder")
    assert notes == [f"model: {tiny_bert_folder} from a local folder"]


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"it has no config.json"):
        resolve_model(ModelSection(id=str(tmp_path / "empty")))
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="has no weights"):
        resolve_model(ModelSection(id=str(tmp_path / "empty")))
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"only as pickled files \(pytorch_model.bin\)"):
        resolve_model(ModelSection(id=str(tmp_path / "empty")))


def test_a_missing_folder_names_its_neighbour(tmp_path):
    (tmp_path / "my-model").mkdir()
    with pytest.raises(ModelError, match="Did you mean 'my-model'"):
        resolve_model(ModelSection(id=str(tmp_path / "my-modle")))


def test_a_name_that_is_too_long_for_a_folder_is_no_bug():
    with pytest.raises(ModelError, match="cannot be read: File name too long"):
        resolve_model(ModelSection(id="/" + "a" * 5000))


def test_a_starter_never_asks_the_hub(monkeypatch):
    monkeypatch.setattr(hub, "reach", lambda *_: pytest.fail("the Hub was asked"))
    with pytest.raises(ModelError, match="no model starter named 'hftune:nothing'"):
        resolve_model(ModelSection(id="hftune:nothing"))


def test_a_misspelt_id_suggests_the_nearest_of_the_catalogue():
    with pytest.raises(ModelError) as caught:
        resolve_model(ModelSection(id="sentence-transformer/all-MiniLM-L6"))
    assert "Did you mean 'sentence-transformers/all-MiniLM-L6-v2'?" in caught.value.hint
    assert "Did you mean" in catalogue.suggestion("all-minilm-l6-v2")
    near = catalogue.suggestion("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert near == "Did you mean 'hftune:smollm2-135m-instruct-q4'?"
    other = catalogue.suggestion("some/thing")
    assert other.startswith("Without the Hub there are: ") and "hftune:smollm2-135m-instruct-q4" in other


def test_another_revision_than_the_pinned_one_is_not_taken_from_the_index():
    with pytest.raises(ModelError, match="the Hub was not used") as caught:
        resolve_model(ModelSection(id="sentence-transformers/all-MiniLM-L6-v2", revision="main"))
    assert "leave `revision` out" in caught.value.hint


def test_the_hub_cache_is_used_without_asking_anyone(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "reach", lambda *_: pytest.fail("the Hub was asked"))
    folder = snapshot(tmp_path, "some/model", "b" * 40, WHOLE, ref="main")
    found = resolve_model(ModelSection(id="some/model"))
    assert (found.folder, found.revision, found.origin) == (folder, "b" * 40, "the local Hub cache")


def test_a_snapshot_without_its_weights_does_not_count(tmp_path):
    folder = snapshot(tmp_path, "some/model", "b" * 40, WHOLE, ref="main")
    (folder / "model.safetensors").resolve().unlink()
    with pytest.raises(ModelError, match="the Hub was not used"):
        resolve_model(ModelSection(id="some/model"))


def test_a_snapshot_without_a_tokenizer_counts_only_where_another_one_is_used(tmp_path, tiny_gpt2_folder):
    folder = snapshot(tmp_path, "some/model", "b" * 40, BARE, ref="main")
    with pytest.raises(ModelError, match="the copy in the local Hub cache lacks only its tokenizer") as caught:
        resolve_model(ModelSection(id="some/model"))
    assert "model.tokenizer" in caught.value.hint
    assert resolve_model(ModelSection(id="some/model", tokenizer=str(tiny_gpt2_folder))).folder == folder
    assert resolve_model(ModelSection(id="some/model"), tokenizer=False).folder == folder
    with pytest.raises(ModelError, match="the Hub was not used"):
        resolve_tokenizer_folder(ModelSection(id="some/model"))


def test_a_tokenizer_alone_in_the_cache_is_found(tmp_path):
    folder = snapshot(tmp_path, "some/words", "b" * 40, {"vocab.txt": b"[PAD]"}, ref="main")
    assert resolve_tokenizer_folder(ModelSection(id="some/words")) == folder
    (folder / "vocab.txt").resolve().unlink()
    with pytest.raises(ModelError, match="the Hub was not used"):
        resolve_tokenizer_folder(ModelSection(id="some/words"))


def test_a_tokenizer_made_by_the_repositorys_code_counts_where_code_is_trusted(tmp_path):
    files = {**BARE, "tokenizer_config.json": b"{}"}
    folder = snapshot(tmp_path, "some/model", "b" * 40, files, ref="main")
    assert resolve_model(ModelSection(id="some/model", trust_remote_code=True)).folder == folder
    with pytest.raises(ModelError, match="lacks only its tokenizer"):
        resolve_model(ModelSection(id="some/model"))


def test_shards_count_only_when_all_are_there(tmp_path):
    index = json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    )
    files = {"config.json": b"{}", from_hub.INDEX: index.encode(), "model-00001-of-00002.safetensors": b"1"}
    snapshot(tmp_path, "half/model", "c" * 40, files, ref="main")
    assert from_hub.cached("half/model", None, weights=True, tokenizer=False) is None
    snapshot(tmp_path, "whole/model", "c" * 40, {**files, "model-00002-of-00002.safetensors": b"2"}, ref="main")
    assert from_hub.cached("whole/model", None, weights=True, tokenizer=False) is not None


@pytest.mark.parametrize("index", [b"", b'{"weight_map": {"a": "mod', b"[]", b"{}", b'{"weight_map": null}'])
def test_a_damaged_index_of_shards_is_no_whole_model(tmp_path, index):
    files = {"config.json": b"{}", from_hub.INDEX: index, "model-00001-of-00001.safetensors": b"1"}
    snapshot(tmp_path, "some/model", "c" * 40, files, ref="main")
    assert from_hub.cached("some/model", None, weights=True, tokenizer=False) is None


def test_another_cached_revision_with_the_pinned_weights_is_good_enough(tmp_path, monkeypatch):
    weights = b"the very same"
    entry = catalogue.Entry("o/m", "d" * 40, "x==1", "0", "x", hashlib.sha256(weights).hexdigest(), 1, "MIT")
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    folder = snapshot(tmp_path, "o/m", "e" * 40, {**WHOLE, "model.safetensors": weights}, ref="main")
    assert resolve_model(ModelSection(id="o/m")).folder == folder


def test_a_tokenizer_may_come_from_elsewhere(tiny_bert_folder, tiny_gpt2_folder):
    section = ModelSection(id=str(tiny_bert_folder), tokenizer=str(tiny_gpt2_folder))
    assert resolve_tokenizer_folder(section) == tiny_gpt2_folder
    assert resolve_tokenizer_folder(ModelSection(id=str(tiny_bert_folder))) == tiny_bert_folder


def test_only_needed_files_are_fetched_and_never_a_pickle():
    names = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx",
             "vocab.txt", "tokenizer.json", "tokenizer_config.json", "modeling_x.py", "model.fp16.safetensors",
             "onnx/config.json", "merges.txt", "tokenizer.model", "rust_model.ot", "chat_template.jinja"]  # fmt: skip
    always = ["chat_template.jinja", "config.json", "merges.txt", "tokenizer.json", "tokenizer.model",
              "tokenizer_config.json", "vocab.txt"]  # fmt: skip
    assert from_hub.wanted_files(names, weights=False, code=False) == always
    assert from_hub.wanted_files(names, weights=True, code=False) == sorted([*always, "model.safetensors"])
    assert "modeling_x.py" in from_hub.wanted_files(names, weights=False, code=True)


class FakeHub(BaseHTTPRequestHandler):
    """The two questions that a download asks of the Hub: what is in the repository, and its files."""

    commit = "f" * 40
    files: ClassVar = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"pickle"}

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(("/api/models/some/model", "/api/models/pickled/model")):
            names = [name for name in self.files if "pickled" not in path or "safetensors" not in name]
            info = {"id": path.split("/")[3], "sha": self.commit, "siblings": [{"rfilename": name} for name in names]}
            if "/tree/" in path:
                info = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]  # type: ignore[assignment]
            self.answer(json.dumps(info).encode(), Content_Type="application/json")
        elif path.startswith("/some/model/resolve/"):
            body = self.files[path.rpartition("/")[2]]
            self.answer(body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=self.commit)
        else:
            code = "GatedRepo" if "gated" in path else "RepoNotFound"
            self.answer(b"{}", 403 if "gated" in path else 401, X_Error_Code=code, Content_Type="application/json")

    do_HEAD = do_GET  # noqa: N815 - the name the server looks for

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def fake_hub(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.usefixtures("fake_hub")
def test_the_hub_gives_what_is_needed_and_the_commit():
    notes: list[str] = []
    found = resolve_model(ModelSection(id="some/model"), notes.append)
    assert found.revision == FakeHub.commit
    assert sorted(path.name for path in found.folder.iterdir()) == ["config.json", "model.safetensors"]
    assert notes == ["fetching some/model from the Hub", "model: some/model from the Hub"]


@pytest.mark.usefixtures("fake_hub")
def test_the_hub_is_asked_for_the_tokenizer_that_the_cache_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeHub, "files", {**FakeHub.files, "tokenizer.json": b"{}"})
    snapshot(tmp_path, "some/model", FakeHub.commit, BARE, ref="main")
    found = resolve_model(ModelSection(id="some/model"))
    assert found.origin == "the Hub"
    assert (found.folder / "tokenizer.json").exists()


@pytest.mark.usefixtures("fake_hub")
def test_repositories_that_cannot_be_had_say_why():
    for model_id, message in (
        ("nobody/nothing", "no model 'nobody/nothing' on the Hub, or it is private"),
        ("gated/model", "asks for its licence to be accepted"),
        ("pickled/model", "only as pickled files"),
    ):
        with pytest.raises(ModelError, match=message):
            resolve_model(ModelSection(id=model_id))


def test_a_model_from_scratch_has_nothing_to_find(tiny_gpt2_folder):
    section = ModelSection(architecture="gpt2", tokenizer=str(tiny_gpt2_folder))
    with pytest.raises(ModelError, match="no weights to find"):
        resolve_model(section)
    assert resolve_tokenizer_folder(section) == tiny_gpt2_folder
