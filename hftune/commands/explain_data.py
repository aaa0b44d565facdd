"""`hftune explain RUN --data FILE|split`: a model explained over many labelled rows at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.asking import surveys
from hftune.commands.bars import drawable
from hftune.commands.explain_asked import COUNTERFACTUAL, asked_methods, asked_page, load, say_page
from hftune.commands.marked import has_colours, marked_words
from hftune.commands.survey_page import survey_page
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, UsageError
from hftune.output import Output

if TYPE_CHECKING:
    from rich.text import Text

    from hftune.inference.predictor import Predictor

ROWS = 200
FEWEST_ROWS = 20  # however many methods and labels there are
MARKED = 0.3  # of the largest value: what a mistake's words have to have to be marked
LONGEST = 600  # characters of a mistake that are shown
SPLITS = ("train", "validation", "test")


def check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what does not go with --data, before anything is loaded."""
    if not arguments.data:
        raise UsageError("--rows without --data", hint="Rows are of a split or a file: --data test, --data FILE.")
    if arguments.text:
        raise UsageError("texts and --data at once", hint="Give either.")
    if arguments.target:
        raise UsageError("--target is for single texts", hint="With --data each label is explained: leave it out.")
    if arguments.method == COUNTERFACTUAL:
        hint = "Counterfactuals are for single texts; with --data take a method of attribution, or all of them."
        raise UsageError("--method counterfactual does not go with --data", hint=hint)
    if arguments.answer is not None or arguments.max_new_tokens is not None:
        raise UsageError("--answer and --max-new-tokens are for generators", hint="--data is for classifiers.")
    if arguments.fill_mask:
        raise UsageError("--fill-mask is for counterfactuals, which are for single texts", hint="Leave it out.")
    if arguments.rows is not None and arguments.rows < 1:
        raise UsageError(f"--rows {arguments.rows}", hint="It must be 1 or more.")


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Explain a split or a file, and show it; with --json one object."""
    check(arguments)
    from hftune.inference.predictor import CLASSIFIES, enough_memory

    asked_methods(arguments.method, CLASSIFIES)  # a name that there is not is told before anything is loaded
    page = asked_page(arguments.html)
    predictor = load(arguments.run, arguments.runs_dir)
    predictor.require(CLASSIFIES)
    names = asked_methods(arguments.method, CLASSIFIES, predictor.loaded.model)
    with enough_memory("explain answers"):
        record = _survey(predictor, names, arguments, output)
    output.emit(record)
    if not output.json:
        for line in drawable(_lines(record), output.stdout):
            output.say(line)
        _say_mistakes(record, output)
    output.note(surveys.time_text(record))
    if page is not None:
        say_page(page, survey_page(record), output)
    return EXIT_DONE


def _survey(predictor: Predictor, names: list[str], arguments: argparse.Namespace, output: Output) -> dict[str, Any]:
    from hftune.explainers._labelled import label_rows
    from hftune.explainers._survey import survey
    from hftune.inference.scoring import load_rows

    split, file = (arguments.data, None) if arguments.data.lower() in SPLITS else (None, Path(arguments.data))
    name, dataset = load_rows(predictor, split, file, output.note)
    with Ticker(output.stderr) as ticker:
        rows = label_rows(predictor, name, dataset, arguments.rows or _rows(predictor, names), ticker.show)
        return survey(predictor, rows, names, arguments.seed or 0, ticker.show).to_dict()


def _rows(predictor: Predictor, names: Sequence[str]) -> int:
    """Return how many rows are explained: so many fewer for several methods, and of a model asked for each label."""
    from hftune.tasks._labels import MULTI

    each = len(names) * (len(predictor.labels) if predictor.problem_type == MULTI else 1)
    return max(FEWEST_ROWS, ROWS // each)


def _lines(record: dict[str, Any]) -> Iterator[str]:
    yield from surveys.head_lines(record)
    for part in (surveys.driver_lines, surveys.shortcut_lines, surveys.length_lines, surveys.belief_lines):
        if lines := list(part(record)):
            yield ""
            yield from lines
    yield ""
    yield surveys.mistakes_title(record)


def _say_mistakes(record: dict[str, Any], output: Output) -> None:
    """Print each mistake with its text marked: in colours, or in brackets where there are none."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=output.stdout, highlight=False, width=surveys.COLUMNS)
    colours = has_colours(console)
    if record["mistakes"] and not colours:
        output.say("  [for] and {against} the label that is named")
    for one in record["mistakes"]:
        for shown, indent in ((Text(surveys.mistake_head(one)), 2), (_marked(one, colours), 4)):
            for line in shown.wrap(console, surveys.COLUMNS - indent):
                line.rstrip()
                console.print(Text(" " * indent).append_text(line), soft_wrap=True)


def _marked(one: dict[str, Any], colours: bool) -> Text:
    least = MARKED * max(map(abs, one["values"]))
    values = [value if abs(value) >= least else 0.0 for value in one["values"]]
    shown = marked_words(one["text"], one["spans"], values, colours)
    if len(shown) > LONGEST:
        shown.truncate(LONGEST)
        shown.append("…")
    return shown
