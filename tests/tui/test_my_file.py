"""My file: from a data file to a recipe and a run, with arrows and Enter alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hftune_tui.screens.dialogs import Confirm
from hftune_tui.screens.my_file import MyFileScreen
from hftune_tui.widgets.picks import Picks

from hftune.recipe.load import load_recipe

from .conftest import text_of, until

THINGS = ("film", "plot", "story", "scene", "actor", "ending", "music")


def rows(count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "id": 100 + number,
            "review": f"the {THINGS[number % 7]} was {'fine' if number % 2 else 'dull'}, and that {number} times over",
            "reply": f"thank you for a word on the {THINGS[number % 7]}, number {number}",
            "mood": "good" if number % 2 else "bad",
            "stars": number % 5,
        }
        for number in range(count)
    ]


def written(name: str, data: list[dict[str, Any]]) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    return path


def screen_of(app: Any) -> MyFileScreen:
    screen = next(one for one in app.screen_stack if isinstance(one, MyFileScreen))
    assert isinstance(screen, MyFileScreen)
    return screen


async def begin(pilot: Any, file: str | None = None) -> MyFileScreen:
    pilot.app.execute(f"/file {file}" if file else "/file")
    await pilot.pause()
    screen = screen_of(pilot.app)
    if file:
        await read(pilot, screen)
    return screen


async def read(pilot: Any, screen: MyFileScreen) -> None:
    await until(pilot, lambda: screen._mode != "reading", 60)
    await pilot.pause()


def under(screen: MyFileScreen) -> str:
    pick = screen.query_one(Picks).current
    assert pick is not None
    return pick.title


async def press(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


async def to(pilot: Any, screen: MyFileScreen, title: str, about: str = "") -> None:
    """Walk down to a line with the arrow and choose it with Enter."""
    await press(pilot, "home")
    picks = screen.query_one(Picks)
    seen: list[tuple[str, str]] = []
    while picks.current is not None and not (picks.current.title == title and about in picks.current.about):
        assert not seen or seen[-1] != (picks.current.title, picks.current.about), seen
        seen.append((picks.current.title, picks.current.about))
        await press(pilot, "down")
    await press(pilot, "enter")


async def test_enter_alone_leads_from_a_file_to_a_run_with_the_guessed_columns(opened, monkeypatch):
    written("reviews.jsonl", rows())
    async with opened() as (app, pilot):
        said: list[str] = []
        screen = await begin(pilot)
        assert "reviews.jsonl" in text_of(app)
        await press(pilot, "enter")
        await read(pilot, screen)
        shown = text_of(app)
        assert "60 rows, 5 columns" in shown and "the film was dull, and that" in shown
        await press(pilot, "enter")
        assert "Which column is the text?" in text_of(app)
        assert under(screen) == "review"
        await press(pilot, "enter")
        assert under(screen) == "none"
        await press(pilot, "enter")
        assert under(screen) == "mood"
        assert "bad 30  good 30" in text_of(app)
        await press(pilot, "enter")
        assert under(screen) == "MiniLM BERT"
        await press(pilot, "enter")
        shown = text_of(app)
        assert "task: text-classification" in shown and under(screen) == "Train"
        monkeypatch.setattr(app, "execute", said.append)
        await press(pilot, "enter")
        assert said == ["/run reviews.yaml"]
        assert not isinstance(app.screen, MyFileScreen)
    recipe = load_recipe("reviews.yaml")
    assert (recipe.data.text, recipe.data.label, recipe.data.text_pair) == ("review", "mood", None)
    assert recipe.data.files == str(Path("reviews.jsonl").absolute())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_step_fits_the_terminal(opened, size):
    written("a folder/reviews of films.jsonl", rows())
    async with opened(size=size) as (app, pilot):
        screen = await begin(pilot)
        await press(pilot, "enter")
        await read(pilot, screen)
        for _ in range(6):
            shown = text_of(app)
            assert "Enter go on" in shown.splitlines()[-1]
            assert under(screen) in shown
            assert max(map(len, shown.splitlines())) <= size[0] and "›" in shown.splitlines()[0]
            if screen._walk.step != "recipe":
                await press(pilot, "enter")
        for action in ("Train", "Write", "Open", "Another name"):
            assert action in text_of(app)


async def test_other_answers_give_a_rating_with_two_texts_and_lora(opened):
    written("reviews.jsonl", rows())
    async with opened() as (app, pilot):
        screen = await begin(pilot, "reviews.jsonl")
        await press(pilot, "enter")
        await to(pilot, screen, "review")
        await to(pilot, screen, "reply")
        await to(pilot, screen, "stars", "number")
        assert "it takes one text" in text_of(app)
        await to(pilot, screen, "LSTM from scratch")
        assert screen._walk.step == "model"
        await to(pilot, screen, "MiniLM BERT, LoRA")
        await to(pilot, screen, "Write")
        assert not isinstance(app.screen, MyFileScreen)
        assert "wrote reviews.yaml" in text_of(app)
    recipe = load_recipe("reviews.yaml")
    assert recipe.task.options["problem_type"] == "regression"
    assert (recipe.data.text_pair, recipe.data.label, recipe.method.name) == ("reply", "stars", "lora")


async def test_texts_to_write_lead_to_a_generator_and_open_goes_to_recipes(opened, monkeypatch):
    written("reviews.jsonl", rows())
    async with opened() as (app, pilot):
        gone: list[Any] = []
        screen = await begin(pilot, "reviews.jsonl")
        await press(pilot, "enter", "enter", "enter")
        await to(pilot, screen, "to write such texts")
        assert under(screen) == "GPT-2 mini"
        await press(pilot, "enter")
        monkeypatch.setattr(app, "go", lambda name, **what: gone.append((name, what)))
        await to(pilot, screen, "Open")
        assert gone == [("recipes", {"recipe": Path("reviews.yaml")})]
    assert load_recipe("reviews.yaml").task.name == "text-generation"


async def test_esc_goes_back_a_step_and_choices_stay(opened):
    written("reviews.jsonl", rows())
    written("zz.jsonl", rows(9))
    async with opened() as (app, pilot):
        screen = await begin(pilot, "reviews.jsonl")
        await press(pilot, "enter")
        await to(pilot, screen, "reply")
        await to(pilot, screen, "review")
        await to(pilot, screen, "stars", "label")
        await to(pilot, screen, "MiniLM BERT, LoRA")
        first = screen._recipe
        for expected in ("MiniLM BERT, LoRA", "stars", "review", "reply"):
            await press(pilot, "escape")
            assert under(screen) == expected
        await press(pilot, "escape", "escape")
        assert (screen._mode, under(screen)) == ("file", "reviews.jsonl")
        await press(pilot, "enter")
        await read(pilot, screen)
        await press(pilot, "enter", "enter", "enter", "enter", "enter")
        assert screen._walk.step == "recipe" and screen._recipe == first
        await press(pilot, *["escape"] * 6, "escape")
        assert not isinstance(app.screen, MyFileScreen)


async def test_a_text_that_is_taken_away_takes_its_role_along(opened):
    written("reviews.jsonl", rows())
    async with opened() as (_, pilot):
        screen = await begin(pilot, "reviews.jsonl")
        await press(pilot, "enter")
        await to(pilot, screen, "review")
        await to(pilot, screen, "reply")
        await press(pilot, "escape", "escape")
        await to(pilot, screen, "reply")
        assert under(screen) == "none"


async def test_a_path_is_written_with_completion(opened):
    written("deep/down/here/in/the/dark/some reviews.jsonl", rows())
    async with opened() as (app, pilot):
        screen = await begin(pilot)
        assert "No data files are in this folder" in text_of(app)
        await press(pilot, "enter")
        await press(pilot, *"de")
        assert under(screen) == "deep/"
        await press(pilot, "tab")
        await press(pilot, "tab", "tab", "tab", "tab", "tab")
        await press(pilot, "enter")
        await read(pilot, screen)
        assert screen._walk is not None and "60 rows" in text_of(app)


async def test_arrows_choose_among_paths_and_a_wrong_one_says_what_is_there(opened):
    written("sub/one.jsonl", rows())
    written("sub/two.jsonl", rows(9))
    async with opened() as (app, pilot):
        screen = await begin(pilot)
        await press(pilot, "slash", *"sub/", "down", "up", "down", "enter")
        await read(pilot, screen)
        assert screen._walk is not None and screen._walk.file == Path("sub/two.jsonl")
        await press(pilot, "escape", "f")
        screen._write("sub/tow.jsonl")
        await press(pilot, "enter")
        await read(pilot, screen)
        assert screen._mode == "file"
        assert "no file" in text_of(app) and "Did you mean 'two.jsonl'?" in text_of(app)


async def test_a_file_that_cannot_be_read_says_where_and_the_list_is_back(opened):
    Path("bad.csv").write_text("text,label\na,b\na,b,c\n")
    async with opened() as (app, pilot):
        screen = await begin(pilot, "bad.csv")
        assert "bad.csv:3: 3 fields" in text_of(app)
        assert under(screen) == "bad.csv"
        await press(pilot, "escape")
        assert not isinstance(app.screen, MyFileScreen)


async def test_esc_while_reading_ends_the_process(opened):
    written("a.jsonl", rows())
    async with opened() as (app, pilot):
        app.execute("/file a.jsonl")
        await pilot.pause()
        screen = screen_of(app)
        reading = screen._reading
        assert reading is not None
        await until(pilot, lambda: "reading a.jsonl" in text_of(app) or reading.over)
        await press(pilot, "escape")
        assert screen._mode == "file"
        await until(pilot, lambda: reading.over)


async def test_a_file_that_disappears_keeps_the_recipe_from_being_written(opened):
    path = written("a.jsonl", rows())
    async with opened() as (app, pilot):
        await begin(pilot, "a.jsonl")
        await press(pilot, *["enter"] * 5)
        path.unlink()
        await press(pilot, "enter")
        assert "a.jsonl is no longer there" in text_of(app)
    assert not Path("a.yaml").exists()


async def test_a_recipe_that_is_there_is_replaced_only_when_asked(opened):
    written("a.jsonl", rows())
    Path("a.yaml").write_text("mine")
    async with opened() as (app, pilot):
        screen = await begin(pilot, "a.jsonl")
        await press(pilot, *["enter"] * 5)
        assert "a-2.yaml" in text_of(app)
        await to(pilot, screen, "Another name")
        screen._write("a")
        await press(pilot, "enter")
        await to(pilot, screen, "Write")
        assert isinstance(app.screen, Confirm) and "Replace a.yaml?" in text_of(app)
        await press(pilot, "escape")
        assert Path("a.yaml").read_text() == "mine"
        await press(pilot, "enter")
        await press(pilot, "enter")
        assert load_recipe("a.yaml").data.label == "mood"


async def test_a_name_in_another_folder_keeps_the_data_file_in_reach(opened):
    written("a.jsonl", rows())
    Path("kept").mkdir()
    async with opened() as (app, pilot):
        screen = await begin(pilot, "a.jsonl")
        await press(pilot, *["enter"] * 5)
        await to(pilot, screen, "Another name")
        screen._write("nowhere/a.yaml")
        await press(pilot, "enter")
        assert "there is no folder nowhere" in text_of(app)
        screen._write("kept/mine")
        await press(pilot, "enter")
        await to(pilot, screen, "Write")
    assert load_recipe("kept/mine.yaml").data.files == str(Path("a.jsonl").absolute())


async def test_hostile_names_are_shown_clean_and_written_exactly(opened):
    text, label = "te\x1b]52;c;aGk=\x07xt\n[red]: # no", "类\x9b31m别"
    data = [{text: f"\x1b[31m[bold]{row['review']}", label: f"{row['mood']}[/]\x1b[2J"} for row in rows()]
    written("a.jsonl", data)
    async with opened() as (app, pilot):
        await begin(pilot, "a.jsonl")
        for _ in range(5):
            shown = text_of(app)
            assert "\x1b" not in shown and "\x9b" not in shown
            await press(pilot, "enter")
        assert "[red]: # no" in text_of(app)
        await press(pilot, "down", "enter")
    recipe = load_recipe("a.yaml")
    assert (recipe.data.text, recipe.data.label) == (text, label)


async def test_ten_thousand_columns_are_walked_without_drawing_them_all(opened):
    names = [f"c{number}" for number in range(9_998)]
    head = ",".join([*names, "review", "mood"])
    lines = [",".join(["1"] * 9_998 + [f'"{row["review"]}"', row["mood"]]) for row in rows(12)]
    Path("wide.csv").write_text("\n".join([head, *lines]) + "\n")
    async with opened() as (app, pilot):
        screen = await begin(pilot, "wide.csv")
        assert "12 rows, 10,000 columns" in text_of(app)
        assert len(str(screen.query_one(Picks).render()).splitlines()) <= 24
        await press(pilot, "end")
        assert "mood" in text_of(app)
        await press(pilot, *["enter"] * 5)
        assert "only 12 rows" in text_of(app)
        await press(pilot, "down", "enter")
    assert load_recipe("wide.yaml").data.label == "mood"


async def test_numbers_alone_hold_no_text_and_that_is_said(opened):
    Path("n.csv").write_text("a,b\n" + "1,2\n" * 9)
    async with opened() as (app, pilot):
        screen = await begin(pilot, "n.csv")
        assert "no column holds texts" in text_of(app)
        await press(pilot, "enter")
        assert screen._walk is not None and screen._walk.step == "columns"


async def test_a_recipe_longer_than_the_screen_is_read_by_pages(opened):
    written("a.jsonl", rows(12))
    async with opened(size=(80, 20)) as (app, pilot):
        await begin(pilot, "a.jsonl")
        await press(pilot, *["enter"] * 5)
        assert "seed: 0" not in text_of(app)
        await press(pilot, *["pagedown"] * 4)
        assert "seed: 0" in text_of(app)


async def test_a_small_terminal_says_what_it_needs(opened):
    async with opened(size=(60, 10)) as (app, pilot):
        await begin(pilot)
        assert "needs 80x20, this is 60x10" in text_of(app)


async def test_the_app_loads_nothing_heavy_for_it():
    import subprocess
    import sys

    heavy = ("torch", "transformers", "datasets", "numpy", "pyarrow", "pandas")
    code = f"import sys; import hftune_tui.screens.my_file; print([n for n in {heavy} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
