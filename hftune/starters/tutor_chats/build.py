"""Make `hftune:tutor-chats` again: `python -m hftune.starters.tutor_chats.build [FOLDER]`.

Reads conversations.json beside this file (topic -> conversations, each question, answer, question, answer …) and writes
train, validation and test.parquet to FOLDER (default: this package).
"""

from __future__ import annotations

import json
import random
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SOURCE = Path(__file__).parent / "conversations.json"
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema([("topic", pa.string()), ("messages", pa.list_(MESSAGE))])

Row = dict[str, Any]


def main(folder: Path) -> None:
    """Write the three splits to `folder`."""
    for name, rows in split(json.loads(SOURCE.read_text(encoding="utf-8"))).items():
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{name}.parquet", compression="zstd")
        print(f"{name}: {len(rows)} rows")


def split(topics: dict[str, list[list[str]]]) -> dict[str, list[Row]]:
    """Shuffle each topic's conversations with one `random.Random(0)`; one is test, one validation, the rest train."""
    drawn = random.Random(0)
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for topic, conversations in topics.items():
        rows = [{"topic": topic, "messages": messages(turns)} for turns in conversations]
        drawn.shuffle(rows)
        splits["test"] += rows[:1]
        splits["validation"] += rows[1:2]
        splits["train"] += rows[2:]
    return splits


def messages(turns: list[str]) -> list[dict[str, str]]:
    """Return turns as messages: the user begins, the assistant has the last word."""
    if not turns or len(turns) % 2:
        raise ValueError(f"a conversation without its last answer: {turns}")
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), turns, strict=False)]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
