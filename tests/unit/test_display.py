"""What a person sees of a run: plain lines, the live block, figures."""

import io
import re

import pytest

from hftune.commands import summary
from hftune.commands.display import Display, can_live
from hftune.figures import ago, count, duration, figure, size
from hftune.runs.events import KINDS, Event
from hftune.sanitize import sanitize

PLAN = {
    "total_steps": 500, "num_train_epochs": 3.0, "train_examples": 8400, "parameters": 22_700_000,
    "trainable_parameters": 150_000, "device": "cpu", "precision": "fp32", "threads": 2, "metric": "accuracy",
}  # fmt: skip
TIMING = {"tokens_per_second": 1840.2, "memory_bytes": 2 * 2**30, "eta_seconds": 72.0, "eta_error_seconds": 9.0}


class Tty(io.StringIO):
    def isatty(self):
        return True


def event(kind, time=0.0, **data):
    return Event(0, 1, time, kind, data)


def train(step, time=0.0, loss=0.4121):
    metrics = {"loss": loss, "learning_rate": 1.9e-5, "grad_norm": 1.4231}
    return event("train", time, step=step, epoch=step / 166, metrics=metrics, timing=TIMING)


def lines(*events, live=False):
    stream = io.StringIO()
    with Display(stream, "abc", live=live) as display:
        for each in events:
            display.feed(each)
    return stream.getvalue().splitlines()


def test_plain_lines_say_what_happens():
    shown = lines(
        event("status", status="queued", reason="cpu is in use by process 7"),
        event("phase", phase="preparing", detail="reading data"),
        event("plan", **PLAN),
        event("status", status="training", reason=""),
        event("phase", phase="training", detail=""),
        train(10),
        event("eval", step=10, split="validation", examples=872, metrics={"loss": 0.398, "f1": 0.8, "accuracy": 0.861},
              timing={"seconds": 3.1}),
        event("checkpoint", step=10, path="x", bytes=10**8, seconds=0.25, reason="steps"),
        event("resume", step=10, quarantined="step-00000020", inexact=["threads"]),
        event("alert", level="warning", code="nan-loss", message="the loss is not finite", hint="Lower it."),
        event("a-kind-of-tomorrow", x=1),
        event("status", status="stopped", reason="stopped at step 10, on request"),  # the last words say it
    )  # fmt: skip
    assert shown == [
        "queued: cpu is in use by process 7",
        "reading data",
        "plan: 500 steps, 3 epochs of 8,400 examples, 22.7M parameters (150K trained),",
        "  cpu fp32, 2 threads",
        "step 10/500  loss 0.4121  lr 1.9e-05  grad 1.42  1,840 tok/s  2 GiB  ETA 1m12s",
        "eval  step 10  validation  accuracy 0.861  loss 0.398  f1 0.8  3.1s",
        "saved step 10  (95.4 MiB, 0.2s)",
        "going on after step 10; set aside as broken: step-00000020; not exact: threads",
        "! the loss is not finite. Lower it.",
    ]


LONG_PLAN = {**PLAN, "total_steps": 123_456, "metric": "matthews_correlation"}
LONG_TIMING = {"tokens_per_second": 123_840.2, "memory_bytes": 45.7 * 2**30, "eta_seconds": 72_000.0}


def evaluation(step, **metrics):
    return event("eval", step=step, split="validation", examples=1058, metrics=metrics, timing={"seconds": 7.4})


def test_plain_lines_fit_in_80_columns_and_keep_what_matters():
    metrics = {"loss": 12.3456, "learning_rate": 1.9e-05, "grad_norm": 1423.1}
    shown = lines(
        event("plan", **LONG_PLAN),
        event("train", step=12_345, metrics=metrics, timing=LONG_TIMING),
        evaluation(12_345, loss=0.3395, accuracy=0.8592, matthews_correlation=-0.8592, f1=0.5),
        event("alert", level="warning", code="x", message="word " * 40, hint="Another word. " * 10),
        event("resume", step=12_345, inexact=["recipe.training.learning_rate: 5e-05 before, 1e-05 now"] * 3),
    )
    assert max(map(len, shown)) <= 80
    assert "step 12,345/123,456  loss 12.3456  lr 1.9e-05  grad 1.42e+03  ETA 20h00m" in shown
    assert "eval  step 12,345  validation  matthews_correlation -0.8592  loss 0.3395  7.4s" in shown
    assert [line[:2] for line in shown if line.startswith("  ")]


def test_an_evaluation_says_its_figures_before_how_many_examples_they_are_of():
    shown = lines(
        event("plan", **PLAN),
        evaluation(529, loss=0.3395, accuracy=0.8592, f1=0.8592),
        evaluation(530, loss=0.3395, accuracy=0.8592),
    )
    assert shown[-2:] == [
        "eval  step 529  validation  accuracy 0.8592  loss 0.3395  f1 0.8592  7.4s",
        "eval  step 530  validation  accuracy 0.8592  loss 0.3395  1,058 examples  7.4s",
    ]


def test_one_is_not_many():
    plan = {**PLAN, "total_steps": 1, "num_train_epochs": 1.0, "train_examples": 1, "threads": 1}
    shown = " ".join(" ".join(lines(event("plan", **plan))).split())
    assert shown.startswith("plan: 1 step, 1 epoch of 1 example, ") and shown.endswith(" 1 thread")


def test_plain_train_lines_come_once_a_second_and_at_the_end():
    shown = lines(event("plan", **PLAN), *(train(step, time=step / 64) for step in range(1, 501)))
    steps = [int(line.split()[1].split("/")[0]) for line in shown if line.startswith("step")]
    assert steps == [1, 65, 129, 193, 257, 321, 385, 449, 500]


def test_a_figure_that_is_not_finite_is_nan():
    assert "loss nan" in lines(train(1, loss=None))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_are_missing_or_odd_end_nothing(kind):
    odd = dict.fromkeys(KINDS[kind], "\x1b[31modd")
    for live in (False, True):
        stream = Tty()
        with Display(stream, "abc", live=live) as display:
            display.feed(event(kind))
            display.feed(event(kind, **odd))
            display.feed(event(kind, **dict.fromkeys(KINDS[kind])))
            if live:
                display.render()


def test_live_fits_in_80_columns_and_shows_what_matters(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = Tty()
    with Display(stream, "bert-cls-20261123-225450-a3f1", live=True) as display:
        for each in (
            event("plan", **PLAN),
            event("status", status="training", reason=""),
            event("phase", phase="training", detail=""),
            train(315),
            event("eval", step=250, split="validation", examples=872, metrics={"loss": 0.398, "accuracy": 0.861}),
            event("best", step=250, metric="accuracy", value=0.861),
        ):
            display.feed(each)
        from rich.console import Console

        console = Console(file=io.StringIO(), width=80, markup=False)
        console.print(display.render())
    shown = console.file.getvalue().splitlines()
    assert len(shown) == 4 and max(map(len, shown)) <= 80
    assert shown[0].startswith("ETA 1m12s ±9.0s  training")
    assert "63%  step 315/500  epoch 1.9/3" in shown[1]
    assert shown[2].startswith("loss 0.4121  lr 1.9e-05  grad 1.42  1,840 tok/s  2 GiB")
    assert shown[3].startswith("validation  accuracy 0.861  loss 0.398  (best 0.861 at 250)")


def test_live_shows_how_far_a_download_is_and_that_the_run_is_stopping():
    from rich.console import Console

    with Display(Tty(), "abc", live=True) as display:
        display.feed(event("phase", phase="downloading", detail=""))
        display.feed(event("progress", phase="downloading", done=2**20, total=2**22, unit="bytes"))
        display.stopping = "stopping after this step"
        console = Console(file=io.StringIO(), width=80, markup=False)
        console.print(display.render())
    shown = console.file.getvalue()
    assert "1 MiB/4 MiB" in shown and shown.startswith("stopping after this step")


def test_plain_lines_say_once_that_the_run_is_stopping():
    stream = io.StringIO()
    with Display(stream, "abc", live=False) as display:
        display.feed(train(1))
        display.stopping = "stopping after this step"
        display.feed(event("checkpoint", step=1, path="x", bytes=1, seconds=0.1, reason="stop"))
        display.feed(train(2, time=9.0))
    assert stream.getvalue().splitlines()[1] == "stopping after this step"
    assert stream.getvalue().count("stopping") == 1


def test_words_are_whole_in_lines_above_what_is_live(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    shown = [sanitize(line) for line in lines(event("plan", **PLAN), live=True)]
    assert all(len(line) <= 80 for line in shown) and "threads" in " ".join(shown).split()


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Tty()
    with Display(stream, "abc") as display:
        display.feed(event("alert", level="error", code="x", message="red"))
    assert "red" in stream.getvalue() and not re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue())


def test_markup_in_names_is_text():
    stream = Tty()
    with Display(stream, "[bold]abc", live=True) as display:
        display.feed(event("alert", level="info", code="x", message="a [/nothing] label"))
    assert "a [/nothing] label" in stream.getvalue() and "[bold]abc" in stream.getvalue()


def test_only_a_terminal_that_can_is_painted_over(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert can_live(Tty()) and not can_live(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not can_live(Tty())


def test_a_table_has_a_metric_a_line_and_a_split_a_column():
    shown = summary.table({"validation": {"loss": 0.5, "accuracy": 0.861}, "test": {"loss": None, "f1": 1.0}})
    assert [line.split() for line in shown] == [
        ["validation", "test"], ["loss", "0.5", "nan"], ["accuracy", "0.861"], ["f1", "1"],
    ]  # fmt: skip
    assert summary.table({}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (figure(0.8612345), "0.8612"),
        (figure(12345.6), "12,346"),
        (figure(None), "nan"),
        (figure("odd"), "odd"),
        (figure(float("inf")), "inf"),
        (duration(3.14), "3.1s"),
        (duration(0), "0s"),
        (duration(42.4), "42s"),
        (duration(59.7), "1m00s"),
        (duration(72), "1m12s"),
        (duration(7385), "2h03m"),
        (duration(90000 + 3 * 86400), "4d01h"),
        (ago(-3.0), "just now"),  # the clocks of two machines
        (ago(59.9), "just now"),
        (ago(3599.0), "59m ago"),
        (ago(7380.0), "2h03m ago"),
        (duration(182.5 * 86400), "182d"),  # ten columns with " ago"
        (duration(None), "?"),
        (duration(float("nan")), "?"),
        (size(512), "512 B"),
        (size(47_710_000), "45.5 MiB"),
        (size(3 * 2**40), "3 TiB"),
        (size(None), "?"),
        (count(950), "950"),
        (count(22_700), "22.7K"),
        (count(1.3e9), "1.3B"),
        (count(None), "?"),
    ],
)
def test_figures_as_people_read_them(text, expected):
    assert text == expected
