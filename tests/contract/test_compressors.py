"""Every compressor makes a run that is asked, scored, explained and compressed on as any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hftune import cli, compressors
from hftune.compressors._recipes import compress_recipe
from hftune.inference.predictor import Predictor
from hftune.recipe.load import dump_recipe, load_recipe, parse_text
from hftune.runs import layout
from hftune.runs.compression import read_comparison
from hftune.runs.reader import read_state
from tests.unit.compressors.runs import compressed, train, write_recipe

TEXT = "the film was good and i found it very fine"
ANY_LOSS = "compress.max_loss=9"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, tiny_reviews: Path) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    reviews = shutil.copy(tiny_reviews, folder / "reviews.csv")
    data = {"files": str(reviews), "max_length": 32, "validation_share": 0.2, "test_share": 0.4}
    return train(write_recipe(folder, "tiny", str(tiny_bert_folder), data), folder / "runs")


@pytest.mark.parametrize("name", compressors.registry.names())
def test_what_it_makes_is_a_run(
    name: str, parent: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")
    run = compressed(parent, name, ANY_LOSS)
    assert read_state(run).status == "done"
    found = read_comparison(run)
    assert found is not None and (found.method, found.parent) == (name, parent.name)

    def said(*words: str) -> Any:
        capsys.readouterr()
        assert cli.run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert said("evaluate", str(run))["metrics"]["accuracy"] == found.value
    asked = Predictor.load(run).classify([TEXT])[0]
    assert said("predict", str(run), TEXT)["label"] == asked.label
    assert said("explain", str(run), TEXT, "--method", "ablation")["label"] == asked.label
    assert Predictor.load_base(run).classify([TEXT]) == Predictor.load(parent).classify([TEXT])


@pytest.mark.parametrize("name", compressors.registry.names())
def test_its_recipe_is_the_same_when_it_is_read_again(name: str, parent: Path) -> None:
    recipe = compress_recipe(parent, name)
    again = parse_text(dump_recipe(recipe).encode())
    assert again == recipe
    assert recipe.model == load_recipe(parent / layout.RECIPE).model
