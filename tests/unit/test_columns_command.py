"""`hftune columns FILE`: figures of each column, what it could be used for, and errors with their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.data import profile as profiles
from hftune.data.files import load_file
from hftune.data.profile import profile
from hftune.errors import EXIT_DONE, EXIT_USAGE

REVIEWS = [
    {"id": 11, "review": "a fine film, warm and funny", "mood": "good", "stars": 4, "price": 1.5, "note": None},
    {"id": 12, "review": "a dull film that never ends", "mood": "bad", "stars": 1, "price": 2.25, "note": None},
    {"id": 13, "review": "we loved all of it, twice over", "mood": "good", "stars": 5, "price": 3.5, "note": None},
    {"id": 14, "review": "awful, cold and very boring", "mood": "bad", "stars": 2, "price": 0.5, "note": None},
    {"id": 15, "review": None, "mood": "good", "stars": 5, "price": None, "note": None},
    {"id": 16, "review": "i found it weak and far too long", "mood": "bad", "stars": 1, "price": 9.0, "note": None},
]


def write(path: Path, rows: list[dict[str, Any]] = REVIEWS) -> Path:
    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if path.suffix in (".csv", ".tsv"):
        mark = "," if path.suffix == ".csv" else "\t"
        cells = [list(rows[0]), *(row.values() for row in rows)]
        quoted = [["" if cell is None else json.dumps(str(cell)) for cell in row] for row in cells]
        path.write_text("".join(mark.join(row) + "\n" for row in quoted), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        load_file(lines).to_parquet(path)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.run(["columns", *words, "--json"]) == EXIT_DONE
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    record["columns"] = {column["name"]: column for column in record["columns"]}
    return record


def refused(capsys: pytest.CaptureFixture[str], path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    assert cli.run(["columns", str(path)]) == EXIT_USAGE
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_says_the_same_of_the_same_rows(tmp_path, capsys, ending):
    record = told(capsys, str(write(tmp_path / f"a.{ending}")))
    assert (record["rows"], record["whole"], record["rows_in_file"]) == (6, True, 6)
    uses = {name: column["use"] for name, column in record["columns"].items()}
    assert uses == {
        "id": "id", "review": "text", "mood": "label", "stars": "number", "price": "number", "note": "unused",
    }  # fmt: skip
    review, mood, price = (record["columns"][name] for name in ("review", "mood", "price"))
    assert (review["type"], review["missing"], review["distinct"], review["longest"]) == ("text", 1, 5, 32)
    assert review["length"] == pytest.approx((27 + 27 + 30 + 27 + 32) / 5)
    assert review["examples"][0] == "a fine film, warm and funny"
    assert (mood["counts"], mood["rarest"]) == ([["good", 3], ["bad", 3]], 3)
    assert (price["type"], price["missing"], price["length"]) == ("number", 1, None)
    assert (record["text"], record["label"]) == ("review", "mood")


def test_people_get_two_lines_a_column_in_80_columns(tmp_path, capsys):
    assert cli.run(["columns", str(write(tmp_path / "a.csv"))]) == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert "6 rows, 6 columns" in lines[0]
    assert max(len(line) for line in lines[2:14]) <= 80
    line = next(line for line in lines if line.startswith("review"))
    assert line.split() == ["review", "text", "1", "missing", "5", "distinct", "text"]
    assert "text: review, label: mood" in lines[-2]


def test_hostile_names_and_values_are_shown_clean_and_kept_exact(tmp_path, capsys):
    name = "te\x1b]52;c;aGk=\x07xt\n[red]"
    rows = [{name: f"\x1b[31mred\x1b[0m {number} [bold]and more words", "标签": "好"} for number in range(3)]
    path = tmp_path / "a.jsonl"
    write(path, rows)
    record = told(capsys, str(path))
    assert record["columns"][name]["examples"][0] == "red 0 [bold]and more words"
    assert cli.run(["columns", str(path)]) == EXIT_DONE
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\ntext [red]" in said


def test_chinese_texts_are_told_from_chinese_labels(tmp_path, capsys):
    rows = [{"评论": f"这部电影真的很好看{number}", "类别": "正面" if number % 2 else "负面"} for number in range(8)]
    record = told(capsys, str(write(tmp_path / "a.jsonl", rows)))
    assert (record["text"], record["label"]) == ("评论", "类别")
    assert record["columns"]["评论"]["wide"] is True


def test_other_kinds_of_columns_are_named(tmp_path, capsys):
    rows = [
        {"messages": [{"role": "user", "content": "hi"}], "tags": ["a", "b"], "yes": True, "more": {"a": number}}
        for number in range(4)
    ]
    columns = told(capsys, str(write(tmp_path / "a.jsonl", rows)))["columns"]
    kinds = {name: column["type"] for name, column in columns.items()}
    assert kinds == {"messages": "messages", "tags": "list", "yes": "boolean", "more": "object"}


def test_conversations_are_what_a_recipe_would_learn(tmp_path, capsys):
    turns = [[{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "hello"}] for n in range(4)]
    path = write(tmp_path / "a.jsonl", [{"text": "always the same words", "talk": one} for one in turns])
    assert cli.run(["columns", str(path)]) == EXIT_DONE
    assert f"data: {{files: {path}, messages: talk}}" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_of_a_large_file_the_beginning_is_read_and_that_is_said(tmp_path, monkeypatch, capsys, ending):
    rows = [{"text": f"row {number} with a\nline break", "n": number} for number in range(9000)]
    path = write(tmp_path / f"a.{ending}", rows)
    most = 20_000
    monkeypatch.setattr(profiles, "WHOLE_BYTES", most)
    found = profile(path, most)
    assert not found.whole
    assert 100 < found.rows < 2000
    assert found.rows_in_file == pytest.approx(9000, rel=0.1)
    assert load_file(path, most=most).to_list() == load_file(path).to_list()[: found.rows]
    assert [column.distinct for column in found.columns] == [found.rows, found.rows]


def test_a_json_list_in_an_object_can_be_cut_too(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({'da"ta': [{"n": number} for number in range(1000)]}))
    assert load_file(path, most=500).to_list() == [{"n": number} for number in range(len(load_file(path, most=500)))]
    assert len(load_file(path)) == 1000


def test_ten_thousand_columns_are_told_whole_as_json_and_cut_for_people(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{number}" for number in range(10_000)) + "\n" + ",".join(["1"] * 10_000) + "\n")
    assert len(told(capsys, str(path))["columns"]) == 10_000
    assert cli.run(["columns", str(path)]) == EXIT_DONE
    assert "… and 9,900 more" in capsys.readouterr().out


def test_files_that_no_recipe_could_read_are_refused_with_their_place(tmp_path, capsys):
    assert "no header line" in refused(capsys, tmp_path / "a.csv", b"")
    assert "no rows in it" in refused(capsys, tmp_path / "b.csv", b"text,label\n")
    assert "c.csv:3: not UTF-8" in refused(capsys, tmp_path / "c.csv", "text\na\ncafé\n".encode("latin-1"))
    assert "d.csv:3: 3 fields" in refused(capsys, tmp_path / "d.csv", b"text,label\na,b\na,b,c\n")
    assert "e.jsonl:2:10: not JSON" in refused(capsys, tmp_path / "e.jsonl", b'{"a": 1}\n{"a": 1, }\n')
    assert "half of a character" in refused(capsys, tmp_path / "f.jsonl", b'{"a\\ud800": 1}\n')
    assert "is a folder" in refused(capsys, tmp_path)
    assert "no file" in refused(capsys, tmp_path / "nothing.csv")
    assert "unknown file type" in refused(capsys, tmp_path / "a.xlsx", b"x")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr("hftune.data.files.FIELD_LIMIT", 1 << 20)
    said = refused(capsys, tmp_path / name, b"text\nfine\n" * (name != "a.jsonl") + b"x" * (3 << 20))
    assert "a line of more than 1 MiB" in said
    assert f"{name}:{1 if name == 'a.jsonl' else 3}: " in said


def test_a_quote_never_closed_in_a_large_file_is_no_end_of_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"open,a\n' + "fine,b\n" * 5000)
    with pytest.raises(Exception, match=r"a\.csv:2: a quote opened in this row is never closed"):
        load_file(path, most=2000)
