"""Recipes read as they are meant: values, defaults, overrides, paths, and writing them out again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hftune.errors import EXIT_USAGE, DataError, Problem, RecipeError
from hftune.recipe.load import (
    dump_recipe,
    find_recipe,
    load_recipe,
    locate,
    naming_lines,
    parse_recipe,
    shipped_recipes,
)
from hftune.recipe.schema import DataSection, Recipe

SMALL: dict[str, Any] = {
    "name": "small",
    "task": "text-classification",
    "model": "org/bert",
    "data": {"source": "hftune:movie-reviews"},
}
RECIPE = """\
name: small
task: text-classification
model: org/bert
data: {source: "hftune:movie-reviews"}
training:
  learning_rate: 1e-4
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE)
    return file


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return file


def test_yaml_is_read_as_people_mean_it(tmp_path: Path) -> None:
    text = (
        "name: 2024-01-31\ndescription: no\ntask: text-classification\nmodel: org/bert\n"
        "data: {source: 1:30, text: yes, label: '1e-4', split_seed: 010, label_names: [no, on]}\n"
        "training: {learning_rate: 1e-4, num_train_epochs: 2, max_steps: 1_000}\n"
    )
    recipe = load_recipe(write(tmp_path, text))
    assert (recipe.name, recipe.description) == ("2024-01-31", "no")
    assert (recipe.data.source, recipe.data.text, recipe.data.label) == ("1:30", "yes", "1e-4")
    assert (recipe.data.split_seed, recipe.data.label_names) == (10, ("no", "on"))
    assert (recipe.training.learning_rate, recipe.training.max_steps) == (1e-4, 1000)
    assert recipe.training.num_train_epochs == 2.0


def test_keys_are_text_whatever_yaml_calls_them(tmp_path: Path) -> None:
    text = RECIPE.replace("model: org/bert", "model: {architecture: bert, tokenizer: org/t, config: {1: a, null: b}}")
    assert load_recipe(write(tmp_path, text)).model.config == {"1": "a", "null": "b"}


def test_aliases_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    text = RECIPE.replace("name: small", "name: &n small\ndescription: *n")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_recipe(file).description == "small"


def test_a_section_with_every_line_commented_out_is_empty(tmp_path: Path) -> None:
    text = RECIPE.replace("  learning_rate: 1e-4", "#  learning_rate: 1e-4")
    assert load_recipe(write(tmp_path, text)).training == parse_recipe(SMALL).training


def test_what_is_left_out_has_its_default_and_plugins_their_config() -> None:
    recipe = parse_recipe(SMALL)
    assert recipe.method.name == "full"
    assert recipe.method.config is not None
    assert recipe.task.config is not None
    assert recipe.training.learning_rate == 5e-5  # the method's own
    assert parse_recipe(SMALL, ["method=lora"]).training.learning_rate == 5e-4


@pytest.mark.parametrize(
    "method", [{"name": "lora", "r": 4}, {"name": "lora", "options": {"r": 4}}], ids=["flat", "nested"]
)
def test_plugin_options_are_resolved(method: dict[str, Any]) -> None:
    recipe = parse_recipe({**SMALL, "method": method})
    assert recipe.method.config is not None
    assert recipe.method.config.r == 4  # type: ignore[attr-defined]
    assert recipe.method.options["r"] == 4
    assert "lora_alpha" in recipe.method.options


def test_overrides_are_yaml_and_apply_in_order(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file,
        [
            "training.learning_rate=2e-3",
            "training.seed=1",
            "training.seed=2",
            "data.label_names=[no, yes]",
            "model.revision=main",
            "training.max_steps=",
            "name=other",
        ],
    )
    assert recipe.training.learning_rate == 2e-3
    assert recipe.training.seed == 2
    assert recipe.data.label_names == ("no", "yes")
    assert (recipe.model.id, recipe.model.revision) == ("org/bert", "main")
    assert recipe.training.max_steps is None
    assert recipe.name == "other"


def test_an_override_can_mend_what_the_file_has_wrong(tmp_path: Path) -> None:
    file = write(tmp_path, RECIPE.replace("1e-4", "fast"))
    assert load_recipe(file, ["training.learning_rate=1e-3"]).training.learning_rate == 1e-3


def test_a_method_named_on_the_command_line_replaces_the_recipes_whole() -> None:
    rich = {**SMALL, "method": {"name": "lora", "r": 2}}
    assert parse_recipe(rich, ["method=full"]).method.options == {}
    assert (
        parse_recipe(rich, ["method=lora"]).method.options["r"]
        == parse_recipe(SMALL, ["method=lora"]).method.options["r"]
    )
    assert parse_recipe(SMALL, ["method.name=lora", "method.r=3"]).method.options["r"] == 3


def test_files_on_the_command_line_replace_the_recipes_source(recipe_file: Path, monkeypatch: Any) -> None:
    elsewhere = recipe_file.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    recipe = load_recipe(recipe_file, ["data.files.train=a.csv", "data.files.test=b.csv"])
    assert recipe.data.source is None
    assert recipe.data.files == {"train": str(elsewhere / "a.csv"), "test": str(elsewhere / "b.csv")}


def test_a_revision_of_one_thing_is_not_kept_for_another(tmp_path: Path) -> None:
    hub = "{source: org/a, subset: s, revision: r}"
    text = RECIPE.replace("model: org/bert", "model: {id: org/bert, revision: r}")
    file = write(tmp_path, text.replace('{source: "hftune:movie-reviews"}', hub))
    data = load_recipe(file, ["data.subset=t", "data.source=org/b"]).data
    assert (data.source, data.subset, data.revision) == ("org/b", "t", None)
    model = load_recipe(file, ["model.id=org/other"]).model
    assert (model.id, model.revision) == ("org/other", None)
    assert load_recipe(file, ["data.max_length=64"]).data.revision == "r"


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "near" / "folder").mkdir(parents=True)
    for written, read in {
        "org/name": "org/name",
        "near/folder": str(tmp_path / "near/folder"),
        "./org/name": str(tmp_path / "org/name"),
        "../up": str(tmp_path.parent / "up"),
        "/some/where": "/some/where",
        "~/there": str(Path("~/there").expanduser()),
        "~nobody-here/there": str(tmp_path / "~nobody-here/there"),
        "a/b/c": str(tmp_path / "a/b/c"),
        "hftune:tiny": "hftune:tiny",
        "bert": "bert",
    }.items():
        text = RECIPE.replace("model: org/bert", f"model: {written}")
        assert load_recipe(write(tmp_path, text)).model.id == read
    text = RECIPE.replace('source: "hftune:movie-reviews"', 'files: {train: d/a.csv, test: "hf://datasets/a/b.csv"}')
    files = load_recipe(write(tmp_path, text)).data.files
    assert files == {"train": str(tmp_path / "d/a.csv"), "test": "hf://datasets/a/b.csv"}


def test_a_path_in_an_override_is_relative_to_where_we_are(recipe_file: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir("/")
    assert load_recipe(recipe_file, ["model=./w"]).model.id == "/w"
    assert load_recipe(recipe_file, ["data.files=a.csv"]).data.files == "/a.csv"


def test_a_shipped_recipe_stands_in_for_a_file_that_is_not_there(tmp_path: Path, recipe_file: Path) -> None:
    assert find_recipe(recipe_file) == (recipe_file, False)
    shipped = next(file for file in shipped_recipes() if file.name == "bert_cls.yaml")
    for ref in ("bert_cls", "bert-cls", "recipes/bert_cls.yaml", str(tmp_path / "bert_cls.yml")):
        assert find_recipe(ref) == (shipped, True)
    assert find_recipe("hub/sst2_bert") == find_recipe("sst2_bert")


def test_a_shipped_recipe_looks_for_data_where_we_are(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("gpt2_own_text").data.files == {"train": str(tmp_path / "my_text.txt")}


def test_the_resolved_recipe_runs_from_anywhere(tmp_path: Path, monkeypatch: Any) -> None:
    text = RECIPE.replace('source: "hftune:movie-reviews"', "files: a.csv").replace("org/bert", "./weights")
    recipe = load_recipe(write(tmp_path, text))
    other = tmp_path / "runs" / "deep"
    other.mkdir(parents=True)
    monkeypatch.chdir("/")
    assert load_recipe(write(other, dump_recipe(recipe))) == recipe


def test_reading_a_recipe_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom hftune.recipe.load import load_recipe\nload_recipe('bert_cls_lora')\n"
        "heavy = ('torch', 'transformers', 'datasets', 'peft', 'accelerate', 'evaluate', 'numpy', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_data_problem_can_name_the_line_of_the_recipe(recipe_file: Path) -> None:
    assert locate(recipe_file, "training.learning_rate") == f"{recipe_file}:6:18"
    assert locate(recipe_file, "data.text") == f"{recipe_file}:4:1"
    assert locate(recipe_file, "data.text", ["data.text=body"]) == "-s data.text=body"


def test_sections_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        DataSection(source="a", files="b")


WORDS = st.text(max_size=12)
TEXTS = st.one_of(
    WORDS, st.sampled_from(["no", "1e-4", "null", "~", "- a", "a: b", "#", "010", "1:30", "=", "<<", "{"])
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """A recipe that is right, with odd texts and numbers wherever any are allowed."""
    row = st.dictionaries(TEXTS, VALUES, max_size=3)
    data: dict[str, Any] = {"rows": draw(st.lists(row, min_size=1, max_size=3))}
    if draw(st.booleans()):
        data = {"files": {"train": "/" + draw(st.sampled_from(["a.csv", "b c.csv", "é: #.csv"]))}}
    data |= {"text": draw(TEXTS), "label": draw(TEXTS), "validation_share": draw(st.floats(0, 0.99))}
    data["label_names"] = draw(st.none() | st.lists(TEXTS, min_size=1, max_size=3, unique=True))
    model: Any = draw(st.sampled_from(["org/bert", "hftune:tiny", "/some/where"]))
    if draw(st.booleans()):
        model = {
            "architecture": "bert",
            "tokenizer": "org/t",
            "config": draw(st.dictionaries(TEXTS, VALUES, max_size=3)),
        }
    return {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
        "description": draw(TEXTS),
        "task": draw(st.sampled_from(["text-classification", "text-generation"])),
        "model": model,
        "data": data,
        "method": draw(st.sampled_from(["full", "lora", {"name": "lora", "r": 3, "target_modules": ["query", "no"]}])),
        "training": {
            "learning_rate": draw(st.none() | st.floats(1e-12, 1e3)),
            "num_train_epochs": draw(st.integers(1, 50) | st.floats(0.01, 50)),
            "seed": draw(st.integers(0, 2**32 - 1)),
            "report_to": draw(st.lists(st.sampled_from(["tensorboard", "wandb"]), max_size=2, unique=True)),
        },
    }


def test_line_breaks_of_unicode_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    mapping = {"name": "a", "task": "text-classification", "model": "org/bert", "data": {"source": "hftune:authors"}}
    recipe = parse_recipe({**mapping, "description": "\x85 \u2028 \u2029 é 中"})
    file = tmp_path / "dumped.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe
    assert "é 中" in file.read_text(encoding="utf-8")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mapping=mappings())
def test_a_recipe_written_out_is_the_same_recipe(mapping: dict[str, Any], tmp_path: Path) -> None:
    recipe: Recipe = parse_recipe(mapping)
    file = tmp_path / "dumped.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe
    assert dump_recipe(load_recipe(file)) == dump_recipe(recipe)


JUNK = st.text(alphabet=st.sampled_from("abc:-[]{}&*!|>'\"%@`#,? \n\t\\0.1e~<="), max_size=60)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=JUNK, start=st.sampled_from(["", "name: a\ntask: text-classification\nmodel: b\ndata: {source: c}\n"]))
def test_no_text_does_more_than_raise_a_recipe_error(junk: str, start: str, tmp_path: Path) -> None:
    file = tmp_path / "junk.yaml"
    file.write_text(start + junk, encoding="utf-8")
    try:
        load_recipe(file)
    except RecipeError as error:
        assert error.problems


def test_an_error_about_the_data_gets_the_line_of_its_key(recipe_file: Path) -> None:
    with pytest.raises(DataError, match="no column 'text'") as data, naming_lines(recipe_file, ["data.label=y"]):
        raise DataError("train: no column 'text'", "Columns found: a.", key="data.source")
    assert data.value.message == f"{recipe_file}:4:16: data.source: train: no column 'text'"
    assert (data.value.hint, data.value.exit_code) == ("Columns found: a.", EXIT_USAGE)
    with pytest.raises(RecipeError) as recipe, naming_lines(recipe_file, ["data.label=y"]):
        raise RecipeError(
            [Problem("training.learning_rate", "too high"), Problem("data.label", "no"), Problem("", "x")]
        )
    places = [str(problem) for problem in recipe.value.problems]
    assert places == [
        f"{recipe_file}:6:18: training.learning_rate: too high",
        "-s data.label=y: data.label: no",
        "x",
    ]
    with pytest.raises(DataError, match=r"^no key$"), naming_lines(recipe_file):
        raise DataError("no key")
