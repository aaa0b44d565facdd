"""What the chat looks like: Chinese text, emoji, bars and marked words stand where they should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hftune_tui.app import HftuneApp

NOW = 1_800_000_000.0


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_asking_a_classifier_in_chinese(
    tmp_path: Any, started: Any, chat: Any, snap_compare: Any, size: tuple[int, int]
) -> None:
    about = {"task": "text-classification", "labels": ["消极", "积极", "说不清 🙂"]}
    run = chat.fake_run(tmp_path / "runs", "影评分类-20260102-000000-c3d4", **about)
    app = HftuneApp(
        tmp_path / "runs", clock=lambda: NOW, monotonic=lambda: 0.0, machine=lambda: "CPU 3%  RAM 1.2/7.8G",
        connect=started, reads=False,
    )  # fmt: skip

    async def prepare(pilot: Any) -> None:
        app.go("chat", run=run)
        await pilot.pause()
        screen = app.places["chat"]
        screen.prompt.enter("这部电影的结尾非常糟糕，但是音乐很好听。")
        await pilot.press("enter")
        session = screen.session
        for _ in range(3000):  # half a minute
            found = session.exchanges[0].answers[0].explanation if session.exchanges else None
            if found is not None and found.record is not None:
                break
            await asyncio.sleep(0.01)
        app.store.poll_once()
        screen.update_now()
        await pilot.pause()

    try:
        assert snap_compare(app, terminal_size=size, run_before=prepare)
    finally:
        for client in started.clients:
            client.end()
