"""The list of runs as it is drawn and moved in."""

from dataclasses import replace
from pathlib import Path

import pytest
from hftune_tui import themes
from hftune_tui.folder import RunRow
from hftune_tui.messages import RunOpened
from hftune_tui.standing import MARKS
from hftune_tui.widgets import run_columns
from hftune_tui.widgets.run_columns import cells, columns_for, heading
from hftune_tui.widgets.run_table import RunTable
from textual.app import App

from hftune.runs.state import RunState
from hftune.sanitize import columns_of

NOW = 1_800_000_000.0
DONE = RunState("done", created=NOW - 200, step=500, total_steps=500, metric="accuracy", metric_value=0.861)
TRAINING = RunState("training", created=NOW - 60, step=315, total_steps=500, phase="training", attempt=1)


def row(name="bert-cls", number=0, state=DONE, **more):
    return RunRow(Path(f"/runs/{name}-20260101-000000-{number:04x}"), state, **more)


def many(count):
    return tuple(row(number=number) for number in reversed(range(count)))


class Host(App):
    """An app that shows nothing but the list, and remembers which lines were painted."""

    CSS = "Screen { layers: below; }"

    def __init__(self, rows=()):
        super().__init__()
        self.first_rows, self.opened, self.refused = rows, [], []

    def get_theme_variable_defaults(self):
        return dict(themes.DARK.variables)

    def compose(self):
        yield RunTable(id="runs")

    def on_mount(self):
        self.table = self.query_one(RunTable)
        self.table.show(self.first_rows, NOW)
        self.table.focus()

    def on_run_opened(self, message: RunOpened):
        self.opened.append(message.run)

    def on_run_table_refused(self, message: RunTable.Refused):
        self.refused.append(message.why)

    def lines(self):
        return [self.table.render_line(y).text for y in range(self.table.size.height)]


def line_of(one, width, now=NOW):
    return "  " + " ".join(cell.text for cell in cells(one, columns_for(width), now))


def test_at_80_columns_a_row_says_what_matters():
    training = row(state=TRAINING, loss=0.4121, eta_seconds=72.0)
    assert heading(columns_for(80)) == (
        "  RUN                       STATUS        STEP        LOSS OR BEST    AGE OR ETA"
    )
    assert line_of(training, 80) == "  bert-cls-0000             ● training    315/500 63% loss 0.4121     ETA 1m12s "
    assert line_of(row(), 80) == "  bert-cls-0000             ✓ done        500/500     accuracy 0.861  3m ago    "


@pytest.mark.parametrize("count", [2, 50])
async def test_every_column_is_whole_beside_the_scrollbar(count):
    app = Host(many(count))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.table.show_vertical_scrollbar == (count == 50)
        room = app.table.scrollable_content_region.width
        shown = [line[:room].rstrip() for line in app.lines()[:2]]
        assert shown[0].endswith(" AGE OR ETA") and shown[1].endswith(" ago")


def test_wider_screens_say_why_and_when(monkeypatch):
    failed = replace(DONE, status="failed", reason="out of memory")
    assert "out of memory" not in line_of(row(state=failed), 80)
    assert "out of memory" in line_of(row(state=failed), 110)
    assert run_columns.started(DONE.created) not in line_of(row(state=failed), 110)
    assert run_columns.started(DONE.created) in line_of(row(state=failed), 140)
    assert "evaluating: 3 of 9" in line_of(row(state=replace(TRAINING, phase="evaluating: 3 of 9")), 110)


@pytest.mark.parametrize("width", [*range(10, 60), 79, 80, 104, 105, 110, 135, 140, 220])
@pytest.mark.parametrize(
    "one",
    [
        row(state=TRAINING, loss=float("nan"), eta_seconds=72_000_000.0),
        row("评论写作器与一个很长的名字", state=replace(TRAINING, step=12_345_678, total_steps=123_456_789)),
        row("x" * 60, state=replace(DONE, metric="matthews_correlation", metric_value=-0.123456)),
        row(state=None, problem="state.json cannot be read: 这里"),
        row(state=replace(DONE, status="a-status-of-tomorrow", created=0.0), newer=True),
        row("a\x1b[31m", state=replace(DONE, reason="two\nlines\x07", status="failed", created=1e300)),
    ],
    ids=["nan", "wide", "long", "unreadable", "newer", "hostile"],
)
def test_every_row_takes_exactly_the_width_of_its_heading(one, width):
    columns = columns_for(width)
    line = line_of(one, width)
    assert columns_of(line) == columns_of(heading(columns))
    assert columns_of(line) <= max(width, 18)
    assert "\x1b" not in line and "\n" not in line and "\x07" not in line


def test_a_row_of_a_later_version_and_an_unreadable_one_are_marked_without_colour():
    assert "✓ done ↑" in line_of(row(newer=True), 80)
    assert "later hftune" in line_of(row(newer=True), 110)
    broken = line_of(row(state=None, problem="/runs/x/state.json cannot be read: no status"), 80)
    assert "! unreadable" in broken and "cannot be read" not in broken[:40] and "/runs/x/state.json" in broken


def test_every_status_has_a_mark_of_its_own():
    marks = [mark for status, mark in MARKS.items() if status != "gone"]  # a folder that is removed is in no list
    assert len(set(marks)) == len(marks) and all(columns_of(mark) == 1 for mark in marks)


@pytest.mark.parametrize(
    ("step", "total", "active", "shown"),
    [
        (0, 0, True, ""),
        (7, 0, True, "7"),
        (315, 500, True, "315/500 63%"),
        (1_315, 5_000, True, "1,315/5,000"),
        (12_345, 123_456, False, "12.3K/123K"),
        (123_456_789, 1_234_567_890, False, "123M/1.23B"),
    ],
)
def test_progress_fits(step, total, active, shown):
    state = replace(TRAINING if active else DONE, step=step, total_steps=total)
    assert run_columns.progress(row(state=state)) == shown


async def test_ten_thousand_rows_are_moved_in():
    app = Host(many(10_000))
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.table
        assert table.current.short == "bert-cls-270f" and app.lines()[1].startswith("▸ bert-cls-270f")
        await pilot.press("j", "down", "k")
        assert table.current.short == "bert-cls-270e"
        await pilot.press("G")
        assert table.current.short == "bert-cls-0000" and app.lines()[23].startswith("▸ bert-cls-0000")
        assert app.lines()[0].startswith("  RUN")
        await pilot.press("pageup")
        assert table.current.short == "bert-cls-0016"
        await pilot.press("g")
        assert table.current.short == "bert-cls-270f" and table.scroll_offset.y == 0
        await pilot.press("pagedown", "pagedown", "home", "end", "k", "j", "j")
        assert table.current.short == "bert-cls-0000"


async def test_enter_opens_and_space_marks():
    app = Host(many(5))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space", "j", "j", "space", "enter")
        await pilot.pause()
        assert app.opened == [app.table.rows[2].path]
        assert app.table.marked == [app.table.rows[0].path, app.table.rows[2].path]
        assert [line[:2] for line in app.lines()[1:6]] == [" *", "  ", "▸*", "  ", "  "]
        await pilot.press("space")
        assert app.table.marked == [app.table.rows[0].path]
        app.table.show(app.table.rows[1:], NOW)
        assert app.table.marked == []


async def test_a_click_moves_and_two_open():
    app = Host(many(5))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(RunTable, offset=(5, 3))
        assert app.table.current is app.table.rows[2] and not app.opened
        await pilot.click(RunTable, offset=(5, 3), times=2)
        await pilot.click(RunTable, offset=(5, 0), times=2)
        await pilot.click(RunTable, offset=(5, 20))
        await pilot.pause()
        assert app.opened == [app.table.rows[2].path]


async def test_the_cursor_stays_on_its_run_when_others_come_and_go():
    app = Host(many(50))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "j")
        run = app.table.current.path
        app.table.show((row("new", 1), *app.first_rows), NOW)
        await pilot.pause()
        assert app.table.current.path == run and app.lines()[4].startswith("▸ ")
        app.table.show(app.first_rows[:1], NOW)
        assert app.table.current is app.first_rows[0]
        app.table.show((), NOW)
        assert app.table.current is None and app.table.marked == []
        await pilot.press("j", "G", "enter", "space", "n")
        assert not app.opened
        assert app.table.select(run) is False


async def test_only_lines_that_changed_are_painted(monkeypatch):
    rows = list(many(10_000))
    rows[3] = row(number=3, state=TRAINING, loss=0.5)
    app = Host(tuple(rows))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        made, refreshed = [], []
        make = app.table._row_strip
        monkeypatch.setattr(app.table, "_row_strip", lambda place, width: made.append(place) or make(place, width))
        refresh = app.table.refresh
        monkeypatch.setattr(
            app.table, "refresh", lambda *regions, **more: refreshed.extend(regions) or refresh(*regions)
        )
        app.table.show(tuple(rows), NOW)
        assert refreshed == []
        rows[3] = replace(rows[3], loss=0.25)
        rows[5000] = replace(rows[5000], loss=0.25)
        app.table.show(tuple(rows), NOW)
        assert [region.y for region in refreshed] == [4]
        await pilot.pause()
        assert made == [3] and "loss 0.25" in app.lines()[4]
        refreshed.clear()
        app.table.show(app.table._all, NOW + 1)  # an idle list costs an ssh line nothing
        assert refreshed == []
        app.table.show(app.table._all, NOW + 60)  # ages of 3m become 4m
        assert len(refreshed) == 23


async def test_looking_for_a_name_narrows_and_marks_letters():
    rows = (row("bert-cls", 1), row("gpt2-gen", 2), row("bert-lora", 3), row("smollm2", 4))
    app = Host(rows)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j")
        app.table.look_for("BtL")
        assert [one.short for one in app.table.rows] == ["bert-cls-0001", "bert-lora-0003"]
        await pilot.pause()
        marked = [s.text for s in app.table.render_line(1) if s.style.underline]
        assert "".join(marked) == "btl"
        app.table.look_for("")
        assert app.table.rows is rows and app.table.current.short == "bert-lora-0003"
        app.table.look_for("20260101")
        assert len(app.table.rows) == 4
        app.table.look_for("nothing like it")
        assert app.table.rows == [] and app.table.current is None


async def test_matches_are_gone_to_in_the_whole_list():
    rows = (row("bert-cls", 1), row("gpt2-gen", 2), row("bert-lora", 3), row("smollm2", 4))
    app = Host(rows)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        assert app.table.current is rows[0]  # nothing is looked for
        app.table.look_for("bert", narrow=False)
        assert app.table.rows is rows
        await pilot.press("n")
        assert app.table.current is rows[2]
        await pilot.press("n")
        assert app.table.current is rows[0]
        await pilot.press("N")
        assert app.table.current is rows[2]


async def test_each_word_matches_a_name_or_a_status():
    rows = (row("bert-cls", 1), row("bert-cls", 2, TRAINING), row("gpt2-gen", 3, TRAINING), row(number=4, state=None))
    app = Host(rows)
    async with app.run_test(size=(80, 24)) as pilot:
        found = {}
        for text in ("train", "TRAIN bcl", "done", "unread", "train 0003", "train done", " "):
            app.table.look_for(text)
            found[text] = [rows.index(one) for one in app.table.rows]
            assert app.table.matches == (len(found[text]) if text.strip() else 0) and app.table.total == 4
        assert found == {
            "train": [1, 2], "TRAIN bcl": [1], "done": [0], "unread": [3], "train 0003": [2], "train done": [],
            " ": [0, 1, 2, 3],
        }  # fmt: skip
        app.table.look_for("train bcl", narrow=False)
        await pilot.pause()
        assert app.table.matches == 1 and len(app.table.rows) == 4
        marked = [[s.text for s in app.table.render_line(y) if s.style.underline] for y in (1, 2)]
        assert marked == [[], ["b", "c", "l"]]  # a row that one of the words does not match is not marked


async def test_a_row_whose_status_changes_is_looked_at_again():
    rows = (row("bert-cls", 1, TRAINING), row("gpt2-gen", 2))
    app = Host(rows)
    async with app.run_test(size=(80, 24)):
        app.table.look_for("done")
        assert app.table.rows == [rows[1]]
        app.table.show((replace(rows[0], state=DONE), rows[1]), NOW)
        assert len(app.table.rows) == 2 and app.table.matches == 2


@pytest.mark.parametrize("word", ["[", "]", "^", "\\", "-", "a^", "a]b", ".*", "b-", "(", "a" * 200])
async def test_any_letters_can_be_looked_for_and_none_takes_long(word):
    rows = (row("x[]^\\-.*(b-"), row("a" * 64, 1))
    app = Host(rows)
    async with app.run_test(size=(80, 24)):
        app.table.look_for(word)
        assert app.table.rows == [one for one in rows if set(word) <= set(one.short) and _in_order(word, one.short)]


def _in_order(word, name):
    letters = iter(name.lower())
    return all(letter in letters for letter in word.lower())


async def test_a_name_that_almost_matches_in_many_ways_is_refused_at_once():
    app = Host((row("ab" * 32),))
    async with app.run_test(size=(80, 24)):
        app.table.look_for("ab" * 16 + "z")  # trying each way to place the letters would take hours
        assert app.table.rows == []


async def test_keys_that_cannot_act_say_why():
    app = Host(many(2))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        app.table.look_for("zzz", narrow=False)
        await pilot.press("N")
        app.table.look_for("zzz")
        await pilot.press("enter", "space")
        await pilot.pause()
        assert app.refused == [
            "nothing is looked for: f begins", "no run matches 'zzz'", "no run is shown", "no run is shown",
        ]  # fmt: skip


async def test_marks_can_be_kept_by_another():
    rows = many(3)
    app = Host(rows)
    async with app.run_test(size=(80, 24)) as pilot:
        marks = {rows[2].path: None}
        app.table.share_marks(marks)
        app.table.show(rows, NOW)
        await pilot.press("space")
        assert list(marks) == [rows[2].path, rows[0].path] and [line[1] for line in app.lines()[1:4]] == ["*", " ", "*"]
        marks.clear()
        app.table.show(rows, NOW)
        await pilot.pause()
        assert [line[1] for line in app.lines()[1:4]] == [" ", " ", " "]


async def test_the_line_of_the_cursor_has_one_background():
    app = Host((row(state=TRAINING, loss=0.4), row(number=1)))
    async with app.run_test(size=(140, 24)) as pilot:
        await pilot.pause()
        under, other = ({s.style.bgcolor for s in app.table.render_line(y) if s.text} for y in (1, 2))
        assert len(under) == len(other) == 1 and under != other


async def test_brackets_in_names_are_text():
    app = Host((row("[bold]x[nothing]"), row("[@click=app.quit]y")))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "[bold]x[nothing]-0000" in app.lines()[1] and "[@click=app.quit]y-0000" in app.lines()[2]


async def test_rows_fill_the_width_after_a_resize():
    app = Host((row("评论写作器"), row(state=TRAINING, loss=0.4)))
    async with app.run_test(size=(80, 24)) as pilot:
        for size in ((140, 24), (60, 10), (110, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert {app.table.render_line(y).cell_length for y in range(5)} == {size[0]}


async def test_a_list_without_focus_shows_where_its_cursor_is():
    app = Host(many(3))
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_focus(None)
        await pilot.pause()
        assert app.lines()[1].startswith("▸ ")
