"""A file that is written a piece at a time and gone on with after a kill: every row once, and none is lost.

`F.partial` holds the rows. `F.partial.json` alone says how much of it counts, of how much of the input that was made,
and by which model: it is replaced in one step once the rows are on disk, and what stands in `F.partial` beyond is cut
off. When `F` is whole both are gone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from hftune.errors import HftuneError, UsageError
from hftune.figures import many, size
from hftune.inference.answer_origin import Origin
from hftune.inference.beginnings import Beginning, Tally, read_beginning
from hftune.inference.output_lock import output_lock
from hftune.inference.row_files import Place, Rows, assembled_of, output_file, partial_of, progress_of
from hftune.inference.row_formats import RowFormat
from hftune.runs.files import fsync_file, fsync_folder, write_atomic

COMMIT_SECONDS = 1.0  # of work that a kill may cost
VERSION = 1


@dataclass(frozen=True)
class Progress:
    """How far a file is: `rows` are in it, `bad` of them without a label; of the input all up to `place` is read."""

    rows: int
    bad: int
    place: Place


@dataclass(frozen=True)
class Record:
    """What `F.partial.json` holds."""

    origin: Origin
    source: str
    source_bytes: int
    progress: Progress
    output: Beginning

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record | None:
        """Return what was written, None for what this version did not write."""
        try:
            found: dict[str, Any] = json.loads(text)
            if found["version"] != VERSION:
                return None
            progress = found["progress"]
            place = Place(progress["place"]["number"], Beginning(**progress["place"]["beginning"]))
            return cls(
                Origin(**found["origin"]),
                str(found["source"]),
                int(found["source_bytes"]),
                Progress(progress["rows"], progress["bad"], place),
                Beginning(**found["output"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@contextmanager
def partial_output(sink: Path, source: Path, origin: Origin) -> Iterator[PartialOutput]:
    """Hold the file that `sink` means; what is whole when the block ends is kept, whatever ends it.

    Raises UsageError where no file can be written, HftuneError (exit 73) when another process writes it.
    """
    target = output_file(sink)
    with output_lock(target):
        output = PartialOutput(target, source, origin)
        try:
            yield output
        finally:
            output.close()


class PartialOutput:
    """The one writer of a file in the making."""

    def __init__(self, target: Path, source: Path, origin: Origin) -> None:
        self.target, self.partial = target, partial_of(target)
        self.kept: Progress | None = None  # what is left when the process is killed now
        self._source, self._source_bytes, self._origin = source, source.stat().st_size, origin
        self._tally = Tally()
        self._written: tuple[Progress, Beginning] | None = None  # what is whole beyond that
        self._committed = time.monotonic()
        self._ours = False  # until then what is there is another's
        with self._writing():
            self._file = FileIO(self.partial, "a+")
            self._file.seek(0)

    def take_up(
        self, rows: Rows, note: Callable[[str], None], *, restart: bool = False, allow_inexact: bool = False
    ) -> Progress | None:
        """Return how far the work is and make `rows` begin behind it; None when it begins at the first row.

        Raises UsageError when what is there came of another input, another model or another way of reading, and unless
        `allow_inexact` when last digits would differ.
        """
        record = None if restart else self._recorded()
        tally = None if record is None else read_beginning(self._file, record.output)
        if record is None or tally is None:
            if record is not None and self._size():
                note(f"{self.partial.name} is not as it was left: the work begins anew")
            self._begin()
            self._ours = True
            return None
        self._check(record, rows, allow_inexact)
        if record.source_bytes != self._source_bytes:
            sizes = f"{size(record.source_bytes)} before, {size(self._source_bytes)} now"
            note(f"{self._source} has changed ({sizes}), but nothing in the rows that are labelled already")
        self._tally, self.kept = tally, record.progress
        with self._writing():
            self._file.truncate(tally.bytes)
        self._ours = True
        note(f"{self.partial.name}: going on after {many(record.progress.rows, 'row')}")
        return record.progress

    def write(self, data: bytes, progress: Progress) -> None:
        """Add whole rows; with them the file is as far as `progress`."""
        with self._writing():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._tally.add(data)
        self._written = progress, self._tally.beginning()
        if time.monotonic() - self._committed >= COMMIT_SECONDS:
            with self._writing():
                self._commit()

    def finish(self, form: RowFormat) -> None:
        """Put the file in place, whole and on disk, and remove what was needed until then."""
        whole = assembled_of(self.target) if form.assembled else self.partial
        with self._writing():
            self._commit()
            if form.assembled:
                form.assemble(self.partial, whole)
                fsync_file(whole)
            os.replace(whole, self.target)  # noqa: PTH105 - says what it is
            fsync_folder(self.target.parent)
        self._file.close()
        self._remove()

    def close(self) -> None:
        """Count what is whole and cut off the rest; where nothing is, leave nothing."""
        if self._file.closed or not self._ours:
            self._file.close()
            return
        # What a full disk refused is refused again here: the first error is the one to tell.
        with suppress(OSError):
            assembled_of(self.target).unlink(missing_ok=True)
            self._file.truncate(self._tally.bytes)
            self._commit()
        self._file.close()
        if self.kept is None:
            self._remove()

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if self._written is None:
            return
        progress, output = self._written
        os.fsync(self._file.fileno())
        record = Record(self._origin, str(self._source), self._source_bytes, progress, output)
        write_atomic(progress_of(self.target), record.to_json())
        self.kept, self._written = progress, None

    def _begin(self) -> None:
        # The record goes first: it must never speak of rows that are not there.
        with self._writing():
            progress_of(self.target).unlink(missing_ok=True)
            self._file.truncate(0)

    def _remove(self) -> None:
        record = progress_of(self.target)
        for file in (assembled_of(self.target), self.partial, record):
            file.unlink(missing_ok=True)
        # A kill may have left the record's next version, which has a name of its own until it takes the place.
        for file in self.target.parent.iterdir():
            if file.name.startswith(f".{record.name}.") and file.name.endswith(".tmp"):
                file.unlink(missing_ok=True)

    def _recorded(self) -> Record | None:
        try:
            return Record.from_json(progress_of(self.target).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _check(self, record: Record, rows: Rows, allow_inexact: bool) -> None:
        """Make `rows` begin behind what is there, or raise UsageError saying what differs."""
        done = f"{self.partial.name} holds {many(record.progress.rows, 'row')}"
        other = self._origin.other_answers(record.origin)
        if not other and not rows.go_on(record.progress.place):
            other = [f"input: what was read of {record.source} is not what stands in {self._source} now"]
        if other:
            raise UsageError(
                f"{done} that are not the beginning of this file:{_listed(other)}",
                hint="Change it back to go on, or begin at the first row: --restart.",
            )
        digits = self._origin.other_digits(record.origin)
        if digits and not allow_inexact:
            raise UsageError(
                f"{done} whose last digits this command would not give:{_listed(digits)}",
                hint="Change it back, accept other digits from here on: --allow-inexact, or begin anew: --restart.",
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HftuneError(
                f"{self.partial} cannot be written: {error.strerror or error}",
                hint="Is the disk full? The same command goes on after the rows that are there.",
            ) from error


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"\n    {line}" for line in lines)
