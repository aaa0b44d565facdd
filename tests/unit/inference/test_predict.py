"""hftune predict: texts and files; bad rows lose nothing; what is written is whole or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import resource
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking.answers import prediction_lines
from hftune.errors import DataError, HftuneError
from hftune.inference import file_labels, row_files, row_formats
from hftune.inference.file_labels import Job, Labelled, Listener, label_file
from hftune.inference.predictor import Predictor
from hftune.sanitize import columns_of


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
        shown = prediction_lines({"label": label, "probabilities": shares})
        assert all(len("  " + line) <= 80 for line in shown)


def test_chinese_and_emoji_take_two_columns(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = {"一个非常非常非常非常长的标签名称": 0.75, "🙂": 0.25}
    for line in prediction_lines({"label": "🙂", "probabilities": shares}):
        assert columns_of("  " + line) <= 80 and columns_of(line[: line.index("░")].rstrip("█ ")) <= 24
    assert cli.run(["predict", str(classifier), "好" * 100]) == 0
    assert max(map(columns_of, capsys.readouterr().out.splitlines())) <= 80


def test_bytes_that_are_no_text_are_one_bad_line(
    classifier: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\n\xff film\nbad\n"), encoding="utf-8"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", str(classifier), "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ended.value.code == 0 and [record.get("error") for record in records] == [None, "'text' is not UTF-8", None]


def test_a_text_read_in_part_is_said_to_be(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(classifier), "good " * 60]) == 0
    assert "only the beginning was read: the text has 62 tokens" in capsys.readouterr().out


def test_an_input_is_not_written_over(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\ngood film\n")
    code, records, _ = predict(capsys, classifier, "--input", source, "--output", tmp_path / "." / "in.csv")
    assert code == 2 and "--output is the --input" in records[-1]["error"]["message"]
    assert source.read_text() == "text\ngood film\n"


def test_what_is_no_file_is_not_replaced_and_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\ngood film\n")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    os.mkfifo(tmp_path / "out.jsonl.partial")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    expected = {
        "folder.csv": "folder.csv is a folder",
        "pipe.jsonl": "pipe.jsonl is not a file",
        "out.jsonl": "out.jsonl.partial is not a file",
        "loop.csv": "loop.csv is not a file",
        "none/out.csv": "there is no folder",
        "out.xlsx": "cannot tell the format",
    }
    before = sorted(tmp_path.iterdir())
    for name, said in expected.items():
        # The run does not exist: were it looked for first, the error would be about that.
        code, records, _ = predict(capsys, tmp_path / "no-run", "--input", source, "--output", tmp_path / name)
        assert code == 2 and said in records[-1]["error"]["message"]
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "pipe.jsonl").is_fifo()


def test_through_a_link_the_file_it_means_is_written(classifier: Path, tmp_path: Path) -> None:
    source, sink, link = tmp_path / "in.txt", tmp_path / "else" / "out.jsonl", tmp_path / "link.jsonl"
    source.write_text("good\n")
    sink.parent.mkdir()
    link.symlink_to(sink)
    assert cli.run(["predict", str(classifier), "--input", str(source), "--output", str(link)]) == 0
    assert link.is_symlink() and json.loads(sink.read_text())["text"] == "good"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["else", "in.txt", "link.jsonl", "out.jsonl"]


def test_rows_saved_from_a_broken_off_run_are_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "out.jsonl.partial"
    source.write_text('{"text": "good"}\n')
    code, records, _ = predict(capsys, "any", "--input", source, "--output", tmp_path / "out.jsonl")
    assert code == 2 and "--output is the --input" in records[-1]["error"]["message"]
    assert source.read_text() == '{"text": "good"}\n'


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
    (record,) = records
    assert code == 0 and record.pop("energy")["wh"] > 0
    assert record == {"output": str(sink), "rows": 7, "bad": 4}
    assert [row["id"] for row in rows] == list("1234567")
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, True, True, False]
    assert [bool(row["predicted_label"]) for row in rows] == [not row["error"] for row in rows]
    assert rows[0]["label"] == 'a, "b"' and rows[2]["text"] == "bad\nfilm"
    assert rows[5]["text"] == "\udcff"
    assert all(f"in.csv:{line}:" in errors for line in (3, 6, 7, 8))
    assert not sink.with_name("out.csv.partial").exists()


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quote_that_is_never_closed_is_a_bad_row_and_not_one_long_text(tmp_path: Path, end: str) -> None:
    source = tmp_path / "in.csv"
    source.write_text('id,text\n1,good\n2,"bad\n3,fine\n4,ok' + end)
    first, last = row_files.open_rows(source)
    assert not first.error and last.number == 3 and "never closed" in last.error
    source.write_text('id,text\n1,"good\nfilm"\n2,"a ""b"" c"' + end)
    assert not any(row.error for row in row_files.open_rows(source))


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

    found = label_file(Predictor.load(classifier), Job(source, batch_size=4), Listener(record=emit))
    window = 4 * file_labels.BATCHES_A_WINDOW
    # The first window is looked at before any work, for its columns.
    assert found == Labelled(1000) and done == 1000 and most < 2 * window


def test_a_missing_column_names_the_closest(classifier: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("txt,n\ngood,1\n")
    with pytest.raises(DataError, match="no column 'text'") as caught:
        label_file(Predictor.load(classifier), Job(source), Listener())
    assert "'txt'" in caught.value.hint


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_an_output_that_may_not_grow_is_said_to_be_so(classifier: Path, tmp_path: Path, ending: str) -> None:
    source, sink = tmp_path / "in.jsonl", tmp_path / f"out{ending}"
    noise = random.Random(0)
    rows = [{"text": "good", "more": noise.randbytes(2500).hex(), "n": n} for n in range(100)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predictor = Predictor.load(classifier)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(HftuneError, match=r"cannot be written: .*File too large"):
            label_file(predictor, Job(source, sink, 4), Listener())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [source]


def test_a_reader_that_has_gone_is_no_full_disk(classifier: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("good\n")

    def gone(record: Any) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        label_file(Predictor.load(classifier), Job(source), Listener(record=gone))


def test_a_parquet_file_that_ends_in_the_middle_names_the_row(classifier: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    source = tmp_path / "in.parquet"
    texts = [f"good {number}" for number in range(4000)]
    parquet.write_table(
        pa.table({"text": texts}), source, row_group_size=2000, use_dictionary=False, compression="none"
    )
    whole = bytearray(source.read_bytes())
    middle = whole.index(b"good 3000")
    whole[middle - 20000 : middle + 2000] = b"\xff" * 22000
    source.write_bytes(whole)
    rows = row_files.open_rows(source)
    with pytest.raises(DataError, match=r"in.parquet: row \d+ and those after it cannot be read"):
        list(rows)


def test_figures_that_are_no_numbers_are_null_in_json_lines() -> None:
    written = row_formats.JsonLines().encode([{"share": float("nan"), "text": "\ud800 naïve"}], first=True)
    assert json.loads(written, parse_constant=pytest.fail) == {"share": None, "text": "\ud800 naïve"}


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
