"""Make `hftune:authors` again: `python -m hftune.starters.authors.build CORPUS [FOLDER]`.

CORPUS is a folder with jane_austen_novels.txt.gz, moby_dick.txt.gz and state_of_the_union.txt.gz (UTF-8, one paragraph
a line, in the last one address a line; card.md says where they are from). Writes train, validation and test.parquet
to FOLDER (default: this package).
"""

from __future__ import annotations

import gzip
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SEED = 0
SHORTEST, LONGEST = 40, 80  # words in a passage
SIZES = {"train": 500, "validation": 100, "test": 100}  # passages of each class
SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string()), ("work", pa.string())])

# The lines that Austen's novels start after; whole novels are held out, so no character is in two splits.
NOVELS = {
    "EMMA": "Emma",
    "FINIS MANSFIELD PARK": "Mansfield Park",
    "THE END NORTHANGER ABBEY": "Northanger Abbey",
    "A NOTE ON THE TEXT": "Persuasion",
    "Finis PRIDE AND PREJUDICE": "Pride and Prejudice",
    "(1811)": "Sense and Sensibility",
}
HELD_OUT_NOVELS = {"Northanger Abbey": "validation", "Persuasion": "test"}

# Headings, signatures, notes, dates under titles, and what stenographers wrote into the addresses.
_HEADING = re.compile(
    r"[^a-z]*$|(CHAPTER|Chapter|VOLUME|Epilogue|FINIS|Finis|THE END|ADVERTISEMENT|[Bb]y Jane|Jane Austen \(|by$)"
)
_NOTE = re.compile(
    r"applause|chapter|laughter|\[|\]|\*|_{2,}|Austen|Melville|Fellow.Citizens of the Senate", re.IGNORECASE
)
# A sentence ends at . ! or ? (and a quote), not after a title; the next one begins with a capital.
_SENTENCE = re.compile(
    r"""(?:(?<=[.!?])|(?<=[.!?]["']))(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)[ ]+(?=["']?[A-Z])"""
)

Passage = tuple[str, str]  # work, text


def main(corpus: Path, folder: Path) -> None:
    """Write the three splits to `folder`."""
    classes = {"austen": austen(corpus), "melville": melville(corpus), "president": presidents(corpus)}
    rows: dict[str, list[tuple[str, str, str]]] = {split: [] for split in SIZES}
    for label, split_passages in classes.items():
        for split, passages in split_passages.items():
            chosen = random.Random(f"{SEED}:{label}:{split}").sample(passages, SIZES[split])
            rows[split] += [(text, label, work) for work, text in chosen]
    for split, members in rows.items():
        random.Random(f"{SEED}:{split}").shuffle(members)
        columns = dict(zip(SCHEMA.names, map(list, zip(*members, strict=True)), strict=True))
        table = pa.table(columns, SCHEMA)
        pq.write_table(table, folder / f"{split}.parquet", compression="zstd", compression_level=19)
        print(f"{split}: {len(members)} passages of {len(set(columns['work']))} works")


def austen(corpus: Path) -> dict[str, list[Passage]]:
    """Return split -> passages, by novel."""
    works: dict[str, list[str]] = {}
    novel = ""
    for line in _lines(corpus / "jane_austen_novels.txt.gz"):
        novel = NOVELS.get(line, novel)
        works.setdefault(novel, []).append(line)
    split_of = {work: HELD_OUT_NOVELS.get(work, "train") for work in works}
    return _by_split(works, split_of)


def melville(corpus: Path) -> dict[str, list[Passage]]:
    """Return split -> passages, by chapter: there is only one book of his here."""
    works: dict[str, list[str]] = {}
    chapter = ""
    for line in _lines(corpus / "moby_dick.txt.gz"):
        if found := re.match(r"CHAPTER (\d+)\.|(Epilogue)", line):
            chapter = f"Moby-Dick, chapter {found[1]}" if found[1] else "Moby-Dick, epilogue"
            continue
        works.setdefault(chapter, []).append(line)
    return _by_split(works, _deal(works))


def presidents(corpus: Path) -> dict[str, list[Passage]]:
    """Return split -> passages, by address; its first sentence, the salutation, is left out."""
    works = {
        f"State of the Union {number:03d}": [_SENTENCE.split(line, maxsplit=1)[-1]]
        for number, line in enumerate(_lines(corpus / "state_of_the_union.txt.gz"), start=1)
    }
    return _by_split(works, _deal(works))


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def _deal(works: dict[str, list[str]]) -> dict[str, str]:
    """Deal works to splits at random, about a seventh to each held-out one (as the sizes are)."""
    order = list(works)
    random.Random(SEED).shuffle(order)
    part = round(len(order) * SIZES["test"] / sum(SIZES.values()))
    return {work: "test" if n < part else "validation" if n < 2 * part else "train" for n, work in enumerate(order)}


def _by_split(works: dict[str, list[str]], split_of: dict[str, str]) -> dict[str, list[Passage]]:
    result: dict[str, list[Passage]] = {split: [] for split in SIZES}
    for work, paragraphs in works.items():
        result[split_of[work]] += [(work, text) for text in _passages(paragraphs)]
    return result


def _passages(paragraphs: list[str]) -> Iterator[str]:
    """Yield runs of whole sentences of 40 to 80 words; a run that would be longer is dropped."""
    run: list[str] = []
    for paragraph in paragraphs:
        if _HEADING.match(paragraph):
            run = []
            continue
        for sentence in _SENTENCE.split(plain(paragraph)):
            run += sentence.split()
            if len(run) >= SHORTEST:
                text = " ".join(run)
                run = []
                if len(text.split()) <= LONGEST and not _NOTE.search(text):
                    yield text


def plain(text: str) -> str:
    """Make the typography of the three sources one, or a class could be told by its dashes."""
    for old, new in (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"), ("—", "--"), ("–", "-"), ("…", "..."), ("_", "")):
        text = text.replace(old, new)
    return re.sub(r"\s*--+\s*", " - ", text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
