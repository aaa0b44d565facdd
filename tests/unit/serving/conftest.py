"""Servers to ask: of real runs, and of workers that do as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.conftest import CHATML
from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    classifier_run,
    full_run,
    generator_run,
    language_recipe,
    language_run,
    lstm_run,
    reviews_recipe,
)
from tests.unit.serving.serving import Server

CHAT = {"rows": [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]}
PAIRS = {"rows": [{"text": "the movie", "other": "was good", "label": "negative"}], "text_pair": "other"}


@pytest.fixture(scope="session")
def chat_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of random weights with a chat template."""
    folder = tmp_path_factory.mktemp("runs") / "chat-20260101-000000-aaaa"
    return generator_run(folder, {**CHAT, "messages": "messages"}, CHATML, positions=256)


@pytest.fixture(scope="session")
def pair_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pairs of texts."""
    return classifier_run(tmp_path_factory.mktemp("runs") / "pair-20260101-000000-bbbb", data=PAIRS)


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    full_run: Path,  # noqa: F811
    language_run: Path,  # noqa: F811
    lstm_run: Path,  # noqa: F811
    chat_run: Path,
    pair_run: Path,
) -> Iterator[Server]:
    """One server of five real runs."""
    runs = (full_run, language_run, lstm_run, chat_run, pair_run)
    server = Server(tmp_path_factory.mktemp("served"), runs, "--max-tokens", "300", "--max-texts", "100")
    yield server
    server.close()


@pytest.fixture(scope="session")
def client(served: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.url, api_key="not needed", max_retries=0) as client:
        yield client


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that serves runs of fake workers by name, with flags, once they are ready."""
    servers: list[Server] = []

    def serve(*flags: str, ready: bool = True, variables: dict[str, str] | None = None, **runs: Any) -> Server:
        paths = [fake_run(tmp_path / name, settings) for name, settings in (runs or {"cls": {}}).items()]
        server = Server(tmp_path, paths, *flags, fake=True, **(variables or {}))
        servers.append(server)
        return server.ready() if ready else server

    yield serve
    for server in servers:
        server.close()


def fake_run(folder: Path, settings: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text("name: fake\n")
    (folder / "fake.json").write_text(json.dumps(settings))
    return folder


GENERATOR = {"task": "text-generation"}
