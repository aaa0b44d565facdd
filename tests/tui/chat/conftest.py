"""Runs that a fake worker answers for, sessions that start it, and a tiny real run."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from hftune_tui.asking import Session

from hftune.asking.client import WorkerClient

from .pilot import CLS, GEN, Chat, fake

SECONDS = 30
FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))


def fake_run(folder: Path, name: str = "gen-20260101-000000-a1b2", **about: Any) -> Path:
    run = folder / name
    (run / "model").mkdir(parents=True)
    (run / "fake.json").write_text(json.dumps(about), encoding="utf-8")
    return run


def until(true: Callable[[], Any], what: str = "") -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.002)


def settled(session: Session) -> None:
    until(lambda: session.phase.name == "ready" and all(one.over for one in session.exchanges), str(session.phase))


class Started:
    """Starts fake workers and remembers them."""

    def __init__(self) -> None:
        self.clients: list[WorkerClient] = []

    def __call__(self, arguments: Any, *, on_end: Callable[[], None]) -> WorkerClient:
        self.clients.append(WorkerClient(arguments, FAKE, on_end))
        return self.clients[-1]


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def session(started: Started) -> Iterator[Session]:
    session = Session(started)
    yield session
    session.close()
    for client in started.clients:
        until(lambda process=client.process_id: not psutil.pid_exists(process), "a worker is left")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return fake_run(tmp_path)


@pytest.fixture
def chat() -> Any:
    """The functions of this file."""
    return sys.modules[__name__]


@pytest.fixture
def real_generator(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    """A run whose finished model has other weights than its base."""
    import torch
    from transformers import GPT2LMHeadModel

    run = tmp_path / "real-20260101-000000-e5f6"
    for name in ("model", "model_init"):
        shutil.copytree(tiny_gpt2_folder, run / name)
    model = GPT2LMHeadModel.from_pretrained(tiny_gpt2_folder)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    model.save_pretrained(run / "model")
    recipe = {
        "name": "real",
        "task": "text-generation",
        "model": str(tiny_gpt2_folder),
        "data": {"rows": [{"text": "a"}]},
    }
    (run / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return run


@pytest.fixture
def chatting(opened: Any, started: Any) -> Callable[..., Any]:
    """Open the app; no worker is left when it ends."""

    @asynccontextmanager
    async def open_chat(size: tuple[int, int] = (80, 24), **options: Any) -> AsyncIterator[Chat]:
        async with opened(size=size, **{"connect": started, **options}) as (app, pilot):
            try:
                yield Chat(app, pilot)
            finally:
                for place in app.places.values():
                    place.leave()
        limit = time.monotonic() + SECONDS
        while any(psutil.pid_exists(client.process_id) for client in started.clients):
            assert time.monotonic() < limit, "a worker is left"
            await asyncio.sleep(0.005)

    return open_chat


@pytest.fixture
def gen(make_run: Any) -> Path:
    return fake(make_run(GEN, model=True, checkpoints=(10, 20)))


@pytest.fixture
def cls(make_run: Any) -> Path:
    return fake(make_run(CLS, model=True), task="text-classification")
