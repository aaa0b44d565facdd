"""The list of runs in the app: its keys, its filter, its marks, and what stands beside it on a wide terminal."""

import json
import os

import pytest
from hftune_tui.drawing import Words
from hftune_tui.widgets.filter_line import FilterLine
from hftune_tui.widgets.run_table import RunTable
from textual.widgets import Input

from hftune.recipe.load import dump_recipe, load_recipe
from hftune.runs import layout, process

from .conftest import NOW, Ticks, all_at_once, evaluated, lines, notice, text_of, train, until


async def test_the_list_says_what_each_run_does(opened, three, make_run):
    make_run("waits-20260104-000000-0001", "queued")
    make_run("later-20260105-000000-0002", "done", schema=9)
    make_run("broken-20260106-000000-0003", state="{")
    gone = {"host": process.host(), "boot_id": process.boot_id(), "pid": 2**22 + 1}
    make_run("gone-20260107-000000-0004", "training", **gone)
    async with opened() as (app, _):
        assert [line[:41].rstrip() for line in lines(app)[1:9]] == [
            "  RUN                      STATUS",
            "▸ gone-0004                ? lost",
            "  broken-0003              ! unreadable",
            "  later-0002               ✓ done ↑",
            "  waits-0001               ◌ queued",
            "  bert-cls-000c            ● training",
            "  gpt2-gen-000b            ✗ failed",
            "  bert-lora-000a           ✓ done",
        ]
        assert "315/500 63% loss 0.4121     ETA 1m12s" in lines(app)[6]
        assert "accuracy 0.861  1m ago" in lines(app)[8]
        assert "1 running · 1 queued · 2 done" in lines(app)[0]
        assert lines(app)[23].endswith("t Train  f Filter  c Chat  x Stop  ? Keys")


async def test_wider_terminals_say_why(opened, three):
    async with opened(size=(110, 24)) as (app, pilot):
        assert "out of memory" in text_of(app) and "WHAT" in lines(app)[1] and "│" not in text_of(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "out of memory" not in text_of(app) and lines(app)[1].endswith("AGE OR ETA")


async def test_enter_watches_the_run_under_the_cursor(opened, three, told):
    async with opened() as (app, pilot):
        said = told(app)
        await pilot.press("j", "enter", "G", "enter", "g", "enter", "pagedown", "k", "enter")
        await pilot.pause()
        assert [what["run"] for _, what in said] == [three[1], three[2], three[0], three[1]]
        assert {name for name, _ in said} == {"watch"}


async def test_the_run_in_front_is_the_one_under_the_cursor(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("j")
        assert app.place.run_in_front() == three[1] and app.place.copied() == str(three[1])
        await pilot.press("2")
        assert app.place.NAME == "watch" and app.run_here == three[1]
        await pilot.press("right_square_bracket")
        assert app.run_here == three[0]
        await pilot.press("1")
        assert app.place.NAME == "runs" and app.place.run_in_front() == three[0]
        assert isinstance(app.focused, RunTable)


async def test_new_runs_appear_while_the_cursor_stays_on_its_run(opened, three, make_run):
    async with opened() as (app, pilot):
        await pilot.press("j")
        make_run("new-20260201-000000-00ff", "queued")
        app.read()
        await pilot.pause()
        assert lines(app)[2].startswith("  new-00ff") and lines(app)[4].startswith("▸ gpt2-gen-000b")
        assert app.place.run_in_front() == three[1]


async def test_figures_move_with_the_timer(opened, three):
    async with opened() as (app, pilot):
        with (three[0] / layout.EVENTS).open("a") as file:
            kind, data = train(330, 0.3711, eta_seconds=60)
            file.write(json.dumps({"v": 1, "seq": 9, "attempt": 1, "time": NOW, "kind": kind, "data": data}) + "\n")
        app.store.poll_once()
        await until(pilot, lambda: "330/500 66% loss 0.3711" in text_of(app))


async def test_marks_are_the_apps_and_offer_to_compare(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("G", "space", "g", "space")
        app.place.update_now()
        await pilot.pause()
        assert list(app.marked) == [three[2], three[0]]  # in the order they were marked
        assert [line[:2] for line in lines(app)[2:5]] == ["▸*", "  ", " *"]
        assert "3 Compare 2 " in lines(app)[23]
        await pilot.press("3")
        assert app.place.NAME == "compare" and list(app.marked) == [three[2], three[0]]
        await pilot.press("1")
        del app.marked[three[2]]  # Compare has taken one out
        app.place.update_now()
        await pilot.pause()
        assert [line[:2] for line in lines(app)[2:5]] == ["▸*", "  ", "  "] and "3 Compare 1 " in lines(app)[23]
        await pilot.press("escape")
        assert not app.marked and "1 mark taken away" in notice(app)
        await pilot.pause()
        assert "Compare" not in lines(app)[23]


async def test_chat_goes_to_a_run_with_a_model_and_says_why_it_cannot(opened, three, make_run, told):
    make_run("broken-20260106-000000-0003", state="{")
    make_run("empty-20250101-000000-0001", "failed")
    async with opened() as (app, pilot):
        said = told(app)
        expected = [
            "broken-0003 cannot be asked: its state cannot be read",
            "bert-cls-000c cannot be asked: it has saved no checkpoint yet",
            None,
            None,
            "empty-0001 cannot be asked: it has no model and no checkpoint to ask",
        ]
        for why in expected:
            app.place.say("")
            await pilot.press("c")
            assert why is None or why in notice(app)
            await pilot.press("j")
        assert said == [("chat", {"run": three[1]}), ("chat", {"run": three[2]})]


async def test_stop_pause_and_resume_mean_the_run_under_the_cursor(opened, three):
    async with opened() as (app, pilot):
        for run in three[:1]:
            (run / layout.CONTROL).mkdir()
        await pilot.press("x")
        await pilot.pause()
        assert len(app.screen_stack) == 2 and f"Stop {three[0].name}?" in text_of(app)
        await pilot.press("n", "p")
        await until(pilot, lambda: list((three[0] / layout.CONTROL).iterdir()))
        assert [path.name for path in (three[0] / layout.CONTROL).iterdir()] == ["pause"]
        await pilot.press("G", "x")
        assert "it is done" in notice(app)
        await pilot.press("r")
        assert "nothing to resume" in notice(app)


async def test_text_goes_to_the_model_of_the_run_under_the_cursor(opened, three, told):
    async with opened() as (app, pilot):
        said = told(app)
        await pilot.press("j", "i", "h", "i", "enter")
        await pilot.pause()
        assert said == [("chat", {"run": three[1], "ask": "hi"})]


async def test_a_prompt_scrolls_the_list(opened, make_run):
    for number in range(60):
        make_run(f"bert-20260101-0000{number:02}-{number:04x}")
    async with opened() as (app, pilot):
        await pilot.press("i", "pagedown")
        await pilot.pause()
        assert app.place.run_in_front().name.endswith(f"{59 - 20:04x}")


# The filter


async def test_words_narrow_the_list_and_escape_shows_all(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("f", *"bert")
        await pilot.pause()
        assert lines(app)[1] == " find  bert                                    2 of 3  Enter keeps · Esc clears"
        assert [line.split()[:2] for line in lines(app)[3:6]] == [["▸", "bert-cls-000c"], ["bert-lora-000a", "✓"], []]
        await pilot.press("space", *"done", "enter")  # each word has to match: a name, and a status
        await pilot.pause()
        assert lines(app)[1].startswith(" find  bert done") and "1 of 3  n N · F all · Esc" in lines(app)[1]
        assert lines(app)[3].startswith("▸ bert-lora-000a") and isinstance(app.focused, RunTable)
        assert app.place.run_in_front() == three[2] and not app.marked
        await pilot.press("escape")
        await pilot.pause()
        assert "find" not in text_of(app) and lines(app)[2].split()[0] == "bert-cls-000c"
        assert app.place.run_in_front() == three[2]  # the cursor stays on what was found


@pytest.mark.parametrize("keep", ["enter", "down"])
async def test_letters_and_a_key_that_keeps_them_come_all_at_once(opened, three, keep):
    async with opened() as (app, pilot):
        await pilot.press("f")
        await pilot.pause()
        all_at_once(app, *"lora", keep)
        await until(pilot, lambda: isinstance(app.focused, RunTable))
        assert app.place.query_one(FilterLine).query_one(Input).value == "lora"


async def test_escape_while_writing_clears_and_gives_the_keys_back(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("f", *"zzz")
        await pilot.pause()
        assert "0 of 3" in lines(app)[1] and app.place.run_in_front() is None
        await pilot.press("escape")
        await pilot.pause()
        assert "find" not in text_of(app) and "gpt2-gen-000b" in text_of(app)
        await pilot.press("j")
        assert app.place.run_in_front() == three[1]


async def test_letters_in_the_filter_are_no_keys(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("f", *"xq1c/?")
        await pilot.pause()
        assert app.place.NAME == "runs" and len(app.screen_stack) == 1 and lines(app)[1].startswith(" find  xq1c/? ")


async def test_nothing_is_found_and_keys_say_so(opened, three, told):
    async with opened() as (app, pilot):
        said = told(app)
        await pilot.press("f", *"zzz", "enter", "enter")
        await pilot.pause()
        for key in ("enter", "space", "c"):
            app.place.say("")
            await pilot.press(key)
            await pilot.pause()
            assert "no run is shown" in notice(app)
        await pilot.press("n")
        await pilot.pause()
        assert "no run matches 'zzz'" in notice(app) and said == []


async def test_matches_are_gone_to_among_all_runs(opened, three):
    async with opened() as (app, pilot):
        for key in ("n", "N", "F"):
            app.place.say("")
            await pilot.press(key)
            await pilot.pause()
            assert "nothing is looked for: f begins" in notice(app)
        await pilot.press("f", *"bert", "enter", "F")
        await pilot.pause()
        assert "2 of 3  n N · F only these · Esc" in lines(app)[1] and "gpt2-gen-000b" in text_of(app)
        await pilot.press("n")
        assert app.place.run_in_front() == three[2]
        await pilot.press("n")
        assert app.place.run_in_front() == three[0]
        await pilot.press("N")
        assert app.place.run_in_front() == three[2]
        await pilot.press("F")
        await pilot.pause()
        assert "gpt2-gen-000b" not in text_of(app)


async def test_the_filter_goes_on_where_it_was_left(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("f", *"ber", "enter", "f", *"t", "enter")
        assert app.screen.query_one(RunTable).looked_for == "bert"
        await pilot.press("2", "1")
        await pilot.pause()
        assert " find  bert" in lines(app)[1] and "gpt2-gen-000b" not in text_of(app)


async def test_a_run_that_ends_leaves_a_filter_for_its_status(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("f", *"training", "enter")
        await pilot.pause()
        assert app.place.run_in_front() == three[0]
        state = json.loads((three[0] / layout.STATE).read_text())
        (three[0] / layout.STATE).write_text(json.dumps({**state, "status": "done"}))
        app.read()
        await pilot.pause()
        assert app.place.run_in_front() is None and "0 of 3" in lines(app)[1]


async def test_what_stays_is_not_drawn_again(opened, three, monkeypatch):
    drawn = []
    async with opened(size=(140, 30)) as (app, pilot):
        await pilot.press("space", "f", *"bert", "enter")
        await pilot.pause()
        app.place.update_now()
        for words in app.screen.query(Words):
            monkeypatch.setattr(words, "update", lambda *content, words=words: drawn.append(words.id))
        app.place.update_now()
        assert drawn == []


# The details beside a wide list


async def test_a_very_wide_terminal_says_more_of_the_run_under_the_cursor(opened, make_run):
    events = [
        ("plan", {"total_steps": 500, "metric": "accuracy"}),
        train(250, 0.5),
        evaluated(250, loss=0.4, accuracy=0.866),
        ("best", {"step": 250, "metric": "accuracy", "value": 0.866}),
        ("alert", {"level": "warning", "code": "x", "message": "half of the texts are cut"}),
    ]
    recipe = dump_recipe(load_recipe("bert_cls"))
    run = make_run("bert-cls-20260102-000000-000b", "training", events=events, recipe=recipe, step=250, total_steps=500)
    make_run("old-20260101-000000-000a", "failed", reason="killed by [signal] 9", attempt=3, recipe="nonsense: [")
    ticks = Ticks()
    async with opened(size=(140, 30), monotonic=ticks) as (app, pilot):
        assert "│ bert-cls-000b" in lines(app)[1] and "accuracy 0.866" not in text_of(app)
        ticks.now += 1
        app.place.update_now()
        app.read()
        await until(pilot, lambda: "model    all-MiniLM-L6-v2" in text_of(app))
        beside = "\n".join(line.partition("│")[2].strip() for line in lines(app))
        assert "● training" in beside and "data     hftune:movie-reviews" in beside and "method   full" in beside
        assert "step     250/500 50%" in beside and "best     accuracy 0.866@250" in beside
        assert "on       elsewhere" in beside and "newest lines first" in beside
        assert beside.index("half of the texts") < beside.index("step 250/500")
        assert app.store.follow(run).version and app.store.unfollow(run) is None
        await pilot.press("j")
        ticks.now += 1
        app.place.update_now()
        app.read()
        await pilot.pause()
        beside = "\n".join(line.partition("│")[2].strip() for line in lines(app))
        assert "old-000a" in beside and "killed by [signal] 9" in beside and "attempt  3" in beside
        assert "accuracy" not in beside and "model" not in beside


async def test_details_follow_one_run_at_a_time_and_none_elsewhere(opened, three):
    ticks = Ticks()
    async with opened(size=(140, 30), monotonic=ticks) as (app, pilot):

        def followed():
            return [entry.run.path for entry in app.store._live()]

        ticks.now += 1
        app.place.update_now()
        assert followed() == [three[0]]
        await pilot.press("j")
        app.place.update_now()
        assert followed() == []  # until the cursor rests
        ticks.now += 1
        app.place.update_now()
        assert followed() == [three[1]]
        await pilot.press("5")
        await pilot.pause()
        assert three[1] not in followed()
        await pilot.press("1")
        ticks.now += 1
        app.place.update_now()
        assert followed() == [three[1]]
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        app.place.update_now()
        assert followed() == []


async def test_a_run_that_the_cursor_has_only_come_to_is_not_followed_yet(opened, three):
    """Also when the screen is drawn before it hears that the cursor has moved."""
    ticks = Ticks()
    async with opened(size=(140, 30), monotonic=ticks) as (app, pilot):
        ticks.now += 1
        app.place.update_now()
        ticks.now += 1
        app.place.query_one(RunTable).action_move(1)
        app.place.update_now()
        assert [entry.run.path for entry in app.store._live()] == []
        await pilot.pause()
        ticks.now += 1
        app.place.update_now()
        assert [entry.run.path for entry in app.store._live()] == [three[1]]


# Small, many, hostile


async def test_a_terminal_too_small_says_what_runs(opened, three):
    async with opened(size=(60, 15)) as (app, _):
        assert "hftune · 1 running · 1 done" in lines(app)[0] and "needs 80x20, this is 60x15" in text_of(app)


async def test_names_and_reasons_are_text(opened, make_run):
    make_run("[bold]x[nothing]-20260101-000000-0001", "failed", reason="\x1b]0;title\x07[red]no")
    async with opened(size=(140, 24)) as (app, _):
        assert "[bold]x[nothing]-0001" in text_of(app) and "[red]no" in text_of(app) and "\x1b" not in text_of(app)


async def test_a_thousand_runs_are_shown_and_moved_in(opened, runs):
    record = json.dumps({"schema": 1, "status": "done", "created": NOW - 100, "host": "elsewhere"})
    for number in range(1000):
        run = runs / f"bert-20260101-{number:06}-{number:04x}"
        os.mkdir(run)  # noqa: PTH102 - a thousand of them
        (run / layout.STATE).write_text(record)
    async with opened() as (app, pilot):
        await pilot.press("G")
        await pilot.pause()
        assert app.place.run_in_front().name.endswith("0000") and lines(app)[22].startswith("▸ bert-0000")
        await pilot.press("f", *"03e7", "enter")
        await pilot.pause()
        assert "1 of 1,000" in lines(app)[1] and app.place.run_in_front().name.endswith("03e7")
