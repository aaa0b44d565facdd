"""Make `hftune:movie-reviews` again: `python -m hftune.starters.movie_reviews.build [FOLDER]`.

Fetches the source distribution of vaderSentiment 3.3.2 with pip (by hash) and writes train, validation and
test.parquet to FOLDER (default: this package).
"""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

REQUIREMENT = "vaderSentiment==3.3.2 --hash=sha256:5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
OUTER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
INNER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
INNER_SHA256 = "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"

HELD_OUT = 1060  # rows of test, and of validation: a tenth each
SCHEMA = pa.schema([("text", pa.string()), ("rating", pa.float64()), ("label", pa.string())])

Row = tuple[str, float]


def main(folder: Path) -> None:
    """Fetch the ratings and write the three splits to `folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        splits = split(read(fetch(Path(temporary))))
    for name, rows in splits.items():
        columns = {
            "text": [text for text, _ in rows],
            "rating": [rating for _, rating in rows],
            "label": [label(rating) for _, rating in rows],
        }
        pq.write_table(pa.table(columns, SCHEMA), folder / f"{name}.parquet", compression="zstd", compression_level=19)
        print(f"{name}: {len(rows)} rows")


def fetch(folder: Path) -> Path:
    """Download the source distribution into `folder` and return its path; pip checks the hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENT + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
    subprocess.run([*pip, "-r", str(requirements), "-d", str(folder)], check=True)
    return next(folder.glob("*.tar.gz"))


def read(archive: Path) -> list[Row]:
    """Return (text, mean rating) in file order from the source distribution."""
    with tarfile.open(archive) as outer:
        member = outer.extractfile(OUTER)
        assert member is not None
        with tarfile.open(fileobj=io.BytesIO(member.read())) as inner:
            ratings = inner.extractfile(INNER)
            assert ratings is not None
            content = ratings.read()
    if hashlib.sha256(content).hexdigest() != INNER_SHA256:
        raise SystemExit(f"{INNER} is not the file this starter was made from")
    lines = content.decode("utf-8").split("\r\n")
    return [(text, float(rating)) for _, rating, text in (line.split("\t") for line in lines if line)]


def split(rows: list[Row]) -> dict[str, list[Row]]:
    """Shuffle with `random.Random(0)` and cut; then all copies of a text go where training sees them.

    Joined into train rather than into a held-out split: there a sentence would be scored twice.
    """
    shuffled = list(rows)
    random.Random(0).shuffle(shuffled)
    cut = {
        "test": shuffled[:HELD_OUT],
        "validation": shuffled[HELD_OUT : 2 * HELD_OUT],
        "train": shuffled[2 * HELD_OUT :],
    }
    home: dict[str, str] = {}
    for name, part in cut.items():  # train comes last, so it wins over validation, and that over test
        home.update(dict.fromkeys((text for text, _ in part), name))
    return {name: [row for row in shuffled if home[row[0]] == name] for name in ("train", "validation", "test")}


def label(rating: float) -> str | None:
    """Return the class of a mean rating; a rating of exactly 0 has none."""
    return None if rating == 0 else "positive" if rating > 0 else "negative"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
