"""`hftune explain RUN --data`: tables for people, one object for programs, a page, errors that name what there is."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking import surveys
from hftune.errors import EXIT_INTERRUPTED
from hftune.explainers import _cases
from hftune.inference.predictor import Predictor
from tests.unit.explainers.conftest import PLANTED
from tests.unit.explainers.test_survey import rows_of


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.run(["explain", *arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return dict(json.loads(line))


def planted_texts(run: Path) -> int:
    """How many of the twelve rows have the planted word."""
    predictor = Predictor.load(run)
    return sum(PLANTED in row.text.split() for row in rows_of(predictor, most=12).rows)


def test_people_see_words_shortcuts_length_and_mistakes(planted_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(planted_run), "--data", "test", "--rows", "12"]) == 0
    captured = capsys.readouterr()
    said = captured.out
    assert "12 of 24 rows, accuracy 1.000" in said
    assert "for good (12 rows)" in said
    assert "! giveaway word" in said
    assert f"'{PLANTED}' {planted_texts(planted_run)}:" in said
    assert "none found" not in said
    assert "Length: no sign" in said
    assert "none of these rows is answered wrongly" in said
    assert "better" in said
    assert [line for line in said.splitlines() if len(line) > 80 or line != line.rstrip()] == []
    assert "\x1b" not in said
    assert "12 rows in " in captured.err


def test_all_methods_stand_side_by_side(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(full_run), "--data", "train", "--rows", "8", "--method", "all"]) == 0
    said = capsys.readouterr().out
    assert all(title in said for title in ("integrated gradients", "LIME", "SHAP"))
    assert all(len(line) <= 80 for line in said.splitlines())


def test_programs_get_one_object(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, str(full_run), "--data", "test", "--rows", "6", "--method", "shap")
    assert (found["split"], found["of"], found["rows"], found["problem"]) == (
        "test", 18, 6, "single_label_classification",
    )  # fmt: skip
    (method,) = found["methods"]
    assert method["method"] == "shap"
    assert [one["label"] for one in method["labels"]] == found["labels"]
    assert {"word", "texts", "times", "value", "low", "high", "share"} == set(method["labels"][0]["words"][0])
    assert method["faithfulness"]["rows"] == 6
    assert set(found["figure"]) == {"value", "low", "high"}


def test_a_labelled_file_is_surveyed(full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.csv"
    # The label of the last row is wrong, and it is found among more.
    rows = ["text,label", *["the film was good,positive", "a bad plot,negative"] * 3, "the film was awful,positive"]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = told(capsys, str(full_run), "--data", str(file))
    assert (found["split"], found["rows"], found["wrong"]) == ("rows.csv", 7, 1)
    (mistake,) = found["mistakes"]
    assert (mistake["row"], mistake["said"], mistake["right"]) == (6, "negative", "positive")
    assert "awful" in [word for word, _ in mistake["drove"]]
    assert cli.run(["explain", str(full_run), "--data", str(file)]) == 0
    said = capsys.readouterr().out
    assert "(1 of 1 wrong rows)" in said
    assert "[awful]" in said.replace("{", "[").replace("}", "]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a film", "--data", "test"], "Give either"),
        (["--rows", "3"], "--rows without --data"),
        (["--data", "test", "--rows", "0"], "--rows 0"),
        (["--data", "test", "--target", "positive"], "--target is for single texts"),
        (["--data", "test", "--method", "counterfactual"], "take a method of attribution"),
        (["--data", "test", "--method", "lim"], "Did you mean 'lime'?"),
        (["--data", "test", "--fill-mask", "latest"], "--fill-mask"),
        (["--data", "test", "--answer", "good"], "for generators"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--data", "testing"], "testing"),
        (["--data", "test", "--html", "nowhere/page.html"], "--html"),
    ],
)
def test_what_cannot_be_explained_says_why(
    full_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["explain", str(full_run), *arguments]) in (1, 2)
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_a_file_without_labels_says_which_column_it_lacks(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,sentiment\ngood,positive\n", encoding="utf-8")
    assert cli.run(["explain", str(full_run), "--data", str(file)]) != 0
    assert "'label'" in capsys.readouterr().err


def test_a_generator_says_what_it_is(language_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(language_run), "--data", "test"]) == 2
    assert "it has no labels" in capsys.readouterr().err


def test_ctrl_c_ends_it(full_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_cases.Asker, "ask", interrupted)
    assert cli.run(["explain", str(full_run), "--data", "test"]) == EXIT_INTERRUPTED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_a_page_has_plots_and_shows_values_as_text(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "rows.jsonl", tmp_path / "survey.html"
    texts = [("good <script>alert(1)</script> & film", "positive"), ("bad 'plot' \x1b[31m\u202e", "negative")] * 4
    texts.append(("a bad <img src=x> film", "positive"))
    file.write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts), encoding="utf-8"
    )
    assert cli.run(["explain", str(full_run), "--data", str(file), "--method", "all", "--html", str(page)]) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out
    assert "\u202e" not in captured.out
    assert str(page) in captured.err
    written = page.read_text(encoding="utf-8")
    seen = HTMLParser()
    tags: list[str] = []
    seen.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    seen.feed(written)
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "span", "sub", "table", "tr", "th",
        "td", "svg", "text", "rect", "line",
    }  # fmt: skip
    assert "svg" in tags
    assert "http" not in written.replace("http-equiv", "")
    for title in ("What drives positive", "Right answers for a wrong-looking reason", "Length", "Worst mistakes"):
        assert title in written


def test_many_labels_fit_the_terminal() -> None:
    """Six labels are shown, those of the most rows; the others are counted."""
    word = {"word": "w" * 40, "texts": 9, "times": 9, "value": 1.0, "low": 0.5, "high": 1.5, "share": 0.1}
    labels = [{"label": "label " * 9 + str(place), "rows": place, "words": [word]} for place in range(9)]
    record = {
        "labels": [one["label"] for one in labels], "problem": "multi_label_classification", "least": 3,
        "methods": [{"title": "integrated gradients", "labels": labels}],
    }  # fmt: skip
    lines = list(surveys.driver_lines(record))
    assert all(len(line) <= 79 for line in lines)
    assert surveys.shown_labels(record) == [3, 4, 5, 6, 7, 8]
    assert lines[-1].strip() == "… and 2 more labels: --html, --json"


def test_a_regression_is_told_in_its_number(tmp_path: Path) -> None:
    from hftune.commands.explain_data import _lines
    from hftune.commands.survey_page import survey_page
    from tests.unit.explainers.conftest import bag
    from tests.unit.explainers.test_survey import METHODS, TEXTS, surveyed, write

    rows = [{"text": text, "label": len(text) / 10} for text in TEXTS]
    predictor = bag(["score"], "regression")
    record = surveyed(predictor, METHODS[:1], file=write(tmp_path / "rows.jsonl", rows)).to_dict()
    lines = list(_lines(record))
    assert [line for line in lines if len(line) > 80] == []
    assert any("mean absolute error" in line for line in lines)
    assert any("number (6 rows)" in line for line in lines)
    assert "What drives the number" in survey_page(record)
