"""`hftune explain RUN TEXT…`: how much each word did for the answer, and how far to believe that."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hftune.asking.explanations import bracketed, counterfactual_lines, explanation_lines, marked_pieces
from hftune.commands import explain_data
from hftune.commands.bars import drawable
from hftune.commands.explanation_page import explanations_page
from hftune.commands.page import require_folder, write_page
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, UsageError, closest
from hftune.output import Output
from hftune.runs.reader import find_run, split_step
from hftune.sanitize import sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.explainers._counterfactual import Neighbourhood
    from hftune.inference.predictor import Predictor

ALL, COUNTERFACTUAL = "all", "counterfactual"
# Foreground of a word for and against the label: colour-blind safe, and the numbers say the same.
FOR, AGAINST = "bold blue", "bold dark_orange"


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Explain texts; with --json a line each."""
    wait_politely_when_busy()
    if arguments.data or arguments.rows is not None:
        return explain_data.execute(arguments, output)
    if arguments.method == COUNTERFACTUAL and arguments.target:
        raise UsageError("--target is for attributions", hint="A counterfactual is any other answer: leave it out.")
    names = _methods(arguments.method)
    page = Path(arguments.html) if arguments.html else None
    if page is not None:
        require_folder(page)
    predictor = _load(arguments.run, arguments.runs_dir)
    answers = Answers(predictor, names, arguments, output)
    records = []
    for number, texts in enumerate(_texts(arguments, predictor)):
        if number and not output.json:
            output.say()
        records.append(answers.explain(texts))
        output.emit(records[-1])
    if not records:
        raise UsageError("there is no text to explain", hint='`hftune explain RUN "…"`, or lines on standard input.')
    if page is not None:
        write_page(page, explanations_page(predictor.loaded.path.name, records))
        output.note(f"written: {page}")
    return EXIT_DONE


class Answers:
    """Explains text after text, and shows each."""

    def __init__(self, predictor: Predictor, names: list[str], arguments: argparse.Namespace, output: Output) -> None:
        from hftune.tasks._labels import SINGLE

        self._predictor, self._names, self._output = predictor, names, output
        self._target, self._seed = arguments.target, arguments.seed or 0
        # There is another answer to flip to only where one label of several is given.
        asked = arguments.method in (ALL, COUNTERFACTUAL)
        self._flips = asked and (not names or predictor.problem_type == SINGLE)
        if arguments.fill_mask and not self._flips:
            raise UsageError("--fill-mask is for counterfactuals", hint="Add --method counterfactual, or leave it out.")
        self._guesser = _load(arguments.fill_mask, arguments.runs_dir) if arguments.fill_mask else None
        if self._guesser is not None:
            self._guesser.require("fill-mask")
        self._ticker = Ticker(output.stderr)
        self._hood: Neighbourhood | None = None

    def explain(self, texts: tuple[str, ...]) -> dict[str, Any]:
        """Show and return the explanation of a text, or of two that the model reads together."""
        from hftune.explainers._explanation import explain
        from hftune.explainers._question import Question

        pair = texts[1] if len(texts) > 1 else None
        question = Question(self._predictor, texts[0], self._target, pair)
        record: dict[str, Any] = {}
        if self._names:
            with self._ticker:
                record = explain(question, self._names, self._seed, self._ticker.show).to_dict()
            self._show(record)
        if self._flips:
            record["counterfactuals"] = self._flip(texts[0], pair)
        return record

    def _flip(self, text: str, pair: str | None) -> dict[str, Any]:
        from hftune.explainers._counterfactual import Neighbourhood, find
        from hftune.explainers._question import Question

        with self._ticker:
            self._hood = self._hood or Neighbourhood(self._predictor, self._ticker.show, self._guesser)
            question = Question(self._predictor, text, None, pair)
            found = asdict(find(self._predictor, question, self._hood, self._ticker.show))
        if not self._output.json:
            for line in counterfactual_lines(found, alone=not self._names):
                self._output.say(line)
        return found

    def _show(self, record: dict[str, Any]) -> None:
        if self._output.json:
            return
        say_text(record, self._output.stdout)
        for line in drawable(explanation_lines(record), self._output.stdout):
            self._output.say(line)


def _load(reference: str, runs_dir: Path) -> Predictor:
    from hftune.inference.predictor import Predictor

    run, step = split_step(reference)
    return Predictor.load(find_run(run, runs_dir), step)


def _texts(arguments: argparse.Namespace, predictor: Predictor) -> Iterator[tuple[str, ...]]:
    """Yield what is to be explained: texts, or two at a time for a model that reads two."""
    from hftune.inference.file_labels import typed_lines

    size = 2 if predictor.loaded.recipe.data.text_pair else 1
    texts = iter(arguments.text or (line for line in typed_lines() if line.strip()))
    while some := tuple(islice(texts, size)):
        if len(some) < size:
            raise UsageError("the last text has no second one", hint="This model takes two texts at a time.")
        yield some


def _methods(asked: str) -> list[str]:
    """Return the methods of attribution that are asked for; raises UsageError for a name that there is not."""
    from hftune.explainers import CHANCE, methods

    attributing = [name for name in methods() if name != CHANCE]
    if asked not in (known := [*attributing, COUNTERFACTUAL, ALL]):
        raise UsageError(f"no method named {asked!r}", hint=closest(asked, known))
    return attributing if asked == ALL else [name for name in attributing if name == asked]


def say_text(record: dict[str, Any], stream: TextIO) -> None:
    """Print the text with what speaks for the label in one colour, against it in another; without colours, in brackets.

    Of several methods the marks are the first one's.
    """
    from rich.console import Console
    from rich.text import Text

    console, shown = Console(file=stream, highlight=False, soft_wrap=True), Text()
    plain = console.color_system is None or console.no_color
    for piece, share in marked_pieces(record["text"], record["spans"], record["methods"][0]["values"]):
        clean = sanitize(piece, lines=True)
        if plain:
            shown.append(bracketed(clean, share))
        else:
            shown.append(clean, style="" if share == 0 else FOR if share > 0 else AGAINST)
    console.print(shown)
