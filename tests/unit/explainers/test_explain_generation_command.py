"""`hftune explain` of a generator: tables for people, lines for programs, a page, errors that say what works."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking.generated import answer_words, reasons, shown_method
from hftune.commands.page import shaded

PROMPT = "the lovely film"


def test_people_see_the_prompt_the_answer_and_its_reasons(
    language_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["explain", str(language_run), PROMPT, "--answer", " was good"]) == 0
    said = capsys.readouterr().out
    first, second, *rest = said.splitlines()
    assert first.translate(str.maketrans("", "", "[]{}")) == PROMPT
    assert first != PROMPT, "without colours the words that did most are marked"
    assert second == "was good"
    assert "ablation" in said
    assert "made likely by" in said
    assert [line.split()[0] for line in rest if line.startswith(("  was ", "  good "))] == ["was", "good"]
    assert "chance (mean)" in said
    assert all(len(line) <= 80 and line == line.rstrip() for line in said.splitlines())
    assert "\x1b" not in said


def test_programs_get_each_token(language_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", str(language_run), PROMPT, "the plot", "--method", "all", "--max-new-tokens", "3", "--json"]
    assert cli.run(arguments) == 0
    told, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (told["kind"], told["prompt"], other["prompt"]) == ("generation", PROMPT, "the plot")
    assert [one["method"] for one in told["methods"]] == ["ablation", "integrated-gradients"]
    assert len(told["answer_tokens"]) == 3
    assert all(token["log_probability"] < 0 for token in told["answer_tokens"])
    for one in told["methods"]:
        assert [len(row) for row in one["by_token"]] == [3, 3, 3]
        words = list(answer_words(told, one))
        assert [word for word, _, _ in words] == told["answer_words"]
        assert sum(score for _, score, _ in words) == pytest.approx(
            sum(token["log_probability"] for token in told["answer_tokens"] if token["owner"] is not None)
        )
    assert told["methods"][1]["completeness_error"] < 0.01
    assert set(told["agreement"]) == {"ablation and integrated-gradients"}
    assert cli.run(arguments[:-1]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_the_same_seed_tells_the_same(language_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records: list[dict[str, Any]] = []
    for _ in range(2):
        assert cli.run(["explain", str(language_run), PROMPT, "--max-new-tokens", "2", "--seed", "3", "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
        for one in records[-1]["methods"]:
            del one["seconds"]
    assert records[0] == records[1]


def test_reasons_are_the_few_words_that_did_most() -> None:
    assert reasons([0.01, 2.0, -3.0, 0.5, 1.0, 0.7]) == [1, 4, 5]
    assert reasons([0.01, -1.0]) == []
    methods = [{"method": "a"}, {"method": "b"}]
    assert shown_method({"methods": methods, "best": "b"}) == {"method": "b"}
    assert shown_method({"methods": methods, "best": None}) == {"method": "a"}


def test_a_page_is_a_heat_map_of_numbers(
    language_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "why.html"
    text = "the <script>alert(1)</script> film & plot"
    arguments = ["explain", str(language_run), text, "--answer", " was <b>good", "--method", "all"]
    assert cli.run([*arguments, "--html", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    tags: list[str] = []
    seen = HTMLParser()
    seen.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    seen.feed(written)
    assert "script" not in tags
    assert "b" not in tags
    assert 'class="shade" style="background' in written
    assert "http" not in written.replace("http-equiv", "")
    assert all(title in written for title in ("integrated gradients", "ablation", "log p", "chance (mean)"))
    assert str(page) in capsys.readouterr().err
    assert shaded("<", 0) == '<span class="shade">&lt;</span>'


def test_hostile_text_stays_text(language_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.run(["explain", str(language_run), "good \x1b[31m[bold]film", "--answer", "\x1b]0;a\x07 \u202eevil"]) == 0
    )
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[bold]" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a film", "--target", "positive"], "--answer TEXT explains"),
        (["a film", "--method", "lime"], "ablation and integrated-gradients"),
        (["a film", "--method", "counterfactual"], "no label"),
        (["a film", "--fill-mask", "x"], "classifiers have"),
        (["a film", "--answer", "x", "--max-new-tokens", "3"], "the model's own answer"),
        (["a film", "--max-new-tokens", "0"], "1 or more"),
        (["a film", "--max-new-tokens", "500"], "Shorten what is asked"),
        (["film " * 80], "Shorten what is asked"),
        ([" "], "no word to explain in the prompt"),
    ],
)
def test_what_does_not_go_with_a_generator_says_why(
    language_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["explain", str(language_run), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


@pytest.mark.parametrize("flags", [["--answer", "x"], ["--max-new-tokens", "3"]])
def test_what_does_not_go_with_a_classifier_says_why(
    full_run: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert cli.run(["explain", str(full_run), "a film", *flags]) == 2
    assert f"{flags[0]} is for generators" in capsys.readouterr().err


def test_a_fill_mask_model_says_what_it_is(mask_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(mask_run), "a [MASK] film"]) == 2
    said = capsys.readouterr().err
    assert "fill-mask model" in said
    assert "hftune predict" in said
