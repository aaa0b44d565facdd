"""A prepared run, and what is said while it is carried out."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from hftune.output import Output
from hftune.recipe.load import parse_recipe
from hftune.recipe.prepare import prepare
from hftune.recipe.schema import Recipe


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(
        {
            "name": "abc",
            "task": "text-classification",
            "model": "some/model",
            "data": {"rows": [{"text": "a", "label": "b"}]},
            "training": {"device": "cpu"},
        }
    )


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> Path:
    return prepare(recipe, tmp_path / "runs")


@pytest.fixture
def words() -> Output:
    return Output(stdout=StringIO(), stderr=StringIO())
