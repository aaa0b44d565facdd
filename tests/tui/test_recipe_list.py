"""The recipes that can be named."""

from pathlib import Path

from hftune_tui.recipe_list import known_recipes

OWN = "name: mine\ndescription: My own\ntask: {name: text-classification}\nmodel: hftune:gpt2-mini\ndata: {source: x}\n"


def test_own_recipes_come_before_those_that_ship(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(OWN)
    Path("recipes").mkdir()
    Path("recipes", "other.yml").write_text(OWN)
    found = known_recipes()
    assert [one.name for one in found[:2]] == ["mine.yaml", "recipes/other.yml"]
    assert found[0].description == "My own" and not found[0].shipped
    names = [one.name for one in found]
    assert "bert_cls" in names and "gpt2_gen" in names
    assert all(one.shipped and one.description for one in found[2:])


def test_what_needs_the_hub_is_known(tmp_path):
    assert {one.name.startswith("hub/") == one.needs_hub for one in known_recipes(tmp_path)} == {True}


def test_other_yaml_files_are_no_recipes_and_broken_ones_say_so(tmp_path):
    (tmp_path / "app.yaml").write_text("theme: dark\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bad.yaml").write_text("task: [\n")
    (tmp_path / "big.yaml").write_text("#" * (1 << 20) + "\n")
    own = [one for one in known_recipes(tmp_path) if not one.shipped]
    assert [one.name for one in own] == ["bad.yaml"]
    assert own[0].problem
