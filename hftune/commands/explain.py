"""`hftune explain RUN TEXT…`: how much each word did for the answer, and how far to believe that."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hftune.commands import explain_data
from hftune.commands.explain_asked import COUNTERFACTUAL, asked_methods, asked_page, load, say_page
from hftune.commands.explain_generation import GeneratorAnswers
from hftune.commands.explain_labels import LabelAnswers
from hftune.errors import EXIT_DONE, UsageError
from hftune.output import Output
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Explain texts; with --json a line each."""
    wait_politely_when_busy()
    if arguments.data or arguments.rows is not None:
        return explain_data.execute(arguments, output)
    if arguments.method == COUNTERFACTUAL and arguments.target:
        raise UsageError("--target is for attributions", hint="A counterfactual is any other answer: leave it out.")
    asked_methods(arguments.method)  # a name that there is not is told before anything is loaded
    page = asked_page(arguments.html)
    from hftune.inference.predictor import enough_memory

    answers = _answers(load(arguments.run, arguments.runs_dir), arguments, output)
    records = []
    for number, texts in enumerate(answers.texts()):
        if number and not output.json:
            output.say()
        with enough_memory("explain an answer", "Use a shorter text."):
            records.append(answers.explain(texts))
        output.emit(records[-1])
    if not records:
        raise UsageError("there is no text to explain", hint='`hftune explain RUN "…"`, or lines on standard input.')
    if page is not None:
        say_page(page, answers.page(records), output)
    return EXIT_DONE


def _answers(predictor: Predictor, arguments: argparse.Namespace, output: Output) -> LabelAnswers | GeneratorAnswers:
    """Return what explains a model of this task; raises UsageError for one that nothing explains."""
    from hftune.inference.predictor import CLASSIFIES, GENERATES

    kinds: dict[str, type[LabelAnswers | GeneratorAnswers]] = {CLASSIFIES: LabelAnswers, GENERATES: GeneratorAnswers}
    if predictor.task not in kinds:
        raise UsageError(
            f"{predictor.loaded.path.name} is a {predictor.task} model: its guesses are not explained",
            hint='Classifiers and generators are. `hftune predict RUN "… [MASK] …"` tells how sure a guess is.',
        )
    names = asked_methods(arguments.method, predictor.task, predictor.loaded.model)
    return kinds[predictor.task](predictor, names, arguments, output)
