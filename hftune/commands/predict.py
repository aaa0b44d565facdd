"""`hftune predict RUN [TEXT… | --input F --output F]`: labels with probabilities for texts, lines or a file.

Of a model that guesses masked words: the likeliest words for each mask of the texts or lines.

Files keep their order and columns; a row that cannot be labelled stays in its place with an `error` and is named on
stderr; the exit code is still 0, and the summary says how many there were. `--output` appears only when it is whole:
until then `F.partial` has its rows, and after a kill, an error or Ctrl-C the same command goes on behind them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.asking.answers import filling_lines, prediction_lines
from hftune.commands.bars import drawable
from hftune.commands.signals import asking_to_stop
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, InterruptedRun, UsageError
from hftune.figures import duration, figure, many
from hftune.output import Output, json_line
from hftune.sanitize import clip, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.inference.file_labels import Labelled
    from hftune.inference.predictor import Predictor
    from hftune.inference.row_files import Row

BAD_ROWS_SHOWN = 20
SHOWN_TEXT = 76  # columns of a text shown above its bars
QUIET_SECONDS = 1.0  # of a file that is labelled: shorter work needs no word of how far it is


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Label what is given; 0 also when single rows could not be."""
    _check(arguments)
    from hftune.runs.reader import find_run, split_step

    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    wait_politely_when_busy()
    from hftune.inference.predictor import CLASSIFIES, FILLS, Predictor

    predictor = Predictor.load(run, step)
    if predictor.task == FILLS:
        _guess_words(arguments, predictor, output)
        return EXIT_DONE
    predictor.require(CLASSIFIES)
    if arguments.input:
        _label_file(arguments, predictor, output)
    else:
        for texts in _pieces(arguments, predictor):
            _label_texts(predictor, texts, arguments.batch_size, output)
    return EXIT_DONE


def _check(arguments: argparse.Namespace) -> None:
    if arguments.input and arguments.text:
        raise UsageError("texts and --input at once", hint="Give either.")
    if arguments.output and not arguments.input:
        raise UsageError(
            "--output without --input", hint="Labels of single texts go to standard output: --json > FILE."
        )
    if arguments.output:
        from hftune.inference.row_files import files_of, output_file

        target = output_file(Path(arguments.output))
        if Path(arguments.input).resolve() in files_of(target):
            raise UsageError("--output is the --input", hint="Give another file: the rows are kept as they came.")
    for flag, given in (("--restart", arguments.restart), ("--allow-inexact", arguments.allow_inexact)):
        if given and not arguments.output:
            raise UsageError(f"{flag} without --output", hint="Only a file can be gone on with.")
    for flag, value in (("--batch-size", arguments.batch_size), ("--top", arguments.top)):
        if value < 1:
            raise UsageError(f"{flag} {value}", hint="It must be 1 or more.")
    if not arguments.text and not arguments.input and sys.stdin.isatty():
        raise UsageError("no text", hint=f'`hftune predict {arguments.run} "a text"`, or --input FILE.')


def _pieces(arguments: argparse.Namespace, predictor: Predictor) -> Iterator[list[tuple[str, ...]]]:
    """Yield batches of texts (or pairs of texts) from the command line or standard input."""
    from hftune.inference.file_labels import typed_lines

    size = 2 if predictor.loaded.recipe.data.text_pair else 1
    if len(arguments.text) % size:
        raise UsageError(f"{len(arguments.text)} texts, but this model takes two at a time")
    texts = iter(arguments.text or typed_lines())
    groups = iter(lambda: tuple(islice(texts, size)), ())
    # A pipe is answered line by line: who writes into it may wait for the answer.
    batch = arguments.batch_size if arguments.text else 1
    while some := list(islice(groups, batch)):
        if len(some[-1]) < size:
            raise UsageError("the last text has no second one", hint="This model takes two texts at a time.")
        yield some


def _guess_words(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    """Print the likeliest words for each mask of the texts; a text without one gets an error in its place."""
    from hftune.inference.file_labels import typed_lines

    if arguments.input:
        hint = f"Lines of a text file: hftune predict {arguments.run} --json < FILE"
        raise UsageError("--input is for models that give labels", hint=hint)
    for text in arguments.text or typed_lines():
        try:
            (filling,) = predictor.fill([text], arguments.top)
        except UsageError as error:
            output.emit({"text": text, "error": error.message})
            output.note(f"hftune: {sanitize(error.message)}")
            continue
        record = filling.to_dict()
        output.emit({"text": text, **record})
        if not output.json:
            output.say(clip(sanitize(text), SHOWN_TEXT))
            for line in drawable(filling_lines(record), output.stdout):
                output.say("  " + line)


def _label_texts(predictor: Predictor, texts: Sequence[tuple[str, ...]], batch_size: int, output: Output) -> None:
    from hftune.inference.file_labels import text_problem

    problems = [next(filter(None, (text_problem({"text": part}, "text") for part in item)), "") for item in texts]
    good = [item for item, problem in zip(texts, problems, strict=True) if not problem]
    pairs = [item[1] for item in good] if good and len(good[0]) > 1 else None
    found = iter(predictor.classify([item[0] for item in good], batch_size, pairs) if good else ())
    for item, problem in zip(texts, problems, strict=True):
        asked = {"text": item[0], **({"text_pair": item[1]} if len(item) > 1 else {})}
        if problem:
            output.emit({**asked, "error": problem})
            output.note(f"hftune: no label for {clip(sanitize(repr(item[0])), SHOWN_TEXT)}: {problem}")
            continue
        prediction = next(found)
        record = prediction.to_dict()
        output.emit({**asked, **record})
        if not output.json:
            _show(item, record, output)


def _show(item: tuple[str, ...], record: dict[str, Any], output: Output) -> None:
    for part in item:
        output.say(clip(sanitize(part), SHOWN_TEXT))
    for line in drawable(prediction_lines(record), output.stdout):
        output.say("  " + line)


def _label_file(arguments: argparse.Namespace, predictor: Predictor, output: Output) -> None:
    from hftune.inference.file_labels import Job, Listener, label_file

    sink = Path(arguments.output) if arguments.output else None
    job = Job(Path(arguments.input), sink, arguments.batch_size, arguments.restart, arguments.allow_inexact)
    display = _FileDisplay(arguments.input, output, ticking=sink is not None or not output.stdout.isatty())

    def emit(record: Any) -> None:
        print(json_line(record, output.stdout, default=str), file=output.stdout)

    metered = predictor.metered() if sink is not None else nullcontext(lambda: None)
    with asking_to_stop(lambda _: None) as signals, metered as spent:
        listener = Listener(display.bad_row, display.note, display.rows, emit, lambda: signals.first is not None)
        done = label_file(predictor, job, listener)
        used = spent()
    display.end()
    if done.stopped:
        hint = "The same command goes on behind them." if sink else ""
        raise InterruptedRun(f"interrupted after {many(done.rows, 'row')}", hint, signals.exit_code)
    bad = f", {done.bad} of them without a label (column `error`)" if done.bad else ""
    output.note(f"{many(done.rows, 'row')}{bad}" + (f" → {sink}" if sink else ""))
    if used is not None:
        output.note(f"energy {used.tell()}")
    if sink is not None:
        energy = None if used is None else used.to_dict()
        output.emit({"output": str(sink), "rows": done.rows, "bad": done.bad, "energy": energy})


class _FileDisplay:
    """What people hear while a file is labelled: its bad rows, how far it is, how fast, how long it will take."""

    def __init__(self, source: str, output: Output, ticking: bool) -> None:
        self._source, self._output = source, output
        self._ticker = Ticker(output.stderr) if ticking else None
        self._bad = 0
        self._began: tuple[float, int, float] | None = None  # when, at which row, at which share of the input

    def note(self, text: str) -> None:
        """Say something that stays."""
        if self._ticker:
            self._ticker.clear()
        self._output.note(f"hftune: {text}")

    def bad_row(self, row: Row) -> None:
        """Name a row that has no label, while there are few."""
        self._bad += 1
        if self._bad <= BAD_ROWS_SHOWN:
            self.note(f"{self._source}:{row.number}: {row.error}")

    def rows(self, done: Labelled, share: float) -> None:
        """Show how far it is; nothing in the first second."""
        now = time.monotonic()
        if self._began is None:
            self._began = now, done.rows, share
        began, row_then, share_then = self._began
        seconds = now - began
        if self._ticker is None or seconds < QUIET_SECONDS:
            return
        rate, left = (done.rows - row_then) / seconds, "?"
        if share > share_then:
            left = duration(seconds * (1 - share) / (share - share_then))
        self._ticker.show(f"{done.rows:,} rows ({share:.0%})  {figure(rate)} rows/s  {left} left")

    def end(self) -> None:
        """Make room for the last words."""
        if self._ticker:
            self._ticker.clear()
        if self._bad > BAD_ROWS_SHOWN:
            self._output.note(f"hftune: … and {self._bad - BAD_ROWS_SHOWN} more")
