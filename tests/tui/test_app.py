"""The app as a whole: going from place to place, keys that act everywhere, dialogs, commands, leaving."""

import asyncio
import json
import sys

import pytest
from hftune_tui.app import PLACES, HftuneApp
from hftune_tui.screens.dialogs import Confirm, Reading
from hftune_tui.screens.output import OutputScreen
from hftune_tui.screens.palette import Palette
from hftune_tui.widgets.prompt import Prompt
from textual import events

from hftune.runs import layout

from .conftest import Ticks, all_at_once, text_of, until

NAMES = [f"bert-2026010{number}-000000-a3f{number}" for number in (1, 2, 3)]


async def type_in(pilot, text):
    """Write into the prompt and send it."""
    pilot.app.place.prompt.enter()
    await pilot.pause()
    pilot.app.place.prompt.query_one("#prompt").write(text)
    await pilot.press("enter")
    await pilot.pause()


async def test_numbers_go_to_the_places(opened):
    async with opened() as (app, pilot):
        for key, name in zip("23451", (*PLACES[1:], PLACES[0]), strict=True):
            if app.focused is not None and app.focused.id == "prompt":
                await pilot.press("escape")
            await pilot.press(key)
            await pilot.pause()
            assert (app.current_mode, app.place.NAME) == (name, name)
            assert text_of(app).splitlines()[0].startswith(" hftune")


@pytest.mark.parametrize("turns", [0, 1, 3])  # of the event loop before the rest is typed
@pytest.mark.parametrize("seen", [False, True])
async def test_what_is_typed_while_a_place_is_on_its_way_is_for_that_place(opened, three, seen, turns):
    async with opened() as (app, pilot):
        if seen:
            app.go("chat")
            await until(pilot, lambda: app.place.NAME == "chat" and app.focused is not None)
            app.go("runs")
            await until(pilot, lambda: app.place.NAME == "runs" and app.focused is not None)
        await pilot.press("G")
        app.post_message(events.Key("c", "c"))
        for _ in range(turns):
            await asyncio.sleep(0)
        for key in "xq":  # keys of the list: nothing is stopped, and no one leaves
            app.post_message(events.Key(key, key))
        app.post_message(events.Paste("is it "))
        for key in "good":
            app.post_message(events.Key(key, key))
        chat = app._place("chat")
        await until(pilot, lambda: app.place is chat and chat.is_mounted and chat.prompt.text.endswith("good"))
        assert chat.prompt.text == "xqis it good" and app.screen is app.place


async def test_text_that_comes_in_pieces_while_a_place_is_on_its_way_keeps_its_order(opened, three):
    async with opened() as (app, pilot):
        for turns in range(16):
            app.go("runs")
            await until(pilot, lambda: app.place.NAME == "runs" and app.focused is not None)
            all_at_once(app, "G", "c", *"wha", "backspace", "a")
            for _ in range(turns):
                await asyncio.sleep(0)
            all_at_once(app, *"t is it")
            await until(
                pilot, lambda: app.place.NAME == "chat" and app.place.is_mounted and len(app.place.prompt.text) == 10
            )
            assert app.place.prompt.text == "what is it", turns
            app.place.prompt.query_one(Prompt).write("")


async def test_keys_of_this_place_are_listed_with_their_names(opened):
    async with opened() as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Reading)
        assert "app.quit" in str(app.screen.text) and "place.prompt" in str(app.screen.text)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.place


async def test_the_palette_finds_by_letters_and_carries_out(opened):
    async with opened() as (app, pilot):
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, Palette)
        await pilot.press(*"/theme")
        await pilot.pause()
        assert "▸ /theme" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.theme == "light"


async def test_the_palette_takes_letters_and_enter_that_come_all_at_once(opened):
    async with opened() as (app, pilot):
        await pilot.press("ctrl+p")
        await pilot.pause()
        all_at_once(app, *"/compq", "backspace", *"are", "enter")
        await until(pilot, lambda: app.place.NAME == "compare")


async def test_the_palette_moves_and_closes_and_says_when_nothing_is_found(opened):
    async with opened() as (app, pilot):
        await pilot.press("colon", "down", "down", "up", "pagedown", "pageup", "up")
        await pilot.pause()
        last = [line for line in text_of(app).splitlines() if "▸" in line]
        assert last and "/run " not in last[0]  # up from the first is the last
        await pilot.press(*"zzzzqqq")
        await pilot.pause()
        assert "nothing has these letters" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is app.place
        await pilot.press("colon", "escape")
        await pilot.pause()
        assert app.screen is app.place


async def test_a_palette_command_that_needs_more_is_put_into_the_prompt(opened):
    async with opened() as (app, pilot):
        await pilot.press("colon", *"/temp")
        await pilot.press("enter")
        await pilot.pause()
        assert app.place.prompt.text == "/temp "


async def test_slash_opens_the_prompt_and_esc_leaves_it(opened):
    async with opened() as (app, pilot):
        await pilot.press("slash", "q", "u")
        await pilot.pause()
        assert app.place.prompt.text == "/qu"
        assert "▸ /quit" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.place.prompt.text == "" and getattr(app.focused, "id", "") != "prompt"
        await pilot.press("i", "q")
        await pilot.pause()
        assert app.place.prompt.text == "q"


async def test_brackets_step_through_the_runs(opened, make_run):
    runs = [make_run(name) for name in NAMES]
    async with opened() as (app, pilot):
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert (app.current_mode, app.run_here) == ("watch", runs[2])
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert app.run_here == runs[1]
        await pilot.press("right_square_bracket")
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert app.run_here == runs[2]
        assert "this is the newest run" in text_of(app)


async def test_without_runs_the_keys_say_why_they_cannot_act(opened):
    async with opened() as (app, pilot):
        for key, why in (
            ("left_square_bracket", "there are no runs yet"),
            ("x", "there is no run in front"),
            ("p", "there is no run in front"),
            ("r", "there is no run in front"),
        ):
            await pilot.press("2")
            await pilot.pause()
            await pilot.press(key)
            await pilot.pause()
            assert why in text_of(app), key


async def test_stopping_asks_and_pausing_does_not(opened, make_run):
    run = make_run(NAMES[0], "training")
    async with opened() as (app, pilot):
        app.go("watch", run=run)
        await pilot.pause()
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, Confirm) and "Stop it" in text_of(app)
        await pilot.press("n")
        await pilot.pause()
        assert not (run / layout.CONTROL / "stop").exists()
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: (run / layout.CONTROL / "stop").exists())
        await pilot.press("p")
        await until(pilot, lambda: (run / layout.CONTROL / "pause").exists())


async def test_a_run_that_has_ended_says_why_it_cannot_be_stopped(opened, make_run):
    run = make_run(NAMES[0], "done")
    async with opened() as (app, pilot):
        app.go("watch", run=run)
        await pilot.pause()
        for key in ("x", "p", "r"):
            await pilot.press(key)
            await pilot.pause()
            assert "it is done" in text_of(app), key


async def test_a_run_that_is_gone_shows_an_error_and_no_traceback(opened, runs):
    async with opened() as (app, pilot):
        app.go("watch", run=runs / "gone-20260101-000000-0000")
        await pilot.pause()
        await pilot.press("x")
        await pilot.pause()
        assert app.is_running and app.screen is app.place


async def test_typed_commands_are_carried_out(opened, make_run):
    run = make_run(NAMES[0], "training")
    async with opened() as (app, pilot):
        await type_in(pilot, f"/watch {NAMES[0]}")
        assert (app.current_mode, app.run_here) == ("watch", run)
        await type_in(pilot, "/pause")
        await until(pilot, lambda: (run / layout.CONTROL / "pause").exists())
        await type_in(pilot, "/runs")
        assert app.current_mode == "runs"
        await type_in(pilot, "/recipes")
        assert app.current_mode == "recipes"
        await type_in(pilot, "/compare a3f1")
        assert app.current_mode == "compare"
        await type_in(pilot, "/wacth")
        assert "no command '/wacth'" in text_of(app)
        await type_in(pilot, "/watch nothing")
        assert "nothing" in text_of(app)


async def test_help_lists_commands_and_describes_one(opened):
    async with opened() as (app, pilot):
        await type_in(pilot, "/help")
        assert isinstance(app.screen, Reading) and "/compare" in str(app.screen.text)
        await pilot.press("pagedown", "pageup", "j", "k", "escape")
        await type_in(pilot, "/help run")
        assert "--name" in str(app.screen.text)
        await pilot.press("escape")
        await type_in(pilot, "/run --help")
        assert "--name" in str(app.screen.text)
        await pilot.press("escape")
        await type_in(pilot, "/keys")
        assert "app.quit" in str(app.screen.text)


async def test_the_theme_is_kept_in_the_settings_file(opened, tmp_path):
    async with opened() as (app, pilot):
        await type_in(pilot, "/theme high-contrast")
        assert app.theme == "high-contrast"
        await type_in(pilot, "/theme drak")
        assert "no theme 'drak'" in text_of(app)
    async with opened() as (app, pilot):
        assert app.theme == "high-contrast"


async def test_keys_can_be_changed_and_a_wrong_line_is_said(opened, tmp_path):
    (tmp_path / "app.yaml").write_text("keys: {app.compare: z, app.recipse: y}\n")
    async with opened() as (app, pilot):
        await pilot.pause()
        assert "app.recipes" in text_of(app)
        await pilot.press("z")
        await pilot.pause()
        assert app.current_mode == "compare"
        await pilot.press("1")
        await pilot.pause()
        await pilot.press("3")
        await pilot.pause()
        assert app.current_mode == "runs"


async def test_another_command_runs_as_a_process_and_shows_what_it_says(opened):
    async with opened() as (app, pilot):
        await type_in(pilot, "/recipes schema")
        assert isinstance(app.screen, OutputScreen)
        screen = app.screen
        await until(pilot, lambda: screen.command.code is not None)
        assert screen.command.code == 0
        assert json.loads("\n".join(screen.command.lines))["type"] == "object"
        await pilot.press("y", "j", "k", "pageup", "pagedown")
        assert json.loads(app.clipboard)["type"] == "object"
        await until(pilot, lambda: "done" in text_of(app))
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.place


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("/check bert_cls", ["check", "bert_cls"]),
        ("/columns films.csv", ["columns", "films.csv"]),
        ("/ladder bert_cls --json", ["ladder", "bert_cls", "--json"]),
        ("/lr-find lstm_zh", ["lr-find", "lstm_zh"]),
        ("/evaluate", ["evaluate", NAMES[0]]),  # a run that is not named is the one in front
        ("/embed --near good", ["embed", NAMES[0], "--near", "good"]),
        ("/predict 'a good film'", ["predict", NAMES[0], "a", "good", "film"]),
        ("/generate 'a film'", ["generate", NAMES[0], "a", "film"]),
        ("/resume -s training.seed=3", ["resume", "--detach", NAMES[0], "-s", "training.seed=3"]),
        ("/run bert_cls --skip-check", ["run", "--detach", "bert_cls", "--skip-check"]),
    ],
)
async def test_what_is_no_place_runs_as_on_the_command_line(
    opened, runs, make_run, tmp_path, monkeypatch, typed, asked
):
    make_run(NAMES[0], "stopped", checkpoints=[5])
    program = tmp_path / "says.sh"
    program.write_text('#!/bin/sh\nprintf "%s " "$@"\n')
    program.chmod(0o755)
    async with opened() as (app, pilot):
        monkeypatch.setattr(sys, "executable", str(program))
        await type_in(pilot, typed)
        await until(pilot, lambda: isinstance(app.screen, OutputScreen) and app.screen.command.code == 0)
        said = " ".join(app.screen.command.lines).replace(f"--runs-dir {runs} ", "").replace(f"{runs}/", "")
        assert said.split() == ["-P", "-m", "hftune", *asked]


async def test_stop_and_quit_are_commands_too(opened, make_run):
    run = make_run(NAMES[0], "training")
    async with opened() as (app, pilot):
        await type_in(pilot, "/stop")
        await until(pilot, lambda: (run / layout.CONTROL / "stop").exists())
        await type_in(pilot, "/quit")
    assert app.return_value == "1 job keeps running"


async def test_a_command_that_fails_shows_its_error(opened):
    async with opened() as (app, pilot):
        await type_in(pilot, "/recipes show nothing_such")
        screen = app.screen
        await until(pilot, lambda: screen.command.code is not None)
        await until(pilot, lambda: "ended with 2" in text_of(app))
        assert "nothing_such" in text_of(app)


async def test_a_command_is_stopped(opened, monkeypatch):
    async with opened() as (app, pilot):
        monkeypatch.setattr(sys, "executable", "/bin/cat")  # reads nothing and says nothing: `cat -P` fails at once
        await type_in(pilot, "/doctor")
        screen = app.screen
        await pilot.press("x")
        await until(pilot, lambda: screen.command.code is not None)


async def test_ctrl_c_copies_what_is_selected_then_warns_then_quits(opened):
    ticks = Ticks()
    async with opened(monotonic=ticks) as (app, pilot):
        app.place.prompt.enter("some words")
        await pilot.pause()
        prompt = app.place.prompt.query_one("#prompt")
        prompt.select_all()
        await pilot.press("ctrl+c")
        assert app.clipboard == "some words"
        prompt.move_cursor((0, 0))
        ticks.now += 5
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert "ctrl+c again quits" in text_of(app)
        ticks.now += 5
        await pilot.press("ctrl+c")
        assert app.is_running and app.return_code is None
        ticks.now += 0.5
        await pilot.press("ctrl+c")
    assert app.return_value == ""


@pytest.mark.parametrize(("statuses", "said"), [((), ""), (("training",), "1 job keeps running"),
                                                (("training", "queued", "done"), "2 jobs keep running")])  # fmt: skip
async def test_leaving_says_how_many_jobs_go_on(opened, make_run, statuses, said):
    for name, status in zip(NAMES, statuses, strict=False):
        make_run(name, status)
    async with opened() as (app, pilot):
        app.place.focus_body()
        await pilot.press("q")
    assert app.return_value == said


async def test_the_mouse_can_be_left_to_the_terminal(opened):
    async with opened() as (app, pilot):
        await pilot.press("f6")
        await pilot.pause()
        assert "the mouse is the terminal's" in text_of(app)
        await pilot.press("f6")
        await pilot.pause()
        assert "the mouse is the app's" in text_of(app)


async def test_the_header_counts_runs_and_gives_way_to_where_one_is(opened, make_run):
    make_run(NAMES[0], "training")
    make_run(NAMES[1], "queued")
    make_run(NAMES[2], "done")
    async with opened() as (app, _):
        first = text_of(app).splitlines()[0]
        assert "1 running · 1 queued · 1 done" in first and "CPU 3%" in first
        assert len(first) <= 80


async def test_a_small_terminal_gets_one_line_and_its_size(opened):
    async with opened(size=(60, 12)) as (app, pilot):
        assert "needs 80x20, this is 60x12" in text_of(app)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert "needs 80x20" not in text_of(app)
        assert app.place.has_class("-too-small") is False
        await pilot.resize_terminal(120, 30)
        await pilot.pause()
        assert app.place.has_class("-wide") and not app.place.has_class("-widest")
        await pilot.resize_terminal(160, 48)
        await pilot.pause()
        assert app.place.has_class("-widest")


async def test_an_unforeseen_error_ends_in_a_sentence(runs, capsys):
    app = HftuneApp(runs, reads=False, clock=Ticks(), machine=lambda: "")
    with pytest.raises(ZeroDivisionError):
        async with app.run_test() as pilot:
            app.call_later(lambda: 1 / 0)
            await pilot.pause()
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "Jobs keep running" in said and "Traceback" not in said


async def test_nobody_looking_slows_the_reading(opened):
    from textual import events

    async with opened() as (app, pilot):
        app.post_message(events.AppBlur())
        await pilot.pause()
        assert app.blurred and app.store.blurred
        app.post_message(events.AppFocus())
        await pilot.pause()
        assert not app.blurred and not app.store.blurred


async def test_a_dialog_does_not_follow_to_another_place(opened):
    async with opened() as (app, pilot):
        await type_in(pilot, "/help")
        app.go("recipes")
        await pilot.pause()
        assert app.screen is app.place and app.current_mode == "recipes"
        app.go("runs")
        await pilot.pause()
        assert app.screen is app.place
