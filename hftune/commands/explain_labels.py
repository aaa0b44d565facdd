"""`hftune explain RUN TEXT…` of a classifier: how much each word did for the label, and what would have changed it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from hftune.asking.explanations import Record, counterfactual_lines, explanation_lines
from hftune.commands.bars import drawable
from hftune.commands.explain_asked import ALL, COUNTERFACTUAL, load
from hftune.commands.explanation_page import explanations_page
from hftune.commands.marked import say_marked
from hftune.commands.ticker import Ticker
from hftune.errors import UsageError
from hftune.output import Output

if TYPE_CHECKING:
    from hftune.explainers._counterfactual import Neighbourhood
    from hftune.inference.predictor import Predictor


class LabelAnswers:
    """Explains text after text, and shows each."""

    def __init__(self, predictor: Predictor, names: list[str], arguments: argparse.Namespace, output: Output) -> None:
        """Raises UsageError for what is asked of generators alone."""
        from hftune.tasks._labels import SINGLE

        for flag, value in (("--answer", arguments.answer), ("--max-new-tokens", arguments.max_new_tokens)):
            if value is not None:
                name = predictor.loaded.path.name
                raise UsageError(f"{flag} is for generators: {name} gives labels", hint="--target explains another.")
        self._predictor, self._names, self._output = predictor, names, output
        self._texts, self._target, self._seed = arguments.text, arguments.target, arguments.seed or 0
        # There is another answer to flip to only where one label of several is given.
        asked = arguments.method in (ALL, COUNTERFACTUAL)
        self._flips = asked and (not names or predictor.problem_type == SINGLE)
        if arguments.fill_mask and not self._flips:
            raise UsageError("--fill-mask is for counterfactuals", hint="Add --method counterfactual, or leave it out.")
        self._guesser = load(arguments.fill_mask, arguments.runs_dir) if arguments.fill_mask else None
        if self._guesser is not None:
            self._guesser.require("fill-mask")
        self._ticker = Ticker(output.stderr)
        self._hood: Neighbourhood | None = None

    def texts(self) -> Iterator[tuple[str, ...]]:
        """Yield what is to be explained: texts, or two at a time for a model that reads two."""
        from hftune.inference.file_labels import typed_lines

        size = 2 if self._predictor.loaded.recipe.data.text_pair else 1
        texts = iter(self._texts or (line for line in typed_lines() if line.strip()))
        while some := tuple(islice(texts, size)):
            if len(some) < size:
                raise UsageError("the last text has no second one", hint="This model takes two texts at a time.")
            yield some

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

    def page(self, records: Sequence[Record]) -> str:
        """Return the page of what was explained."""
        return explanations_page(self._predictor.loaded.path.name, records)

    def _flip(self, text: str, pair: str | None) -> dict[str, Any]:
        from hftune.explainers._counterfactual import Neighbourhood, find, require_labels
        from hftune.explainers._question import Question

        with self._ticker:
            question = Question(self._predictor, text, None, pair)
            require_labels(question)  # before what takes long
            self._hood = self._hood or Neighbourhood(self._predictor, self._ticker.show, self._guesser)
            found = asdict(find(self._predictor, question, self._hood, self._ticker.show))
        if not self._output.json:
            for line in counterfactual_lines(found, alone=not self._names):
                self._output.say(line)
        return found

    def _show(self, record: dict[str, Any]) -> None:
        if self._output.json:
            return
        # Of several methods the marks are the first one's.
        say_marked(record["text"], record["spans"], record["methods"][0]["values"], self._output.stdout)
        for line in drawable(explanation_lines(record), self._output.stdout):
            self._output.say(line)
