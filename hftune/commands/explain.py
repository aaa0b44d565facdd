"""`hftune explain RUN TEXT…`: how much each word did for the answer, and how far to believe that."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.commands import explain_data
from hftune.commands.explain_generation import GeneratorAnswers
from hftune.commands.explain_labels import ALL, COUNTERFACTUAL, LabelAnswers, load
from hftune.commands.page import require_folder, write_page
from hftune.errors import EXIT_DONE, UsageError, closest
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
    _methods(arguments.method)  # a name that there is not is told before anything is loaded
    page = Path(arguments.html) if arguments.html else None
    if page is not None:
        require_folder(page)
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
        write_page(page, answers.page(records))
        output.note(f"written: {page}")
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
    return kinds[predictor.task](predictor, _methods(arguments.method, predictor.task), arguments, output)


def _methods(asked: str | None, task: str | None = None) -> list[str]:
    """Return the methods of attribution that are asked for, None for the task's default, with `task` of its models.

    Raises UsageError for a name that there is not, and for one of another task.
    """
    from hftune.explainers import CHANCE, methods

    known, own = ([name for name in methods(one) if name != CHANCE] for one in (None, task))
    if asked is None:
        return own[:1]
    if asked not in (*known, COUNTERFACTUAL, ALL):
        raise UsageError(f"no method named {asked!r}", hint=closest(asked, [*known, COUNTERFACTUAL, ALL]))
    if asked in known and asked not in own:
        raise UsageError(f"{asked} does not explain {task}", hint=f"For these models there are {' and '.join(own)}.")
    return own if asked == ALL else [name for name in own if name == asked]
