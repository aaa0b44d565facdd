"""Lines of a file with their place to the byte; rows read from any place on."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from hftune.errors import DataError
from hftune.inference import byte_lines, row_files
from hftune.inference.beginnings import Beginning, Tally, read_beginning
from hftune.inference.byte_lines import ByteLines
from hftune.inference.row_files import TOO_LONG, open_rows

PARTS = [
    b"a",
    b"\n",
    b"\r",
    b"\r\n",
    "好".encode(),
    "🙂".encode(),
    b"\xff",
    b"\xe5",
    b'"',
    b",",
    b" ",
    b"\x00",
    b"\xc2\x85",
]


def lines_of(content: bytes) -> ByteLines:
    return ByteLines(io.BytesIO(content), Path("any"))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every boundary between two blocks falls somewhere interesting."""
    monkeypatch.setattr(byte_lines, "BLOCK", 3)


def random_content(seed: int) -> bytes:
    chance = random.Random(seed)
    return b"".join(chance.choices(PARTS, k=chance.randrange(40)))


@pytest.mark.parametrize("seed", range(200))
def test_lines_are_those_of_a_text_stream(small_blocks: None, seed: int) -> None:
    content = random_content(seed)
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape", newline="")
    assert list(lines_of(content)) == list(stream)


@pytest.mark.parametrize("seed", range(50))
def test_the_rest_from_any_line_on_is_the_rest(small_blocks: None, seed: int) -> None:
    content = random_content(seed)
    lines, places = lines_of(content), []
    whole = []
    for line in lines:
        whole.append(line)
        places.append((lines.number, lines.tally.beginning()))
    for number, beginning in places:
        file = io.BytesIO(content)
        tally = read_beginning(file, beginning)
        assert tally is not None and file.tell() == beginning.bytes
        rest = ByteLines(file, Path("any"), tally, number)
        assert list(rest) == whole[number:] and rest.tally.beginning() == places[-1][1]


def test_a_mark_of_byte_order_is_no_text_but_counts() -> None:
    lines = lines_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb")
    assert list(lines) == ["a\n", "\ufeffb"] and lines.tally.bytes == 9


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_without_end_is_left_out_and_said_to_be(
    small_blocks: None, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(byte_lines, "LONGEST_LINE", 10)
    content = b"first\n" + b"x" * 50 + end + (b"last" if end else b"")
    lines = lines_of(content)
    assert next(lines) == "first\n" and not lines.cut
    assert next(lines) == "" and lines.cut and lines.number == 2
    assert list(lines) == (["last"] if end else [])
    tally = Tally()
    tally.add(content)
    assert lines.tally.beginning() == tally.beginning()


def test_what_cannot_be_read_is_said() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"in\.csv: cannot be read: Input/output error"):
        next(ByteLines(Broken(), Path("in.csv")))


def test_a_beginning_that_is_another_or_too_short_is_none() -> None:
    right = Tally()
    right.add(b"abc")
    assert read_beginning(io.BytesIO(b"abcd"), right.beginning()) is not None
    assert read_beginning(io.BytesIO(b"abd"), right.beginning()) is None
    assert read_beginning(io.BytesIO(b"ab"), right.beginning()) is None
    assert read_beginning(io.BytesIO(b""), Beginning(0, Tally().beginning().sha256)) is not None


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows by a file's ending."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["te\nxt", "n"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".txt"])
def test_rows_from_any_place_on_are_the_rest(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files.ParquetRows, "MOST_ROWS", 3)
    path = written(tmp_path / f"in{ending}", [{"te\nxt": f'a "quoted"\n{n}', "n": n} for n in range(20)])
    rows = open_rows(path)
    places = [(row, rows.place, rows.share) for row in rows]
    whole = [row for row, _, _ in places]
    for done, (_, place, share) in enumerate(places, 1):
        again = open_rows(path)
        next(iter(again))
        assert again.go_on(place) and again.share == share
        assert list(again) == whole[done:]
        assert again.place == rows.place and again.share == 1.0


def test_a_line_too_long_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_lines, "LONGEST_LINE", 100)
    monkeypatch.setattr(byte_lines, "BLOCK", 16)
    long = "x" * 500
    contents = {
        "in.csv": f"text,n\ngood,1\n{long},2\nfine,3\n",
        "in.jsonl": f'{{"text": "good"}}\n{{"text": "{long}"}}\n{{"text": "fine"}}\n',
        "in.txt": f"good\n{long}\nfine\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        first, bad, last = open_rows(tmp_path / name)
        assert (first.error, bad.error, last.error) == ("", TOO_LONG, "")
        assert last.values["text"] == "fine" and last.number == bad.number + 1
