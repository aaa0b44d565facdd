"""Leakage: examples of validation or test that training has seen, word for word or nearly so.

Only the band hashes of the evaluated splits are held (256 bytes an example); train is streamed past them once, so
that a million rows take a minute or two and memory does not grow with train.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from hftune.tasks import Notice

if TYPE_CHECKING:
    from hftune.preflight.minhash import Index

NEAR = 0.7  # share of shingles two texts have in common, from which on they count as near duplicates
LOUD = 0.5  # percent of duplicates from which on they are a warning: fewer move no figure
MEMORIZED = 0.5  # share of exact duplicates from which on a split measures memory, not what was learned
CHUNK = 4096
EXAMPLES = 3


@dataclass
class Overlap:
    """What held-out rows have in common with what was seen: row -> the seen text it repeats (normalised)."""

    exact: set[int] = field(default_factory=set)
    near: dict[int, str] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Overlap:
        """Return the overlap of the held-out rows start … stop - 1, counted from 0."""
        return Overlap(
            {row - start for row in self.exact if start <= row < stop},
            {row - start: text for row, text in self.near.items() if start <= row < stop},
        )


def find_leaks(texts: Mapping[str, Sequence[str]]) -> list[Notice]:
    """Return a notice for each kind of overlap between splits. `texts`: split -> texts, by row."""
    held_out = [split for split in ("validation", "test") if texts.get(split)]
    joined = [text for split in held_out for text in texts[split]]
    notices: list[Notice] = []
    if joined and texts.get("train"):
        overlap, start = compare(joined, texts["train"]), 0
        for split in held_out:
            part = overlap.part(start, start + len(texts[split]))
            notices += _told(split, "train", part, texts)
            start += len(texts[split])
    if len(held_out) == 2:
        notices += _told("test", "validation", compare(texts["test"], texts["validation"]), texts)
    return notices


def compare(held_out: Sequence[str], seen: Iterable[str]) -> Overlap:
    """Return which rows of `held_out` are in `seen`: equal after normalisation, or NEAR alike in their shingles."""
    import numpy

    from hftune.preflight.minhash import BANDS, Index, bands, normalize, shingles

    overlap = Overlap()
    rows_by_key: dict[bytes, list[int]] = {}
    hashes = numpy.empty((len(held_out), BANDS), dtype=numpy.uint64)
    for row, text in enumerate(held_out):
        normalized = normalize(text)
        rows_by_key.setdefault(_key(normalized), []).append(row)
        hashes[row] = bands(shingles(normalized))
    index = Index(hashes)
    for chunk in _chunks(seen):
        fresh = []
        for text in map(normalize, chunk):
            rows = rows_by_key.get(_key(text))
            if rows is None:
                fresh.append(text)
            else:
                overlap.exact.update(rows)
        _add_near(overlap, index, fresh, held_out)
    overlap.near = {row: text for row, text in overlap.near.items() if row not in overlap.exact}
    return overlap


def _add_near(overlap: Overlap, index: Index, texts: Sequence[str], held_out: Sequence[str]) -> None:
    """Add the rows of `held_out` that resemble one of `texts` (normalised, none of them an exact duplicate)."""
    import numpy

    from hftune.preflight.minhash import bands, normalize, shingles, similarity

    if not texts:
        return
    shingled = [shingles(text) for text in texts]
    for row, candidates in index.candidates(numpy.stack([bands(one) for one in shingled])):
        for candidate in candidates:
            if candidate in overlap.near or candidate in overlap.exact:
                continue
            if similarity(shingled[row], shingles(normalize(held_out[candidate]))) >= NEAR:
                overlap.near[candidate] = texts[row]


def _told(held_out: str, seen: str, overlap: Overlap, texts: Mapping[str, Sequence[str]]) -> list[Notice]:
    size = len(texts[held_out])
    if seen == "train" and len(overlap.exact) >= MEMORIZED * size:
        many = (
            f"every {held_out} text is"
            if len(overlap.exact) == size
            else f"{_share(len(overlap.exact), size, held_out)} are"
        )
        message = f"{many} also in train: the figures on {held_out} say nothing about new texts"
        return [Notice("warning", "not-held-out", message, f"Give a {held_out} split of other texts.")]
    notices = []
    if overlap.exact:
        message = f"{_share(len(overlap.exact), size, held_out)} are in {seen} too, the same but for case and space"
        hint = f"Figures come out too good: drop them from {seen}, or see data.group, which keeps rows together."
        notices.append(Notice(_level(overlap.exact, size), f"duplicates-{held_out}-{seen}", message, hint))
    if overlap.near:
        row, other = min(overlap.near.items())
        message = (
            f"{_share(len(overlap.near), size, held_out)} nearly repeat one of {seen}, for example "
            f"{_shorten(texts[held_out][row])!r} and {_shorten(other)!r}"
        )
        hint = f"Near: at least {NEAR:.0%} of all runs of 8 bytes in common. Read a few before trusting {held_out}."
        notices.append(Notice(_level(overlap.near, size), f"near-duplicates-{held_out}-{seen}", message, hint))
    return notices


def _level(rows: Sized, size: int) -> str:
    return "warning" if 100 * len(rows) >= LOUD * size else "info"


def _share(part: int, whole: int, split: str) -> str:
    return f"{part:,} of {whole:,} {split} texts ({100 * part / whole:.3g}%)"


def _key(normalized: str) -> bytes:
    return blake2b(normalized.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _shorten(text: str, longest: int = 70) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
