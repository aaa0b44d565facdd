"""Lines and rows of the event stream."""

import json

import pytest

from hftune.runs.events import KINDS, Event, parse_line, rows


def event(seq, kind, attempt=1, **data):
    return Event(seq, attempt, float(seq), kind, data)


def train(seq, step, loss, attempt=1):
    return event(seq, "train", attempt, step=step, metrics={"loss": loss})


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_comes_back_as_the_event_it_was(kind):
    before = event(3, kind, text="a\nb \u2028 ü", number=1.5, nothing=None)
    line = before.to_line()
    assert line.count("\n") == 1 and parse_line(line) == before
    assert parse_line(line.encode()) == before


def test_figures_that_json_cannot_hold_are_null_and_named():
    line = event(0, "train", step=1, metrics={"loss": float("nan"), "grad_norm": float("inf")}).to_line()
    assert json.loads(line)["data"] == {
        "step": 1, "metrics": {"loss": None, "grad_norm": None}, "nan": ["loss", "grad_norm"],
    }  # fmt: skip


def test_rows_are_sorted_steps_series_and_values():
    events = [
        event(0, "plan", total_steps=2),
        train(1, 1, 0.5),
        event(2, "eval", step=1, split="validation", metrics={"accuracy": 0.8, "loss": None}),
        train(3, 2, 0.25),
    ]
    assert rows(events) == [
        (1, "train/loss", 0.5), (1, "validation/accuracy", 0.8), (1, "validation/loss", None), (2, "train/loss", 0.25),
    ]  # fmt: skip


def test_a_resumed_run_has_the_rows_of_one_never_interrupted():
    once = [train(0, 1, 0.5), train(1, 2, 0.4), train(2, 3, 0.3)]
    twice = [
        train(0, 1, 0.5), train(1, 2, 0.9), train(2, 3, 0.9), train(3, 4, 0.9),
        event(4, "resume", 2, step=1),
        train(5, 2, 0.4, 2), train(6, 3, 0.3, 2),
    ]  # fmt: skip
    assert rows(twice) == rows(once)
