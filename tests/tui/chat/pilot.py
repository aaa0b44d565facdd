"""The app with its chat in front, as tests use it, and runs for the fake worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hftune_tui.screens.chat import ChatScreen

SECONDS = 30
RECIPE = "name: it\nmodel: hftune:minilm-l6\ntask: text-classification\ndata:\n  source: hftune:movie-reviews\n"
GEN, CLS = "gen-20260101-000000-a1b2", "cls-20260102-000000-c3d4"


def _joined(text: str) -> str:
    return " ".join(text.split())


class Chat:
    """The app with its chat in front, and what a test does in it."""

    def __init__(self, app: Any, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> ChatScreen:
        found = self.app.places["chat"]
        assert isinstance(found, ChatScreen)
        return found

    @property
    def session(self) -> Any:
        return self.screen.session

    def shown(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def until(self, true: Callable[[], Any]) -> None:
        limit = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < limit, f"it did not come true\n{self.shown()}\n{self.session.phase}"
            await self.pilot.pause()
            await asyncio.sleep(0.005)

    async def sees(self, *words: str) -> None:
        """Wait until words are on the screen, wherever its rows break."""
        await self.until(lambda: all(_joined(each) in _joined(self.shown()) for each in words))

    async def open(self, run: Path | None = None, **what: Any) -> None:
        self.app.go("chat", **({"run": run} if run else {}), **what)
        await self.pilot.pause()

    async def ready(self) -> None:
        await self.until(lambda: self.session.phase.name == "ready" and all(one.over for one in self.session.exchanges))
        self.screen.update_now()
        await self.pilot.pause()

    async def types(self, text: str, settle: bool = True) -> None:
        """Write in the prompt and press Enter."""
        self.screen.prompt.enter(text)
        await self.pilot.press("enter")
        await self.pilot.pause()
        if settle:
            await self.ready()

    async def body(self, *keys: str) -> None:
        """Press keys outside the prompt."""
        self.screen.focus_body()
        await self.pilot.pause()
        await self.pilot.press(*keys)
        await self.pilot.pause()


def fake(run: Path, **about: Any) -> Path:
    (run / "fake.json").write_text(json.dumps(about), encoding="utf-8")
    return run
