"""The names of the students in tests/benchmarks/distil_or_labels.py, by which finished ones are found again."""

from __future__ import annotations

from pathlib import Path

from hftune.runs import layout
from tests.benchmarks.distil_or_labels import student_name, trained


def test_only_the_same_parent_and_settings_have_the_same_student(tmp_path: Path) -> None:
    settings = ["compress.layers=3", "training.seed=0"]
    name = student_name("labels alone", tmp_path / "a", settings)
    others = {
        student_name("distilled", tmp_path / "a", settings),
        student_name("labels alone", tmp_path / "b", settings),
        student_name("labels alone", tmp_path / "a", [*settings, "training.max_steps=9"]),
    }
    assert len(others | {name}) == 4
    there = tmp_path / f"{name}-20260101-000000-a1b2"
    there.mkdir()
    (there / layout.COMPRESSION).touch()
    assert trained(tmp_path / "a", tmp_path, student_name("labels alone", tmp_path / "a", settings), settings) == there
