"""Compare: curves, table, keys that differ; every key, and the states that it can be in."""

import math
import shutil

import pytest
from hftune_tui import compared
from hftune_tui.compared import Figures
from hftune_tui.widgets.line_panel import LinePanel
from hftune_tui.widgets.plot import Plot

from .conftest import evaluated, text_of, train, until, write_events

RECIPE = """\
name: {name}
description: whatever it is called
task: {task}
model: {{id: "hftune:minilm-l6"}}
training: {{learning_rate: {rate}, seed: 0}}
"""


def plan(metric="accuracy", total=200):
    return "plan", {"total_steps": total, "metric": metric, "num_train_epochs": 1}


def events(best=0.8, metric="accuracy", to=200, speed=1000.0, memory=2.0**30, **timing):
    found = [plan(metric)]
    for step in range(10, to + 1, 10):
        more = {"tokens_per_second": speed, "memory_bytes": memory, **timing}
        found.append(train(step, 0.3 + math.exp(-step / 50), total=200, **more))
        if step % 50 == 0:
            found.append(evaluated(step, loss=0.5, **{metric: best}))
    return [*found, ("best", {"step": 100, "metric": metric, "value": best})]


@pytest.fixture
def paths(make_run):
    """Three runs, newest first, of which the third has another learning rate and a better figure."""
    made = []
    for number, (rate, best) in enumerate([(1e-5, 0.8), (1e-5, 0.81), (5e-5, 0.9)]):
        recipe = RECIPE.format(name=f"r{number}", task="text-classification", rate=rate)
        name = f"bert-2026010{9 - number}-000000-000{number}"
        made.append(make_run(name, "done", events=events(best, speed=1000.0 + 100 * number), recipe=recipe, model=True))
    return made


@pytest.fixture
def compared_runs(opened):
    """Open the app on Compare: `async with compared_runs([paths]) as (app, pilot)`."""

    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def start(runs, size=(80, 24), marked=False):
        async with opened(size=size) as (app, pilot):
            if marked:
                app.marked.update(dict.fromkeys(runs))
                app.go("compare")
            else:
                app.go("compare", runs=runs)
            await pilot.pause()
            await until(pilot, lambda: len(app.place._facts) >= min(len(app.place._paths), compared.MOST))
            app.read()
            await pilot.pause()
            yield app, pilot

    return start


async def press(app, pilot, *keys):
    for key in keys:
        await pilot.press(key)
    app.read()
    await pilot.pause()


def flat(app):
    return " ".join(text_of(app).split())


def rows_of(app):
    rows = text_of(app).split("\n")
    start = next(at for at, row in enumerate(rows) if "STATUS" in row)
    return [" ".join(row.split()) for row in rows[start : start + 1 + len(app.place._runs)]]


async def test_marked_runs_are_laid_over_each_other_with_a_table_and_what_differs(compared_runs, paths):
    async with compared_runs(paths, marked=True) as (app, _):
        text = text_of(app)
        assert "compare › 3 runs" in text and "train loss  ━A" in text
        assert rows_of(app) == [
            "RUN STATUS BEST accuracy TIME MEMORY TOK/S",
            "▸A bert-0000 ✓ done 0.8@100 50s 1 GiB 1,000",
            "B bert-0001 ✓ done 0.81@100 50s 1 GiB 1,100",
            "C bert-0002 ✓ done 0.9@100 50s 1 GiB 1,200",
        ]
        assert "training.learning_rate A B 1e-05 C 5e-05" in flat(app)
        assert "training.seed" not in text and "description" not in text
        assert len(text.split("\n")) == 24


async def test_no_marks_say_how_to_mark(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "3")
        assert "Space marks some" in flat(app) and not app.place.query_one(Plot).display
        for key in ("enter", "space", "b", "m", "c"):
            await press(app, pilot, key)
            assert "!" in text_of(app), key


async def test_one_run_says_how_to_mark_others(compared_runs, paths):
    async with compared_runs(paths[:1]) as (app, pilot):
        assert "Only one run is marked" in flat(app) and "bert-0000" in flat(app)
        await press(app, pilot, "b")
        assert "a baseline needs a second run" in text_of(app)


async def test_runs_that_are_judged_by_different_figures_are_said(compared_runs, paths, make_run):
    other = make_run("gpt-20260108-000000-0009", "done", events=events(12.5, metric="perplexity"))
    async with compared_runs([*paths[:2], other]) as (app, pilot):
        assert "judged by different figures: A B by accuracy, C by perplexity" in flat(app)
        assert "accuracy 0.8@100" in flat(app) and "perplexity 12.5@100" in flat(app)
        await press(app, pilot, "m")
        assert "eval accuracy" in flat(app) and "none of C" in flat(app)


async def test_a_run_that_trains_is_followed(compared_runs, paths, make_run):
    live = make_run("live-20260110-000000-000a", "training", events=events(to=100))
    async with compared_runs([live, paths[0]]) as (app, pilot):
        assert "▸A live-000a ● training" in rows_of(app)[1]
        plot = app.place.query_one(Plot)
        drawn, last = plot.drawn, plot.picture.curves[0].xs[-1]
        app.read()
        await pilot.pause()
        assert plot.drawn == drawn  # nothing came, nothing is drawn
        write_events(live, [train(110, 0.4)])
        app.read()
        await pilot.pause()
        assert last == 100 and plot.picture.curves[0].xs[-1] == 110 and plot.drawn == drawn + 1


@pytest.mark.parametrize("recipe", ["a: [", "\x00", "- 1\n", "a: 1\na: 2\n"])
async def test_a_recipe_that_cannot_be_read_is_said_and_the_others_are_compared(compared_runs, paths, make_run, recipe):
    broken = make_run("bad-20260108-000000-000b", "done", events=events(), recipe=recipe)
    async with compared_runs([paths[0], broken, paths[2]]) as (app, _):
        panel = app.place.query_one(LinePanel)
        assert panel.lines[0].text.startswith("B: ") and panel.lines[0].level == "error"
        assert [each.text.split()[0] for each in panel.lines[1:]] == ["training.learning_rate"]


async def test_more_runs_than_letters_are_said(compared_runs, paths, make_run):
    more = [make_run(f"many-20250101-000000-00{n:02x}", "done", events=events()) for n in range(11)]
    async with compared_runs(more) as (app, pilot):
        assert "8 of 11 runs are shown: Space leaves one out" in flat(app)
        assert len(rows_of(app)) == 9 and rows_of(app)[8].startswith("H many-0007")
        await press(app, pilot, "space", "space", "space")
        assert "are shown" not in flat(app) and rows_of(app)[1].startswith("▸A many-0003")


async def test_a_run_whose_folder_is_removed_stays_as_gone(compared_runs, paths):
    async with compared_runs(paths) as (app, pilot):
        shutil.rmtree(paths[1])
        app.read()
        await pilot.pause()
        assert "B bert-0001 ✗ gone" in rows_of(app)[2]


async def test_a_baseline_turns_the_others_into_differences(compared_runs, paths):
    async with compared_runs(paths) as (app, pilot):
        await press(app, pilot, "j", "b")
        assert rows_of(app)[1:] == [
            "A bert-0000 ✓ done -0.01@100 +0s +0 B -100",
            "▸B= bert-0001 ✓ done 0.81@100 50s 1 GiB 1,100",
            "C bert-0002 ✓ done +0.09@100 +0s +0 B +100",
        ]
        await press(app, pilot, "b")
        assert "0.8@100" in rows_of(app)[1]


async def test_energy_is_a_column_only_when_a_run_says_it(compared_runs, paths, make_run):
    async with compared_runs(paths, size=(100, 30)) as (app, _):
        assert "ENERGY" not in text_of(app)
    known = make_run("e-20260108-000000-000e", "done", events=events(energy_joules=413))
    async with compared_runs([paths[0], known], size=(100, 30)) as (app, _):
        assert rows_of(app)[0].endswith("ENERGY") and "~0.115 Wh" in rows_of(app)[2] and "–" in rows_of(app)[1]


async def test_space_leaves_a_run_out_and_takes_its_mark(compared_runs, paths):
    async with compared_runs(paths, marked=True) as (app, pilot):
        await press(app, pilot, "j", "space")
        assert list(app.marked) == [paths[0], paths[2]] and "▸B bert-0002" in rows_of(app)[2]
        await press(app, pilot, "space", "space")
        assert not app.marked and "Space marks some" in flat(app)


async def test_the_cursor_stays_among_the_runs_and_enter_watches(compared_runs, paths):
    async with compared_runs(paths) as (app, pilot):
        await press(app, pilot, "down")
        assert app.place.run_in_front() == paths[1]
        await press(app, pilot, "up", "k", "k")
        assert app.place.run_in_front() == paths[0]
        await press(app, pilot, "j", "j", "j", "j")
        assert app.place.run_in_front() == paths[2]
        await press(app, pilot, "enter")
        assert app.place.NAME == "watch" and "bert-0002" in text_of(app).split("\n")[0]


async def test_page_keys_show_more_of_what_differs(compared_runs, make_run):
    both = []
    for number in (1, 2):
        keys = "".join(f"  key_{letter}: {number}\n" for letter in "abcdefghijklmnopqrstuvwxyz")
        recipe = f"name: r\ntask: text-classification\nmodel: a/b\ntraining:\n{keys}"
        both.append(make_run(f"bert-2026010{number}-000000-000{number}", "done", events=events(), recipe=recipe))
    async with compared_runs(both) as (app, pilot):
        assert "key_a" in text_of(app) and "key_z" not in text_of(app)
        await press(app, pilot, *["pagedown"] * 30)
        assert "key_z" in text_of(app) and "key_a" not in text_of(app)
        await press(app, pilot, *["pageup"] * 30)
        assert "key_a" in text_of(app)


async def test_c_asks_the_run_or_says_why_not(compared_runs, paths, make_run, monkeypatch):
    bare = make_run("bare-20260108-000000-000c", "failed", events=events())
    async with compared_runs([paths[0], bare]) as (app, pilot):
        gone = []
        monkeypatch.setattr(app, "go", lambda name, **what: gone.append((name, what)))
        await press(app, pilot, "c")
        assert gone == [("chat", {"run": paths[0]})]
        await press(app, pilot, "j", "c")
        assert len(gone) == 1 and "no model and no checkpoint" in flat(app)


async def test_keys_change_how_curves_are_looked_at(compared_runs, paths):
    async with compared_runs(paths) as (app, pilot):
        plot, titles = app.place.query_one(Plot), []
        for _ in range(7):
            titles.append(plot.picture.title)
            await press(app, pilot, "m")
        assert titles == [
            "train loss", "eval accuracy", "eval loss", "learning rate", "gradient norm", "tokens/s", "memory in GiB",
        ]  # fmt: skip
        assert plot.picture.title == "train loss"
        await press(app, pilot, "t")
        assert plot.picture.x_kind == "time" and plot.picture.curves[0].xs[-1] == 50
        await press(app, pilot, "t", "y")
        assert plot.picture.x_kind == "tokens" and plot.picture.log
        await press(app, pilot, "s", "s")
        assert not plot.picture.curves[0].smooth
        await press(app, pilot, "s")
        assert "not smoothed at all already" in flat(app)
        await press(app, pilot, "S", "escape")
        assert app.place.NAME == "runs"


async def test_runs_are_followed_only_while_they_are_shown(compared_runs, paths):
    async with compared_runs(paths) as (app, pilot):
        assert len(app.store._live()) == 3
        await press(app, pilot, "1")
        assert not app.store._live()
        await press(app, pilot, "3")
        assert len(app.store._live()) == 3 and "bert-0002" in text_of(app)


@pytest.mark.parametrize("size", [(80, 20), (80, 24), (110, 24), (160, 50)])
async def test_eight_runs_fit_on_every_size(compared_runs, make_run, size):
    runs = [
        make_run(
            f"{'long-name-of-a-run-' * 2}{n}-20250101-000000-000{n}", "done", events=events(),
            recipe=RECIPE.format(name="训练", task=f"t{n}", rate=n / 1000),
        )
        for n in range(8)
    ]  # fmt: skip
    async with compared_runs(runs, size=size) as (app, _):
        rows = text_of(app).split("\n")
        assert len(rows) == size[1] and rows[-1].startswith(" ›")
        assert len(rows_of(app)) == 9 and "H long-name" in rows_of(app)[8]
        assert app.place.query_one(Plot).size.height >= 5
        assert "task" in flat(app) and "A t0" in flat(app)


def test_values_from_recipes_cannot_move_the_cursor(tmp_path):
    lines = compared.key_lines({"A": {"data.text": "a\x1b[2J\nb"}, "B": {}})
    assert lines == ["data.text  A a\x1b[2J\nb   B –"]  # cleaned where it is drawn: in the panel
    from hftune_tui.widgets.line_panel import PanelLine

    drawn = LinePanel()._rows_of(PanelLine("", lines[0]), 60)
    assert "".join(row.plain for row in drawn) == "data.text  A a b   B –"


def test_a_table_gives_up_columns_where_there_is_no_room():
    figures = [Figures("a" * 50, "training", "accuracy", 0.861, 250, 123.0, 2.0**30, 1840.0)] * 3
    for columns in (30, 50, 80, 120):
        for row in compared.table(figures, 0, None, columns):
            assert sum(len(part if isinstance(part, str) else part[0]) for part in row) <= columns
