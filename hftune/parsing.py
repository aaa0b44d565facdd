"""Words of a command line -> argparse.Namespace, from the table of verbs. The app reads its slash commands so too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from hftune import __version__
from hftune.errors import UsageError, closest
from hftune.verbs import COMMON, VERBS, Argument, Verb, find


class _Parser(argparse.ArgumentParser):
    """argparse that reports mistakes as hftune does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help shows what it takes.")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, made from the table of verbs."""
    parser = _Parser(prog="hftune", description="Fine-tune a model from a recipe, watch it train, question it.")
    parser.add_argument("--version", action="version", version=f"hftune {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for verb in VERBS:
        _add_verb(commands, verb, verb.module)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace | None:
    """Return what `argv` says, with the `module` that carries it out; None when it names no command.

    Raises UsageError for what is wrong, SystemExit (argparse's way) for --help and --version.
    """
    parser = build_parser()
    if argv and not argv[0].startswith("-") and find(argv[0]) is None:
        shown = [verb.name for verb in VERBS if not verb.hidden]
        raise UsageError(f"no command named {argv[0]!r}", hint=closest(argv[0], shown))
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        _take_rest(parser, argv, arguments, rest)
    return arguments if hasattr(arguments, "module") else None


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
