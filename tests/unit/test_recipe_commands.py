"""`hftune recipes list|show|copy|schema`, for people and with --json."""

import json
from pathlib import Path

import pytest

from hftune import cli
from hftune.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from hftune.recipe.load import load_recipe, shipped_recipes


def test_list_names_every_recipe_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes", "list"]) == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "  " in line.rstrip() and line[0] != " "]) == len(shipped_recipes())
    assert all(len(line) <= 80 for line in lines)
    assert cli.run(["recipes", "list", "--json"]) == EXIT_DONE
    records = json.loads(capsys.readouterr().out)["recipes"]
    assert {record["path"] for record in records} == {str(file) for file in shipped_recipes()}
    assert all(record["description"] for record in records)
    assert {record["recipe"] for record in records if record["needs_hub"]} >= {"hub/sst2_bert", "hub/ag_news_bert"}


def test_show_prints_the_file_and_with_overrides_the_resolved_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    file = next(file for file in shipped_recipes() if file.stem == "bert_cls")
    assert cli.run(["recipes", "show", "bert_cls"]) == EXIT_DONE
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")
    assert cli.run(["recipes", "show", "bert_cls", "-s", "training.seed=7"]) == EXIT_DONE
    assert "seed: 7" in capsys.readouterr().out
    assert cli.run(["recipes", "show", "bert_cls", "-s", "training.seed=7", "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["recipe"]["training"]["seed"] == 7


def test_copy_writes_a_recipe_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes", "copy", "bert_cls", str(tmp_path)]) == EXIT_DONE
    assert load_recipe(tmp_path / "bert_cls.yaml") == load_recipe("bert_cls")
    capsys.readouterr()
    assert cli.run(["recipes", "copy", "bert_cls", str(tmp_path / "new" / "mine.yaml"), "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["to"] == str(tmp_path / "new" / "mine.yaml")


def test_copy_refuses_to_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bert_cls.yaml"
    file.write_text("mine")
    assert cli.run(["recipes", "copy", "bert_cls", str(tmp_path)]) == EXIT_USAGE
    assert cli.run(["recipes", "copy", "bert_cls", str(file)]) == EXIT_USAGE
    assert file.read_text() == "mine"
    assert "exists" in capsys.readouterr().err


def test_copy_says_when_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code = cli.run(["recipes", "copy", "bert_cls", str(tmp_path / "file" / "x.yaml")])
    assert code in (EXIT_USAGE, EXIT_FAILED)
    assert "cannot be written" in capsys.readouterr().err


def test_schema_is_json_with_and_without_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes", "schema"]) == EXIT_DONE
    shown = json.loads(capsys.readouterr().out)
    assert cli.run(["recipes", "schema", "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out) == shown
    assert shown["required"] == ["name", "task", "model", "data"]


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("bert_cls", "hftune: using the shipped recipe bert_cls\n"),
        ("hub/sst2-bert", "hftune: using the shipped recipe hub/sst2_bert\n"),
        ("recipes/bert_cls.yaml", "hftune: no file recipes/bert_cls.yaml; using the shipped recipe bert_cls\n"),
    ],
)
def test_a_shipped_recipe_is_named_and_a_path_that_is_not_there_too(
    ref: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["check", ref, "--fast"]) == EXIT_DONE
    assert capsys.readouterr().err == said
