"""What the main screens look like, beside pictures that were looked at (`pytest --snapshot-update` draws them anew)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hftune_tui import recipe_list
from hftune_tui.app import HftuneApp
from hftune_tui.recipe_list import KnownRecipe

from .conftest import Ticks, evaluated, train
from .test_watch_screen import PLAN, RECIPE, events

SMALL, LARGE = (80, 24), (160, 48)
NAMES = [f"bert-cls-2026010{number}-000000-a3f{number}" for number in (1, 2, 3)]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are those of UTC, wherever the test runs."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def nine_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe more that ships must not change these pictures."""
    found = [KnownRecipe(f"recipe_{number}", "", Path(f"{number}.yaml"), True) for number in range(9)]
    monkeypatch.setattr(recipe_list, "known_recipes", lambda: found)


@pytest.fixture
def shown(runs: Path, snap_compare: Any) -> Callable[..., bool]:
    """Open the app in a theme, go where a test says, and compare."""

    def compare(
        go: Callable[[HftuneApp], Any] = lambda app: None,
        size: tuple[int, int] = SMALL,
        theme: str = "dark",
        keys: tuple[str, ...] = (),
    ) -> bool:
        ticks = Ticks()
        app = HftuneApp(runs, clock=Ticks(), monotonic=ticks, machine=lambda: "CPU 3%  RAM 1.2/7.8G", reads=False)

        async def prepare(pilot: Any) -> None:
            app.theme = theme
            app.store.poll_once()
            await pilot.pause()
            go(app)
            await pilot.pause()
            app.store.poll_once()
            await pilot.press(*keys)
            app.place.update_now()
            ticks.now += 1  # the cursor rests: what is beside it is read
            app.place.update_now()
            app.store.poll_once()
            app.place.update_now()
            await pilot.pause()

        return bool(snap_compare(app, terminal_size=size, run_before=prepare))

    return compare


@pytest.fixture
def several(make_run: Callable[..., Path]) -> list[Path]:
    """A run that trains, one that waits, one that failed, one that is done, and one with a Chinese name."""
    training = make_run(
        NAMES[2], "training", step=315, total_steps=500, events=events(), recipe=RECIPE, checkpoints=[300]
    )
    make_run(NAMES[1], "queued")
    make_run("gpt2-gen-20260101-010000-00ff", "failed", reason="out of memory", checkpoints=[100])
    done = make_run(
        NAMES[0], "done", step=500, total_steps=500, metric="accuracy", metric_value=0.861, model=True, recipe=RECIPE,
        events=[PLAN, *(train(step, 1.0 - step / 800) for step in range(20, 501, 20)), evaluated(500, accuracy=0.861)],
    )  # fmt: skip
    make_run("影评分类-20251231-000000-0c0c", "done", step=90, total_steps=90, metric="accuracy", metric_value=0.9)
    return [training, done]


@pytest.mark.parametrize("theme", ["dark", "light", "high-contrast"])
def test_first_launch(shown: Callable[..., bool], theme: str) -> None:
    assert shown(theme=theme)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_list_of_runs(shown: Callable[..., bool], several: list[Path], size: tuple[int, int]) -> None:
    assert shown(size=size)


@pytest.mark.parametrize(("size", "theme"), [(SMALL, "dark"), (LARGE, "dark"), (SMALL, "light")])
def test_watching(shown: Callable[..., bool], several: list[Path], size: tuple[int, int], theme: str) -> None:
    assert shown(lambda app: app.go("watch", run=several[0]), size, theme)


def test_watching_without_colour(
    shown: Callable[..., bool], several: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(lambda app: app.go("watch", run=several[0]))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_comparing(shown: Callable[..., bool], several: list[Path], size: tuple[int, int]) -> None:
    assert shown(lambda app: app.go("compare", runs=several), size)


def test_completing_a_command(shown: Callable[..., bool]) -> None:
    assert shown(keys=("slash", "s", "t"))
