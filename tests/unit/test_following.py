"""What the events so far say about a run, and the line that stays of each."""

import subprocess
import sys

import pytest

from hftune.runs.events import KINDS, Event, parse_line
from hftune.runs.following import Following, line_of


def event(kind, **data):
    return Event(0, 1, 0.0, kind, data)


def line(kind, **data):
    now = Following()
    now.take(event(kind, **data))
    return line_of(event(kind, **data), now)


def test_every_kind_has_a_line_or_none():
    assert line("progress", done=1) == ("", "")
    assert line("a-kind-of-tomorrow", x=1) == ("", "")


def test_lines_say_how_loud_they_are():
    assert line("alert", level="error", message="out of memory", hint="Take less.") == (
        "✗ out of memory. Take less.", "error",
    )  # fmt: skip
    assert line("alert", level="warning", message="the loss is not finite")[1] == "warning"
    assert line("alert", level="of-tomorrow", message="hm") == ("· hm", "info")
    assert line("eval", step=3, split="test", metrics={"loss": 0.5}) == (
        "eval  step 3  test  loss 0.5  0 examples", "strong",
    )  # fmt: skip
    assert line("phase", phase="preparing", detail="reading data") == ("reading data", "quiet")


def test_lines_hold_no_control_sequences():
    assert line("alert", level="info", message="\x1b]0;title\x07red \x1b[31mtext\nmore") == ("· red text more", "info")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "odd", ["odd", None, 10**400, float("inf"), float("nan"), [], {"x": []}, -1, True], ids=lambda odd: str(odd)[:9]
)
def test_odd_fields_end_nothing(kind, odd):
    now = Following()
    taken = event(kind, **dict.fromkeys(KINDS[kind], odd))
    now.take(taken)
    text, _ = line_of(taken, now)
    assert "\n" not in text
    assert isinstance(now.step, int) and isinstance(now.total, int)
    assert now.metrics.get("loss") is None or odd == {"x": []}
    assert now.timing.get("eta_seconds") is None


def test_figures_too_large_for_a_number_end_nothing():
    read = parse_line(b'{"v": 1, "seq": 0, "attempt": 1, "time": 0, "kind": "train", "data": {"step": 1e999}}')
    now = Following()
    now.take(read)
    assert now.step == 0 and line_of(read, now)[0] == "step 0/0"


def test_following_loads_no_drawing():
    code = "import sys, hftune.runs.following\nassert not {'rich', 'textual'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
