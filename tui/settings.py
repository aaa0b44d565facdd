"""The app's settings file: theme and keys. A wrong line is said, at its place, and the rest of the file counts."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hftune.errors import HftuneError, RecipeError, closest, place

from . import themes

FILE_VARIABLE = "HFTUNE_APP_SETTINGS"


@dataclass
class Settings:
    """What the file says; `problems` is what is wrong with it, for people."""

    path: Path
    theme: str = "dark"
    keys: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def default_path() -> Path:
    """Return $HFTUNE_APP_SETTINGS, or app.yaml in the person's folder for settings of hftune."""
    from platformdirs import user_config_path

    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else user_config_path("hftune") / "app.yaml"


def read(path: Path, ids: Collection[str]) -> Settings:
    """Return the settings in `path`; `ids` are the names that keys can be given to. A missing file is empty."""
    settings = Settings(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return settings
    except OSError as error:
        settings.problems.append(f"{path} cannot be read: {error.strerror}")
        return settings
    if not content.strip():
        return settings
    from hftune.recipe.source import read_source  # YAML with the place of each value

    try:
        source = read_source(content, str(path))
    except RecipeError as error:
        settings.problems.append(str(error))
        return settings
    data = source.data if isinstance(source.data, dict) else {}
    if data is not source.data:
        settings.problems.append(f"{place(path, 1, 1)}: settings are a mapping of theme and keys")
    for key in data:
        if key not in ("theme", "keys"):
            settings.problems.append(
                str(source.problem((key,), "no such setting", closest(str(key), ("theme", "keys"))))
            )
    theme = data.get("theme", settings.theme)
    if theme in themes.NAMES:
        settings.theme = str(theme)
    else:
        settings.problems.append(
            str(source.problem(("theme",), f"no theme {theme!r}", closest(str(theme), themes.NAMES)))
        )
    keys = data.get("keys") or {}
    for name, key in keys.items() if isinstance(keys, Mapping) else ():
        if name not in ids:
            settings.problems.append(
                str(source.problem(("keys", name), "no such action", closest(str(name), sorted(ids))))
            )
        elif not isinstance(key, str | int) or not str(key).strip() or str(key) == "ctrl+m":
            why = "ctrl+m is Enter in a terminal" if str(key) == "ctrl+m" else "not the name of a key"
            settings.problems.append(str(source.problem(("keys", name), why, "For example: x, ctrl+x, f5.")))
        else:
            settings.keys[str(name)] = str(key)
    return settings


def write_theme(path: Path, theme: str) -> None:
    """Write the theme into the settings file, keeping all else in it; raises HftuneError when that cannot be done."""
    import io

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from hftune.runs.files import write_atomic

    yaml = YAML()
    try:
        data = (yaml.load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
        data["theme"] = theme
        text = io.StringIO()
        yaml.dump(data, text)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.getvalue())
    except (OSError, YAMLError, TypeError, UnicodeDecodeError) as error:
        raise HftuneError(f"the theme is not kept: {path} cannot be written ({type(error).__name__})") from error
