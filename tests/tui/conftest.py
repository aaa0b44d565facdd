"""Run directories made with the real writer, a frozen clock, and the app on a screen that tests can read."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hftune_tui import first_look
from hftune_tui.app import HftuneApp
from hftune_tui.first_look import Fact
from textual import events

from hftune.runs import layout

NOW = 1_800_000_000.0
RECIPE = """\
name: {name}
model:
  id: hftune:minilm-l6
task:
  name: text-classification
data:
  train: hftune:movie-reviews
"""


@pytest.fixture(autouse=True)
def no_settings_of_a_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HFTUNE_APP_SETTINGS", str(tmp_path / "app.yaml"))


@pytest.fixture(autouse=True)
def the_same_machine_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first screen says of the machine; the Hub is not asked."""
    facts = {"torch": Fact("torch 2.13 cpu"), "cores": Fact("2 cores"), "disk": Fact("3.1 GiB free")}
    facts["hub"] = Fact("Hub unreachable (not needed)", well=False)
    for name, fact in facts.items():
        monkeypatch.setattr(first_look, f"{name}_fact", lambda *_, fact=fact: fact)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder for runs."""
    path = tmp_path / "runs"
    path.mkdir()
    return path


def state_of(status: str = "done", **more: Any) -> dict[str, Any]:
    """Return what state.json says of a run, on another host: its process is not looked for."""
    return {
        "schema": 1,
        "status": status,
        "created": NOW - 100,
        "heartbeat": NOW - 1,
        "attempt": 1,
        "host": "elsewhere",
        "pid": 4711,
        **more,
    }


Event = tuple[str, dict[str, Any]]


def train(step: int, loss: float | None = 1.0, total: int = 500, **timing: float) -> Event:
    """Return a train event."""
    metrics = {"loss": loss, "learning_rate": 2e-5, "grad_norm": 1.4}
    times = {"elapsed_seconds": float(step) / 4, "tokens_per_second": 1840.0, **timing}
    return "train", {"step": step, "epoch": step / 200, "total_steps": total, "metrics": metrics, "timing": times}


def evaluated(step: int, split: str = "validation", seconds: float = 3.1, **metrics: float) -> Event:
    """Return an eval event."""
    return "eval", {"step": step, "split": split, "metrics": metrics, "timing": {"seconds": seconds}}


def write_events(run: Path, events: Sequence[Event], attempt: int = 1, begin: float = NOW - 60) -> None:
    """Append events to a run, one a second."""
    with (run / layout.EVENTS).open("a") as file:
        for seq, (kind, data) in enumerate(events):
            record = {"v": 1, "seq": seq, "attempt": attempt, "time": begin + seq, "kind": kind, "data": data}
            file.write(json.dumps(record) + "\n")


@pytest.fixture
def make_run(runs: Path) -> Callable[..., Path]:
    """Make a run: make_run("bert-20260101-000000-a3f1", "training", events=[...], step=3, …fields of state.json)."""

    def make(
        name: str,
        status: str = "done",
        *,
        events: Sequence[Event] = (),
        recipe: str | None = None,
        checkpoints: Sequence[int] = (),
        model: bool = False,
        log: str = "",
        metrics: dict[str, Any] | None = None,
        state: str | dict[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        run = runs / name
        run.mkdir()
        record = state_of(status, **more) if state is None else state
        (run / layout.STATE).write_text(record if isinstance(record, str) else json.dumps(record))
        (run / layout.RECIPE).write_text(RECIPE.format(name=name.split("-")[0]) if recipe is None else recipe)
        for step in checkpoints:
            folder = run / layout.CHECKPOINTS / f"step-{step:08d}"
            folder.mkdir(parents=True)
            (folder / layout.MANIFEST).write_text("{}")
        if model:
            (run / layout.MODEL).mkdir()
        if log:
            (run / layout.LOG).write_text(log)
        if metrics is not None:
            (run / layout.METRICS).write_text(json.dumps(metrics))
        if events:
            write_events(run, events)
        return run

    return make


class Ticks:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def opened(runs: Path) -> Callable[..., Any]:
    """Open the app: `async with opened(size=(80, 24)) as (app, pilot)`. Its clock stands still, no thread reads.

    `app.read()` reads the runs as the thread would, and draws.
    """

    @asynccontextmanager
    async def open_app(size: tuple[int, int] = (80, 24), **options: Any) -> AsyncIterator[tuple[HftuneApp, Any]]:
        options = {"clock": Ticks(), "machine": lambda: "CPU 3%  RAM 1.2/7.8G", "reads": False, **options}
        app = HftuneApp(options.pop("runs_dir", runs), **options)

        def read() -> None:
            app.store.poll_once()
            app.place.update_now()

        app.read = read
        async with app.run_test(size=size) as pilot:
            app.store.poll_once()
            await pilot.pause()
            app.place.update_now()
            await pilot.pause()
            yield app, pilot

    return open_app


def text_of(app: HftuneApp) -> str:
    """Return what the terminal shows, line by line."""
    screen = app.screen
    size = app.size
    strips = screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip)[: size.width].rstrip() for strip in strips)


def all_at_once(app: HftuneApp, *keys: str) -> None:
    """Type keys as a slow line delivers them: none waits for what the one before it does."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def until(pilot: Any, condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something is true; fails after `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come true"
        await pilot.pause()
        await asyncio.sleep(0.01)


def lines(app: HftuneApp) -> list[str]:
    """Return the lines of the terminal."""
    return text_of(app).splitlines()


def notice(app: HftuneApp) -> str:
    """Return the line above the prompt, empty when there is none."""
    words = app.screen.query_one("#notice")
    return str(words.visual) if words.display else ""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[HftuneApp], list[Any]]:
    """`told(app)` keeps what a place asks of the app: commands, and places with what to show. None is carried out."""

    def listen(app: HftuneApp) -> list[Any]:
        said: list[Any] = []
        monkeypatch.setattr(app, "execute", said.append)
        monkeypatch.setattr(app, "go", lambda name, **what: said.append((name, what)))
        return said

    return listen


@pytest.fixture
def three(make_run: Callable[..., Path]) -> list[Path]:
    """Three runs, the newest first: one trains, one failed with a checkpoint, one is done with a model."""
    training = make_run(
        "bert-cls-20260103-000000-000c",
        "training",
        step=315,
        total_steps=500,
        events=[train(315, 0.4121, eta_seconds=72)],
    )
    failed = make_run("gpt2-gen-20260102-000000-000b", "failed", reason="out of memory", checkpoints=[100])
    done = make_run(
        "bert-lora-20260101-000000-000a", "done", step=500, total_steps=500, metric="accuracy", metric_value=0.861,
        model=True,
    )  # fmt: skip
    return [training, failed, done]
