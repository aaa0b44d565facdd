"""argv -> one command; errors -> exit codes. Imports nothing heavy: each command imports what it needs."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from hftune.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, HftuneError
from hftune.output import Output
from hftune.parsing import build_parser, parse

ISSUES = "This is a bug in hftune: please report it with the output of the same command with --debug."


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A character that the terminal cannot show, or bytes that are none, must not end a command.
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    sys.exit(run(arguments))


def run(argv: Sequence[str]) -> int:
    """Run one command; return its exit code (0 done, 2 usage, 73 locked, 130/143 interrupted, 1 else)."""
    debug = "--debug" in argv
    output = Output(as_json="--json" in argv)
    try:
        arguments = _parse(argv)
        output = Output(as_json=arguments.json)
        command = import_module(arguments.module)
        return int(command.execute(arguments, output))
    except HftuneError as error:
        if debug:
            traceback.print_exc()
        return output.report(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing is left to say, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if debug:
            traceback.print_exc()
        return output.report(HftuneError(f"{type(error).__name__}: {error}", hint=ISSUES))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    if not argv and sys.stdin.isatty() and sys.stdout.isatty():
        argv = ["tui"]  # a person at a terminal
    arguments = parse(argv)
    if arguments is None:
        build_parser().print_help()
        sys.exit(EXIT_USAGE if argv else 0)
    return arguments


if __name__ == "__main__":
    main()
