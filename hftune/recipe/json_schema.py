"""The JSON Schema of a recipe, with the options of every registered task, method and compressor, for editors."""

from __future__ import annotations

from typing import Any

from hftune.recipe.schema import PluginConfig, Recipe
from hftune.recipe.validate import PLUGINS
from hftune.registry import Registry


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every valid recipe fits."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    definitions.pop("Choice", None)
    definitions.pop("PluginConfig", None)
    for key, registry in PLUGINS.items():
        described = {name: schema["properties"][key][name] for name in ("description",)}
        schema["properties"][key] = described | _choice(key, registry, definitions)
    shorthand = {"type": "string", "description": "Hub id, local folder, or starter `hftune:name`"}
    schema["properties"]["model"] = {
        "description": schema["properties"]["model"]["description"],
        "anyOf": [shorthand, {"$ref": "#/$defs/ModelSection"}],
    }
    # `training:` with every line commented out is an empty section.
    training = schema["properties"]["training"]
    schema["properties"]["training"] = {
        "description": training["description"],
        "anyOf": [training, {"type": "null"}],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "hftune recipe"}


def _choice(key: str, registry: Registry[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `key: NAME` and `key: {name: NAME, option: value}` for every registered plugin."""
    forms: list[dict[str, Any]] = [{"type": "string", "enum": registry.names()}]
    for name in registry.names():
        config: type[PluginConfig] = registry.load(name).Config
        own = config.model_json_schema(ref_template="#/$defs/{model}")
        definitions |= own.pop("$defs", {})
        properties = {"name": {"const": name}, **own.get("properties", {})}
        form = {"type": "object", "title": name, "properties": properties, "additionalProperties": False}
        form["required"] = ["name", *own.get("required", [])]
        if own.get("description"):
            form["description"] = own["description"]
        forms.append(form)
    return {"anyOf": forms}
