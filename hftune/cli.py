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

from hftune import __version__
from hftune.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, HftuneError, UsageError, closest
from hftune.output import Output
from hftune.verbs import COMMON, VERBS, Argument, Verb, find

ISSUES = "This is a bug in hftune: please report it with the output of the same command with --debug."


class _Parser(argparse.ArgumentParser):
    """argparse that reports mistakes as hftune does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help shows what it takes.")


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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, made from the table of verbs."""
    parser = _Parser(prog="hftune", description="Fine-tune a model from a recipe, watch it train, question it.")
    parser.add_argument("--version", action="version", version=f"hftune {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for verb in VERBS:
        _add_verb(commands, verb, verb.module)
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = build_parser()
    if argv and not argv[0].startswith("-") and find(argv[0]) is None:
        shown = [verb.name for verb in VERBS if not verb.hidden]
        raise UsageError(f"no command named {argv[0]!r}", hint=closest(argv[0], shown))
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        _take_rest(parser, argv, arguments, rest)
    if not hasattr(arguments, "module"):
        parser.print_help()
        sys.exit(EXIT_USAGE if argv else 0)
    return arguments


def _take_rest(
    parser: argparse.ArgumentParser, argv: Sequence[str], arguments: argparse.Namespace, rest: list[str]
) -> None:
    """Put what argparse left over into the verb's open-ended positional.

    argparse fills `TEXT…` once, with nothing, when an option stands before the texts (`predict latest --json "good"`).
    """
    verb = find(argv[0])
    if verb is not None and verb.subverbs:
        verb = next((one for one in verb.subverbs if one.name == getattr(arguments, "subverb", None)), None)
    last = (
        next((one for one in reversed(verb.arguments) if one.positional and one.nargs == "*"), None) if verb else None
    )
    marked = "--" in rest
    values = [value for value in rest if value != "--"]
    if last is None or (not marked and any(value.startswith("-") and value != "-" for value in values)):
        parser.error("unrecognized arguments: " + " ".join(rest))
    setattr(arguments, last.flags[0], [*getattr(arguments, last.flags[0]), *values])


def _add_verb(commands: argparse._SubParsersAction[_Parser], verb: Verb, module: str) -> None:
    description = verb.help[0].upper() + verb.help[1:] + ("" if verb.help.endswith("?") else ".")
    if verb.hidden:  # argparse lists a verb only when it has a help text; hidden ones are for programs
        parser = commands.add_parser(verb.name, description=description)
    else:
        parser = commands.add_parser(verb.name, description=description, help=verb.help)
    if verb.subverbs:
        subverbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="subverb")
        for subverb in verb.subverbs:
            _add_verb(subverbs, subverb, module)
        return
    parser.set_defaults(module=module)
    for argument in (*verb.arguments, *COMMON):
        _add_argument(parser, argument)


def _add_argument(parser: argparse.ArgumentParser, argument: Argument) -> None:
    if argument.switch:
        parser.add_argument(*argument.flags, action="store_true", help=argument.help)
        return
    options: dict[str, object] = {"help": argument.help, "type": argument.type, "metavar": argument.metavar}
    if argument.repeat:
        options |= {"action": "append", "default": []}
    else:
        options["default"] = argument.default
    if argument.nargs:
        options["nargs"] = argument.nargs
    if argument.choices:
        options["choices"] = argument.choices
    parser.add_argument(*argument.flags, **options)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
