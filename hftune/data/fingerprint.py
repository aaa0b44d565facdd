"""A hash of the data themselves, so that a resumed run can tell whether they changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

SCHEME = "hftune-data-1"
BATCH = 1000  # part of the scheme: another size gives another hash


def file_fingerprint(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def fingerprint(splits: Mapping[str, Dataset]) -> str:
    """Return 64 hex digits over split names, column names and every value in row order.

    Values are hashed as JSON, so the hash does not depend on the file format, on chunks in memory, or on versions of
    the libraries that read them.
    """
    digest = hashlib.sha256(SCHEME.encode())
    for split in sorted(splits):
        table = splits[split].with_format("arrow")
        columns = sorted(splits[split].column_names)
        digest.update(json.dumps([split, columns, len(table)]).encode())
        for start in range(0, len(table), BATCH):
            values = table[start : start + BATCH].to_pydict()
            for column in columns:
                digest.update(json.dumps(values[column], ensure_ascii=False, sort_keys=True, default=str).encode())
    return digest.hexdigest()
