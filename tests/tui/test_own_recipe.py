"""From a data file to a recipe: it passes hftune's own validation and check, whatever the columns are called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hftune_tui.columns import ENDINGS, Column, FileColumns, Reading, data_files, from_record, paths_like
from hftune_tui.file_walk import Walk
from hftune_tui.own_recipe import (
    Choices,
    cannot_be_second,
    cannot_start,
    problems,
    quoted,
    recipe_name,
    recipe_text,
    remarks,
    starts,
)

from hftune import cli
from hftune.data.files import READERS, load_file
from hftune.data.profile import profile
from hftune.recipe.load import load_recipe
from hftune.recipe.source import read_source

THINGS = ("film", "plot", "story", "scene", "actor", "ending", "music")
WORDS = {"good": ("fine", "warm", "funny", "lovely"), "bad": ("dull", "cold", "weak", "poor")}


def rows(count: int = 30) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        mood = "good" if number % 2 else "bad"
        word, thing = WORDS[mood][number % 4], THINGS[number % 7]
        review = f"the {thing} was {word}, and that {number} times over"
        more = {"mood": mood, "class": number % 3, "rating": number / 4, "about": f"a word on the {thing} please"}
        found.append({"review": review, **more})
    return found


def written(path: Path, data: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        lines = [list(data[0]), *(row.values() for row in data)]
        path.write_text("".join(",".join(json.dumps(str(cell)) for cell in row) + "\n" for row in lines))
        return path
    lines_file = path.with_suffix(".jsonl")
    lines_file.write_text("".join(json.dumps(row) + "\n" for row in data))
    if path.suffix == ".parquet":
        load_file(lines_file).to_parquet(path)
    return path


def columns_of(path: Path) -> FileColumns:
    return from_record(profile(path).to_dict())


def chosen(found: FileColumns, text: str, target: str | None, start: str, *, second: str | None = None) -> Choices:
    column, after = found.named(text), found.named(second)
    assert column is not None
    aim = "texts" if target is None else "number" if target == "rating" else "classes"
    one = next(one for one in starts(aim) if one.name == start)
    return Choices(column, after, aim, found.named(target), one)


def made(path: Path, choices: Choices) -> Path:
    recipe = path.parent / f"{recipe_name(path)}.yaml"
    text = recipe_text(columns_of(path), choices, path, path.parent)
    assert problems(text, recipe.name, path.parent) == ""
    recipe.write_text(text, encoding="utf-8")
    load_recipe(recipe)
    return recipe


def checked(recipe: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, Any]:
    code = cli.run(["check", str(recipe), "--json", *(word for one in overrides for word in ("-s", one))])
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0 and record["ok"], record.get("findings") or record
    return record


def test_a_csv_file_with_labels_becomes_a_recipe_that_check_takes(tmp_path, capsys):
    path = written(tmp_path / "my reviews.csv", rows())
    recipe = made(path, chosen(columns_of(path), "review", "mood", "lstm"))
    assert recipe.name == "my-reviews.yaml"
    assert "files: my reviews.csv" in recipe.read_text()
    record = checked(recipe, capsys)
    assert set(record["classes"]) == {"good", "bad"}
    assert sum(record["splits"].values()) == 30


@pytest.mark.long
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("target", "start", "second"),
    [
        ("mood", "bert", None),
        ("class", "bert", None),
        ("class", "lstm", None),
        ("mood", "bert-lora", "about"),
        ("rating", "bert", None),
        ("rating", "bert-lora", None),
        ("rating", "lstm", None),
        (None, "gpt2", None),
        (None, "gpt2-lora", "about"),
    ],
)
def test_every_kind_of_recipe_passes_check(tmp_path, capsys, tiny_bert_folder, ending, target, start, second):
    path = written(tmp_path / f"reviews.{ending}", rows())
    recipe = made(path, chosen(columns_of(path), "review", target, start, second=second))
    checked(recipe, capsys, *([f"model={tiny_bert_folder}"] if start.startswith("bert") else []))


def test_figures_come_from_the_shipped_recipe_and_few_rows_are_read_more_often(tmp_path):
    path = written(tmp_path / "a.csv", rows())
    found = columns_of(path)
    base = load_recipe("bert_cls_lora")
    recipe = load_recipe(made(path, chosen(found, "review", "mood", "bert-lora")))
    assert recipe.training.learning_rate == base.training.learning_rate
    assert recipe.method.options["target_modules"] == base.method.options["target_modules"]
    assert recipe.model == base.model
    assert recipe.training.num_train_epochs == 10
    large = replace(found, rows_in_file=100_000, whole=False)
    assert "num_train_epochs: 2" in recipe_text(large, chosen(found, "review", "mood", "bert-lora"), path, tmp_path)


@pytest.mark.parametrize("start", ["bert", "bert-lora", "lstm", "gpt2", "gpt2-lora"])
def test_recipes_fit_a_screen_of_80_columns_with_their_remarks_below_each_other(tmp_path, start):
    path = written(tmp_path / "a.csv", rows())
    target, second = (None, "about") if start.startswith("gpt2") else ("mood", None)
    text = made(path, chosen(columns_of(path), "review", target, start, second=second)).read_text()
    assert max(map(len, text.splitlines())) <= 76  # beside the scroll bar
    assert len({line.index("# ") for line in text.splitlines() if "# " in line}) == 1


def test_texts_are_written_after_the_second_column(tmp_path):
    path = written(tmp_path / "a.csv", rows())
    recipe = load_recipe(made(path, chosen(columns_of(path), "review", None, "gpt2", second="about")))
    assert (recipe.data.prompt, recipe.data.completion) == ("about", " {review}")


HOSTILE = [
    "te: xt",
    "[red]b[/red]",
    "two\nlines",
    "\x1b[31mred",
    "true",
    "文本 列",
    "q\"u\\o'te",
    "# no",
    "- x",
    "{x}",
    "😀\u2028",
    " lead ",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_column_comes_back_as_it_is(tmp_path, name):
    assert read_source(f"a: {quoted(name)}\n".encode(), "x").data == {"a": name}
    data = [{name: row["review"], "label " + name: row["mood"]} for row in rows()]
    path = written(tmp_path / "a.jsonl", data)
    found = columns_of(path)
    assert (found.text, found.label) == (name, "label " + name)
    recipe = load_recipe(made(path, chosen(found, name, "label " + name, "bert")))
    assert (recipe.data.text, recipe.data.label) == (name, "label " + name)


def test_conversations_are_learned_whole_and_asked_nothing_more_about(tmp_path, capsys):
    turns = [{"role": "user", "content": "is it fine?"}]
    talks = [{"talk": [*turns, {"role": "assistant", "content": f"yes, {number} times"}]} for number in range(20)]
    path = written(tmp_path / "talks.jsonl", talks)
    walk = Walk(path, columns_of(path))
    walk.choose(None)
    walk.choose(walk.found.named("talk"))
    assert walk.step == "model"
    walk.choose(walk.picks()[0].value)
    recipe = made(path, walk.choices())
    assert "messages: talk" in recipe.read_text()
    checked(recipe, capsys)


def test_names_that_no_template_can_say_are_refused_for_it():
    assert cannot_be_second(Column("{a.b}", "text", 0, 5), "texts")
    assert cannot_be_second(Column("{", "text", 0, 5), "texts")
    assert not cannot_be_second(Column("{a.b}", "text", 0, 5), "classes")
    assert not cannot_be_second(Column("{x}", "text", 0, 5), "texts")


def test_a_model_with_letters_for_tokens_takes_one_text(tmp_path):
    one = Column("b", "text", 0, 5)
    by_name = {start.name: start for start in starts("classes")}
    assert cannot_start(by_name["lstm"], one) and not cannot_start(by_name["lstm"], None)
    assert not cannot_start(by_name["bert"], one)


def test_remarks_name_what_would_spoil_the_training(tmp_path):
    text = Column("t", "text", 40, 50, length=40.0, longest=90, use="text")
    found = FileColumns("a.csv", 100, True, 100, (text,), "t", "l")
    (bert, *_) = starts("classes")

    def said(target: Column, **more: Any) -> str:
        return "\n".join(remarks(replace(found, **more), Choices(text, None, "classes", target, bert)))

    assert "one class only" in said(Column("l", "text", 0, 1))
    assert "of its own" in said(Column("l", "text", 0, 100))
    assert "only 12 rows" in said(Column("l", "text", 0, 2), rows_in_file=12)
    assert "40 of 100 rows (40%) have no t" in said(Column("l", "text", 0, 2, rarest=40))
    assert "the rarest of 3 classes has 2 rows" in said(Column("l", "text", 0, 3, rarest=2))
    assert "95% of the rows are 'x'" in said(Column("l", "text", 0, 2, counts=(("x", 95), ("y", 5)), rarest=5))
    assert "10 texts repeat another" in said(Column("l", "text", 0, 2, rarest=50))
    assert "first 100 rows, of about 5,000" in said(Column("l", "text", 0, 2), whole=False, rows_in_file=5000)


def test_files_elsewhere_and_names_like_a_home_folder_stay_what_they_are(tmp_path):
    (tmp_path / "in").mkdir()
    path = written(tmp_path / "in" / "~a.csv", rows())
    choices = chosen(columns_of(path), "review", "mood", "bert")
    inside = recipe_text(columns_of(path), choices, path, tmp_path / "in")
    assert 'files: "./~a.csv"' in inside
    outside = recipe_text(columns_of(path), choices, path, tmp_path / "other")
    assert f'files: "{path}"' in outside
    assert recipe_name(Path("数据.csv")) == "my-file"


def test_the_endings_are_those_that_recipes_read():
    assert set(ENDINGS) == set(READERS)


def test_data_files_are_found_near_first_without_hidden_folders_runs_and_links_in_circles(tmp_path):
    for name in ("b.csv", "a.json", "sub/c.parquet", ".git/d.csv", "runs/e.jsonl", "sub/f.py", "1/2/3/4/5/deep.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    found = [str(one.path) for one in data_files(Path(), [tmp_path / "runs"])]
    assert found == ["b.csv", "a.json", "sub/c.parquet"]
    assert paths_like("s") == ["sub/"] and paths_like("sub/") == ["sub/again/", "sub/c.parquet"]
    assert paths_like(f"{tmp_path}/b") == [f"{tmp_path}/b.csv"] and paths_like("nowhere/x") == []


def wait(reading: Reading) -> Reading:
    reading._thread.join(60)
    assert reading.over
    return reading


def test_reading_gives_columns_or_the_problem_in_words(tmp_path):
    path = written(tmp_path / "--a b.csv", rows(12))
    found = wait(Reading(path)).columns
    assert found is not None
    assert (found.rows, found.text, found.label) == (12, "review", "class")
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\nnot\n')
    bad = wait(Reading(Path("bad.jsonl")))
    assert bad.columns is None and "bad.jsonl:2:1: not JSON" in bad.problem
    assert "no file" in wait(Reading(Path("gone.csv"))).problem
