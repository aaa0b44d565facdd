"""`hftune generate RUN PROMPT…`: continue prompts; streams to people, gives one JSON line a prompt to programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from hftune.asking.answers import answer_line
from hftune.commands.settings import decoding_of
from hftune.errors import EXIT_DONE, EXIT_FAILED, HftuneError, UsageError
from hftune.output import Output
from hftune.sanitize import sanitize
from hftune.threads import wait_politely_when_busy


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Answer each prompt, one after the other; 0 when all were answered, 1 when one could not be."""
    decoding = decoding_of(arguments)
    if not arguments.prompt and sys.stdin.isatty():
        raise UsageError(
            "no prompt", hint=f'`hftune generate {arguments.run} "Once upon"`, or `hftune chat {arguments.run}`.'
        )
    from hftune.runs.reader import find_run, split_step

    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    wait_politely_when_busy()
    from hftune.inference.predictor import GENERATES, Predictor

    predictor = Predictor.load(run, step)
    predictor.require(GENERATES)

    def show(piece: str, tokens: int) -> None:
        if not output.json:
            print(sanitize(piece, lines=True), end="", file=output.stdout, flush=True)

    # What is asked of a chat model is no beginning of its answer.
    between = "\n" if predictor.style == "chat" else ""
    failed = 0
    for prompt in _prompts(arguments.prompt):
        try:
            if not output.json:
                print(sanitize(prompt, lines=True), end=between, file=output.stdout, flush=True)
            answer = predictor.generate(prompt, decoding, show).to_dict()
        except UsageError:
            raise
        except HftuneError as error:
            failed += 1
            output.note(f"hftune: {error}")
            output.emit({"prompt": prompt, "error": error.message})
            continue
        if not output.json:
            output.say()
        output.emit({"prompt": prompt, **answer})
        output.note("  " + answer_line(answer))
        for note in answer["notes"]:
            output.note(f"  {sanitize(note)}")
    return EXIT_FAILED if failed else EXIT_DONE


def _prompts(given: list[str]) -> Iterator[str]:
    yield from given or (line.rstrip("\r\n") for line in sys.stdin)
