"""The first screen while there are no runs, and what to train next once there are."""

import json
from pathlib import Path

import pytest
from hftune_tui import first_look
from hftune_tui.screens import runs as runs_module
from hftune_tui.widgets.entries import Entries
from hftune_tui.widgets.run_table import RunTable

from hftune.recipe.load import dump_recipe, load_recipe
from hftune.runs import layout, process

from .conftest import NOW, lines, notice, text_of, until


async def test_the_first_launch_looks_as_it_was_drawn(opened):
    async with opened() as (app, pilot):
        found = f"{len(app.recipes())} found"
        await until(pilot, lambda: found in text_of(app) and "Hub" in lines(app)[22])
        assert lines(app)[:7] == [
            " hftune                              0 running · 0 done    CPU 3%  RAM 1.2/7.8G",
            " No runs yet. Press Enter to train your first model.",
            "",
            " ▸ Sentiment classifier   MiniLM BERT · movie reviews      works without the Hub",
            "   Review writer          GPT-2 mini · movie reviews       works without the Hub",
            "   My file                CSV / JSON Lines / Parquet → pick the columns",
            f"   A recipe               recipes/*.yaml  ({found})",
        ]
        assert lines(app)[22] == " ✓ torch 2.13 cpu  ✓ 2 cores  ✓ 3.1 GiB free  ! Hub unreachable (not needed)"
        assert lines(app)[23].startswith(" ›") and lines(app)[23].endswith("/ Commands  ? Keys")


async def test_each_entry_does_what_it_says(opened, told):
    async with opened() as (app, pilot):
        said = told(app)
        await pilot.press("enter", "down", "enter", "j", "enter", "G", "enter", "g", "enter")
        await pilot.pause()
        assert said == ["/run bert_cls", "/run gpt2_gen", "/file", ("recipes", {}), "/run bert_cls"]


@pytest.mark.parametrize("name", [entry.name for entry in runs_module.STARTERS])
def test_the_starters_are_recipes_that_need_no_hub(name):
    recipe = load_recipe(name)
    assert recipe.data.source.startswith("hftune:")
    assert recipe.model.id.startswith("hftune:") or recipe.model.id == "sentence-transformers/all-MiniLM-L6-v2"


async def test_enter_on_the_first_entry_starts_its_recipe_and_watches_it(opened, runs, monkeypatch):
    from hftune_tui import jobs

    asked = []

    def start(recipe, runs_dir, overrides, processes):
        asked.append((recipe, runs_dir))
        run = runs_dir / "bert-cls-20260101-000000-a3f1"
        run.mkdir()
        (run / layout.STATE).write_text(json.dumps({"schema": 1, "status": "queued", "created": NOW}))
        return run

    monkeypatch.setattr(jobs, "start", start)
    async with opened() as (app, pilot):
        await pilot.press("enter")
        await until(pilot, lambda: app.place.NAME == "watch" and app.run_here is not None)
        assert asked == [("bert_cls", runs)] and app.run_here.name == "bert-cls-20260101-000000-a3f1"


async def test_keys_of_the_list_say_that_there_are_no_runs(opened, told):
    async with opened() as (app, pilot):
        said = told(app)
        for key in ("f", "F", "c"):
            await pilot.press(key)
            assert "there are no runs yet" in notice(app)
        await pilot.press("t")
        assert "Enter does what the arrow points at" in notice(app)
        await pilot.press("x")
        assert "no run in front" in notice(app) and said == []
        await pilot.press("escape")
        assert "q leaves the app" in notice(app)


async def test_the_first_run_brings_the_list_and_the_focus_with_it(opened, make_run):
    async with opened() as (app, pilot):
        assert isinstance(app.focused, Entries)
        make_run("from-a-shell-20260101-000000-0001")
        app.read()
        await pilot.pause()
        assert isinstance(app.focused, RunTable) and "from-a-shell-0001" in lines(app)[2]
        assert "No runs yet" not in text_of(app) and lines(app)[0].startswith(" hftune  runs ")


async def test_who_writes_in_the_prompt_goes_on_writing_when_a_run_appears(opened, make_run):
    async with opened() as (app, pilot):
        await pilot.press("i", "h")
        make_run("bert-20260101-000000-0001")
        app.read()
        await pilot.press("e", "y")
        assert app.screen.prompt.text == "hey" and "bert-0001" in text_of(app)
        await pilot.press("escape")
        assert isinstance(app.focused, RunTable)


async def test_when_the_last_run_is_removed_the_entries_are_back(opened, make_run):
    run = make_run("bert-20260101-000000-0001")
    async with opened() as (app, pilot):
        assert isinstance(app.focused, RunTable)
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
        app.read()
        await pilot.pause()
        assert isinstance(app.focused, Entries) and "No runs yet" in text_of(app)


async def test_a_folder_that_is_not_there_is_a_first_launch(opened, tmp_path):
    async with opened(runs_dir=tmp_path / "nowhere" / "runs") as (app, _):
        assert "No runs yet" in text_of(app) and not (tmp_path / "nowhere").exists()


async def test_a_folder_that_cannot_be_read_says_so(opened, tmp_path, told):
    path = tmp_path / "file"
    path.write_text("")
    async with opened(size=(200, 24), runs_dir=path) as (app, pilot):
        said = told(app)
        assert f"✗ {path} cannot be read: Not a directory" in lines(app)[1] and "No runs yet" not in text_of(app)
        await pilot.press("enter", "space", "c", "t")
        assert "the folder of runs cannot be read" in notice(app) and said == []
        path.unlink()
        app.read()
        await pilot.pause()
        assert "cannot be read" not in lines(app)[1] and "No runs yet" in text_of(app)


async def test_while_the_runs_are_read_it_says_how_many(opened, monkeypatch, told):
    from hftune_tui.watch import RunStore

    monkeypatch.setattr(RunStore, "poll_once", lambda store: None)
    async with opened() as (app, pilot):
        told(app)
        assert lines(app)[1] == " reading runs…" and "No runs yet" not in text_of(app)
        monkeypatch.setattr(RunStore, "scanned", (120, 1000))
        app.read()
        await pilot.pause()
        assert lines(app)[1] == " reading runs… 120 of 1,000"
        await pilot.press("f")
        assert "the runs are still being read" in notice(app)


async def test_runs_are_shown_while_others_are_still_read(opened, three):
    async with opened() as (app, pilot):
        app.store.ready = False
        app.place.update_now()
        await pilot.pause()
        assert lines(app)[1] == " reading runs… 3 of 3" and "bert-cls-000c" in lines(app)[3]


async def test_an_error_of_the_reader_is_said(opened, three):
    async with opened() as (app, pilot):
        app.store.problem = "ValueError: odd"
        app.place.update_now()
        await pilot.pause()
        assert "! reading went wrong and goes on: ValueError: odd" in lines(app)[1] and "bert-cls" in text_of(app)


# Another one to train


async def test_t_shows_what_to_train_next_and_goes_back(opened, three, told):
    async with opened() as (app, pilot):
        said = told(app)
        await pilot.press("t")
        await pilot.pause()
        assert lines(app)[1] == " What to train next. Esc goes back to the list." and isinstance(app.focused, Entries)
        assert "bert-cls-000c" not in text_of(app) and app.place.run_in_front() is None
        await pilot.press("c")
        assert "Esc goes back to the list first" in notice(app)
        await pilot.press("j", "enter")
        assert said == ["/run gpt2_gen"]
        for key in ("escape", "t", "t"):
            await pilot.press(key)
        await pilot.pause()
        assert "bert-cls-000c" in text_of(app) and isinstance(app.focused, RunTable)


async def test_a_time_is_shown_only_where_one_was_measured(opened, make_run):
    text = dump_recipe(load_recipe("bert_cls"))
    run = make_run("bert-cls-20260101-000000-0001", recipe=text, host=process.host())
    (run / layout.EVENTS).write_text(
        "".join(
            json.dumps({"v": 1, "seq": seq, "attempt": 1, "time": NOW + at, "kind": kind, "data": {}}) + "\n"
            for seq, (kind, at) in enumerate([("plan", 0), ("result", 90)])
        )
    )
    async with opened() as (app, pilot):
        await pilot.press("t")
        await until(pilot, lambda: "took 1m30s here" in text_of(app))
        assert lines(app)[3] == " ▸ Sentiment classifier   MiniLM BERT · movie reviews      took 1m30s here"
        assert lines(app)[4].endswith("works without the Hub")


async def test_a_broken_recipe_of_that_name_says_nothing_until_it_is_chosen(opened, three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bert_cls").write_text("name: [")
    assert runs_module._measured(()) == {}


async def test_the_first_look_is_not_begun_where_there_are_runs(opened, three, monkeypatch):
    begun = []
    monkeypatch.setattr(first_look.FirstLook, "begin", lambda look: begun.append(look))
    async with opened() as (_, pilot):
        assert begun == []
        await pilot.press("t", "escape", "t")
        await pilot.pause()
        assert len(set(map(id, begun))) == 1
