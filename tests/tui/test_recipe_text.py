"""A recipe while it is written: its problems, what could stand at the cursor, what keys mean, changing one key."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hftune_tui.recipe_edit import COMMON, common_values, set_value
from hftune_tui.recipe_keys import key_at, keys_of, seen_values, works_offline
from hftune_tui.recipe_place import comment_start, section_of, spot_at
from hftune_tui.recipe_text import chosen_plugins, complete, help_at, problems, said

from hftune.errors import HftuneError, RecipeError, UsageError
from hftune.recipe.load import shipped_recipes
from hftune.recipe.schema import TrainingSection

RECIPE = """\
name: mine   # the prefix
task: text-classification
model: hftune:gpt2-mini
data:
  source: hftune:movie-reviews
  max_length: 64
method: {name: lora, r: 4}
training:
  num_train_epochs: 2
  learning_rate: 1.0e-4     # found by trying
"""


def at(text, row=None, column=None):
    """The texts offered at a place; the end of the text unless told."""
    lines = text.split("\n")
    row = len(lines) - 1 if row is None else row
    return [one.text for one in complete(text, row, len(lines[row]) if column is None else column).candidates]


def test_a_good_recipe_has_no_problems():
    assert problems(RECIPE) == []


def test_all_problems_come_at_once_with_line_and_column():
    broken = RECIPE.replace("max_length: 64", "max_len: 64").replace("num_train_epochs: 2", "num_train_epochs: two")
    found = problems(broken)
    assert [(one.line, one.column, one.key) for one in found] == [
        (6, 3, "data.max_len"),
        (9, 21, "training.num_train_epochs"),
    ]
    assert said(found[0]) == "6:3 data.max_len: unknown key. Did you mean 'max_length'?"


@pytest.mark.parametrize(
    "text", ["", "   ", "# nothing", "a: [", "a: b: c", "\ta: 1", "- 1\n- 2", "\x00", "x: !!python/y 1"]
)
def test_what_is_no_recipe_is_one_problem_for_people(text):
    found = problems(text)
    assert found and all(one.message for one in found)


def test_a_lone_surrogate_and_a_huge_text_are_problems_not_crashes():
    assert "UTF-8" in problems("name: \ud800")[0].message
    assert "bytes are no recipe" in problems("a" * 300_000)[0].message


def test_overrides_are_judged_too():
    (found,) = problems(RECIPE, overrides=["training.lr=1"])
    assert found.line == 0 and "learning_rate" in found.hint


def test_paths_start_at_the_folder_of_the_file(tmp_path):
    text = RECIPE.replace("model: hftune:gpt2-mini", "model: ./weights")
    assert problems(text, tmp_path / "deep" / "r.yaml") == []


def test_every_shipped_recipe_is_without_problems():
    assert [(file.name, found) for file in shipped_recipes() if (found := problems(file.read_text(), file))] == []


def test_keys_of_the_top_required_first_and_given_ones_left_out():
    assert at("")[:4] == ["name: ", "task: ", "model: ", "data:"]
    assert "task: " not in at("task: text-generation\n")


def test_keys_of_a_section_by_their_letters_and_by_what_people_write():
    assert at(RECIPE + "  warm")[0] == "warmup_steps: "
    assert at(RECIPE + "  batch_size")[0] == "per_device_train_batch_size: "
    assert "learning_rate: " not in at(RECIPE + "  le")  # the section has it


def test_a_blank_line_belongs_to_the_section_that_its_column_says():
    assert "optim: " in at(RECIPE + "  ")
    assert "optim: " not in at(RECIPE)


def test_options_of_the_chosen_method_alone():
    assert at("method:\n  name: lora\n  r")[0] == "r: "
    assert at("method:\n  name: full\n  ") == []
    assert at("method: {name: lora, lora_a")[0] == "lora_alpha: "
    assert "r: " not in at("method: {r: 8, ")


def test_values_are_the_choices_the_default_marked():
    assert at("training:\n  optim: ") == ["adamw", "adam", "sgd"]
    assert set(at("data:\n  pack: ")) == {"true", "false"}
    assert at("task: fill")[0] == "fill-mask"
    assert set(at("method: ")) == {"full", "head", "lora"}
    default = [one for one in complete("training:\n  optim: ", 1, 9).candidates if one.help == "the default"]
    assert [one.text for one in default] == ["adamw"]


def test_values_of_the_shipped_recipes_where_there_are_no_choices():
    assert "hftune:movie-reviews" in at("data:\n  source: mov")
    assert "hftune:gpt2-mini" in at("model: ") and "hftune:gpt2-mini" in at("model:\n  id: gpt2")


def test_metrics_are_those_of_the_task():
    text = "task: text-classification\ntraining:\n  metric_for_best_model: "
    assert "accuracy" in at(text) and "loss" in at(text)
    assert "accuracy" not in at(text.replace("classification", "generation"))


def test_files_beside_the_recipe(tmp_path):
    (tmp_path / "reviews.csv").write_text("")
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "more").mkdir()
    found = complete("data:\n  files: ", 1, 9, tmp_path).candidates
    assert [one.text for one in found] == ["more/", "reviews.csv"]
    assert complete("data:\n  files:\n    train: re", 2, 13, tmp_path).candidates[0].text == "reviews.csv"


def test_a_value_right_behind_its_colon_gets_a_space():
    assert at("method:")[0].startswith(" ")


def test_what_a_completion_replaces():
    found = complete("training:\n  optim: ada   # x", 1, 11)
    assert (found.start, found.end) == (9, 12)


@pytest.mark.parametrize(
    ("text", "row", "column"), [("a: 1 # x", 0, 8), ("name: x\n  ", 1, 2), ("- - x y", 0, 7), ("", 5, 9)]
)
def test_nothing_is_offered_where_nothing_can_be(text, row, column):
    if text:
        assert complete(text, row, column).candidates == ()
    else:
        assert complete(text, row, column).candidates  # beyond the end is the end


def test_help_says_what_a_key_takes_its_default_and_who_uses_it():
    said = help_at(RECIPE, 9, 4)
    assert said.startswith("training.learning_rate") and "number above 0 or auto" in said and "in bert_cls" in said
    assert "Size and place" in help_at(RECIPE, 6, 16)
    assert "tokens a text may have" in help_at(RECIPE, 5, 16)


def test_help_where_no_key_is_lists_those_that_are_missing():
    said = help_at(RECIPE + "  ", 10, 2)
    assert "not yet given" in said and "warmup_steps" in said and "learning_rate" not in said
    assert "comment" in help_at(RECIPE, 0, 20)
    assert "no key 'optimum'" in help_at("training:\n  optimum: 3", 1, 5)


def test_keys_are_those_of_the_schema():
    assert set(keys_of(("training",))) == set(TrainingSection.model_fields)
    assert key_at(("data", "max_length")).takes == "whole number at least 1"
    assert key_at(("data", "window", "pooling")).choices == ("mean", "max", "first")
    assert key_at(("model", "nothing")) is None and key_at(()) is None
    assert set(keys_of(("data", "files"))) == {"train", "validation", "test"}


def test_values_seen_never_hold_names_and_know_what_needs_no_hub():
    assert not any(path[-1] in ("name", "description") for path in seen_values())
    assert "hftune:movie-reviews" in works_offline() and "google-bert/bert-base-uncased" not in works_offline()


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("task: fill-mask\nmethod: head", {"task": "fill-mask", "method": "head"}),
        ("method: {r: 8, name: lora}", {"method": "lora"}),
        ("method:\n  r: 8\n  name: lora\n", {"method": "lora"}),
        ("method:   # c\n  name: lora\n", {"method": "lora"}),
        ("data: {}\n", {}),
    ],
)
def test_the_chosen_plugins_show_in_the_text(text, chosen):
    assert chosen_plugins(text) == chosen


def test_a_hash_within_quotes_or_a_word_begins_no_comment():
    assert comment_start("a: 'b # c' # d") == 11
    assert comment_start("a: b#c") == 6
    assert comment_start("# all") == 0


def test_sections_by_indentation():
    lines = ["a:", "", "  b:   # c", "    - x: 1", "      y", "  d: 2"]
    assert section_of(lines, 3, 4) == ("a", "b")
    assert section_of(lines, 5, 2) == ("a",)
    assert section_of(lines, 6, 4) is None  # d has a value


def test_a_list_in_brackets_is_a_value():
    spot = spot_at(["method: {name: lora, target_modules: [query, va"], 0, 47)
    assert spot.path == ("method", "target_modules") and spot.in_value and spot.written == "va"


def test_common_keys_as_they_are_written():
    values = {title: value for title, (_, value) in common_values(RECIPE).items()}
    assert values == {
        "model": "hftune:gpt2-mini", "data": "hftune:movie-reviews", "epochs": "2", "batch": "",
        "learning rate": "1.0e-4", "method": "lora",
    }  # fmt: skip
    assert list(values) == [one.title for one in COMMON]


def test_a_model_from_scratch_is_no_single_value():
    scratch = RECIPE.replace("model: hftune:gpt2-mini", "model:\n  architecture: bert\n  tokenizer: a/b")
    assert common_values(scratch)["model"] == (("model",), None)
    with pytest.raises(UsageError, match="cannot be set here"):
        set_value(scratch, ("model",), "a/b")


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("training", "learning_rate"), "3e-5", "  learning_rate: 3e-5       # found by trying"),
        (("model",), "a/b", "model: a/b"),
        (("method", "r"), "16", "method: {name: lora, r: 16}"),
        (("method", "bias"), "all", "method: {bias: all, name: lora, r: 4}"),
        (("training", "optim"), "sgd", "  optim: sgd"),
        (("data", "label"), "stars", "  label: stars"),
        (("name",), "other", "name: other  # the prefix"),
        (("description",), "words", "description: words"),
    ],
)
def test_setting_a_key_changes_one_line(path, value, line):
    changed = set_value(RECIPE, path, value)
    before, after = RECIPE.split("\n"), changed.split("\n")
    assert [one for one in after if one not in before] == [line]
    assert len([one for one in before if one not in after]) <= 1


def test_an_empty_value_takes_the_line_out():
    assert "learning_rate" not in set_value(RECIPE, ("training", "learning_rate"), "")
    with pytest.raises(UsageError):
        set_value(RECIPE, ("method", "r"), "")  # one of several on a line


def test_a_section_that_is_not_there_is_made():
    changed = set_value("name: x\n", ("training", "seed"), "3")
    assert changed == "name: x\ntraining:\n  seed: 3\n"
    assert set_value("training:  # none\nname: x\n", ("training", "seed"), "3").split("\n")[1] == "  seed: 3"


def test_a_value_that_is_no_yaml_and_a_text_that_is_none_are_refused():
    with pytest.raises(RecipeError):
        set_value(RECIPE, ("name",), "[")
    with pytest.raises(RecipeError):
        set_value("a: [", ("name",), "x")
    with pytest.raises(HftuneError):
        set_value(RECIPE, ("name",), "x\ntask: fill-mask")  # would change another key


def test_nothing_heavy_is_loaded():
    code = (
        "import sys; from hftune_tui import jobs, recipe_text, recipe_edit; recipe_text.problems('task: fill-mask');"
        "recipe_text.complete('model: ', 0, 7);"
        "print([m for m in ('torch', 'transformers', 'datasets', 'numpy', 'pyarrow', 'textual') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
