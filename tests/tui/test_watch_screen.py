"""Watch: what stands where, every key, and every state that a run can be in."""

import json
import math
import shutil

import pytest
from hftune_tui.advice import advice_of
from hftune_tui.compared import figures_of
from hftune_tui.curves import draw
from hftune_tui.drawing import line
from hftune_tui.followed import FollowedRun
from hftune_tui.plotted import X_KINDS, View, metrics_of, picture_of
from hftune_tui.recipe_words import side_lines
from hftune_tui.standing import lines_of, main_metric
from hftune_tui.widgets.line_panel import LinePanel
from hftune_tui.widgets.plot import Plot
from textual.geometry import Size

from hftune.runs import layout, process
from hftune.runs.events import KINDS

from .conftest import NOW, evaluated, state_of, text_of, train, until, write_events

NAME = "bert-cls-20260101-000000-a3f1"
PLAN = (
    "plan",
    {"total_steps": 500, "num_train_epochs": 3, "train_examples": 8400, "parameters": 22.7e6, "device": "cpu",
     "trainable_parameters": 150e3, "precision": "bf16", "threads": 2, "metric": "accuracy"},
)  # fmt: skip
RECIPE = """\
name: bert-cls
task: text-classification
model: {id: "hftune:minilm-l6"}
data: {source: "hftune:movie-reviews"}
training: {per_device_train_batch_size: 16, gradient_accumulation_steps: 1, learning_rate: 2.0e-05}
"""


def events(to=315, bad=(), eval_loss=lambda step: 0.3 + 10 / step):
    found = [("phase", {"phase": "preparing", "detail": "reading data"}), PLAN]
    for step in range(5, to + 1, 5):
        loss = None if step in bad else 0.35 + 0.9 * math.exp(-step / 90)
        found.append(train(step, loss, eta_seconds=72.0, eta_error_seconds=12.0, memory_bytes=1.92 * 2**30))
        if step % 50 == 0:
            found.append(evaluated(step, loss=eval_loss(step), accuracy=0.5 + step / 1000))
            found.append(("best", {"step": step, "metric": "accuracy", "value": 0.5 + step / 1000}))
    return found


@pytest.fixture
def watched(opened, make_run, runs):
    """Make a run with these fields and open the app on it: `async with watched("training", …) as (app, pilot)`."""

    def start(status="training", size=(80, 24), name=NAME, **more):
        make_run(name, status, **more)
        return opened(size=size, watch=runs / name)

    return start


async def press(app, pilot, *keys):
    for key in keys:
        await pilot.press(key)
    app.read()
    await pilot.pause()


def flat(app):
    """What is shown, on one line, so that where a line is broken does not matter."""
    return " ".join(text_of(app).split())


async def test_training_shows_how_long_first_then_figures_pace_curves_and_lines(watched):
    async with watched(events=events(), step=315, total_steps=500, checkpoints=[250]) as (app, _):
        rows = text_of(app).split("\n")
        assert "runs › bert-cls-a3f1  ● training" in rows[0]
        assert rows[1].startswith(" ETA 1m12s ±12s  63%  step 315/500  epoch 1.57/3 ━━") and rows[1].endswith("─")
        assert rows[2].startswith(" loss 0.3772 ▼0.0") and "accuracy 0.8 (best 0.8@300)" in rows[2]
        assert "lr 2e-05" in rows[2] and "grad 1.4" in rows[2]
        assert rows[3].startswith(" 1,840 tok/s   memory 1.92 GiB   elapsed 1m19s") and "energy" not in rows[3]
        assert rows[4].startswith(" loss  ━ train 0.3772  ◆ eval 0.3333") and rows[4].endswith("smooth 0.6")
        assert any("┤" in row and row.strip()[-1] > "⠀" for row in rows[5:14])
        assert "step 315/500  loss 0.3772" in "\n".join(rows[-4:])
        assert rows[-1].startswith(" ›") and "x Stop  p Pause" in rows[-1]
        assert len(rows) == 24 and all(len(row) <= 80 for row in rows)


@pytest.mark.parametrize(
    ("counted", "words"), [({}, "energy ~0.115 Wh"), ({"energy_counted": True}, "energy 0.115 Wh")]
)
async def test_energy_is_shown_only_when_a_run_says_it_and_an_estimate_says_so(watched, counted, words):
    more = [*events(20), train(25, 0.5, energy_joules=413, **counted)]
    async with watched(events=more) as (app, _):
        assert words in text_of(app)


async def test_no_run_says_how_to_have_one(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "2")
        assert "No run to watch" in text_of(app)
        for key in ("c", "enter", "m", "n"):
            await press(app, pilot, key)
            assert "!" in text_of(app), key


async def test_a_run_without_events_says_what_will_come(watched):
    async with watched("preparing") as (app, _):
        assert text_of(app).split("\n")[1].strip() == "◔ preparing" and "no figures yet (preparing)" in text_of(app)
        assert "no events yet" in text_of(app)


async def test_preparing_names_the_phase_its_progress_and_about_how_long(watched):
    begun = [("phase", {"phase": "preparing", "detail": "tokenizing"})]
    progress = [("progress", {"phase": "preparing", "done": 2000, "total": 8000, "unit": "examples"})]
    async with watched("preparing", events=begun + progress) as (app, _):
        # The phase began 60 s before now; a quarter is done.
        assert "◔ preparing  tokenizing  2,000 of 8,000 examples  about 3m00s left" in text_of(app)
        assert "━" in text_of(app).split("\n")[1]


async def test_preparing_knows_from_an_earlier_attempt_how_long_a_phase_takes(watched, runs):
    earlier = [("phase", {"phase": "preparing", "detail": "loading the model"}), PLAN, train(5)]
    async with watched("preparing", events=earlier) as (app, _):
        again = [("phase", {"phase": "preparing", "detail": "loading the model"})]
        write_events(runs / NAME, again, attempt=2, begin=NOW - 4)
        app.read()
        assert "loading the model  about 1.0s, 4.0s so far" in text_of(app)


async def test_queued_says_behind_which(watched):
    reason = "cpu is in use by run bert-cls-20260101-000001-b7d2"
    async with watched("queued", reason=reason) as (app, _):
        assert f"◌ queued  {reason}" in text_of(app)


async def test_evaluating_keeps_the_time_to_go_and_says_how_far_the_evaluation_is(watched):
    more = [*events(100), ("progress", {"phase": "evaluating", "done": 412, "total": 872, "unit": "examples"})]
    async with watched("evaluating", events=more, step=100) as (app, _):
        assert "ETA 1m12s ±12s  20%  step 100/500  evaluating 412 of 872 examples" in text_of(app)


@pytest.mark.parametrize("status", ["paused", "stopped"])
async def test_paused_and_stopped_say_where_and_how_to_go_on(watched, status):
    async with watched(status, events=events(100), step=100, total_steps=500, checkpoints=[100], reason="asked to") as (
        app,
        _,
    ):
        text = text_of(app)
        assert f"{status}  at step 100 of 500" in text
        assert f"{status}: asked to  r goes on from step 100" in text and "r Resume" in text.split("\n")[-1]


async def test_done_shows_the_figures_of_each_split(watched):
    metrics = {"validation": {"loss": 0.3256, "accuracy": 0.862}, "test": {"loss": 0.3533, "accuracy": 0.8447}}
    async with watched("done", events=events(500), step=500, total_steps=500, metrics=metrics, model=True) as (app, _):
        text = text_of(app)
        assert "✓ done  in 2m05s  500 steps  best accuracy 1@500  c asks it" in text
        assert "validation  loss 0.3256  accuracy 0.862" in text
        assert "test        loss 0.3533  accuracy 0.8447" in text and "x Stop" not in text


async def test_each_split_has_a_sign_of_its_own(watched):
    more = [*events(500), evaluated(300, split="test", loss=0.4), evaluated(300, split="held-out", loss=0.45)]
    async with watched("done", events=more) as (app, _):
        legend = text_of(app).split("\n")[4]
        assert "━ train" in legend and "◆ eval" in legend and "▪ held-out 0.45" in legend and "◇ test 0.4" in legend


async def test_what_makes_final_figures_doubtful_is_said(watched):
    metrics = {"validation": {"loss": 0.3}, "warnings": ["12 rows of test are in train too", "another"]}
    async with watched("done", events=events(500), metrics=metrics) as (app, _):
        assert "! 12 rows of test are in train too (and 1 more in metrics.json)" in flat(app)


async def test_reading_a_long_run_says_how_far_it_is(watched, runs):
    async with watched(events=[train(step, 0.5) for step in range(1, 2000)]) as (app, pilot):
        run = FollowedRun(runs / NAME, app.clock)
        run.poll_state()
        assert run.poll_events() and 0 < run.loaded < 0.5
        app.place._run = run
        app.place.update_now()
        await pilot.pause()
        assert f"reading its events… {100 * run.loaded:.0f}%" in text_of(app)


@pytest.mark.parametrize("odd", ["\x1b[31modd", None, -1, 1e308, True, [], {"a": []}, "9" * 400])
@pytest.mark.parametrize("status", ["preparing", "training", "evaluating", "done", "failed"])
def test_fields_that_are_missing_or_odd_end_nothing(tmp_path, odd, status):
    (tmp_path / layout.STATE).write_text(json.dumps(state_of(status)))
    inner = {"loss": odd, "accuracy": odd, "eta_seconds": odd, "tokens_per_second": odd, "memory_bytes": odd,
             "learning_rate": odd, "grad_norm": odd, "eta_error_seconds": odd, "elapsed_seconds": odd}  # fmt: skip
    for whole in (dict.fromkeys({name for fields in KINDS.values() for name in fields}, odd), {}):
        for kind in KINDS:
            write_events(tmp_path, [(kind, whole), (kind, {**whole, "step": 3, "metrics": inner, "timing": inner})])
    run = FollowedRun(tmp_path, lambda: NOW)
    run.poll_state()
    while run.poll_events():
        pass
    for columns in (20, 78, 200):
        for parts in lines_of(run, NOW, columns, {"test": {"loss": odd}}):
            assert line(*parts).cell_length <= max(columns, 40)
    assert side_lines(run, {}, "", 32) and figures_of(run).status == status
    advice_of(run)
    for metric in metrics_of(run.series, main_metric(run)):
        for kind in X_KINDS:
            assert len(draw(picture_of(run, View(metric, kind)), 60, 10)) == 10


async def test_failed_shows_the_message_and_the_hint_from_the_log(watched):
    log = "Traceback …\nhftune.errors.DataError: no column 'labels'\n  Columns found: text, label.\n"
    async with watched("failed", reason="no column 'labels'", log=log, exit_code=2) as (app, _):
        assert "failed: no column 'labels' Columns found: text, label. r begins again" in flat(app)
        assert "log.txt" in text_of(app) and "Traceback …" in text_of(app)  # its log is shown without asking


async def test_a_model_that_the_hub_does_not_give_says_how_to_get_it(watched):
    message, hint = "x/private asks for its licence to be accepted", "Accept it at https://hub/x, then set HF_TOKEN."
    log = f"hftune: {message}\n  {hint}\n"
    async with watched("failed", reason=message, log=log, exit_code=2) as (app, _):
        assert f"failed: {message} {hint} r begins again" in flat(app)


@pytest.mark.parametrize(
    ("reason", "batch", "words", "settings"),
    [
        ("out of memory with 16 examples in a batch", 16, "batch 16 → 8 × accumulate 2",
         ["-s", "training.per_device_train_batch_size=8", "-s", "training.gradient_accumulation_steps=2"]),
        ("out of memory with 15 examples in a batch", 15, "batches that shrink until they fit",
         ["-s", "training.auto_find_batch_size=true"]),
        ("out of memory with one example in a batch", 1, "gradient checkpointing",
         ["-s", "training.gradient_checkpointing=true"]),
        ("OutOfMemoryError: CUDA out of memory.", 16, "batch 16 → 8 × accumulate 2",
         ["-s", "training.per_device_train_batch_size=8", "-s", "training.gradient_accumulation_steps=2"]),
    ],
)  # fmt: skip
async def test_out_of_memory_says_what_enter_does_and_enter_does_it(
    watched, runs, monkeypatch, reason, batch, words, settings
):
    recipe = RECIPE.replace("batch_size: 16", f"batch_size: {batch}")
    async with watched(
        "failed", reason=reason, recipe=recipe, events=events(310), checkpoints=[300], step=312, total_steps=500
    ) as (app, pilot):
        screen = app.place
        await until(pilot, lambda: screen._facts)
        app.read()
        await pilot.pause()
        assert words in flat(app) and "Enter resumes from step 300" in flat(app)
        sent = []
        monkeypatch.setattr(app, "execute", sent.append)
        await press(app, pilot, "enter")
        command = app.commands.read(sent[0])
        assert command.name == "resume" and command.arguments.run == str(runs / NAME)
        assert command.arguments.allow_inexact and [word for word in command.words if word in settings] == settings


async def test_enter_says_so_when_nothing_is_advised(watched):
    async with watched(events=events()) as (app, pilot):
        await press(app, pilot, "enter")
        assert "nothing that Enter could do" in text_of(app)


async def test_nan_is_marked_on_the_curve_and_its_steps_are_named(watched):
    nan = ("alert", {"level": "warning", "code": "nan-loss", "message": "the loss is not finite", "step": 100})
    more = [*events(98), nan, *events(200, bad=(100, 150))[22:]]
    async with watched(events=more) as (app, _):
        text = flat(app)
        assert "not finite at steps 100, 150 (✗)" in text and "lower training.learning_rate" in text
        rows = text_of(app).split("\n")
        assert "✗ not finite" in rows[4]
        assert sum("✗" in row for row in rows[5:15]) >= 2  # on the curve, and on its axis


async def test_a_signal_is_named_and_the_last_log_lines_are_there(watched):
    async with watched(
        "stopped", exit_code=143, reason="stopped on request", log="one\nlast words\n", checkpoints=[5]
    ) as (app, _):
        assert "ended by a signal (exit code 143): stopped on request r goes on from step 5" in flat(app)
        assert "last words" in text_of(app)


async def test_lost_offers_to_resume_and_shows_the_last_log_lines(watched):
    here = {"host": process.host(), "boot_id": process.boot_id(), "pid": 2**22 + 1, "process_started": 1.0}
    async with watched("training", events=events(), log="Killed\n", checkpoints=[300], **here) as (app, _):
        text = flat(app)
        assert "? lost" in text and "its process is gone without a word" in text
        assert "r goes on from step 300" in text and "log.txt" in text and "Killed" in text


async def test_lost_on_another_machine_names_it(watched):
    async with watched("training", events=events(), heartbeat=NOW - 1000, host="gpu-7") as (app, _):
        assert "another machine (gpu-7)" in flat(app) and "r begins again" in flat(app)


async def test_a_copied_run_that_is_done_says_where_it_ran(watched):
    async with watched("done", events=events(500), host="gpu-7") as (app, _):
        assert "on gpu-7" in text_of(app)


async def test_a_broken_state_file_still_shows_events_and_offers_to_go_on(watched):
    async with watched(state="{", events=events(), checkpoints=[300]) as (app, _):
        text = flat(app)
        assert "unreadable" in text and "cannot be read" in text and "r goes on from step 300" in text
        assert "step 315/500" in text


async def test_a_folder_that_is_removed_meanwhile_is_said(watched, runs):
    async with watched(events=events()) as (app, pilot):
        shutil.rmtree(runs / NAME)
        app.read()
        await pilot.pause()
        assert "not there any more" in text_of(app) and "✗ gone" in text_of(app)
        await press(app, pilot, "escape")
        assert app.place.NAME == "runs"


async def test_a_run_of_a_newer_version_is_shown_and_said(watched):
    async with watched("training", events=events(50), schema=9) as (app, _):
        assert "a newer version of hftune wrote this run" in flat(app) and "step 50/500" in text_of(app)


async def test_rising_eval_loss_is_called_overfitting_and_c_asks_the_best(watched, monkeypatch, runs):
    rising = events(300, eval_loss=lambda step: abs(step - 150) / 100 + 0.3)
    async with watched(events=rising, checkpoints=[150, 300]) as (app, pilot):
        assert "▲ eval loss rose 3 times since 150: overfitting?  x stop · c asks step 150" in text_of(app)
        gone = []
        monkeypatch.setattr(app, "go", lambda name, **what: gone.append((name, what)))
        await press(app, pilot, "c")
        assert gone == [("chat", {"run": runs / NAME, "step": 150})]


async def test_a_warning_stays_in_sight(watched):
    more = [*events(20), ("alert", {"level": "warning", "code": "x", "message": "disk is nearly full", "hint": ""})]
    async with watched(events=more) as (app, _):
        assert text_of(app).count("disk is nearly full") == 2  # above the lines and among them


async def test_c_says_why_there_is_nothing_to_ask_yet(watched):
    async with watched(events=events(20)) as (app, pilot):
        await press(app, pilot, "c")
        assert "no checkpoint yet" in flat(app) and app.place.NAME == "watch"


async def test_c_asks_the_newest_checkpoint(watched, monkeypatch, runs):
    async with watched(events=events(), checkpoints=[100, 200]) as (app, pilot):
        gone = []
        monkeypatch.setattr(app, "go", lambda name, **what: gone.append((name, what)))
        await press(app, pilot, "c")
        assert gone == [("chat", {"run": runs / NAME})]


async def test_l_shows_the_log_and_the_events_again(watched):
    async with watched(events=events(), log="a\r50%\r100% done\nsecond \x1b[31mred\n") as (app, pilot):
        assert "events" in text_of(app)
        await press(app, pilot, "l")
        text = text_of(app)
        assert "log.txt" in text and "100% done" in text and "50%" not in text and "second red" in text
        await press(app, pilot, "l")
        assert "step 315/500  loss" in text_of(app)


async def test_f_filters_lines_and_n_finds_among_all(watched, runs):
    async with watched(events=events(), log="\n".join(f"line {n}" for n in range(50))) as (app, pilot):
        await press(app, pilot, "l", "f", *"line 1")
        panel = app.place.query_one(LinePanel)
        assert [each.text for each in panel.lines] == ["line 1", *(f"line {n}" for n in range(10, 20))]
        await press(app, pilot, "enter")
        assert "“line 1” in 11 of 50" in text_of(app)
        await press(app, pilot, "N")
        assert len(panel.lines) == 50 and "line 19" in text_of(app) and "30 more below" in text_of(app)
        await press(app, pilot, "N")
        assert "line 18" in text_of(app) and "line 19" not in text_of(app)
        await press(app, pilot, "n", "n")
        assert text_of(app).split("\n")[-5].strip() == "line 1"  # from the newest on to the oldest
        await press(app, pilot, "escape")
        assert app.place.NAME == "watch" and not panel.looked_for
        await press(app, pilot, "n")
        assert "nothing is looked for" in text_of(app)


async def test_nothing_found_says_so_and_escape_forgets(watched):
    async with watched(events=events()) as (app, pilot):
        await press(app, pilot, "f", *"zzz")
        assert "nothing with “zzz”" in text_of(app)
        await press(app, pilot, "escape")
        assert app.place.NAME == "watch" and "step 315/500  loss" in text_of(app)


async def test_lines_scroll_and_new_ones_do_not_move_what_is_read(watched, runs):
    async with watched(events=events(), log="\n".join(f"line {n}" for n in range(50))) as (app, pilot):
        await press(app, pilot, "l", "k", "k", "k")
        assert text_of(app).split("\n")[-2].strip() == "line 46"
        with (runs / NAME / layout.LOG).open("a") as file:
            file.write("\nline 50\n")
        app.read()
        await pilot.pause()
        assert text_of(app).split("\n")[-2].strip() == "line 46"
        await press(app, pilot, "G")
        assert text_of(app).split("\n")[-2].strip() == "line 50"
        await press(app, pilot, "g")
        assert text_of(app).split("\n")[-6].strip().startswith("line 0")
        await press(app, pilot, "pagedown", "j")
        assert text_of(app).split("\n")[-2].strip() == "line 9"


async def test_m_plots_one_figure_after_the_other(watched):
    async with watched(events=events()) as (app, pilot):
        plot, titles = app.place.query_one("#watch-plot", Plot), []
        for _ in range(7):
            titles.append(plot.picture.title)
            await press(app, pilot, "m")
        assert titles == ["loss", "accuracy", "learning rate", "gradient norm", "tokens/s", "memory in GiB", "loss"]


async def test_t_changes_the_x_axis(watched):
    async with watched(events=events()) as (app, pilot):
        plot, kinds = app.place.query_one("#watch-plot", Plot), []
        for _ in range(4):
            kinds.append((plot.picture.x_kind, plot.picture.curves[0].xs[-1]))
            await press(app, pilot, "t")
        assert [kind for kind, _ in kinds] == ["step", "time", "tokens", "step"]
        assert kinds[0][1] == 315 and kinds[1][1] == pytest.approx(78.75) and kinds[2][1] > 100_000


async def test_s_smooths_less_and_more_within_bounds(watched):
    async with watched(events=events()) as (app, pilot):
        plot = app.place.query_one("#watch-plot", Plot)
        await press(app, pilot, "S")
        assert plot.picture.note == "smooth 0.8"
        await press(app, pilot, "s", "s", "s", "s")
        assert plot.picture.note == "" and not plot.picture.curves[0].smooth
        await press(app, pilot, "s")
        assert "not smoothed at all already" in text_of(app)


async def test_y_is_the_axis_on_the_plot_and_copies_on_the_lines(watched, monkeypatch):
    async with watched(events=events()) as (app, pilot):
        await press(app, pilot, "y")
        assert app.place.query_one("#watch-plot", Plot).picture.log and "logarithmic axis" in text_of(app)
        copied = []
        monkeypatch.setattr(app, "copy", copied.append)
        app.place.query_one(LinePanel).focus()
        await press(app, pilot, "y")
        assert "step 315/500" in copied[0] and app.place.query_one("#watch-plot", Plot).picture.log


async def test_brackets_step_through_the_runs(watched, make_run):
    make_run("old-20250101-000000-0001", "done", events=events(50))
    async with watched(events=events()) as (app, pilot):
        await press(app, pilot, "left_square_bracket")
        assert "runs › old-0001" in text_of(app)
        await press(app, pilot, "right_square_bracket")
        assert "runs › bert-cls-a3f1" in text_of(app)


async def test_a_run_is_followed_only_while_it_is_shown(watched, runs):
    async with watched(events=events()) as (app, pilot):
        assert [entry.run.path for entry in app.store._live()] == [runs / NAME]
        await press(app, pilot, "1")
        assert not app.store._live()
        await press(app, pilot, "2")
        assert [entry.run.path for entry in app.store._live()] == [runs / NAME]
        assert "step 315/500" in text_of(app)


async def test_nothing_is_drawn_while_nothing_changes(watched, runs):
    async with watched(events=events()) as (app, pilot):
        plot = app.place.query_one("#watch-plot", Plot)
        drawn = plot.drawn
        for _ in range(5):
            app.read()
            await pilot.pause()
        assert plot.drawn == drawn
        write_events(runs / NAME, [train(320, 0.4)])
        app.read()
        await pilot.pause()
        assert plot.drawn == drawn + 1 and "step 320/500" in text_of(app)


@pytest.mark.parametrize("size", [(80, 20), (80, 24), (109, 30), (110, 24), (140, 40), (200, 60)])
async def test_every_size_fits(watched, size):
    async with watched(events=events(), size=size, checkpoints=[100], recipe=RECIPE) as (app, pilot):
        await until(pilot, lambda: app.place._facts)
        app.read()
        await pilot.pause()
        rows = text_of(app).split("\n")
        assert len(rows) == size[1] and rows[1].startswith(" ETA") and rows[-1].startswith(" ›")
        wide = size[0] >= 110
        assert any("text-classification" in row for row in rows) is wide
        assert any("accuracy  ◆ eval" in row for row in rows) is (size[0] >= 140)
        assert app.place.query_one("#watch-plot", Plot).size.width > (60 if size[0] < 140 else 40)


async def test_too_small_is_one_line(watched):
    async with watched(events=events(), size=(60, 10), step=315, total_steps=500) as (app, _):
        assert "runs › bert-cls-a3f1  ● training  63%" in text_of(app) and "needs 80x20" in text_of(app)
        assert app.size == Size(60, 10)


async def test_names_and_lines_from_data_cannot_move_the_cursor_or_be_markup(watched):
    evil = ("alert", {"level": "warning", "code": "x", "message": "[bold]x[/] \x1b]52;c;aGk=\x07\x9b2J", "hint": ""})
    async with watched(events=[*events(20), evil], log="[/red] \x1b[2J", reason="[b") as (app, pilot):
        assert "[bold]x[/]" in text_of(app)
        await press(app, pilot, "l")
        assert "[/red]" in text_of(app) and not any(ord(sign) < 32 and sign != "\n" for sign in text_of(app))


async def test_a_log_is_read_from_its_end_only(tmp_path):
    from hftune_tui.run_files import LOG_BYTES, LogEnd

    path = tmp_path / layout.LOG
    path.write_bytes(b"x" * 99 + b"\n" * 1 + b"".join(b"%08d\n" % n for n in range(100_000)))
    end = LogEnd(tmp_path)
    assert end.poll() and not end.poll()
    assert end.lines[-1] == "00099999" and len(end.lines) == 1000
    assert all(len(each) == 8 for each in end.lines)
    path.write_bytes(b"y" * 3 * LOG_BYTES)
    assert end.poll() and end.lines == ()  # one endless line, of which the beginning was not read
