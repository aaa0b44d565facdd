"""Recipes: the list and what is beside it, the editor, the short form, the estimate, launching; every key and state."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest
from hftune_tui import jobs
from hftune_tui.estimating import Estimating, estimate_lines
from hftune_tui.recipe_file import open_recipe, own_name, save, save_as
from hftune_tui.recipe_list import known_recipes
from hftune_tui.screens.dialogs import Confirm, Reading
from hftune_tui.screens.recipe_dialogs import AskName, Choose, EstimateScreen, ShortForm
from textual.widgets import Input

from hftune.errors import HftuneError
from hftune.recipe.load import load_recipe, shipped_folder
from hftune.runs import layout

from .conftest import all_at_once, notice, text_of, until

GOOD = """\
name: mine
description: what I want
task: text-classification
model: hftune:gpt2-mini
data:
  source: hftune:movie-reviews
training:
  num_train_epochs: 2     # enough
"""
BAD = GOOD + "  lr: 3\n"
HOSTILE = (
    "name: x\ndescription: '[red]\x1b]52;c;aGk=\x07 \x9b31m end'\ntask: fill-mask\nmodel: a/b\ndata: {source: c/d}\n"
)


@pytest.fixture
def launched(monkeypatch):
    """Runs whose job was started, as what they were started with: no process runs."""
    started = []
    monkeypatch.setattr(jobs, "start_job", lambda run, **how: started.append(run))
    return started


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


async def arrive(app, pilot, recipe="mine.yaml"):
    """Go to the recipes with one under the cursor, and wait until it was looked at."""
    app.go("recipes", recipe=recipe)
    await until(pilot, lambda: app.place.look is not None and app.place.look.recipe.name == recipe)
    await pilot.pause()
    return app.place


async def edit(app, pilot, recipe="mine.yaml"):
    """Open a recipe in the editor, and wait until it was judged."""
    place = await arrive(app, pilot, recipe)
    await pilot.press("e")
    await judged(place, pilot)
    return place.editing


async def judged(place, pilot):
    editing = place.editing
    await until(pilot, lambda: editing.problems is not None and editing._judged == editing.editor.text)
    await pilot.pause()


async def to_the_end(editing, pilot):
    editing.editor.move_cursor(editing.editor.document.end)
    await pilot.pause()


# The list.


async def test_own_and_shipped_recipes_with_what_they_are_and_need(opened, mine):
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        text = text_of(app)
        assert "▸ mine.yaml" in text and "yours" in text and "hub/sst2_bert" in text and "needs Hub" in text
        assert "what I want" in text and "works without it" in text and "text-classification, method full" in text
        assert "name: mine" in text


async def test_the_keys_of_the_list_move_the_cursor_and_the_look_follows(opened, mine):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        names = [one.name for one in known_recipes()]
        found = place.query_one("RecipeList")
        steps = [("down", 1), ("j", 2), ("k", 1), ("up", 0), ("G", len(names) - 1), ("g", 0), ("end", len(names) - 1)]
        for key, at in steps:
            await pilot.press(key)
            assert found.current.name == names[at], key
        await pilot.press("home", "pagedown")
        assert found.current.name == names[min(len(names) - 1, found.size.height - 1)]
        await pilot.press("pageup")
        assert found.current.name == names[0]
        await pilot.press("down")
        await until(pilot, lambda: place.look.recipe.name == names[1])
        assert load_recipe(names[1]).description[:20] in text_of(app)


async def test_another_recipe_is_shown_from_its_beginning(opened, mine):
    mine.write_text(GOOD + "# more\n" * 100)
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        right = place.query_one("#recipes-right")
        await until(pilot, lambda: right.max_scroll_y > 0)
        right.scroll_end(animate=False)
        await until(pilot, lambda: right.scroll_y > 0)
        mine.write_text(GOOD + "# more\n" * 101)  # the same recipe stays where it is
        await until(pilot, lambda: place.look.text.count("more") == 101)
        assert right.scroll_y > 0
        await pilot.press("down")
        await until(pilot, lambda: place.look.recipe.name != "mine.yaml" and right.scroll_y == 0)


async def test_find_narrows_enter_keeps_escape_shows_all(opened, mine):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        found = place.query_one("RecipeList")
        await pilot.press("f", *"lora")
        await pilot.pause()
        assert 0 < found.matches < found.total and "lora" in found.current.name
        await pilot.press("enter")
        assert place.focused is found and "of" in text_of(app)
        await pilot.press("f", *"zzzz")
        await pilot.pause()
        assert found.matches == 0 and "No recipe has these letters" in text_of(app)
        await pilot.press("enter", "enter", "e")
        assert "no recipe under the cursor" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert found.matches == found.total and place.focused is found


async def test_no_recipes_at_all(opened, monkeypatch):
    monkeypatch.setattr("hftune_tui.recipe_list.known_recipes", list)
    async with opened() as (app, pilot):
        app.go("recipes")
        await until(pilot, lambda: "No recipes here" in text_of(app))
        await pilot.press("enter", "l")
        assert "no recipe under the cursor" in text_of(app)


async def test_a_file_that_is_no_recipe_says_what_is_wrong_with_it(opened, tmp_path):
    (tmp_path / "torn.yaml").write_text("name: [\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot, "torn.yaml")
        assert "✗ mistake" in text_of(app) and "not YAML" in text_of(app)


async def test_hostile_text_is_only_text(opened, tmp_path):
    (tmp_path / "evil.yaml").write_text(HOSTILE)
    async with opened(size=(120, 30)) as (app, pilot):
        await edit(app, pilot, "evil.yaml")
        text = text_of(app)
        assert "[red]" in text and not any(sign in text for sign in "\x1b\x07\x9b")
        assert "control characters were taken out" in text and "not saved" in text
        assert (tmp_path / "evil.yaml").read_text() == HOSTILE


async def test_a_very_long_file_is_shown_in_part_and_not_edited(opened, tmp_path):
    (tmp_path / "long.yaml").write_text(GOOD + "# more\n" * 60_000)
    async with opened() as (app, pilot):
        place = await arrive(app, pilot, "long.yaml")
        assert "bytes are no recipe" in text_of(app)
        await pilot.press("e")
        await pilot.pause()
        assert not place.edits and "bytes are no recipe" in text_of(app)


async def test_a_long_recipe_is_edited(opened, tmp_path):
    (tmp_path / "rows.yaml").write_text(GOOD + "# more\n" * 2_000)
    async with opened() as (app, pilot):
        place = await arrive(app, pilot, "rows.yaml")
        assert place.look.shown.endswith("more lines")
        editing = await edit(app, pilot, "rows.yaml")
        await to_the_end(editing, pilot)
        assert editing.problems == [] and "2009" in text_of(app)


async def test_what_another_program_writes_is_seen_beside_the_list(opened, mine):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        mine.write_text(BAD)
        place.refresh_place()
        await until(pilot, lambda: place.look.problems)
        await pilot.pause()
        assert "9:3 training.lr" in text_of(app)


async def test_a_file_that_appears_is_there_when_one_comes_back(opened, mine, tmp_path):
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / "new.yaml").write_text(GOOD)
        await pilot.press("1", "5")
        await until(pilot, lambda: "recipes/new.yaml" in text_of(app))


async def test_copy_and_show(opened, mine, monkeypatch):
    async with opened() as (app, pilot):
        copied = []
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        await arrive(app, pilot)
        await pilot.press("y")
        assert copied == [GOOD]
        await pilot.press("v")
        await pilot.pause()
        assert isinstance(app.screen, Reading) and "# enough" in text_of(app)


# Arrows and Enter alone.


async def test_arrows_and_enter_launch_a_recipe(opened, mine, launched, runs):
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        assert all(word in text_of(app) for word in ("Launch", "Edit", "Estimate", "Show", "Short form"))
        await pilot.press("enter")
        await until(pilot, lambda: app.place.NAME == "watch")
        (run,) = launched
        assert app.run_here == run and run.parent == runs and load_recipe(run / layout.RECIPE).name == "mine"


@pytest.mark.parametrize(("downs", "there"), [(1, ShortForm), (2, None), (4, Reading)])
async def test_the_other_actions_of_the_small_list(opened, mine, downs, there):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        await pilot.press("enter", *["down"] * downs, "enter")
        await pilot.pause()
        assert place.edits if there is None else isinstance(app.screen, there)


async def test_escape_does_none_of_them(opened, mine, launched):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        await pilot.press("enter", "escape")
        await pilot.pause()
        assert app.screen is place and launched == []


async def test_a_recipe_with_problems_is_not_launched_and_says_why(opened, mine, launched):
    mine.write_text(BAD)
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert "1 problem: Edit shows where" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert "1 problem first: 9:3 training.lr" in text_of(app) and launched == []


async def test_l_launches_a_shipped_recipe(opened, launched):
    async with opened() as (app, pilot):
        await arrive(app, pilot, "bert_cls")
        await pilot.press("l")
        await until(pilot, lambda: app.place.NAME == "watch")
        assert launched[0].name.startswith("bert-cls-")


# The editor.


async def test_problems_come_as_one_types_and_go(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        assert "no problems" in text_of(app) and "recipes › mine.yaml" in text_of(app)
        await to_the_end(editing, pilot)
        await pilot.press(*"  lr: 3")
        await judged(app.place, pilot)
        assert "9:3 training.lr: unknown key. Did you mean 'learning_rate'?" in text_of(app)
        assert editing.editor._problems == {8: [2]} and "● not saved" in text_of(app)
        await pilot.press("ctrl+z")
        await judged(app.place, pilot)
        assert editing.problems == [] and editing.editor._problems == {}


async def test_many_problems_and_f8_goes_from_one_to_the_next(opened, mine):
    mine.write_text(BAD + "".join(f"  unknown_{number}: 1\n" for number in range(7)))
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        assert "and 4 more: F8" in text_of(app)
        seen = []
        for _ in range(9):
            await pilot.press("f8")
            seen.append(editing.editor.cursor_location)
        assert seen == [(8, 4), *[(row, 11) for row in range(9, 16)], (8, 4)]


async def test_f8_without_problems(opened, mine):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("f8")
        assert "no problems" in text_of(app)


@pytest.mark.parametrize("key", ["tab", "ctrl+space", "ctrl+@"])  # ctrl+@: what a terminal sends for ctrl+space
async def test_keys_are_completed(opened, mine, key):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await to_the_end(editing, pilot)
        await pilot.press(*"  warmup", key)
        await pilot.pause()
        assert editing.editor.text.endswith("  warmup_steps: ")  # the only one: taken at once


async def test_of_several_one_is_chosen_with_arrows(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await to_the_end(editing, pilot)
        await pilot.press(*"  optim: ", "tab")
        await pilot.pause()
        assert "▸ adamw" in text_of(app) and "1 of 3" in text_of(app)
        await pilot.press("down", "down", "up", "enter")
        await pilot.pause()
        assert editing.editor.text.endswith("  optim: adam") and editing.editor.candidates == ()


async def test_escape_closes_what_is_offered_and_typing_does(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await to_the_end(editing, pilot)
        await pilot.press(*"  optim: ", "tab", "escape")
        await pilot.pause()
        assert editing.editor.candidates == () and app.place.edits
        await pilot.press("tab", "s")
        await pilot.pause()
        assert editing.editor.candidates == () and editing.editor.text.endswith("optim: s")


async def test_the_mouse_can_be_left_to_the_terminal_while_editing(opened, mine):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("f6")
        await pilot.pause()
        assert "the mouse is the terminal's" in notice(app)


async def test_tab_where_nothing_can_stand_says_so(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.load_text("training:\n  optim: zzzz")
        editing.editor.move_cursor((1, 13))
        await pilot.press("tab")
        await pilot.pause()
        assert notice(app) == "! nothing can be completed here"
        assert editing.editor.text.endswith("optim: zzzz") and editing.editor.candidates == ()


async def test_enter_keeps_the_indentation_and_goes_into_a_section(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.load_text("data:  # c")
        editing.editor.move_cursor((0, 5))
        await pilot.press("enter", *"a: 1", "enter", "b")
        assert editing.editor.text == "data:\n  a: 1\n  b  # c"


async def test_lines_that_come_all_at_once_are_written_in_their_order(opened, mine):
    """So does a paste in a terminal that does not mark it as one."""
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.load_text("")
        all_at_once(app, *"a:", "enter", "b", "up", "c")
        await until(pilot, lambda: "c" in editing.editor.text)
        assert editing.editor.text == "a:c\n  b"


async def test_f1_tells_what_the_key_at_the_cursor_is_for(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.move_cursor((7, 5))
        await pilot.pause()
        assert "num_train_epochs: passes over the train split" in text_of(app)
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, Reading) and "takes    number above 0" in text_of(app)


async def test_pasted_text_cannot_steer_the_terminal(opened, mine):
    from textual import events

    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.load_text("")
        editing.editor.post_message(events.Paste("a: \x1b[31m1\r\n\tb: 2"))
        await until(pilot, lambda: editing.editor.text)
        assert editing.editor.text == "a: 1\n  b: 2"


async def test_letters_and_digits_are_text_in_the_editor(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await to_the_end(editing, pilot)
        await pilot.press(*"#1 flqxey?:/")
        assert (
            editing.editor.text.endswith("#1 flqxey?:/") and app.place.NAME == "recipes" and len(app.screen_stack) == 1
        )


# Saving.


async def test_saving_writes_the_file_it_came_from(opened, mine):
    mine.chmod(0o640)
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await pilot.press("ctrl+s")
        assert "nothing was changed" in text_of(app)
        await pilot.press(*"# mine", "enter", "ctrl+s")
        await pilot.pause()
        assert mine.read_text() == "# mine\n" + GOOD and not editing.changed and "saved" in text_of(app)
        assert stat.S_IMODE(mine.stat().st_mode) == 0o640


async def test_a_shipped_recipe_is_saved_as_a_file_of_ones_own(opened, tmp_path):
    shipped = shipped_folder() / "bert_cls.yaml"
    before = shipped.read_bytes()
    (tmp_path / "taken.yaml").write_text("mine")
    async with opened() as (app, pilot):
        editing = await edit(app, pilot, "bert_cls")
        assert "changes become a file of yours" in text_of(app)
        await pilot.press(*"# x", "enter", "ctrl+s")
        await pilot.pause()
        assert isinstance(app.screen, AskName) and "my_bert_cls.yaml" in text_of(app)
        app.screen.query_one(Input).value = "taken"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, AskName) and "exists" in text_of(app)
        assert (tmp_path / "taken.yaml").read_text() == "mine"
        app.screen.query_one(Input).value = "own"
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is app.place and editing.file.path == Path("own.yaml") and not editing.changed
        assert (tmp_path / "own.yaml").read_text().startswith("# x\nname: bert-cls")
        await until(pilot, lambda: "own.yaml" in [one.name for one in app.recipes()])
    assert shipped.read_bytes() == before


async def test_no_name_saves_nothing(opened, tmp_path):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot, "bert_cls")
        await pilot.press("x", "ctrl+s", "escape")
        await pilot.pause()
        assert editing.changed and list(tmp_path.glob("*.yaml")) == []


async def test_leaving_asks_about_what_is_not_saved(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        place = app.place
        await pilot.press("escape")
        await pilot.pause()
        assert not place.edits  # nothing was changed: nothing is asked
        await until(pilot, lambda: place.look is not None)
        await pilot.press("e", "x", "escape")
        await pilot.pause()
        assert isinstance(app.screen, Choose) and "not saved" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert place.edits and editing.changed  # goes on
        await pilot.press("escape", "down", "down", "enter")
        await pilot.pause()
        assert place.edits
        await pilot.press("escape", "down", "enter")
        await pilot.pause()
        assert not place.edits and mine.read_text() == GOOD  # dropped


async def test_leaving_saves_when_told(opened, mine):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("#", "enter", "escape", "enter")
        await pilot.pause()
        assert not app.place.edits and mine.read_text() == "#\n" + GOOD
        await until(pilot, lambda: app.place.look.text == "#\n" + GOOD)


async def test_other_places_can_be_gone_to_and_nothing_is_lost(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await pilot.press("x")
        app.go("runs")
        await pilot.pause()
        app.go("recipes")
        await pilot.pause()
        assert app.place.edits and editing.editor.text == "x" + GOOD and app.focused is editing.editor


async def test_quitting_asks_about_what_is_not_saved(opened, mine):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("x", "ctrl+q")
        await pilot.pause()
        assert isinstance(app.screen, Confirm) and "mine.yaml has changes that are not saved" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running and app.place.edits
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, Reading)
        app.leave()  # as ctrl+c twice does, also in a dialog
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("enter")
        await pilot.pause()
        assert app._exit


async def test_a_clean_editor_takes_in_what_is_written_on_disk(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        mine.write_text(BAD)
        app.place.refresh_place()
        await judged(app.place, pilot)
        assert editing.editor.text == BAD and "read anew" in text_of(app) and len(editing.problems) == 1


async def test_a_changed_editor_asks_before_it_replaces_what_is_on_disk(opened, mine):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await pilot.press("#", "enter")
        mine.write_text(BAD)
        app.place.refresh_place()
        await pilot.pause()
        assert "changed on disk meanwhile" in text_of(app) and editing.editor.text == "#\n" + GOOD
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("escape")
        assert mine.read_text() == BAD
        await pilot.press("ctrl+s", "enter")
        await pilot.pause()
        assert mine.read_text() == "#\n" + GOOD and not editing.changed


async def test_a_file_that_is_gone_is_written_again(opened, mine):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        mine.unlink()
        app.place.refresh_place()
        await pilot.pause()
        assert "gone from disk" in text_of(app)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert mine.read_text() == GOOD


async def test_a_file_that_cannot_be_written_says_so_and_keeps_the_text(opened, mine, monkeypatch):
    def refuses(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hftune_tui.recipe_file.write_atomic", refuses)
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        await pilot.press("x", "ctrl+s")
        await pilot.pause()
        assert "No space left" in text_of(app) and editing.changed


# Launching from the editor.


async def test_ctrl_r_trains_the_saved_file(opened, mine, launched):
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.place.NAME == "watch")
        assert load_recipe(launched[0] / layout.RECIPE).name == "mine"


async def test_ctrl_r_trains_what_is_not_saved_as_it_stands(opened, mine, launched):
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.replace("other", (0, 6), (0, 10))
        await judged(app.place, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.place.NAME == "watch")
        assert launched[0].name.startswith("other-") and mine.read_text() == GOOD
        assert app.places["recipes"].editing.changed


async def test_ctrl_r_does_not_train_what_is_wrong(opened, mine, launched):
    mine.write_text(BAD)
    async with opened() as (app, pilot):
        await edit(app, pilot)
        await pilot.press("ctrl+r")
        assert "1 problem first: 9:3" in text_of(app) and launched == []
        await pilot.press("ctrl+t")
        assert "1 problem first: 9:3" in text_of(app)


# The short form.


async def test_the_short_form_changes_a_line_and_launches(opened, mine, launched):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, ShortForm) and "hftune:movie-reviews" in text_of(app)
        await pilot.press("down", "down")
        await pilot.pause()
        assert "training.num_train_epochs: passes over" in text_of(app)
        await pilot.press("backspace", "3", "down", "8")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        changed = GOOD.replace("num_train_epochs: 2 ", "num_train_epochs: 3 ") + "  per_device_train_batch_size: 8\n"
        assert place.editing.editor.text == changed and isinstance(app.screen, Choose)
        await pilot.press("enter")
        await until(pilot, lambda: app.place.NAME == "watch")
        assert load_recipe(launched[0] / layout.RECIPE).training.per_device_train_batch_size == 8
        assert mine.read_text() == GOOD


async def test_the_short_form_is_walked_both_ways_and_left_as_it_was(opened, mine, launched):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        await pilot.press("s")
        await pilot.pause()
        first = app.focused.id
        await pilot.press("tab")
        await pilot.pause()
        second = app.focused.id
        assert second != first
        for forth, back in (("down", "up"), ("tab", "shift+tab")):
            await pilot.press(forth)
            await pilot.pause()
            assert app.focused.id not in (first, second)
            await pilot.press(back)
            await pilot.pause()
            assert app.focused.id == second
        await pilot.press("9", "escape")
        await pilot.pause()
        assert app.screen is app.place and place.editing.editor.text == GOOD and launched == []


async def test_the_short_form_says_what_is_wrong_with_a_value_as_it_is_typed(opened, mine, launched):
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("down", "down", "x")
        await pilot.pause()
        said = str(app.screen.query_one("#form-said").visual)
        assert said.startswith("✗ 8:21 training.num_train_epochs: found the text '2x', expected a number")
        await pilot.press("backspace")
        await pilot.pause()
        assert str(app.screen.query_one("#form-said").visual) == ""
        await pilot.press("x", "enter", "enter")  # taken as it is, and then to be launched
        await until(pilot, lambda: "expected a number" in notice(app))
        assert launched == []


async def test_values_that_come_all_at_once_go_into_their_keys(opened, mine, launched):
    async with opened() as (app, pilot):
        place = await arrive(app, pilot)
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("down", "down")
        await pilot.pause()
        all_at_once(app, "5", "enter")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        assert place.editing.editor.text == GOOD.replace("num_train_epochs: 2 ", "num_train_epochs: 25")


async def test_the_short_form_of_a_model_from_scratch_leaves_it_to_the_text(opened):
    async with opened() as (app, pilot):
        await edit(app, pilot, "seed_lstm")
        await pilot.press("f2")
        await pilot.pause()
        assert "a section of its own" in text_of(app)


async def test_no_short_form_of_what_is_no_yaml(opened, mine):
    mine.write_text("a: [\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("s")
        await pilot.pause()
        assert not isinstance(app.screen, ShortForm) and "not YAML" in text_of(app)


# The estimate.

RECORD = {
    "ok": True,
    "recipe": "mine",
    "summary": "…",
    "findings": [{"level": "warning", "code": "x", "message": "labels \x1b[31mdiffer", "hint": "Look."}],
    "splits": {"train": 8486, "validation": 1060},
    "parameters": {"total": 22713986, "trained": 1538},
    "estimate": {
        "total_steps": 529, "steps_per_epoch": 529, "error_seconds": 18.1, "samples_per_second": 35.5,
        "memory_bytes": 1382907904, "checkpoint_bytes": 272568252, "disk_bytes": 908560700, "measured_steps": 16,
        "device": "cpu", "precision": "fp32", "seconds": 273.6,
    },
}  # fmt: skip


def test_an_estimate_is_told_time_first():
    lines = estimate_lines(RECORD)
    assert lines[0] == "time        4m34s ± 18s" and any("1.29 GiB" in one for one in lines)
    assert "1,538 of 22,713,986 learn" in "\n".join(lines) and lines[-1] == "! labels differ Look."
    assert estimate_lines({"findings": [{"level": "error", "message": "no column"}]}) == [
        "Nothing could be measured.",
        "✗ no column",
    ]


@pytest.fixture
def check_says(tmp_path, monkeypatch):
    """What stands in for `hftune check --json`: a program that says what a test wants, with the same pipes."""

    def say(code):
        program = tmp_path / "check.sh"
        program.write_text("#!/bin/sh\n" + code)
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return say


async def test_t_shows_the_estimate_and_enter_launches(opened, mine, launched, check_says):
    check_says(f"echo 'check: looking' >&2\ncat <<'END'\n{json.dumps(RECORD)}\nEND\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, EstimateScreen))
        await until(pilot, lambda: "4m34s" in text_of(app))
        assert "trains a few steps" in text_of(app) and "Enter launches" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.place.NAME == "watch")
        assert len(launched) == 1


@pytest.mark.parametrize("close", ["q", "x", "escape"])
async def test_an_estimate_is_copied_and_closed(opened, mine, check_says, close):
    check_says(f"cat <<'END'\n{json.dumps(RECORD)}\nEND\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, EstimateScreen) and "4m34s" in text_of(app))
        await pilot.press("y")
        await pilot.pause()
        assert "4m34s" in app.clipboard
        await pilot.press(close)
        await pilot.pause()
        assert app.screen is app.place


async def test_an_estimate_can_be_ended(opened, mine, check_says):
    check_says("echo 'check: training a few steps' >&2\nexec sleep 600\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, EstimateScreen) and "training a few steps" in text_of(app))
        one = app.screen.estimating
        await pilot.press("enter")
        assert isinstance(app.screen, EstimateScreen)  # there is nothing to launch by yet
        await pilot.press("escape")
        await until(pilot, lambda: one.over)
        assert app.screen is app.place and one.stopped and one._process.returncode < 0
        assert not Path(one._folder.name).exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("""echo '{"error": {"message": "no column text", "hint": "Choose another."}}'; exit 2""", "no column text"),
        ("exit 3", "ended with 3"),
        ("echo '{'; kill -9 $$", "signal 9"),
    ],
)
async def test_an_estimate_that_cannot_be_says_why(opened, mine, check_says, code, said):
    check_says(code + "\n")
    async with opened() as (app, pilot):
        await arrive(app, pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, EstimateScreen) and "no estimate" in text_of(app))
        assert said in text_of(app)


async def test_the_estimate_is_of_the_text_as_it_stands(opened, mine, check_says):
    check_says('cp "$5" seen.yaml\necho "{}"\n')
    async with opened() as (app, pilot):
        editing = await edit(app, pilot)
        editing.editor.replace("other", (0, 6), (0, 10))
        await judged(app.place, pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, EstimateScreen) and app.screen.estimating.over)
    assert load_recipe("seen.yaml").name == "other" and mine.read_text() == GOOD


def test_a_recipe_that_is_none_has_no_estimate(tmp_path):
    with pytest.raises(HftuneError):
        Estimating(BAD, tmp_path / "x.yaml", tmp_path)


# Files.


def test_line_ends_of_a_file_stay_as_they_are(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    file = open_recipe(path)
    assert file.text == GOOD and not file.cleaned
    saved = save(file, file.text + "# x\n")
    assert path.read_bytes() == (GOOD + "# x\n").replace("\n", "\r\n").encode() and saved.on_disk() == "same"


def test_a_link_stays_a_link(tmp_path, mine):
    link = tmp_path / "link.yaml"
    link.symlink_to(mine)
    save(open_recipe(link), "name: y\n")
    assert link.is_symlink() and mine.read_text() == "name: y\n"


def test_the_shipped_recipes_are_never_written(tmp_path):
    shipped = shipped_folder() / "bert_cls.yaml"
    with pytest.raises(HftuneError, match="comes with hftune"):
        save(open_recipe(shipped), "x")
    with pytest.raises(HftuneError, match="stay as they are"):
        save_as(str(shipped_folder() / "mine.yaml"), "x")


@pytest.mark.parametrize("name", ["", "  ", ".", "folder", "a\x00b", "x" * 300])
def test_what_names_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(HftuneError):
        save_as(name, "x")


def test_a_name_gets_its_ending_and_its_folders(tmp_path):
    assert save_as("recipes/deep/one", "x").path == Path("recipes/deep/one.yaml")
    assert (tmp_path / "recipes/deep/one.yaml").read_text() == "x"


def test_a_name_for_a_copy_is_one_that_is_free(tmp_path):
    path = shipped_folder() / "bert_cls.yaml"
    assert own_name(path) == "my_bert_cls.yaml"
    (tmp_path / "my_bert_cls.yaml").write_text("")
    assert own_name(path) == "my_bert_cls_2.yaml"


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(HftuneError, match="not UTF-8"):
        open_recipe(tmp_path / "x.yaml")
    with pytest.raises(HftuneError, match="cannot be read"):
        open_recipe(tmp_path / "missing.yaml")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (80, 20)])
async def test_every_size_shows_list_and_editor(opened, mine, size):
    async with opened(size=size) as (app, pilot):
        await arrive(app, pilot)
        assert "▸ mine.yaml" in text_of(app)
        await pilot.press("e")
        await judged(app.place, pilot)
        assert "name: mine" in text_of(app) and "no problems" in text_of(app)
        assert all(len(one) <= size[0] for one in text_of(app).split("\n"))
