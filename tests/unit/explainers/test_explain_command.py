"""`hftune explain`: tables for people, lines for programs, errors that name what there is."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from hftune import cli
from hftune.explainers import _captum

TEXT = "we loved it but the plot was boring"


def test_people_see_the_words_and_how_far_to_believe_them(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), TEXT]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == TEXT
    assert "integrated gradients" in said
    assert all(word in said for word in TEXT.split())
    assert "chance (mean)" in said
    assert all(len(line) <= 80 and line == line.rstrip() for line in said.splitlines())
    assert "\x1b" not in said, "colours are for terminals"


def test_all_methods_stand_side_by_side(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), TEXT, "--method", "all", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert [one["method"] for one in told["methods"]] == ["integrated-gradients", "lime", "shap"]
    assert told["words"] == TEXT.split()
    assert all(len(one["values"]) == len(told["words"]) for one in told["methods"])
    assert [told["text"][start:end] for start, end in told["spans"]] == told["words"]
    assert len(told["pieces"]) == len(told["owners"])
    assert set(told["agreement"]) == {
        "integrated-gradients and lime", "integrated-gradients and shap", "lime and shap",
    }  # fmt: skip
    assert told["best"] in ("integrated-gradients", "lime", "shap")
    best = max(told["methods"], key=lambda one: one["faithfulness"]["insertion"] - one["faithfulness"]["deletion"])
    assert best["method"] == told["best"]
    assert best["faithfulness"]["deletion"] < told["chance"]["deletion"]
    assert cli.run(["explain", str(full_run), TEXT, "--method", "all"]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_texts_come_from_standard_input_too(
    full_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a good film\n\na bad plot\n"))
    assert cli.run(["explain", str(full_run), "--json"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["a good film", "a bad plot"]


def test_a_label_is_asked_for(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "a good film", "--target", "negative", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "negative"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a film", "--method", "limes"], "Did you mean 'lime'?"),
        (["a film", "--target", "positiv"], "Did you mean 'positive'?"),
        (["..."], None),
        ([" "], "no word to explain"),
    ],
)
def test_what_cannot_be_explained_says_why(
    full_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str | None
) -> None:
    code = cli.run(["explain", str(full_run), *arguments])
    assert code == (0 if words is None else 2)
    assert words is None or words in capsys.readouterr().err


def test_a_generator_says_what_it_is(language_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(language_run), "the film"]) == 2
    assert "it has no labels" in capsys.readouterr().err


def test_a_missing_package_is_named(
    full_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_captum, "find_spec", lambda name: None if name == "captum" else object())
    assert cli.run(["explain", str(full_run), "a film"]) == 1
    assert "hftune[explain]" in capsys.readouterr().err


def test_hostile_text_stays_text(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "good \x1b[31m[bold]film\x1b]0;title\x07 \u202eevil"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[bold]" in said
