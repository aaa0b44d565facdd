"""How the terminal app is built: what it loads, who may draw text, which threads there are, that timers draw."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import hftune_tui
import pytest

import hftune

APP = Path(hftune_tui.__file__).parent
PACKAGE = Path(hftune.__file__).parent
MODULES = sorted(path.relative_to(APP).as_posix() for path in APP.rglob("*.py"))

# What the app may use of hftune: what neither computes nor loads a model. The rest it reaches through processes.
USABLE = {
    "asking", "cache", "energy", "errors", "figures", "parsing", "recipe", "registry", "runs", "sanitize", "starters",
    "threads", "verbs",
}  # fmt: skip
HEAVY = (
    "torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "peft", "accelerate", "evaluate", "sklearn",
    "safetensors", "huggingface_hub", "codecarbon",
)  # fmt: skip

# Widgets of Textual's that are used as they are. Those that show text which they were given (Static, Label, Button,
# OptionList, DataTable …) read it as markup or let control sequences through: drawing.Words takes their place.
USED_WIDGETS = {
    "Input": "what a person types; its value is never text from elsewhere",
    "TextArea": "the prompt and the recipe editor; what is put in is sanitized",
    "Markdown": "an answer of a model, read as Markdown when a person asks for it; what is put in is sanitized",
}
MODULES_OF_WIDGETS = {"textual.widgets", "textual.widgets.markdown", "textual.widgets.text_area"}

# Who makes threads, and why. Everything else that may wait goes through `HftuneApp.in_background`.
THREADS = {
    "watch.py": "the one reader of run directories",
    "link.py": "speaks to a worker process: pipes block",
    "first_look.py": "asks the machine and the Hub once, before the first run",
    "columns.py": "reads the answer of a command about a data file: pipes block",
    "estimating.py": "reads the answer of a check, and what it does meanwhile: pipes block",
    "screens/output.py": "reads what a command prints: pipes block",
    "pushing.py": "reads how a push goes: pipes block",
    "tether.py": "runs in a process of the app's, and watches for the end of the app",
}
# What the reader's thread runs, and what runs without a terminal: no Textual, so no messages for events.
WITHOUT_TEXTUAL = (
    "watch.py", "followed.py", "folder.py", "series.py", "jobs.py", "link.py", "completion.py", "pushing.py",
    "tether.py",
)  # fmt: skip
# The same name for the same thing in several places: one line of a settings file changes the key in all of them.
SHARED_IDS: set[str] = set()

WALK = """
import asyncio, sys, threading, time
from pathlib import Path
from hftune_tui.app import PLACES, HftuneApp

def no_worker(arguments, *, on_end):
    raise OSError("no worker in this test")

async def walk(runs):
    app = HftuneApp(runs, connect=no_worker, settings=runs / "app.yaml")
    async with app.run_test(size=(80, 24)) as pilot:
        limit = time.monotonic() + 60
        while not app.store.ready or len(app.store.rows) != 2:
            assert time.monotonic() < limit, "the runs were not read"
            await pilot.pause(0.01)
        for name in PLACES:
            app.go(name, **({"run": app.store.rows[0].path} if name == "watch" else {}))
            await pilot.pause()
            assert app.place.NAME == name and app.place.is_current
            app.action_keys()
            await pilot.pause()
            assert len(app.screen_stack) == 2
            await pilot.press("escape")
            app.action_palette()
            await pilot.pause()
            assert len(app.screen_stack) == 2
            await pilot.press("r", "u", "n", "escape")
            await pilot.pause()
            assert len(app.screen_stack) == 1
        (app.store.rows[0].path / "model").mkdir()
        app.go("watch", run=app.store.rows[0].path)
        await pilot.pause()
        app.action_push_run()
        await pilot.pause()
        assert len(app.screen_stack) == 2
        readers = [thread.name for thread in threading.enumerate() if "reader" in thread.name]
        assert readers == ["hftune-reader"], readers

asyncio.run(walk(Path(sys.argv[1])))
print("LOADED", [name for name in HEAVY if name in sys.modules])
"""


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((APP / module).read_text(encoding="utf-8"), module)


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Yield every node of the app's code with the module it is in."""
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            yield module, node


def place(module: str, node: ast.AST) -> str:
    return f"tui/{module}:{getattr(node, 'lineno', 0)}"


def imports(module: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the dotted names that a module imports from elsewhere: `hftune.runs.reader.load_state`."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def called(node: ast.AST) -> str:
    """Return the last part of what is called, empty when nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in node.keywords if each.arg == name), None)


def is_false(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def constant(value: ast.expr | None) -> str:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def test_every_place_and_dialog_opens_without_loading_anything_heavy(tmp_path):
    from hftune.runs.writer import RunWriter

    for name in ("one", "two"):
        with RunWriter.create(tmp_path, name, "name: it\n", status="training") as run:
            run.emit("train", step=1, epoch=0.1, total_steps=5, metrics={"loss": 1.0}, timing={})
            run.set_state(status="done")
    command = [sys.executable, "-c", f"HEAVY = {HEAVY!r}\n{WALK}", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-5000:]
    assert ast.literal_eval(result.stdout.split("LOADED", 1)[1].strip()) == []


def test_the_command_that_opens_the_app_loads_nothing_heavy():
    code = "import hftune.cli, hftune.commands.tui, hftune.commands.watch, hftune_tui.app, sys\n"
    report = f"print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr


def test_the_app_uses_of_hftune_only_what_is_light():
    found = [
        f"{place(module, node)}: {name}"
        for module in MODULES
        for node, name in imports(module)
        if name.split(".")[0] == "hftune" and name.partition(".")[2].split(".")[0] not in USABLE
    ]
    assert found == []


def test_the_import_linter_contract_names_every_other_module_of_hftune():
    path = PACKAGE.parent / "pyproject.toml"
    if not path.is_file():
        pytest.skip("the package is installed: there is no pyproject.toml to read")
    linter = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (each for each in linter["contracts"] if each.get("source_modules") == ["hftune_tui"])
    names = {each.stem for each in PACKAGE.iterdir() if each.suffix == ".py" or (each / "__init__.py").is_file()}
    others = names - USABLE - {"__init__", "__main__"}
    assert set(contract["forbidden_modules"]) == {f"hftune.{name}" for name in others}


def test_only_drawing_uses_widgets_that_show_any_text():
    found = []
    for module in MODULES:
        for node, name in imports(module):
            source, _, widget = name.rpartition(".")
            if module == "drawing.py" or not source.startswith("textual.widgets"):
                continue
            if source not in MODULES_OF_WIDGETS or (source == "textual.widgets" and widget not in USED_WIDGETS):
                found.append(f"{place(module, node)}: {name}")
    assert found == []


def test_no_handler_calls_that_of_the_class_above():
    """Textual calls the `on_…` of every class in turn: called once more by name, a place made its timer twice."""
    found = [
        f"{place(module, node)}: {called(node)}"
        for module, node in nodes()
        if called(node).startswith("on_") and called(node) != "on_event"  # on_event is the one that calls them
        if isinstance(node.func, ast.Attribute) and called(node.func.value) == "super"
    ]
    assert found == []


def test_nothing_is_read_as_markup():
    found = []
    for module, node in nodes():
        if isinstance(node, ast.Attribute) and node.attr in ("from_markup", "render_markup"):
            found.append(f"{place(module, node)}: {node.attr}")
        elif isinstance(node, ast.Call):
            if keyword(node, "markup") is not None and not is_false(keyword(node, "markup")):
                found.append(f"{place(module, node)}: markup=")
            if called(node) == "notify" and not is_false(keyword(node, "markup")):
                found.append(f"{place(module, node)}: notify without markup=False")
            if called(node) == "from_text" and not is_false(keyword(node, "markup")):
                found.append(f"{place(module, node)}: from_text without markup=False")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
                if name in ("border_title", "border_subtitle", "tooltip", "BORDER_TITLE", "BORDER_SUBTITLE"):
                    found.append(f"{place(module, node)}: {name} is read as markup")
    assert found == []


def test_render_returns_no_plain_string():
    """Textual reads a string that `render` returns as markup."""
    found = []
    for module, node in nodes():
        if isinstance(node, ast.FunctionDef) and node.name == "render":
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            text = any(isinstance(value, ast.JoinedStr) or constant(value) for value in returned)
            if text or (isinstance(node.returns, ast.Name) and node.returns.id == "str"):
                found.append(place(module, node))
    assert found == []


def test_no_table_is_changed_a_cell_at_a_time():
    named = ("update_cell", "update_cell_at", "DataTable")
    found = [
        f"{place(module, node)}: {name}"
        for module, node in nodes()
        if (name := getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "name", None)) in named
    ]
    assert found == []


def test_threads_are_made_where_they_are_known():
    makers = {
        module
        for module, node in nodes()
        if called(node) in ("Thread", "ThreadPoolExecutor", "Timer", "to_thread", "run_in_executor")
        and not (isinstance(node, ast.Call) and keyword(node, "interval"))
    }
    assert makers - set(THREADS) == set(), "name the module in THREADS with its reason"


def test_one_thread_reads_run_directories():
    readers = [
        place(module, node)
        for module, node in nodes()
        if isinstance(node, ast.Call) and called(node) == "Thread" and "reader" in constant(keyword(node, "name"))
    ]
    stores = [place(module, node) for module, node in nodes() if called(node) == "RunStore"]
    assert len(readers) == 1 and readers[0].startswith("tui/watch.py"), readers
    assert len(stores) == 1 and stores[0].startswith("tui/app.py"), stores


@pytest.mark.parametrize("module", WITHOUT_TEXTUAL)
def test_what_reads_and_starts_knows_no_textual(module):
    """Screens look at what the reader's thread has read, on their timers: it sends nothing."""
    assert [name for _, name in imports(module) if name.split(".")[0] in ("textual", "rich")] == []
    sent = [
        place(module, node)
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute) and node.attr in ("call_from_thread", "post_message", "call_later")
    ]
    assert sent == []


def test_no_timer_is_faster_than_a_person_sees():
    """Answers are drawn twenty times a second; nothing asks for more."""
    from hftune_tui.app import PLACES, _make_place

    fast = {name: seconds for name in PLACES if (seconds := _make_place(name).REFRESH_SECONDS) < 0.05}
    assert fast == {}
    found = [
        place(module, node)
        for module, node in nodes()
        if called(node) == "set_interval"
        and isinstance(node, ast.Call)
        and isinstance(first := (node.args or [keyword(node, "interval")])[0], ast.Constant)
        and first.value < 0.05
    ]
    found += [place(module, node) for module, node in nodes() if called(node) in ("automatic_refresh", "auto_refresh")]
    assert found == []


def bindings() -> Iterator[tuple[str, ast.Call]]:
    yield from ((place(module, node), node) for module, node in nodes() if called(node) == "Binding")


def described(node: ast.Call) -> bool:
    text = keyword(node, "description") or (node.args[2] if len(node.args) > 2 else None)
    return text is not None and (not isinstance(text, ast.Constant) or bool(constant(text).strip()))


def test_every_binding_has_an_id_and_a_description():
    assert len(list(bindings())) > 20
    assert [where for where, node in bindings() if keyword(node, "id") is None] == []
    assert [where for where, node in bindings() if not described(node)] == []


def test_bindings_are_made_with_their_ids():
    """A tuple `("x", "stop", "Stop")` has none: neither ? nor the settings file would know it."""
    found = []
    for module, node in nodes():
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "id", "") == "BINDINGS" for target in targets) and isinstance(node.value, ast.List):
                found += [place(module, each) for each in node.value.elts if isinstance(each, ast.Tuple)]
    assert found == []


def test_binding_ids_are_unique():
    where = defaultdict(list)
    for module in MODULES:
        name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        loaded = import_module("hftune_tui" if name == "__init__" else f"hftune_tui.{name}")
        for kind in vars(loaded).values():
            if isinstance(kind, type) and kind.__module__ == loaded.__name__:
                for binding in vars(kind).get("BINDINGS", ()):
                    where[binding.id].append(f"{loaded.__name__}.{kind.__name__}")
    assert len(where) > 20
    assert {name: kinds for name, kinds in where.items() if len(kinds) > 1 and name not in SHARED_IDS} == {}


def test_ctrl_m_is_left_alone():
    """It is Enter: a terminal sends the same byte."""
    found = [
        where
        for where, node in bindings()
        if "ctrl+m" in constant(node.args[0] if node.args else keyword(node, "key")).replace(" ", "").split(",")
    ]
    assert found == []
