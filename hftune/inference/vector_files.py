"""Files of vectors, written a piece at a time: constant memory, and in place only once they are whole.

`.parquet`: the columns of what is named (row or id, text or word), and `vector`, a list of fixed size of float32.
`.npy`: float32 [rows, width]; what is named stands in `F.names.jsonl`, one object a line, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError
from hftune.inference.row_files import partial_of
from hftune.output import json_line
from hftune.runs.files import fsync_file, fsync_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

KINDS = (".parquet", ".npy")


def vector_file(path: Path) -> Path:
    """Return the file to write; raises UsageError for an unknown ending, and where nothing can be written."""
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"{path}: vectors go into {' or '.join(KINDS)}", hint="Choose by the file's ending.")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{path}: nothing may be written in {target.parent}")
    for one in (target, names_of(target)):
        if one.exists() and not one.is_file():
            raise UsageError(f"{path}: {one.name} is there and no file", hint="Give another name.")
    return target


def names_of(path: Path) -> Path:
    """Return where the names of a .npy file's rows stand."""
    return path.with_name(path.stem + ".names.jsonl")


class VectorWriter:
    """Writes vectors with their names to `path`, by its ending; `finish` puts the file in place."""

    def __init__(self, path: Path) -> None:
        self.path = vector_file(path)
        self.rows = 0
        self._writer: Any = _Parquet(self.path) if self.path.suffix.lower() == ".parquet" else _Npy(self.path)

    def write(self, names: Sequence[Mapping[str, Any]], vectors: Floats) -> None:
        """Write some rows: `names` holds the same keys for each (a number or a text), `vectors` [rows, width]."""
        self._writer.write(names, vectors)
        self.rows += len(names)

    def finish(self) -> list[Path]:
        """Put what was written in place, whole and on disk; return the files."""
        files: list[Path] = self._writer.close()
        for file in files:
            fsync_file(partial_of(file))
            partial_of(file).replace(file)
        fsync_folder(self.path.parent)
        return files

    def abandon(self) -> None:
        """Close and remove what is not whole."""
        with suppress(OSError, ValueError):
            self._writer.close()
        for file in (self.path, names_of(self.path)):
            partial_of(file).unlink(missing_ok=True)


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, names: Sequence[Mapping[str, Any]], vectors: Floats) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        width = vectors.shape[1]
        columns = {key: [name[key] for name in names] for key in names[0]}
        kinds = {key: pa.int64() if isinstance(values[0], int) else pa.string() for key, values in columns.items()}
        arrays = [pa.array(values, kinds[key]) for key, values in columns.items()]
        arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), width))
        table = pa.Table.from_arrays(arrays, names=[*columns, "vector"])
        if self._writer is None:
            self._writer = parquet.ParquetWriter(partial_of(self._path), table.schema)
        self._writer.write_table(table)

    def close(self) -> list[Path]:
        if self._writer is not None:
            self._writer.close()
        return [self._path]


class _Npy:
    """The header has room for any number of rows, and says at the end how many there are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = partial_of(path).open("wb")
        self._names = partial_of(names_of(path)).open("w", encoding="utf-8")
        self._shape = (0, 0)

    def write(self, names: Sequence[Mapping[str, Any]], vectors: Floats) -> None:
        import numpy as np

        if not self._shape[1]:
            self._shape = (0, vectors.shape[1])
            self._header()
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        self._names.writelines(json_line(dict(name), self._names) + "\n" for name in names)
        self._shape = (self._shape[0] + len(names), self._shape[1])

    def close(self) -> list[Path]:
        if not self._file.closed:
            end = self._file.tell()
            self._file.seek(0)
            self._header()  # numpy pads it, so that its length is the same whatever the number of rows
            self._file.seek(end)
            self._file.close()
            self._names.close()
        return [self._path, names_of(self._path)]

    def _header(self) -> None:
        from numpy.lib import format as npy

        header = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        npy.write_array_header_1_0(self._file, header)
