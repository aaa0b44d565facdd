"""What may import what. import-linter holds the layers (pyproject.toml); here: what is heavy, and plugins."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import hftune

PACKAGE = Path(hftune.__file__).parent
HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "numpy", "evaluate", "pandas", "sklearn", "pyarrow")
PLUGIN_FOLDERS = ("tasks", "methods", "metrics", "explainers")

LIGHT_IMPORTS = (
    "import hftune.cli",
    "import hftune.verbs",
    "import hftune.registry",
    "import hftune.errors",
    "import hftune.starters",
    "import hftune.hub, hftune.cache",
    "import hftune.energy.usage, hftune.energy.meter, hftune.energy.flops",
    "import hftune.asking.answers, hftune.asking.client, hftune.asking.conversation, hftune.asking.decoding",
    "import hftune.serving.server, hftune.serving.app, hftune.serving.models",
    "import hftune.recipe.schema, hftune.recipe.load, hftune.recipe.validate",
    "import hftune.runs.events, hftune.runs.layout, hftune.runs.state",
    "import hftune.runs.reader, hftune.runs.writer, hftune.runs.lock, hftune.runs.launch, hftune.runs.requests",
    "import hftune.modeling.resolve, hftune.modeling.tokenizer, hftune.data.load, hftune.data.files",
    "from hftune.recipe.load import load_recipe; load_recipe('bert_cls')",
)


def loaded_by(code: str) -> list[str]:
    """Return the heavy packages that a fresh Python has loaded after running `code`."""
    report = f"\nimport sys\nprint('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return list(ast.literal_eval(result.stdout.split("LOADED", 1)[1].strip()))


@pytest.mark.parametrize("code", LIGHT_IMPORTS)
def test_light_modules_load_nothing_heavy(code):
    assert loaded_by(code) == []


def test_every_command_module_loads_nothing_heavy():
    names = sorted(path.stem for path in (PACKAGE / "commands").glob("*.py") if path.stem != "__init__")
    assert loaded_by("import " + ", ".join(f"hftune.commands.{name}" for name in names)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["check", "bert_cls", "--fast"],
        ["recipes", "list"],
        ["recipes", "schema"],
        ["runs"],
    ],
    ids=" ".join,
)
def test_quick_commands_load_nothing_heavy(arguments):
    run = f"import hftune.cli\ntry:\n    hftune.cli.main({arguments!r})\n"
    code = run + "except SystemExit as end:\n    assert not end.code, end.code"
    assert loaded_by(code) == []


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS)
def test_plugin_folders_list_their_names_without_loading_anything_heavy(folder):
    if "registry" not in (PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"):
        pytest.skip(f"hftune.{folder} is not a registry of plugins")
    assert loaded_by(f"from hftune.{folder} import registry\nassert registry.names()") == []


def plugins(folder: str) -> list[str]:
    return sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("folder", ["tasks", "methods"])
def test_plugin_modules_load_nothing_heavy(folder):
    """validate.py imports them to read their Config, and `check --fast` must stay quick."""
    assert loaded_by("import " + ", ".join(f"hftune.{folder}.{name}" for name in plugins(folder))) == []


@pytest.mark.parametrize("folder", ["tasks", "methods"])
def test_plugins_of_one_folder_do_not_import_each_other(folder):
    names = plugins(folder)
    for name in names:
        tree = ast.parse((PACKAGE / folder / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        others = {f"hftune.{folder}.{other}" for other in names if other != name}
        assert not imported & others, f"hftune.{folder}.{name} imports {sorted(imported & others)}"


def test_the_import_linter_contract_covers_every_module():
    import tomllib

    root = PACKAGE.parent / "pyproject.toml"
    if not root.is_file():
        pytest.skip("the package is installed: there is no pyproject.toml to read")
    contracts = tomllib.loads(root.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    assert [each["exhaustive"] for each in contracts if each["type"] == "layers"] == [True]
    assert find_spec("importlinter") is not None
