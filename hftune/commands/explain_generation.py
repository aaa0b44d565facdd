"""`hftune explain RUN PROMPT…` of a generator: what in the prompt made each word of the answer likely."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hftune.asking.explanations import Record
from hftune.asking.generated import answer_lines, shown_method
from hftune.commands.bars import drawable
from hftune.commands.generation_page import generation_page
from hftune.commands.marked import say_marked
from hftune.commands.ticker import Ticker
from hftune.errors import UsageError
from hftune.output import Output
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor


class GeneratorAnswers:
    """Explains prompt after prompt, and shows each."""

    def __init__(self, predictor: Predictor, names: list[str], arguments: argparse.Namespace, output: Output) -> None:
        """Raises UsageError for what is asked of classifiers alone."""
        name = predictor.loaded.path.name
        if arguments.target:
            raise UsageError(
                f"--target is a label, and {name} writes text",
                hint="--answer TEXT explains an answer of yours, without it the model's own.",
            )
        if not names:
            raise UsageError(f"{name} writes text: there is no label that changed words could flip")
        if arguments.fill_mask:
            raise UsageError("--fill-mask is for counterfactuals, which classifiers have", hint="Leave it out.")
        if arguments.answer is not None and arguments.max_new_tokens is not None:
            raise UsageError("--max-new-tokens is for the model's own answer", hint="Leave it or --answer out.")
        if arguments.max_new_tokens is not None and arguments.max_new_tokens < 1:
            raise UsageError(
                f"--max-new-tokens {arguments.max_new_tokens} cannot be used", hint="It must be 1 or more."
            )
        self._predictor, self._names, self._arguments, self._output = predictor, names, arguments, output
        self._ticker = Ticker(output.stderr)

    def texts(self) -> Iterator[tuple[str, ...]]:
        """Yield the prompts."""
        from hftune.inference.file_labels import typed_lines

        yield from ((text,) for text in self._arguments.text or (line for line in typed_lines() if line.strip()))

    def explain(self, texts: tuple[str, ...]) -> dict[str, Any]:
        """Show and return the explanation of the answer to a prompt."""
        from hftune.explainers._continuation import Continuation
        from hftune.explainers._explanation import explain_answer

        asked = self._arguments
        with self._ticker:
            question = Continuation(self._predictor, texts[0], asked.answer, asked.max_new_tokens)
            record = explain_answer(question, self._names, asked.seed or 0, self._ticker.show).to_dict()
        if not self._output.json:
            say_marked(record["prompt"], record["spans"], shown_method(record)["values"], self._output.stdout)
            self._output.say(sanitize(record["answer"].strip(), lines=True))
            for line in drawable(answer_lines(record), self._output.stdout):
                self._output.say(line)
        return record

    def page(self, records: Sequence[Record]) -> str:
        """Return the page of what was explained."""
        return generation_page(self._predictor.loaded.path.name, records)
