"""Names: what a request's `model` means among the runs that are served, and what a command line's RUN means."""

from __future__ import annotations

from pathlib import Path

import pytest

from hftune.errors import UsageError
from hftune.serving.limits import Limits
from hftune.serving.models import Models, Reference, find_runs
from hftune.serving.problems import ApiError
from tests.unit.serving.conftest import fake_run

OLD, NEW, OTHER = "bert-20260101-000000-a1b2", "bert-20260301-000000-c3d4@20", "gpt-20260201-000000-e5f6"


@pytest.fixture
def models() -> Models:
    return Models([Reference(name, name) for name in (OLD, NEW, OTHER)], Limits(), print)


@pytest.mark.parametrize(
    ("asked", "name"),
    [(OLD, OLD), ("bert-20260101", OLD), ("gpt", OTHER), ("latest", NEW), ("e5f6", OTHER), ("bert-a1b2", OLD)],
)
def test_a_model_is_found_by_its_name_its_start_its_end_and_as_the_latest(models: Models, asked, name) -> None:
    assert models.find(asked).model.name == name


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [("bert", 404, "could be 2"), ("gpt-4", 404, "none that is served"), (None, 400, "3 are served"), ("", 400, OLD)],
)
def test_what_is_none_or_several_is_refused_with_the_names(models: Models, asked, status, says) -> None:
    with pytest.raises(ApiError) as caught:
        models.find(asked)
    assert caught.value.status == status and says in caught.value.message and OTHER in caught.value.message


def test_one_model_need_not_be_named() -> None:
    models = Models([Reference(OLD, OLD)], Limits(), print)
    assert {models.find(asked).model.name for asked in (None, "", "default", OLD)} == {OLD}


def test_runs_are_served_under_their_names_with_the_step(tmp_path: Path) -> None:
    for name in (OLD, OTHER):
        fake_run(tmp_path / name, {})
    found = find_runs([f"{OLD}@500", "gpt", str(tmp_path / OLD)], str(tmp_path))
    assert [one.name for one in found] == [f"{OLD}@500", OTHER, OLD]
    assert found[0].run == f"{tmp_path / OLD}@500"
    with pytest.raises(UsageError, match="given twice"):
        find_runs(["gpt", "latest"], str(tmp_path))
