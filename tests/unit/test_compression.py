"""What is said of a compressed model and its parent, in a line while it runs and in the last words."""

from __future__ import annotations

import json
from pathlib import Path

from hftune.runs import layout
from hftune.runs.compression import Comparison, read_comparison
from hftune.runs.events import Event
from hftune.runs.following import Following, line_of

FOUND = Comparison(
    method="distill",
    parent="bert-cls-20261129-002016-8a69",
    split="test",
    rows=1056,
    metric="accuracy",
    value={"value": 0.8267, "low": 0.80, "high": 0.85},
    parent_value={"value": 0.8447, "low": 0.82, "high": 0.87},
    loss={"value": 0.018, "low": 0.001, "high": 0.036},
    relative=False,
    agreement={"value": 0.925, "low": 0.91, "high": 0.94},
    p_value=0.0412,
    bytes=50_000_000,
    parent_bytes=91_000_000,
    parameters=17_400_000,
    parent_parameters=22_700_000,
)


def event(**fields: object) -> Event:
    return Event(seq=1, attempt=1, time=0.0, kind="compared", data={**FOUND.to_dict(), **fields})


def test_the_loss_is_told_in_points_with_its_interval() -> None:
    assert FOUND.lines() == [
        "beside its parent, over 1,056 rows of test",
        "  accuracy    0.8267, its parent's 0.8447: 1.8 points less (0.1 to 3.6)",
        "  same answer 92.5% (91.0% to 94.0%)",
        "  chance      p = 0.041, were both equally good (McNemar's exact test)",
        "  size        54.9% of the bytes, 76.7% of the weights",
    ]
    assert all(len(line) <= 78 for line in FOUND.lines())


def test_a_language_models_loss_is_a_share_more() -> None:
    found = Comparison.from_dict({**FOUND.to_dict(), "metric": "perplexity", "relative": True, "p_value": None})
    assert found.tell_loss() == "1.8% more (0.1 to 3.6)"


def test_nothing_lost_has_no_sign() -> None:
    found = Comparison.from_dict({**FOUND.to_dict(), "loss": {"value": -0.0001, "low": -0.0004, "high": 0.0004}})
    assert found.tell_loss() == "0.0 points less (0.0 to 0.0)"


def test_a_gain_is_told_as_one() -> None:
    found = Comparison.from_dict({**FOUND.to_dict(), "loss": {"value": -0.003, "low": -0.015, "high": 0.009}})
    assert found.tell_loss() == "0.3 points more (-0.9 to 1.5)"
    perplexity = Comparison.from_dict({**found.to_dict(), "relative": True})
    assert perplexity.tell_loss() == "0.3% less (-0.9 to 1.5)"


def test_a_run_tells_it_as_it_comes() -> None:
    line, level = line_of(event(), Following())
    assert (line, level) == ("beside its parent on test: accuracy 1.8 points less (0.1 to 3.6)", "strong")


def test_records_of_other_versions_are_passed_over() -> None:
    assert line_of(event(loss="much"), Following()) == ("", "")
    assert line_of(Event(seq=1, attempt=1, time=0.0, kind="compared", data={}), Following()) == ("", "")


def test_compression_json_is_read_back_and_a_broken_one_is_none(tmp_path: Path) -> None:
    assert read_comparison(tmp_path) is None
    file = tmp_path / layout.COMPRESSION
    file.write_text(json.dumps(FOUND.to_dict()), encoding="utf-8")
    assert read_comparison(tmp_path) == FOUND
    for broken in ("{", "[]", "{}", "null"):
        file.write_text(broken, encoding="utf-8")
        assert read_comparison(tmp_path) is None
