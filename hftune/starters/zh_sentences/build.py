"""Make `hftune:zh-sentences` again: `python -m hftune.starters.zh_sentences.build [FOLDER]`.

Reads sentences.json beside this file (label -> sentences, the n-th of both mostly on the same subject) and writes
train, validation and test.parquet to FOLDER (default: this package).
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SOURCE = Path(__file__).parent / "sentences.json"
HELD_OUT = 25  # pairs of test, and of validation
SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string())])

Row = tuple[str, str]


def main(folder: Path) -> None:
    """Write the three splits to `folder`."""
    for name, rows in split(json.loads(SOURCE.read_text(encoding="utf-8"))).items():
        columns = dict(zip(SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns, SCHEMA), folder / f"{name}.parquet", compression="zstd")
        print(f"{name}: {len(rows)} rows")


def split(sentences: dict[str, list[str]]) -> dict[str, list[Row]]:
    """Shuffle the pairs with `random.Random(0)` and cut; two sentences that differ in their judgment stay together."""
    pairs = list(zip(sentences["positive"], sentences["negative"], strict=True))
    random.Random(0).shuffle(pairs)
    cut = {"train": pairs[2 * HELD_OUT :], "validation": pairs[HELD_OUT : 2 * HELD_OUT], "test": pairs[:HELD_OUT]}
    return {
        name: [row for good, bad in part for row in ((good, "positive"), (bad, "negative"))]
        for name, part in cut.items()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
