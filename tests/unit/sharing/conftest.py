"""Runs to share, a Hub to share them on, and a clock that nobody has to wait for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from hftune.output import Output
from hftune.sharing import patience
from hftune.sharing.repository import File, Staged
from tests.hub.client import use_here
from tests.hub.server import HubServer
from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    classifier,
    full_run,
    language_recipe,
    language_run,
    lora_run,
    lstm_run,
    mask_run,
    reviews_recipe,
)


@dataclass
class Clock:
    """Seconds that pass when somebody waits."""

    now: float = 1000.0
    waited: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Pauses between tries, the client's own among them, take no time."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    clock = Clock()
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=clock.sleep))
    return clock


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock) -> Iterator[HubServer]:
    """A Hub on which `anna` may write; this process is signed in as her."""
    with HubServer() as server:
        use_here(server, monkeypatch, tmp_path / "hub-cache", server.add_user("anna"))
        yield server


@pytest.fixture
def staged(tmp_path: Path) -> Callable[..., Staged]:
    """Return a function that stages files by name and content."""

    def stage(number: int = 0, **files: bytes) -> Staged:
        folder = tmp_path / f"staged-{number}"
        folder.mkdir()
        found = []
        for name, content in sorted(files.items()):
            path = folder / name.replace("_json", ".json").replace("_safetensors", ".safetensors").replace("_md", ".md")
            path.write_bytes(content)
            found.append(File(path.name, path, len(content)))
        return Staged(folder, "whole", tuple(found))

    return stage


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a run, to change the copy."""
    return lambda run: Path(shutil.copytree(run, tmp_path / "copied" / run.name))


@pytest.fixture
def words() -> Output:
    """An output to look at."""
    return Output(stdout=StringIO(), stderr=StringIO())
