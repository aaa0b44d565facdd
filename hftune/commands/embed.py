"""`hftune embed RUN [TEXT…]`: vectors of texts and words, their nearest neighbours, and what tuning did to the words.

Of TEXTs (lines of standard input when there are none), of `--input FILE` or `--split S` one vector a text; of `--words`
the rows of the embedding table. `--near` searches among whole words, or among the texts of --input or --split.
`--output F.parquet|F.npy` writes vectors, `--json` prints them. `--changed` compares with the model the run began with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import EXIT_DONE, HftuneError, UsageError
from hftune.figures import many
from hftune.output import Output
from hftune.sanitize import clip, pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.inference.embedding import TextVectors
    from hftune.inference.predictor import Predictor
    from hftune.inference.row_files import Row
    from hftune.inference.text_sources import Numbered

WIDTH = 80
NUMBERS_SHOWN = 5
COMPARED = 8  # texts in a table of cosines: more columns than that are no longer read
BAD_ROWS_SHOWN = 20
CONTEXT_TEXTS = 1000
NAME = 16
BASE = "the base model"


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Embed, search or compare as asked."""
    _check(arguments)
    from hftune.runs.reader import find_run, split_step

    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    wait_politely_when_busy()
    from hftune.inference.predictor import Predictor

    predictor = Predictor.load(run, step)
    if arguments.changed or arguments.contextual:
        _changed(arguments, predictor, output)
    elif arguments.near and not (arguments.input or arguments.split):
        _near_words(arguments, predictor, output)
    elif arguments.near:
        _near_texts(arguments, predictor, output)
    elif arguments.words:
        _words(arguments, predictor, output)
    elif arguments.output:
        _write_texts(arguments, predictor, output)
    else:
        _show_texts(arguments, predictor, output)
    return EXIT_DONE


def _check(arguments: argparse.Namespace) -> None:
    if arguments.input and arguments.split:
        raise UsageError("--input and --split at once", hint="Give either.")
    if arguments.words and (arguments.input or arguments.split or arguments.near):
        raise UsageError("--words goes with words and --output alone", hint="--near searches among words by itself.")
    asked = {
        "--words": arguments.words,
        "--near": arguments.near,
        "--changed": arguments.changed or arguments.contextual,
    }
    if len(given := [flag for flag, value in asked.items() if value]) > 1:
        raise UsageError(f"{' and '.join(given)} at once", hint="One question at a time.")
    texts = arguments.text
    if texts and (arguments.input or arguments.split or arguments.near or asked["--changed"]):
        raise UsageError("texts beside what says where texts come from", hint="Leave them out, or the option.")
    if arguments.rows is not None and not arguments.contextual:
        raise UsageError("--rows is for --contextual", hint="It says how many train texts are read for that.")
    if arguments.output:
        if arguments.near or asked["--changed"]:
            raise UsageError("--output is for vectors", hint="Neighbours and changes: --json > FILE.")
        from hftune.inference.vector_files import vector_file

        vector_file(Path(arguments.output))
    counts = {"--top": arguments.top, "--batch-size": arguments.batch_size, "--rows": arguments.rows}
    for flag, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"{flag} {value}", hint="It must be 1 or more.")
    silent = not (texts or arguments.input or arguments.split or any(asked.values()))
    if silent and sys.stdin.isatty():
        hint = f'`hftune embed {arguments.run} "a text" "another"`, --near WORD, --split train --output F.parquet …'
        raise UsageError("no text", hint=hint)


# Texts


def _embed(arguments: argparse.Namespace, predictor: Predictor, texts: Sequence[str]) -> TextVectors:
    return predictor.embed(texts, arguments.pooling, arguments.normalize, arguments.batch_size)


def _sources(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> Iterator[list[Numbered]]:
    """Yield the numbered texts asked for, some at a time."""
    from hftune.inference import text_sources
    from hftune.inference.file_labels import typed_lines

    data = predictor.loaded.recipe.data
    if arguments.input:
        shown = 0

        def report(row: Row) -> None:
            nonlocal shown
            shown += 1
            if shown <= BAD_ROWS_SHOWN:
                output.note(f"hftune: {arguments.input}:{row.number}: {row.error}; left out")

        yield from text_sources.pieces(text_sources.file_texts(Path(arguments.input), data, report))
        if shown > BAD_ROWS_SHOWN:
            output.note(f"hftune: … and {shown - BAD_ROWS_SHOWN} more")
    elif arguments.split:
        rows = _split(arguments.split, predictor, output)
        yield from text_sources.pieces(text_sources.split_texts(rows, data))
    else:
        typed = enumerate(arguments.text or typed_lines(), 1)
        yield from text_sources.pieces(text_sources.Numbered(row, text) for row, text in typed if text.strip())


def _split(name: str, predictor: Predictor, output: Output) -> Any:
    from hftune.inference.scoring import load_rows

    return load_rows(predictor, name, None, output.note)[1]


def _show_texts(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    """Print vectors: whole ones as JSON, for people their beginning and how near the texts are to each other."""
    import numpy as np

    first: list[tuple[str, Any]] = []
    count = 0
    for part in _sources(arguments, predictor, output):
        found = _embed(arguments, predictor, [each.text for each in part])
        for each, vector, tokens, cut in zip(part, found.vectors, found.tokens, found.truncated, strict=True):
            count += 1
            record = {"row": each.row, "text": each.text, "vector": vector.tolist(), "tokens": tokens, "truncated": cut}
            output.emit(record)
            first += [(each.text, vector)] if len(first) < COMPARED else []
            if not output.json:
                output.say(clip(sanitize(each.text), WIDTH))
                output.say(f"  {_beginning(vector)}")
                if cut:
                    output.say(f"  (only the beginning was read: the text has {tokens} tokens)")
    if not count:
        raise UsageError("no text", hint="Empty lines are none.")
    if not output.json and len(first) > 1:
        vectors = np.stack([vector for _, vector in first])
        for line in cosine_table([text for text, _ in first], vectors):
            output.say(line)
        if count > len(first):
            output.say(f"(cosines of the first {len(first)} of {count})")


def _beginning(vector: Any) -> str:
    import numpy as np

    shown = " ".join(f"{value:+.3f}" for value in vector[:NUMBERS_SHOWN].tolist())
    return f"{len(vector)} numbers of length {float(np.linalg.norm(vector)):.3f}: {shown} …"


def cosine_table(names: Sequence[str], vectors: Any) -> list[str]:
    """Return lines with the cosine of each pair of vectors [names, width], at most 80 columns wide."""
    from hftune.inference.embedding import unit

    units = unit(vectors)
    cosines = units @ units.T
    room = WIDTH - 4 - 7 * len(names)
    lines = ["", f"{'cosine':{room + 3}}" + "".join(f"{number:>7}" for number in range(1, len(names) + 1))]
    for number, (name, row) in enumerate(zip(names, cosines.tolist(), strict=True), 1):
        lines.append(f"{number}  {pad(sanitize(name), room)}" + "".join(f"{value:7.3f}" for value in row))
    return lines


def _write_texts(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    def rows() -> Iterator[tuple[list[dict[str, Any]], Any]]:
        for part in _sources(arguments, predictor, output):
            vectors = _embed(arguments, predictor, [each.text for each in part]).vectors
            yield [{"row": each.row, "text": each.text} for each in part], vectors

    _write(arguments, rows(), "text", output)


def _write(
    arguments: argparse.Namespace, rows: Iterator[tuple[list[dict[str, Any]], Any]], what: str, output: Output
) -> None:
    """Write vectors with their names, and say how many there were."""
    from hftune.inference.vector_files import VectorWriter

    writer, width = VectorWriter(Path(arguments.output)), 0
    try:
        for names, vectors in rows:
            writer.write(names, vectors)
            width = vectors.shape[1]
        if not writer.rows:
            raise UsageError(f"no {what}", hint="Empty ones are none.")
        files = writer.finish()
    except BaseException as error:
        writer.abandon()
        if isinstance(error, OSError):
            hint = f"{many(writer.rows, what)} had been written. Is the disk full?"
            raise HftuneError(f"{arguments.output} cannot be written: {error.strerror or error}", hint) from error
        raise
    output.note(f"{many(writer.rows, what)}, {width} numbers each → {', '.join(map(str, files))}")
    output.emit({"output": [str(file) for file in files], "rows": writer.rows, "width": width})


def _near_texts(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    from hftune.inference.text_sources import NearestTexts

    nearest = NearestTexts(_embed(arguments, predictor, arguments.near).vectors, arguments.top)
    for part in _sources(arguments, predictor, output):
        nearest.show(part, _embed(arguments, predictor, [each.text for each in part]).vectors)
    for text, found in zip(arguments.near, nearest.result(), strict=True):
        output.emit({"near": text, "neighbours": found})
        if not output.json:
            output.say(clip(sanitize(text), WIDTH))
            output.say(f"  {'cosine':>6}  {'row':>7}")
            for one in found:
                output.say(clip(f"  {one['cosine']:6.3f}  {one['row']:>7}  {sanitize(one['text'])}", WIDTH))


# Words


def _words(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    """Write the whole table, or show the vectors of single words."""
    import numpy as np

    from hftune.inference.embedding import unit, word_table
    from hftune.inference.words import word_pieces, word_vector

    tokenizer = predictor.loaded.tokenizer
    table = word_table(predictor.loaded.model)
    if arguments.normalize:
        table = unit(table)
    if not arguments.text:
        if not arguments.output:
            hint = "--output F.parquet writes it; --near WORD searches in it; or name some words."
            raise UsageError(f"the table has {many(len(table), 'row')}", hint=hint)
        ids = sorted(index for index in tokenizer.get_vocab().values() if index < len(table))
        names = [{"id": index, "word": str(tokenizer.convert_ids_to_tokens(index))} for index in ids]
        _write(arguments, iter([(names, table[ids])]), "word", output)
        return
    made = [word_pieces(tokenizer, word) for word in arguments.text]
    vectors = np.stack([word_vector(table, pieces) for pieces in made])
    if arguments.output:
        named = [{"row": row, "word": word} for row, word in enumerate(arguments.text, 1)]
        _write(arguments, iter([(named, vectors)]), "word", output)
        return
    for word, pieces, vector in zip(arguments.text, made, vectors, strict=True):
        output.emit({"word": word, "pieces": tokenizer.convert_ids_to_tokens(pieces), "vector": vector.tolist()})
        if not output.json:
            output.say(f"{clip(sanitize(word), NAME)}{_of_pieces(tokenizer, pieces)}")
            output.say(f"  {_beginning(vector)}")
    if not output.json and 1 < len(made) <= COMPARED:
        for line in cosine_table(arguments.text, vectors):
            output.say(line)


def _of_pieces(tokenizer: Any, pieces: Sequence[int]) -> str:
    if len(pieces) < 2:
        return ""
    shown = sanitize(" ".join(tokenizer.convert_ids_to_tokens(list(pieces))))
    return clip(f"  (mean of its {len(pieces)} pieces: {shown})", WIDTH - NAME)


def _near_words(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    from hftune.inference.embedding import unit, word_table
    from hftune.inference.words import nearest, whole_words, word_pieces, word_vector

    tokenizer = predictor.loaded.tokenizer
    made = [word_pieces(tokenizer, word) for word in arguments.near]
    table, vocabulary = word_table(predictor.loaded.model), whole_words(tokenizer)
    places = {index: place for place, index in enumerate(vocabulary.ids)}
    units = unit(table[list(vocabulary.ids)])
    for word, pieces in zip(arguments.near, made, strict=True):
        itself = {places[pieces[0]]} if len(pieces) == 1 and pieces[0] in places else set()
        found = nearest(units, word_vector(table, pieces), arguments.top, itself)
        record = [{"word": vocabulary.words[one.place], "cosine": one.cosine} for one in found]
        output.emit({"near": word, "pieces": tokenizer.convert_ids_to_tokens(pieces), "neighbours": record})
        if not output.json:
            searched = many(len(vocabulary.ids), "whole word")
            output.say(f"{clip(sanitize(word), NAME)}{_of_pieces(tokenizer, pieces) or f'  among {searched}'}")
            for one in record:
                output.say(f"  {one['cosine']:6.3f}  {clip(sanitize(one['word']), WIDTH - 12)}")


# What tuning did


def _changed(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    from hftune.data.texts import Texts
    from hftune.inference.loading import load_base
    from hftune.inference.text_sources import spread
    from hftune.inference.word_changes import context_changes, table_changes

    loaded = predictor.loaded
    base = load_base(loaded)
    train = _split("train", predictor, output)
    if arguments.contextual:
        some = train.select(spread(len(train), CONTEXT_TEXTS if arguments.rows is None else arguments.rows))
        found = context_changes(loaded, base, Texts(some, loaded.recipe.data), arguments.top)
    else:
        found = table_changes(loaded, base, Texts(train, loaded.recipe.data), arguments.top)
    record, compress = found.to_dict(), loaded.recipe.compress
    before = loaded.recipe.model.id if compress is None else compress.options["parent"]
    output.emit({"run": str(loaded.path), "base": before, **record})
    if not output.json:
        method, before = (loaded.recipe.method.name, BASE) if compress is None else (compress.name, "its parent")
        for line in change_lines(record, arguments.run, method, before):
            output.say(line)


def change_lines(record: dict[str, Any], run: str, method: str, before: str = BASE) -> list[str]:
    """Return changes (as `Changes.to_dict` gives them) as lines of at most 80 columns.

    `method` made the model of the one that is called `before`.
    """
    words, texts = many(record["rows"], "word"), many(record["texts"], "train text")
    if record["where"] == "table" and not record["moved"]:
        return [
            f"No word vector moved: the rows of all {words} in {texts}",
            f"are bit for bit those of {before}; {method} leaves the table as it is.",
            "What it did to words in their texts:",
            f"  hftune embed {sanitize(run)} --contextual",
        ]
    what = "rows of the embedding table" if record["where"] == "table" else "mean last hidden states"
    lines = [
        f"{words} of {texts}: {what}, before and after",
        f"  moved {record['moved']:,}   mean cosine {record['mean_cosine']:.4f}   "
        f"mean distance {record['mean_distance']:.4f}",
        "",
        f"{'moved most':{NAME}} {'in train':>9} {'cosine':>8} {'distance':>9}",
    ]
    for one in record["most"]:
        figures = f"{one['count']:>9,} {one['cosine']:>8.4f} {one['distance']:>9.4f}"
        lines.append(f"{pad(sanitize(one['word']), NAME)} {figures}")
        for label, names in (("near now", one["gained"]), ("no longer", one["lost"])):
            if names:
                lines.append(clip(f"  {label:9}  {sanitize(', '.join(names))}", WIDTH))
    return lines
