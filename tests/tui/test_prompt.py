"""The prompt: sending, new lines, suggestions, history, and what its keys do not do."""

import pytest
from hftune_tui.widgets.prompt import MOST_LINES, Prompt

from .conftest import all_at_once, text_of, until


@pytest.fixture
def taken(monkeypatch):
    """What the place is given as plain text."""
    from hftune_tui.screens.compare import CompareScreen

    texts = []
    monkeypatch.setattr(CompareScreen, "take_text", lambda _, text: texts.append(text))
    return texts


@pytest.fixture
def in_prompt(opened):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def inside():
        async with opened() as (app, pilot):
            app.go("compare")
            await pilot.pause()
            app.place.prompt.enter()
            await pilot.pause()
            yield app.place.query_one(Prompt), pilot

    return inside


async def test_enter_sends_plain_text_to_the_place(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        await pilot.press(*"good", "space", *"film", "enter")
        await pilot.pause()
        assert taken == ["good film"] and prompt.text == ""


async def test_keys_that_come_all_at_once_are_taken_in_their_order(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        all_at_once(prompt.app, "a", "b", "ctrl+j", "c", "enter", "d")
        await until(pilot, lambda: prompt.text == "d")
        assert taken == ["ab\nc"]


async def test_tab_takes_what_the_letters_just_before_it_have_found(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        all_at_once(prompt.app, *"/comq", "backspace", "tab", "x")
        await until(pilot, lambda: prompt.text.endswith("x"))
        assert prompt.text == "/compare x"


async def test_two_slashes_send_a_text_that_begins_with_one(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        prompt.write("//etc is a folder")
        await pilot.press("enter")
        await pilot.pause()
        assert taken == ["/etc is a folder"]


async def test_new_lines_are_written_and_the_prompt_grows(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        await pilot.pause()
        assert prompt.text == "a\nb\nc" and prompt.size.height == 3
        for _ in range(MOST_LINES + 2):
            await pilot.press("ctrl+j")
        await pilot.pause()
        assert prompt.size.height == MOST_LINES
        await pilot.press("enter")
        await pilot.pause()
        assert taken == ["a\nb\nc"] and prompt.size.height == 1


async def test_up_and_down_walk_through_what_was_sent(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        for text in ("one", "two"):
            await pilot.press(*text, "enter")
        await pilot.press(*"dr")
        await pilot.press("up")
        assert prompt.text == "two"
        await pilot.press("up", "up")
        assert prompt.text == "one"
        await pilot.press("down", "down")
        assert prompt.text == "dr"


async def test_up_moves_inside_a_text_of_several_lines_first(in_prompt, taken):
    async with in_prompt() as (prompt, pilot):
        await pilot.press("x", "enter", "a", "ctrl+j", "b", "up")
        assert prompt.text == "a\nb" and prompt.cursor_location[0] == 0
        await pilot.press("up")
        assert prompt.text == "x"


async def test_tab_takes_the_suggestion_and_arrows_choose_it(in_prompt):
    async with in_prompt() as (prompt, pilot):
        await pilot.press("slash", "t", "h")
        await pilot.pause()
        assert "▸ /theme" in text_of(pilot.app)
        await pilot.press("tab")
        assert prompt.text == "/theme "
        await pilot.press("down", "enter")
        await pilot.pause()
        assert pilot.app.theme == "light" and prompt.text == ""


async def test_enter_on_a_chosen_command_that_needs_more_only_takes_it(in_prompt):
    async with in_prompt() as (prompt, pilot):
        await pilot.press("slash", *"temp", "down", "up", "enter")
        await pilot.pause()
        assert prompt.text == "/temp "


async def test_tab_in_an_empty_prompt_leaves_it(in_prompt):
    async with in_prompt() as (_, pilot):
        await pilot.press("tab")
        await pilot.pause()
        assert not isinstance(pilot.app.focused, Prompt)


async def test_single_letters_are_text_and_not_keys(in_prompt):
    async with in_prompt() as (prompt, pilot):
        await pilot.press("1", "q", "x", "question_mark", "left_square_bracket", "colon")
        assert prompt.text == "1qx?[:"
        assert pilot.app.is_running and pilot.app.current_mode == "compare"


async def test_escape_keeps_a_text_and_drops_a_command(in_prompt):
    async with in_prompt() as (prompt, pilot):
        await pilot.press(*"half", "escape")
        await pilot.pause()
        assert prompt.text == "half" and not isinstance(pilot.app.focused, Prompt)
        await pilot.press("i")
        prompt.write("/half")
        await pilot.press("escape")
        await pilot.pause()
        assert prompt.text == ""


async def test_hostile_text_in_suggestions_is_only_text(in_prompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "\x1b]0;title\x07[bold red]x.csv").touch()
    (tmp_path / "影评.csv").touch()
    async with in_prompt() as (_, pilot):
        await pilot.press("slash", *"file", "space")
        await pilot.pause()
        shown = text_of(pilot.app)
        assert "\x1b" not in shown and "[bold red]x.csv" in shown and "影评.csv" in shown


async def test_text_without_a_run_says_where_it_would_go(opened):
    async with opened() as (app, pilot):
        app.go("compare")
        await pilot.pause()
        await pilot.press("i", *"hello", "enter")
        await pilot.pause()
        assert "text goes to the model of a run" in text_of(app)
