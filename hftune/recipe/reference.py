"""The recipe reference: every key with its default and its reason, as Markdown tables made from the schema itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hftune.recipe.schema import (
    DataSection,
    EnergySection,
    FittedTokenizer,
    HubSection,
    ModelSection,
    Recipe,
    Section,
    TrainingSection,
    WindowSection,
)
from hftune.recipe.validate import COMPRESSORS, METHODS, TASKS
from hftune.registry import Registry

BEGIN, END = "<!-- recipe-reference -->", "<!-- /recipe-reference -->"


def reference() -> str:
    """Return the Markdown of all keys by section, the options of each registered task and method included."""
    blocks = [
        _table("Top", "", Recipe),
        _table("`model`", "model.", ModelSection),
        _table("`model.tokenizer`", "model.tokenizer.", FittedTokenizer),
        _table("`data`", "data.", DataSection),
        _table("`data.window`", "data.window.", WindowSection),
    ]
    blocks += _plugins("task", TASKS)
    blocks += _plugins("method", METHODS)
    blocks.append(_table("`training`", "training.", TrainingSection))
    blocks += _plugins("compress", COMPRESSORS)
    blocks.append(_table("`hub`", "hub.", HubSection))
    blocks.append(_table("`energy`", "energy.", EnergySection))
    return "\n\n".join(blocks) + "\n"


def _plugins(key: str, registry: Registry[Any]) -> Iterator[str]:
    for name in registry.names():
        plugin = registry.load(name)
        table = _table(f"`{key}: {name}`", f"{key}.", plugin.Config)
        if key == "method":
            rate = f"Its default `training.learning_rate` is {plugin.DEFAULT_LEARNING_RATE:g}."
            table = table.replace("\n\n", f"\n\n{rate}\n\n", 1) if "|" in table else f"{table} {rate}"
        yield table


def _table(title: str, prefix: str, section: type[Section]) -> str:
    rows = [
        f"| `{prefix}{name}` | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in section.model_fields.items()
    ]
    if not rows:
        return f"**{title}**\n\nNo options."
    return "\n".join([f"**{title}**", "", "| key | default | reason |", "|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    """Return a field's default as a recipe would write it."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Section):
        return f"`{value.name}`" if hasattr(value, "name") else "as below"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, str) and not value:
        return "empty"
    return "`{}`" if value == {} else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def embed(readme: Path) -> bool:
    """Put the reference between README's markers; returns whether the markers are there."""
    text = readme.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        return False
    readme.write_text(f"{head}{BEGIN}\n{reference()}{END}{tail}", encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(0 if embed(Path(sys.argv[1])) else f"no {BEGIN} … {END} in {sys.argv[1]}")
