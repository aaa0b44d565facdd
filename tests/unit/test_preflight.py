"""What a check finds in data and model: classes, unknown words, long texts, costs; and how it is told."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hftune.commands import check as check_command
from hftune.output import Output
from hftune.preflight.inspect import check
from hftune.preflight.labels import label_findings
from hftune.preflight.report import Report, render
from hftune.recipe.load import parse_recipe
from hftune.tasks import Notice

Rows = Sequence[tuple[Any, Any]]


def _write(path: Path, rows: Rows, header: tuple[str, str] = ("text", "label")) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def _recipe(model: Path, files: str | dict[str, str], **sections: Any) -> dict[str, Any]:
    data = {"files": files, **sections.pop("data", {})}
    training = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 1,
        "device": "cpu",
        **sections.pop("training", {}),
    }
    base = {"name": "tiny", "task": "text-classification", "model": str(model)}
    return {**base, "data": data, "training": training, **sections}


def _check(model: Path, files: str | dict[str, str], **sections: Any) -> Report:
    return check(parse_recipe(_recipe(model, files, **sections)))


def _codes(report: Report, level: str = "warning") -> set[str]:
    return {finding.code for finding in report.findings if finding.level == level}


def test_good_data_get_counts_parameters_and_an_estimate(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    report = _check(tiny_bert_folder, str(tiny_reviews))
    assert report.ok
    assert sum(report.splits.values()) == 60
    assert set(report.classes) == {"positive", "negative"}
    assert sum(sum(counts.values()) for counts in report.classes.values()) == 60
    assert report.parameters["total"] == report.parameters["trained"] > 10_000
    estimate = report.estimate
    assert estimate is not None
    assert estimate.total_steps == -(-report.splits["train"] // 4)
    assert 0 < estimate.train_seconds < 60
    assert estimate.memory_bytes > 10**7
    # weights, and twice as much for Adam
    assert estimate.checkpoint_bytes == pytest.approx(3 * 4 * report.parameters["total"], rel=0.02)


def test_lora_trains_few_parameters_and_needs_a_small_disk(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    method = {"name": "lora", "r": 2, "target_modules": ["query", "value"]}
    report = _check(tiny_bert_folder, str(tiny_reviews), method=method)
    full = _check(tiny_bert_folder, str(tiny_reviews))
    assert report.parameters["trained"] < report.parameters["total"] / 10
    assert report.estimate and full.estimate
    assert report.estimate.disk_bytes < full.estimate.disk_bytes / 5


def test_validation_equal_to_train_is_a_loud_warning(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    report = _check(tiny_bert_folder, {"train": str(tiny_reviews), "validation": str(tiny_reviews)})
    assert report.ok
    told = [finding for finding in report.findings if finding.code == "not-held-out"]
    assert len(told) == 1, "the task and the check say it once"


def test_one_class_only_is_a_loud_warning(tiny_bert_folder: Path, tmp_path: Path) -> None:
    rows = [(f"the film was good {'! ' * index}", "positive") for index in range(30)]
    report = _check(tiny_bert_folder, _write(tmp_path / "one.csv", rows))
    assert [finding.code for finding in report.findings].count("one-class") == 1


def test_labels_that_differ_by_case_or_space_are_named(tiny_bert_folder: Path, tmp_path: Path) -> None:
    names = ["good", "Good", "bad", "bad "]
    rows = [(f"the film was fine {'! ' * index}", names[index % 4]) for index in range(40)]
    report = _check(tiny_bert_folder, _write(tmp_path / "case.csv", rows))
    (finding,) = [finding for finding in report.findings if finding.code == "labels-alike"]
    assert "Good" in finding.message and "bad " in finding.message


def test_chinese_text_on_an_english_vocabulary_warns(tiny_bert_folder: Path, tmp_path: Path) -> None:
    draw = "这部电影的故事情节非常精彩演员表演也很出色值得一看推荐给大家"
    rows = [(draw[index % 9 :] + draw[: index % 7], "ab"[index % 2]) for index in range(40)]
    report = _check(tiny_bert_folder, _write(tmp_path / "chinese.csv", rows))
    (finding,) = [finding for finding in report.findings if finding.code == "unknown-tokens"]
    assert finding.level == "warning"
    assert "bert-base-chinese" in finding.hint
    assert report.unknown is not None and report.unknown > 0.9
    assert "unknown tokens  " in render(report)


def test_english_text_on_its_vocabulary_does_not(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    report = _check(tiny_bert_folder, str(tiny_reviews))
    assert not _codes(report) & {"unknown-tokens", "foreign-script"}
    assert report.unknown == 0.0


def test_truncation_is_told_by_class(tiny_bert_folder: Path, tmp_path: Path) -> None:
    long, short = "the film was good and " * 5, "the film was bad"
    rows = [(f"{long if index % 2 else short} {'! ' * (index // 8)}", "ba"[index % 2]) for index in range(60)]
    report = _check(tiny_bert_folder, _write(tmp_path / "long.csv", rows), data={"max_length": 16})
    assert report.truncated == {"a": 1.0, "b": 0.0}
    assert "truncated-by-class" in _codes(report)


def test_regression_has_no_classes(tiny_bert_folder: Path, tmp_path: Path) -> None:
    rows = [(f"the film was good {'! ' * index}", index / 7) for index in range(30)]
    report = _check(tiny_bert_folder, _write(tmp_path / "numbers.csv", rows))
    assert report.ok and report.classes == {} and report.truncated == {}


def test_generation_is_checked_and_estimated_too(tiny_gpt2_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"the film was good and i found it very {'fine ' * n}.\n" for n in range(1, 40)))
    report = check(parse_recipe(_recipe(tiny_gpt2_folder, str(path), task="text-generation")))
    assert report.ok, report.findings
    assert report.classes == {} and report.estimate is not None


def test_problems_of_data_and_of_model_come_together(tmp_path: Path) -> None:
    report = _check(tmp_path / "no-such-model", str(tmp_path / "no-such-file.csv"))
    assert not report.ok
    assert len(_codes(report, "error")) == 2


def test_a_missing_column_is_an_error_that_names_those_there(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    report = _check(tiny_bert_folder, str(tiny_reviews), data={"text": "txt"})
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert "txt" in finding.message and "text" in finding.message + finding.hint


def test_problems_of_columns_and_of_the_method_come_together(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    method = {"name": "lora", "target_modules": ["c_attn"]}
    report = _check(tiny_bert_folder, str(tiny_reviews), data={"text": "txt", "label": "lable"}, method=method)
    assert [finding.message.partition(":")[0] for finding in report.findings] == [
        "method.target_modules",
        "data.text",
        "data.label",
    ]


def test_a_target_module_that_is_not_there_is_an_error(tiny_bert_folder: Path, tiny_reviews: Path) -> None:
    report = _check(tiny_bert_folder, str(tiny_reviews), method={"name": "lora", "target_modules": ["c_attn"]})
    assert not report.ok
    assert any("c_attn" in finding.message and "query" in finding.message for finding in report.findings)


def test_rare_and_lopsided_classes_are_told() -> None:
    counts = {"a": {"train": 970, "test": 0}, "b": {"train": 25, "test": 3}, "c": {"train": 5, "test": 1}}
    codes = {finding.code for finding in label_findings({**counts, "d": {"train": 0, "test": 1}})}
    assert codes == {"lopsided", "scarce-class", "class-not-in-test", "class-not-in-train"}


def test_a_report_fits_80_columns_and_tells_errors_first() -> None:
    findings = [Notice("info", "note", "word " * 40), Notice("error", "data", "word " * 40, "hint " * 30)]
    classes = {f"class number {index} with a rather long name": {"train": 10**6, "test": 10} for index in range(30)}
    report = Report("tiny", "word " * 50, findings, {"train": 10**7, "validation": 10, "test": 10}, classes)
    text = render(report)
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("error:") < text.index("info:")
    assert "(10 more)" in text
    assert text.endswith("Not ready: 1 error")


@pytest.mark.parametrize("broken", [False, True])
def test_the_command_prints_one_object_and_exits_with_2_on_errors_alone(
    tiny_bert_folder: Path, tiny_reviews: Path, tmp_path: Path, broken: bool
) -> None:
    files = {"train": str(tiny_reviews), "validation": str(tiny_reviews)}
    data = {"text": "txt"} if broken else {}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(_recipe(tiny_bert_folder, files, data=data)))
    stdout = io.StringIO()
    output = Output(as_json=True, stdout=stdout, stderr=io.StringIO())
    code = check_command.execute(Namespace(recipe=str(path), set=[], fast=False, runs_dir=str(tmp_path)), output)
    (line,) = stdout.getvalue().splitlines()
    report = json.loads(line)
    assert (code, report["ok"]) == ((2, False) if broken else (0, True))
    if not broken:
        assert report["estimate"]["seconds"] > 0
        assert any(finding["code"] == "not-held-out" for finding in report["findings"])
