"""`hftune explain RUN TEXT…`: how much each word did for the answer, and how far to believe that."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from hftune.commands.bars import drawable
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, UsageError, closest
from hftune.figures import figure
from hftune.output import Output
from hftune.runs.reader import find_run, split_step
from hftune.sanitize import pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.explainers._counterfactual import Counterfactuals
    from hftune.explainers._explanation import Explained, Explanation
    from hftune.explainers._faithfulness import Faithfulness

ALL, COUNTERFACTUAL = "all", "counterfactual"
WORDS = 12  # shown in a table; the text above it has all
WORD, TITLE, BAR = 16, 22, 20
# Foreground of a word by its value as a share of the largest: colour-blind safe, and the numbers say the same.
FOR, AGAINST = "bold blue", "bold dark_orange"
NOTED = 0.15  # of the largest value: below, a word stays as it is


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Explain texts; with --json a line each."""
    wait_politely_when_busy()
    from hftune.explainers._counterfactual import Neighbourhood, find
    from hftune.explainers._explanation import explain
    from hftune.inference.predictor import Predictor
    from hftune.tasks._labels import SINGLE

    names = _methods(arguments.method)
    counter = arguments.method in (ALL, COUNTERFACTUAL)
    if arguments.method == COUNTERFACTUAL and arguments.target:
        raise UsageError("--target is for attributions", hint="A counterfactual is any other answer: leave it out.")
    texts = arguments.text or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise UsageError("there is no text to explain", hint='`hftune explain RUN "…"`, or lines on standard input.')
    run, step = split_step(arguments.run)
    predictor = Predictor.load(find_run(run, arguments.runs_dir), step)
    ticker, hood = Ticker(output.stderr), None
    for number, text in enumerate(texts):
        if number and not output.json:
            output.say()
        record: dict[str, Any] = {}
        if names:
            with ticker:
                explanation = explain(predictor, text, names, arguments.target, arguments.seed or 0, ticker.show)
            record = explanation.to_dict()
            if not output.json:
                show(explanation, output)
        if counter and (not names or predictor.problem_type == SINGLE):
            with ticker:
                hood = hood or Neighbourhood(predictor, ticker.show)
                found = find(predictor, text, hood, ticker.show)
            record = {**record, "counterfactuals": asdict(found)}
            if not output.json:
                for line in counterfactual_lines(found, alone=not names):
                    output.say(line)
        output.emit(record)
    return EXIT_DONE


def _methods(asked: str) -> list[str]:
    """Return the methods of attribution that are asked for; raises UsageError for a name that there is not."""
    from hftune.explainers import CHANCE, methods

    attributing = [name for name in methods() if name != CHANCE]
    if asked not in (known := [*attributing, COUNTERFACTUAL, ALL]):
        raise UsageError(f"no method named {asked!r}", hint=closest(asked, known))
    return attributing if asked == ALL else [name for name in attributing if name == asked]


def counterfactual_lines(found: Counterfactuals, alone: bool) -> Iterator[str]:
    """Yield what would have been answered otherwise; `alone`: the text itself stands above."""
    if alone:
        yield sanitize(found.text)
        yield f"  {sanitize(found.label)} {figure(found.share)}"
    yield ""
    if not found.found:
        yield "  No text with up to three changed words was found that is answered otherwise."
        return
    yield "  it would have been"
    for one in found.found:
        changes = ", ".join(
            f"without {edit.old!r}" if not edit.new else f"{edit.old!r} → {edit.new!r}" for edit in one.edits
        )
        yield f"  {sanitize(one.label)} {figure(one.share)}  {sanitize(changes)}"
        yield from (f"    {line}" for line in textwrap.wrap(sanitize(one.text), 74))


def show(explanation: Explanation, output: Output) -> None:
    """Print an explanation: the text, coloured where the terminal has colours, and the tables."""
    _say_text(explanation, output.stdout)
    for line in drawable(lines(explanation), output.stdout):
        output.say(line)


def _say_text(explanation: Explanation, stream: TextIO) -> None:
    """Print the text with what speaks for the label in one colour, against it in another."""
    from rich.console import Console
    from rich.text import Text

    clean, shown = explanation.text, Text()
    at, shades = 0, _shades(explanation.methods[0].values)
    for (start, end), style in zip(explanation.spans, shades, strict=True):
        shown.append(sanitize(clean[at:start]))
        shown.append(sanitize(clean[start:end]), style=style)
        at = end
    shown.append(sanitize(clean[at:]))
    Console(file=stream, highlight=False, soft_wrap=True).print(shown)


def _shades(values: list[float]) -> list[str]:
    most = max(map(abs, values)) or 1.0
    return ["" if abs(value) < NOTED * most else FOR if value > 0 else AGAINST for value in values]


def lines(explanation: Explanation) -> Iterator[str]:
    """Yield the tables of an explanation, at most 80 columns wide."""
    yield f"  {sanitize(explanation.label)} {figure(explanation.share)}; + speaks for it, - against it"
    yield ""
    yield from _words(explanation) if len(explanation.methods) > 1 else _bars(explanation)
    yield ""
    yield from _believe(explanation)


def _order(explanation: Explanation) -> list[int]:
    """Return the places of the words to show, what did most (by the mean over methods of its share) first."""
    sums = [0.0] * len(explanation.words)
    for one in explanation.methods:
        most = max(map(abs, one.values)) or 1.0
        for place, value in enumerate(one.values):
            sums[place] += abs(value) / most
    return sorted(range(len(sums)), key=lambda place: -sums[place])


def _bars(explanation: Explanation) -> Iterator[str]:
    (one,) = explanation.methods
    most = max(map(abs, one.values)) or 1.0
    order = _order(explanation)
    yield f"  {pad('word', WORD)} {one.title:>10}"
    for place in order[:WORDS]:
        value = one.values[place]
        bar = ("█" if value > 0 else "░") * max(1, round(BAR * abs(value) / most))
        yield f"  {pad(sanitize(explanation.words[place]), WORD)} {value:>+{len(one.title)}.3f}  {bar}".rstrip()
    yield from _rest(order)


def _words(explanation: Explanation) -> Iterator[str]:
    order = _order(explanation)
    widths = [max(10, len(one.title)) for one in explanation.methods]
    heads = " ".join(f"{one.title:>{width}}" for one, width in zip(explanation.methods, widths, strict=True))
    yield f"  {pad('word', WORD)} {heads}"
    for place in order[:WORDS]:
        cells = (f"{one.values[place]:>+{width}.3f}" for one, width in zip(explanation.methods, widths, strict=True))
        yield f"  {pad(sanitize(explanation.words[place]), WORD)} {' '.join(cells)}"
    yield from _rest(order)


def _rest(order: list[int]) -> Iterator[str]:
    if len(order) > WORDS:
        yield f"  … and {len(order) - WORDS} more words that did less"


def _believe(explanation: Explanation) -> Iterator[str]:
    """Yield how faithful each method was, chance below them."""
    heads = ("deletion↓", "insertion↑", "compreh.↑", "suffic.↓", "complete")
    yield f"  {'how far to believe it':{TITLE}}" + "".join(f"{head:>11}" for head in heads)
    for one in explanation.methods:
        error = "" if one.completeness_error is None else f"{100 * (1 - one.completeness_error):.1f}%"
        yield f"  {one.title:{TITLE}}{_figures(one.faithfulness)}{error:>11}".rstrip()
    if explanation.chance is not None:
        yield f"  {'chance (mean)':{TITLE}}{_figures(explanation.chance)}"
    drawing = [one for one in explanation.methods if one.stability < 1]
    for one in drawing:
        yield f"  {one.title} with another seed ranks the words alike: {figure(one.stability)} (1 is the same)"
    for pair, value in explanation.agreement.items():
        first, _, second = pair.partition(" and ")
        names = {one.method: one.title for one in explanation.methods}
        yield f"  {names[first]} and {names[second]} rank the words alike: {figure(value)}"
    yield f"  {_verdict(explanation)}"


def _figures(found: Faithfulness) -> str:
    values = (found.deletion, found.insertion, found.comprehensiveness, found.sufficiency)
    return "".join(f"{value:>11.3f}" for value in values)


def _verdict(explanation: Explanation) -> str:
    by_name: dict[str, Explained] = {one.method: one for one in explanation.methods}
    if explanation.best is None:
        return "No better than chance here: do not believe it."
    best = by_name[explanation.best].title
    return f"Most faithful here: {best}." if len(by_name) > 1 else "Better than chance here."
