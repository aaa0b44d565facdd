"""Reading local files: every format, and the line of whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hftune.data.files import load_file
from hftune.data.load import load_splits
from hftune.errors import DataError
from hftune.recipe.schema import DataSection


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def fails(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_file(path)
    return str(caught.value)


def test_formats_give_the_same_rows(tmp_path):
    rows = [{"text": 'He said "fine", twice', "label": "positive"}, {"text": "line\nbreak é", "label": "negative"}]
    csv = write(tmp_path / "a.csv", 'text,label\n"He said ""fine"", twice",positive\n"line\nbreak é",negative\n')
    tsv = write(tmp_path / "a.tsv", 'text\tlabel\n"He said ""fine"", twice"\tpositive\n"line\nbreak é"\tnegative\n')
    lines = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    array = write(tmp_path / "a.json", json.dumps({"data": rows}))
    load_file(csv).to_parquet(tmp_path / "a.parquet")
    for path in (csv, tsv, lines, array, tmp_path / "a.parquet"):
        assert load_file(path).to_list() == rows, path


def test_text_file_has_one_example_a_line_without_blank_ones(tmp_path):
    assert load_file(write(tmp_path / "a.txt", "one\r\n\n  \ntwo"))["text"][:] == ["one", "two"]


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert load_file(write(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\nx,y\n")).column_names == ["text", "label"]


def test_words_that_pandas_takes_for_nothing_stay_text(tmp_path):
    dataset = load_file(write(tmp_path / "a.csv", "text,label\nNA,null\nNone,nan\n"))
    assert dataset.to_list() == [{"text": "NA", "label": "null"}, {"text": "None", "label": "nan"}]


def test_a_column_has_one_type_decided_by_all_its_rows(tmp_path):
    many = "".join(f"{row},{row}\n" for row in range(11_000))
    dataset = load_file(write(tmp_path / "a.csv", "text,n\n" + many + "last one,11\n"))
    assert dataset[0] == {"text": "0", "n": 0}
    assert dataset[11_000] == {"text": "last one", "n": 11}


def test_numbers_are_numbers_and_codes_with_leading_zeros_are_not(tmp_path):
    dataset = load_file(write(tmp_path / "a.csv", "i,f,code,gap\n1,1.5,007,3\n-2,2e3,010,\n"))
    assert dataset.to_list() == [
        {"i": 1, "f": 1.5, "code": "007", "gap": 3},
        {"i": -2, "f": 2000.0, "code": "010", "gap": None},
    ]


def test_columns_that_stay_text_keep_every_character(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\n1.50,1\n7,2\n")
    assert load_file(path, as_text=["text"]).to_list() == [{"text": "1.50", "label": 1}, {"text": "7", "label": 2}]


@pytest.mark.parametrize("codes", ["01,10", "-01,10", "12345678901234567890,1", "1.0.2,1"])
def test_codes_made_of_digits_keep_every_digit(tmp_path, codes):
    path = write(tmp_path / "a.csv", "code\n" + codes.replace(",", "\n"))
    assert load_file(path)["code"][:] == codes.split(",")


def test_semicolons_part_a_file_whose_header_has_no_comma(tmp_path):
    assert load_file(write(tmp_path / "a.csv", "text;label\na, b;c\n"))[0] == {"text": "a, b", "label": "c"}


def test_a_comma_outside_quotes_names_the_line_and_the_way_out(tmp_path):
    said = fails(write(tmp_path / "a.csv", 'text,label\n"two\nlines",x\nbad, really,y\n'))
    assert "a.csv:4: 3 fields, but the header names 2 (text, label)" in said
    assert "must stand in quotes" in said


def test_an_open_quote_is_found_where_it_opens(tmp_path):
    said = fails(write(tmp_path / "a.csv", 'text,label\na,b\n"open,c\nd,e\n'))
    assert "a.csv:3: a quote opened in this row is never closed" in said


def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_after_it(tmp_path):
    said = fails(write(tmp_path / "a.csv", 'label,text\nx,a\ny,"open\nz,c\n'))
    assert "a.csv:3: a quote opened in this row is never closed" in said
    assert load_file(write(tmp_path / "b.csv", 'label,text\nx,"a\nb"'))["text"][:] == ["a\nb"]


def test_header_mistakes_are_named(tmp_path):
    assert "two columns are called 'text'" in fails(write(tmp_path / "a.csv", "text,text\na,b\n"))
    assert "column 2 has no name" in fails(write(tmp_path / "b.csv", "text,,label\na,b,c\n"))
    assert load_file(write(tmp_path / "c.csv", ",text\n0,a\n")).column_names == ["index", "text"]


def test_broken_json_names_line_and_column(tmp_path):
    good = '{"text": "a"}\n'
    said = fails(write(tmp_path / "a.jsonl", good * 16 + '{"text": "a",}\n' + good))
    assert "a.jsonl:17:14: not JSON" in said
    assert "b.jsonl:1:13: not JSON" in fails(write(tmp_path / "b.jsonl", '{"text": "a"\n'))
    assert "not JSON" in said
    assert "a.json:2:" in fails(write(tmp_path / "a.json", '[{"a": 1},\n {"a" 2}]'))
    assert "call the file .json" in fails(write(tmp_path / "b.jsonl", "[\n1]"))
    assert "b.jsonl:2: list found" in fails(write(tmp_path / "b.jsonl", '{"a": 1}\n[1]\n'))


def test_json_lines_under_the_name_json_are_read(tmp_path):
    assert len(load_file(write(tmp_path / "a.json", '{"a": 1}\n{"a": 2}\n'))) == 2


def test_a_value_of_another_type_names_its_line(tmp_path):
    said = fails(write(tmp_path / "a.jsonl", '{"label": 1}\n\n{"label": "one"}\n'))
    assert "a.jsonl:3: label is str ('one') where earlier rows have int" in said

    said = fails(write(tmp_path / "b.jsonl", '{"n": 1}\n{"n": 2.5}\n{"n": "x"}\n'))
    assert "b.jsonl:3: n is str ('x') where earlier rows have int" in said


def test_half_a_character_names_its_line(tmp_path):
    said = fails(write(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude00"}\n\n{"text": "cut \\ud83d"}\n'))
    assert "a.jsonl:3: text holds half of a character" in said
    said = fails(write(tmp_path / "b.jsonl", '{"messages": [{"role": "user", "content": "\\udc00"}]}'))
    assert "b.jsonl:1: messages holds half of a character" in said


def test_a_key_that_a_row_leaves_out_is_null_there(tmp_path):
    dataset = load_file(write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b", "label": "x"}\n'))
    assert dataset["label"][:] == [None, "x"]


def test_messages_keep_their_structure(tmp_path):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    dataset = load_file(write(tmp_path / "a.jsonl", json.dumps({"messages": turns}) + "\n"))
    assert dataset[0]["messages"] == turns


def test_other_encodings_are_named_with_the_line(tmp_path):
    said = fails(write(tmp_path / "a.csv", "text,label\nok,a\ncafé,b\n".encode("latin-1")))
    assert "a.csv:3: not UTF-8 (it looks like WINDOWS-1252)" in said
    assert "iconv" in said
    assert "UTF-16" in fails(write(tmp_path / "b.csv", "text\na\n".encode("utf-16")))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "a.parquet"])
def test_an_empty_file_is_an_error_in_every_format(tmp_path, name):
    assert name in fails(write(tmp_path / name, b""))


def test_a_header_alone_is_an_empty_file(tmp_path):
    assert "no rows" in fails(write(tmp_path / "a.csv", "text,label\n"))


def test_a_missing_file_names_the_nearest_in_its_folder(tmp_path):
    write(tmp_path / "reviews.csv", "text\na\n")
    assert "Did you mean 'reviews.csv'?" in fails(tmp_path / "review.csv")
    assert "no folder" in fails(tmp_path / "nowhere" / "a.csv")
    assert "cannot be read: File name too long" in fails(tmp_path / ("a" * 5000 + ".csv"))
    assert "unknown file type '.xlsx'" in fails(write(tmp_path / "a.xlsx", "a"))
    (tmp_path / "d").mkdir()
    assert "is a folder" in fails(tmp_path / "d")


def test_files_leave_nothing_beside_them(tmp_path):
    write(tmp_path / "a.csv", "text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(20)))
    load_splits(DataSection(files=str(tmp_path / "a.csv")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
