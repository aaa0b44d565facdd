"""hftune predict: texts and files; bad rows lose nothing; what is written is whole or not there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.commands.bars import prediction_lines
from hftune.errors import DataError, HftuneError
from hftune.inference import file_labels, row_files
from hftune.inference.predictor import Predictor


def predict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[Any], str]:
    """Run `hftune predict --json`; return exit code, records, stderr."""
    code = cli.run(["predict", *map(str, words), "--json"])
    shown = capsys.readouterr()
    return code, [json.loads(line) for line in shown.out.splitlines()], shown.err


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_texts_get_labels_with_probabilities(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, records, _ = predict(capsys, classifier, "the film was good", "bad")
    assert code == 0 and [record["text"] for record in records] == ["the film was good", "bad"]
    for record in records:
        assert record["label"] == max(record["probabilities"], key=record["probabilities"].get)


def test_people_get_bars_and_no_control_characters(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(classifier), "good \x1b[31m\x07film"]) == 0
    shown = capsys.readouterr().out
    assert "█" in shown and "\x1b" not in shown and "\x07" not in shown
    assert len([line for line in shown.splitlines() if "░" in line or "█" in line]) == 3
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_bars_with_long_names_fit_in_80_columns() -> None:
    shares = {"a label with a name of many words": 0.75, "another label with a long name": 0.25}
    for label in ("a label with a name of many words", ["another label with a long name"]):
        shown = prediction_lines({"label": label, "probabilities": shares}, io.StringIO())
        assert all(len("  " + line) <= 80 for line in shown)


def test_an_input_is_not_written_over(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\ngood film\n")
    code, records, _ = predict(capsys, classifier, "--input", source, "--output", tmp_path / "." / "in.csv")
    assert code == 2 and "--output is the --input" in records[-1]["error"]["message"]
    assert source.read_text() == "text\ngood film\n"


def test_lines_of_standard_input_are_labelled(
    classifier: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("good film\n\nbad film\n"))
    _, records, _ = predict(capsys, classifier)
    assert [record.get("label") is None for record in records] == [False, True, False]
    assert records[1]["error"]


def test_a_file_keeps_order_and_columns_and_its_bad_rows(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, sink = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(
        b'\xef\xbb\xbfid,text,label\n1,good film,"a, ""b"""\n2,,x\n3,"bad\nfilm",\n4,a,b,c\n5,ab\n6,\xff,y\n7,fine,z\n'
    )
    code, records, errors = predict(capsys, classifier, "--input", source, "--output", sink, "--batch-size", 2)
    rows = read_csv(sink)
    assert code == 0 and records == [{"output": str(sink), "rows": 7, "bad": 4}]
    assert [row["id"] for row in rows] == list("1234567")
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, True, True, False]
    assert [bool(row["predicted_label"]) for row in rows] == [not row["error"] for row in rows]
    assert rows[0]["label"] == 'a, "b"' and rows[2]["text"] == "bad\nfilm"
    assert rows[5]["text"] == "\udcff"
    assert all(f"in.csv:{line}:" in errors for line in (3, 6, 7, 8))
    assert not sink.with_name("out.csv.partial").exists()


def test_a_label_is_the_same_in_a_file_and_alone(classifier: Path, tmp_path: Path) -> None:
    texts = ["very " * (number % 9) + "good" for number in range(100)]
    source, sink = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(texts) + "\n")
    assert (
        cli.run(["predict", str(classifier), "--input", str(source), "--output", str(sink), "--batch-size", "3"]) == 0
    )
    rows = [json.loads(line) for line in sink.read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    for row, alone in zip(rows, Predictor.load(classifier).classify(texts), strict=True):
        assert row["probabilities"] == pytest.approx(alone.probabilities, abs=1e-5)


def test_json_lines_keep_values_as_they_are(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, sink = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = {"text": "good", "n": 12345678901234567890, "deep": {"a": [1, None]}, "sur": "\ud800"}
    lines = [
        json.dumps(good),
        "{broken",
        "[1]",
        '{"text": null}',
        '{"text": 3}',
        '{"other": 1}',
        "",
        '{"text": "\\ud800"}',
    ]
    source.write_text("\n".join(lines) + "\n")
    _, records, _ = predict(capsys, classifier, "--input", source, "--output", sink)
    rows = [json.loads(line) for line in sink.read_text().splitlines()]
    assert records[0]["rows"] == 7 and records[0]["bad"] == 5
    assert {key: rows[0][key] for key in good} == good
    assert rows[1]["raw"] == "{broken" and "not JSON" in rows[1]["error"]
    assert "label" in rows[0] and "label" in rows[-1] and "label" not in rows[1]


def test_parquet_keeps_its_types(classifier: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    source, sink = tmp_path / "in.parquet", tmp_path / "out.parquet"
    schema = pa.schema(
        [("text", pa.large_string()), ("n", pa.int8()), ("when", pa.timestamp("ms")), ("l", pa.list_(pa.int32()))]
    )
    table = pa.table(
        {"text": ["good", None, "bad"], "n": [1, 2, None], "when": [0, 1, 2], "l": [[1], [], None]}, schema
    )
    parquet.write_table(table, source)
    assert cli.run(["predict", str(classifier), "--input", str(source), "--output", str(sink)]) == 0
    found = parquet.read_table(sink)
    assert found.select(schema.names).equals(table)
    assert found.schema.field("probability_neutral").type == pa.float64()
    assert [bool(error) for error in found["error"].to_pylist()] == [False, True, False]


def test_a_file_is_read_a_piece_at_a_time(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "good"}\n' * 1000)
    read, most = 0, 0
    inner = row_files.JsonRows.__iter__

    def counted(self: Any) -> Any:
        nonlocal read
        for row in inner(self):
            read += 1
            yield row

    monkeypatch.setattr(row_files.JsonRows, "__iter__", counted)
    done = 0

    def emit(record: Any) -> None:
        nonlocal done, most
        done += 1
        most = max(most, read - done)

    found = file_labels.label_file(Predictor.load(classifier), source, None, 4, lambda row: None, emit)
    assert found.rows == done == 1000 and most < 4 * file_labels.BATCHES_A_CHUNK


def test_a_missing_column_names_the_closest(classifier: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("txt,n\ngood,1\n")
    with pytest.raises(DataError, match="no column 'text'") as caught:
        file_labels.label_file(Predictor.load(classifier), source, None, 4, print, print)
    assert "'txt'" in caught.value.hint


def test_a_full_disk_leaves_the_old_output_and_says_how_far_it_came(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("good\n" * 200)
    sink.write_text("old")

    def refuse(self: Any, rows: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(row_files.RowWriter, "write", refuse)
    with pytest.raises(HftuneError, match="No space left"):
        file_labels.label_file(Predictor.load(classifier), source, sink, 4, print, print)
    assert sink.read_text() == "old"


def test_a_column_named_like_ours_in_a_later_row_is_kept(classifier: Path, tmp_path: Path) -> None:
    source, sink = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "good"}\n' * 64 + '{"text": "bad", "label": "mine"}\n')
    assert (
        cli.run(["predict", str(classifier), "--input", str(source), "--output", str(sink), "--batch-size", "4"]) == 0
    )
    last = json.loads(sink.read_text().splitlines()[-1])
    assert last["input_label"] == "mine" and last["label"] in last["probabilities"]


@pytest.mark.parametrize(
    "words",
    [
        ["a text", "--input", "f.csv"],
        ["a text", "--output", "f.csv"],
        ["a text", "--batch-size", "0"],
        ["--input", "f.xlsx"],
        ["--input", "missing.csv"],
    ],
)
def test_wrong_usage_is_exit_code_2(classifier: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(classifier), *words]) == 2
    assert capsys.readouterr().err.startswith("hftune: ")
