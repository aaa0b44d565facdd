"""`hftune explain`: tables for people, lines for programs, errors that name what there is."""

from __future__ import annotations

import io
import json
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest

from hftune import cli
from hftune.asking.explanations import counterfactual_lines
from hftune.explainers import _captum
from hftune.sanitize import columns_of

TEXT = "we loved it but the plot was boring"


def test_people_see_the_words_and_how_far_to_believe_them(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), TEXT]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].translate(str.maketrans("", "", "[]{}")) == TEXT
    assert "[" in said.splitlines()[0], "without colours the words that did most are marked"
    assert "integrated gradients" in said
    assert all(word in said for word in TEXT.split())
    assert "chance (mean)" in said
    assert all(len(line) <= 80 and line == line.rstrip() for line in said.splitlines())
    assert "\x1b" not in said, "colours are for terminals"


def test_all_methods_stand_side_by_side(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), TEXT, "--method", "all", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    names = ["integrated-gradients", "ablation", "lime", "shap"]
    assert [one["method"] for one in told["methods"]] == names
    assert told["words"] == TEXT.split()
    assert all(len(one["values"]) == len(told["words"]) for one in told["methods"])
    assert [told["text"][start:end] for start, end in told["spans"]] == told["words"]
    assert len(told["pieces"]) == len(told["owners"])
    assert set(told["agreement"]) == {f"{one} and {other}" for one, other in combinations(names, 2)}
    assert told["best"] in names
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


def test_one_word_has_no_order_to_judge(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "good"]) == 0
    assert "One word: there is no order to judge." in capsys.readouterr().out


def test_lines_are_no_wider_than_a_terminal_in_chinese_either() -> None:
    edits = [{"place": 0, "old": "好" * 20, "new": "坏" * 20}] * 2
    one = {"label": "negative", "share": 0.9, "edits": edits, "text": "这部电影很好看" * 20}
    found = {"text": "x", "label": "positive", "share": 0.9, "found": [one]}
    lines = list(counterfactual_lines(found, alone=False))
    assert max(map(columns_of, lines)) <= 80
    assert "这部电影很好看" * 20 in "".join(line.strip() for line in lines)


def test_ablation_needs_no_package(
    full_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_captum, "find_spec", lambda name: None if name == "captum" else object())
    assert cli.run(["explain", str(full_run), "a film", "--method", "ablation"]) == 0
    assert cli.run(["explain", str(full_run), "--data", "test", "--rows", "2", "--method", "ablation"]) == 0


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


def test_a_page_shows_values_as_text_and_loads_nothing(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "why.html"
    text = "we loved it <script>alert(1)</script> & the plot was 'good'"
    assert cli.run(["explain", str(full_run), text, "a bad film", "--method", "all", "--html", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    seen = HTMLParser()
    tags: list[str] = []
    seen.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    seen.feed(written)
    assert "script" not in tags
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "span", "sub", "table", "tr", "th",
        "td",
    }  # fmt: skip
    assert "http" not in written.replace("http-equiv", "")
    for title in ("integrated gradients", "LIME", "SHAP", "chance (mean)", "It would have been"):
        assert title in written
    assert str(page) in capsys.readouterr().err


@pytest.mark.parametrize("page", [".", "nowhere/why.html"])
def test_a_page_that_cannot_be_written_is_refused_at_once(
    full_run: Path, tmp_path: Path, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["explain", str(full_run), "a film", "--html", str(tmp_path / page)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--html" in captured.err
