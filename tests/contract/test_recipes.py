"""Every shipped recipe: it loads, says what it is for, and runs again from what it is resolved to."""

from pathlib import Path

import pytest

from hftune.recipe.load import dump_recipe, load_recipe, shipped_folder, shipped_recipes
from hftune.recipe.validate import METHODS, TASKS

CHECKOUT = Path(__file__).parents[2] / "recipes"


def test_every_recipe_of_the_checkout_ships() -> None:
    assert {file.name for file in CHECKOUT.rglob("*.yaml")} == {file.name for file in shipped_recipes()}


@pytest.mark.parametrize("file", shipped_recipes(), ids=lambda file: file.stem)
def test_a_recipe_loads_and_loads_again_as_written_out(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.description
    assert recipe.name == file.stem.replace("_", "-")
    (again := tmp_path / "again.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(again) == recipe


@pytest.mark.parametrize("file", shipped_recipes(), ids=lambda file: file.stem)
def test_only_recipes_in_hub_need_the_hub(file: Path) -> None:
    recipe = load_recipe(file)
    if file.parent == shipped_folder():
        assert (recipe.data.source or "hftune:").startswith("hftune:")


@pytest.mark.parametrize(("key", "registry"), [("task", TASKS), ("method", METHODS)], ids=["task", "method"])
def test_every_plugin_has_a_recipe(key: str, registry: object) -> None:
    used = {getattr(load_recipe(file), key).name for file in shipped_recipes()}
    assert set(registry.names()) - used == set()  # type: ignore[attr-defined]
