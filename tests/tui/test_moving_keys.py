"""Every key that moves within a list or a text, by each of its names; and every key that closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hftune_tui import themes
from hftune_tui.answers import Item, Notice
from hftune_tui.screens.dialogs import Reading
from hftune_tui.screens.output import OutputScreen
from hftune_tui.screens.recipe_dialogs import Choose
from hftune_tui.widgets.entries import Entries, Entry
from hftune_tui.widgets.line_panel import LinePanel
from hftune_tui.widgets.picks import Pick, Picks
from hftune_tui.widgets.run_table import RunTable
from hftune_tui.widgets.transcript import Transcript
from textual.app import App
from textual.containers import VerticalScroll
from textual.widget import Widget

from .conftest import text_of, until

Steps = Sequence[tuple[str, int]]


class Host(App[None]):
    """An app that shows nothing but one widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(themes.DARK.variables)

    def compose(self) -> Any:
        yield self.widget

    def on_mount(self) -> None:
        self.widget.focus()


async def walk(pilot: Any, steps: Steps, where: Callable[[], int]) -> None:
    """Press each key and compare where that leads to."""
    for number, (key, there) in enumerate(steps):
        await pilot.press(key)
        await pilot.pause()
        assert where() == there, (number, key)


async def test_in_lines_to_choose_from() -> None:
    picks = Picks()
    async with Host(picks).run_test(size=(80, 11)) as pilot:
        picks.show([Pick(f"line {number}", value=number) for number in range(30)])
        steps = [
            ("down", 1), ("j", 2), ("up", 1), ("k", 0), ("pagedown", 10), ("pagedown", 20), ("pageup", 10),
            ("end", 29), ("home", 0), ("G", 29), ("g", 0),
        ]  # fmt: skip
        await walk(pilot, steps, lambda: picks.current.value if picks.current else -1)


async def test_in_entries() -> None:
    entries = Entries([Entry(str(number), "title", "about") for number in range(4)])
    async with Host(entries).run_test(size=(80, 11)) as pilot:
        steps = [("down", 1), ("j", 2), ("up", 1), ("k", 0), ("end", 3), ("home", 0), ("G", 3), ("g", 0)]
        await walk(pilot, steps, lambda: int(entries.current.name) if entries.current else -1)


async def test_in_a_transcript() -> None:
    transcript = Transcript()
    async with Host(transcript).run_test(size=(80, 11)) as pilot:
        said: list[Item] = [Notice(f"line {number}") for number in range(200)]
        transcript.show(said)
        await pilot.pause()
        last = int(transcript.max_scroll_y)
        page = transcript.size.height - 2
        steps = [
            ("g", 0), ("down", 1), ("j", 2), ("up", 1), ("k", 0), ("pagedown", page), ("pageup", 0),
            ("end", last), ("home", 0), ("G", last),
        ]  # fmt: skip
        await walk(pilot, steps, lambda: int(transcript.scroll_offset.y))


async def test_in_the_list_of_runs(opened: Any, make_run: Callable[..., Any]) -> None:
    for number in range(30):
        make_run(f"run-202601{number + 1:02d}-000000-{number:04x}")
    async with opened() as (app, pilot):
        table = app.place.query_one(RunTable)
        page = table.size.height - 2  # the line over the rows stays
        steps = [
            ("down", 1), ("j", 2), ("up", 1), ("k", 0), ("pagedown", page), ("pageup", 0), ("end", 29), ("home", 0),
            ("G", 29), ("g", 0),
        ]  # fmt: skip
        names = [row.path for row in app.store.rows]
        await walk(pilot, steps, lambda: names.index(table.current.path))


async def test_in_a_text_to_read_and_each_key_that_closes_it(opened: Any) -> None:
    async with opened() as (app, pilot):
        for close in ("escape", "enter", "question_mark", "q"):
            app.push_screen(Reading("Help", "\n".join(f"line {number}" for number in range(100))))
            await pilot.pause()
            view = app.screen.query_one(VerticalScroll)
            steps = [("down", 1), ("j", 2), ("up", 1), ("k", 0), ("pagedown", 10), ("pageup", 0), ("space", 10)]
            await walk(pilot, steps, lambda view=view: int(view.scroll_offset.y))  # type: ignore[misc]
            await pilot.press(close)
            await pilot.pause()
            assert app.screen is app.place, close


async def test_in_what_a_command_says_and_each_key_that_closes_it(opened: Any) -> None:
    async with opened() as (app, pilot):
        for close in ("escape", "q"):
            app.execute("/recipes schema")
            await until(pilot, lambda: isinstance(app.screen, OutputScreen))
            await until(pilot, lambda: "done" in text_of(app))
            view = app.screen.query_one(VerticalScroll)
            await until(pilot, lambda view=view: view.max_scroll_y > 20)  # type: ignore[misc]
            last = int(view.max_scroll_y)
            steps = [
                ("up", last - 1), ("k", last - 2), ("down", last - 1), ("j", last), ("pageup", last - 10),
                ("pagedown", last),
            ]  # fmt: skip
            await walk(pilot, steps, lambda view=view: int(view.scroll_offset.y))  # type: ignore[misc]
            await pilot.press(close)
            await pilot.pause()
            assert app.screen is app.place, close


async def test_in_the_lines_of_a_run(opened: Any, make_run: Callable[..., Any]) -> None:
    run = make_run("one-20260101-000000-000a", "done", log="\n".join(f"line {number}" for number in range(60)))
    async with opened(watch=run) as (app, pilot):
        await pilot.press("l")
        app.read()
        await pilot.pause()
        panel = app.place.query_one(LinePanel)
        page = panel.size.height - 2

        def last_shown() -> int:
            return int(panel.render_line(panel.size.height - 1).text.split()[-1])

        steps = [
            ("k", 58), ("up", 57), ("j", 58), ("down", 59), ("pageup", 59 - page), ("pagedown", 59),
            ("home", page), ("end", 59), ("g", page), ("G", 59),
        ]  # fmt: skip
        await walk(pilot, steps, last_shown)


@pytest.mark.parametrize("close", ["escape", "q"])
async def test_keys_that_choose_nothing(opened: Any, close: str) -> None:
    async with opened() as (app, pilot):
        answers: list[str | None] = []
        app.push_screen(Choose("which?", "", [Entry("a", "A", "one")]), answers.append)
        await pilot.pause()
        await pilot.press(close)
        await pilot.pause()
        assert answers == [None] and app.screen is app.place


async def test_the_palette_moves_with_ctrl_n_and_ctrl_p(opened: Any) -> None:
    async with opened() as (app, pilot):
        await pilot.press("ctrl+p")
        await pilot.pause()
        await walk(pilot, [("ctrl+n", 1), ("ctrl+n", 2), ("ctrl+p", 1)], lambda: app.screen._chosen)
