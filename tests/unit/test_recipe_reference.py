"""The recipe reference and the JSON Schema: made from the schema, so neither can fall behind it."""

from pathlib import Path

import pytest

from hftune.recipe.json_schema import json_schema
from hftune.recipe.reference import BEGIN, END, embed, reference
from hftune.recipe.schema import DataSection, ModelSection, Recipe, Section, TrainingSection, WindowSection
from hftune.recipe.validate import METHODS, TASKS

README = Path(__file__).parents[2] / "README.md"
STUB_LINES = 20  # a README this short has not been written yet
CONFIGS: list[type[Section]] = [
    registry.load(name).Config for registry in (TASKS, METHODS) for name in registry.names()
]


def test_readme_holds_the_reference_as_it_is_now() -> None:
    text = README.read_text(encoding="utf-8")
    if BEGIN not in text:
        assert len(text.splitlines()) <= STUB_LINES, f"README lacks the recipe reference: put it after {BEGIN}"
        return
    block = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert block == reference().strip(), "README's recipe reference is old: python -m hftune.recipe.reference README.md"


def test_every_key_is_in_the_reference_with_a_default() -> None:
    text = reference()
    sections = {"": Recipe, "model.": ModelSection, "data.": DataSection, "training.": TrainingSection}
    for prefix, section in sections.items():
        for name in section.model_fields:
            assert f"| `{prefix}{name}` | " in text
    for registry, key in ((TASKS, "task"), (METHODS, "method")):
        for name in registry.names():
            assert f"**`{key}: {name}`**" in text
    assert "| `training.num_train_epochs` | `3` |" in text
    assert "| `method` | `full` |" in text
    assert "| `data.window` | as below |" in text


@pytest.mark.parametrize(
    "section",
    [Recipe, ModelSection, DataSection, WindowSection, TrainingSection, *CONFIGS],
    ids=lambda s: str(s.__module__ + s.__name__),
)
def test_every_key_has_a_reason(section: type[Section]) -> None:
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_the_json_schema_knows_every_plugins_options() -> None:
    schema = json_schema()
    for key, registry in (("task", TASKS), ("method", METHODS)):
        names, *forms = schema["properties"][key]["anyOf"]
        assert names["enum"] == registry.names()
        for name, form in zip(registry.names(), forms, strict=True):
            assert form["properties"]["name"] == {"const": name}
            assert set(form["properties"]) == {"name", *registry.load(name).Config.model_fields}
            assert form["additionalProperties"] is False
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert {"type": "string"}.items() <= schema["properties"]["model"]["anyOf"][0].items()


def test_every_reference_in_the_json_schema_leads_somewhere() -> None:
    schema = json_schema()

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [str(node["$ref"])] if isinstance(node.get("$ref"), str) else []
            return own + [name for item in node.values() for name in references(item)]
        return [name for item in node for name in references(item)] if isinstance(node, list) else []

    known = {f"#/$defs/{name}" for name in schema["$defs"]}
    assert set(references(schema)) <= known
    assert "Choice" not in schema["$defs"]


def test_the_reference_is_put_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert embed(readme)
    assert readme.read_text() == f"before\n{BEGIN}\n{reference()}{END}\nafter\n"
    readme.write_text("no markers")
    assert not embed(readme)
    assert readme.read_text() == "no markers"
