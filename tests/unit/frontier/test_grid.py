"""The grid: recipes of ordinary runs, and what of it cannot be, with its reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from hftune.errors import RecipeError, UsageError
from hftune.frontier.grid import GRID, Candidate, LeftOut, candidate_recipe, choose, layers_of, split_overrides
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.recipe.schema import Recipe

BY_NAME = {candidate.name: candidate for candidate in GRID}


def made(name: str, run: Path, *overrides: str) -> Recipe | LeftOut:
    return candidate_recipe(BY_NAME[name], run, "tiny", layers_of(run), overrides)


def test_names_choose_and_bring_along_what_they_are_made_of() -> None:
    assert choose(None) == list(GRID)
    assert [one.name for one in choose("bf16, onnx-int8")] == ["onnx-int8", "bf16"]
    assert [one.name for one in choose("distill+onnx-int8")] == ["distill", "distill+onnx-int8"]
    for wrong, said in (("bf61", "Did you mean 'bf16'?"), (" , ", "Choose one of: distill")):
        with pytest.raises(UsageError) as caught:
            choose(wrong)
        assert said in str(caught.value)


def test_what_a_candidate_is_made_of_comes_before_it() -> None:
    for number, candidate in enumerate(GRID):
        assert not candidate.after or candidate.after in [one.name for one in GRID[:number]]


def test_overrides_are_for_all_or_for_one() -> None:
    found = split_overrides(["training.seed=1", "distill.training.max_steps=2"], choose("distill,bf16"))
    assert found == {"distill": ["training.seed=1", "training.max_steps=2"], "bf16": ["training.seed=1"]}
    with pytest.raises(UsageError, match="prune-layers is not tried"):
        split_overrides(["prune-layers.training.seed=1"], choose("bf16"))


def test_each_recipe_is_an_ordinary_one_that_names_its_parent_and_bounds_no_loss(classifier: Path) -> None:
    for name in ("distill", "distill-lstm", "prune-layers", "prune-neurons", "bf16"):
        recipe = made(name, classifier, "training.seed=5")
        assert isinstance(recipe, Recipe) and recipe.compress is not None, recipe
        assert (recipe.name, recipe.compress.name) == (f"tiny-{name}", BY_NAME[name].method)
        assert Path(recipe.compress.options["parent"]) == classifier.resolve()
        assert recipe.compress.options["max_loss"] > 100 and recipe.training.seed == 5
        assert isinstance(parse_recipe(_mapping(recipe)), Recipe)
    layers = made("prune-layers", classifier)
    assert isinstance(layers, Recipe) and layers.compress is not None and layers.compress.options["layers"] == 1
    chained = candidate_recipe(BY_NAME["distill+onnx-int8"], classifier, "t" * 64, 2, [])
    if isinstance(chained, Recipe):  # onnx is an extra
        assert chained.name.endswith("t-distill-onnx-int8") and len(chained.name) == 64


def _mapping(recipe: Recipe) -> dict[str, Any]:
    from ruamel.yaml import YAML

    loaded: dict[str, Any] = YAML(typ="safe").load(dump_recipe(recipe))
    return loaded


def test_what_an_architecture_or_a_task_cannot_do_is_left_out_with_its_reason(generator: Path, lstm_run: Path) -> None:
    assert made("distill-lstm", generator) == LeftOut("distill-lstm", "it is for text-classification")
    assert made("prune-layers", lstm_run) == LeftOut("prune-layers", "the model has no layers to spare")
    for name in ("distill", "prune-neurons", "torchao-int8"):
        found = made(name, lstm_run)
        assert isinstance(found, LeftOut) and "lstm" in found.why.lower(), found
    assert isinstance(made("prune-layers", generator), Recipe)  # whose config calls them n_layer


def test_a_missing_package_is_named_with_what_installs_it(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    missing = ("onnx", "onnxruntime", "onnxscript")
    monkeypatch.setattr("hftune.modeling.onnx_graph.find_spec", lambda name: None if name in missing else find(name))
    found = made("onnx-int8", classifier)
    assert isinstance(found, LeftOut) and "pip install 'hftune[onnx]'" in found.why


def test_wrong_overrides_are_errors_and_no_reason_to_leave_out(classifier: Path) -> None:
    with pytest.raises(RecipeError):
        made("distill", classifier, "training.sead=1")
    with pytest.raises(UsageError):
        candidate_recipe(Candidate("new", "shrink"), classifier, "tiny", 2, [])


def test_layers_are_counted_where_there_are_any(
    classifier: Path, generator: Path, lstm_run: Path, tmp_path: Path
) -> None:
    assert (layers_of(classifier), layers_of(generator), layers_of(lstm_run), layers_of(tmp_path)) == (2, 2, None, None)
