"""The slash commands: every verb of the command line and the app's own, from one table; completing and reading them."""

from __future__ import annotations

import argparse
import contextlib
import io
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hftune import parsing
from hftune.errors import RunError, UsageError, closest
from hftune.runs.reader import find_run, split_step
from hftune.verbs import COMMON, VERBS, Argument, Verb, find

from .completion import Candidate, best
from .methods import EXPLAIN, TITLES, WORDS, method_named
from .paths import names_in

MOST_FILES = 200

NAME_VALUE = Argument(("setting",), "NAME=VALUE", nargs="?", metavar="NAME=VALUE")
OWN: tuple[Verb, ...] = (
    Verb("compare", "lay runs over each other", (Argument(("runs",), "runs", nargs="*", completes="run"),)),
    Verb("beside", "ask a second model beside this one: base, a step, or a run",
         (Argument(("other",), "base, a step of this run, or RUN[@step]; left out: one model again", nargs="?",
                   completes="run"),)),
    Verb("set", "change how answers are written; alone: show it", (NAME_VALUE,)),
    Verb("temp", "temperature of the answers", (Argument(("temperature",), "0: always the likeliest token"),)),
    Verb("retry", "ask the last thing again"),
    Verb("reset", "forget the conversation"),
    Verb("save", "save the conversation", (Argument(("file",), "where to", nargs="?", completes="file"),)),
    Verb("load", "go on with a saved conversation", (Argument(("file",), "which", completes="file"),)),
    Verb("copy", "copy the last answer, or what the place shows"),
    Verb("theme", "dark, light or high-contrast", (Argument(("name",), "which; left out: the next", nargs="?"),)),
    Verb("file", "make a recipe out of a file of your own",
         (Argument(("file",), "which", nargs="?", completes="file"),)),
    Verb("keys", "the keys of this place"),
    Verb("help", "what can be done, or what a command takes", (Argument(("command",), "which", nargs="?"),)),
    Verb("quit", "leave the app; jobs keep running"),
)  # fmt: skip
# These speak to a terminal or a program, not to a person in the app.
NOT_HERE = frozenset({"worker", "tui"})
IN_CHAT = f"/{EXPLAIN} with one of {', '.join(WORDS)}: how the chat explains a classifier's answers"


@dataclass(frozen=True)
class Line:
    """A command as read: its name, the words after it, and what they mean where it is a verb of the command line."""

    name: str
    words: tuple[str, ...]
    arguments: argparse.Namespace


class Commands:
    """The table, with what completing needs to know: the runs, the run in front, the recipes."""

    def __init__(
        self,
        runs_dir: Path,
        run_names: Callable[[], Iterable[str]],
        run_in_front: Callable[[], Path | None],
        recipes: Callable[[], Iterable[tuple[str, str]]],
        values: Callable[[str], Iterable[str]] = lambda _: (),
    ) -> None:
        self._runs_dir, self._run_names, self._run_in_front = runs_dir, run_names, run_in_front
        self._recipes, self._values = recipes, values
        shown = [verb for verb in VERBS if not verb.hidden and verb.name not in NOT_HERE]
        self.table: dict[str, Verb] = {verb.name: verb for verb in (*shown, *OWN)}

    def read(self, text: str) -> Line:
        """Return what a line that begins with a slash says; raises UsageError for what is wrong with it.

        A verb that takes a run means the run in front where none is named.
        """
        try:
            name, *words = shlex.split(text.removeprefix("/")) or [""]
        except ValueError as error:
            raise UsageError(f"{text!r} cannot be read: {error}", hint="A quote that begins must end.") from None
        verb = self.table.get(name)
        if verb is None:
            raise UsageError(f"no command {'/' + name!r}", hint=closest(name, self.table))
        if verb in OWN:
            return Line(name, tuple(words), _read_own(verb, words))
        if name == EXPLAIN and (method := method_named(words)) is not None:
            return Line(name, tuple(words), argparse.Namespace(method=method))
        if any(word in ("-h", "--help") for word in words):
            return Line("help", (name,), argparse.Namespace(command=name))
        if verb.subverbs and not words:  # the place shows them all
            return Line(name, (), argparse.Namespace())
        words = self._with_run(verb, words)
        try:
            arguments = parsing.parse([name, *words])
        except UsageError as error:
            in_app = f"/help {name} shows what it takes." if "--help" in error.hint else error.hint
            raise UsageError(error.message, hint=in_app) from None
        assert arguments is not None
        return Line(name, tuple(words), arguments)

    def describe(self, name: str) -> str:
        """Return the help of one command; raises UsageError when there is none of that name."""
        verb = self.table.get(name.removeprefix("/"))
        if verb is None:
            raise UsageError(f"no command {name!r}", hint=closest(name, self.table))
        if verb in OWN:
            arguments = [f"  {one.metavar or one.flags[0].upper()}  {one.help}" for one in verb.arguments]
            return "\n".join([f"/{verb.name}: {verb.help}", *arguments])
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            parsing.parse([verb.name, "--help"])
        more = f"\n\n{IN_CHAT}" if verb.name == EXPLAIN else ""
        return said.getvalue().replace("usage: hftune ", "/").strip() + more

    def wants_more(self, text: str) -> bool:
        """Tell whether a command that was just taken from a list needs an argument before it can be sent."""
        words = text.removeprefix("/").split()
        verb = self.table.get(words[0]) if words else None
        if verb is None or len(words) > 1:
            return False
        if verb.subverbs:
            return True
        needed = [one for one in verb.arguments if one.positional and one.nargs is None]
        return any(one.completes != "run" or self._run_in_front() is None for one in needed)

    def complete(self, text: str) -> list[Candidate]:
        """Return what could stand at the end of a line that begins with a slash, best first."""
        before, last = _split_last(text)
        words = before.removeprefix("/").split()
        start = len(text) - len(last)
        if not words:
            names = [Candidate("/" + verb.name, verb.help, 0) for verb in self.table.values()]
            return best(text, names) if text != "/" else names
        verb = self.table.get(words[0])
        if verb is None:
            return []
        if verb.subverbs:
            if len(words) == 1:
                return best(last, [Candidate(one.name, one.help, start) for one in verb.subverbs])
            verb = next((one for one in verb.subverbs if one.name == words[1]), verb)
        named = [Candidate(word, TITLES.get(word, "answers are not explained"), start) for word in WORDS]
        in_chat = best(last, named) if words == [EXPLAIN] and not last.startswith("-") else []
        return in_chat + self._values_of(verb, words[1:], last, start)

    def _values_of(self, verb: Verb, words: Sequence[str], last: str, start: int) -> list[Candidate]:
        arguments = (*verb.arguments, *(() if verb in OWN else COMMON[1:2]))
        flags = {flag: one for one in arguments for flag in one.flags if not one.positional}
        if last.startswith("-"):
            return best(last, [Candidate(flag, one.help, start) for flag, one in flags.items()])
        before = flags.get(words[-1]) if words else None
        if before is not None and not before.switch:
            return self._named(before, last, start)
        positional = [one for one in arguments if one.positional]
        place = sum(not word.startswith("-") for word in words)
        if not positional:
            return []
        return self._named(positional[min(place, len(positional) - 1)], last, start)

    def _named(self, argument: Argument, last: str, start: int) -> list[Candidate]:
        """Return what an argument can be."""
        if argument.choices:
            return best(last, [Candidate(one, argument.help, start) for one in argument.choices])
        if argument.completes == "run":
            return best(last, [Candidate(name, "a run", start) for name in ("latest", *self._run_names())])
        if argument.completes == "split":
            return best(last, [Candidate(one, "", start) for one in ("train", "validation", "test")])
        if argument.completes == "recipe":
            named = [Candidate(shlex.quote(name), what, start) for name, what in self._recipes()]
            return best(last, named) or _files(last, start)
        if argument.completes == "file":
            return _files(last, start)
        return best(last, [Candidate(one, argument.help, start) for one in self._values(argument.flags[0])])

    def _with_run(self, verb: Verb, words: Sequence[str]) -> list[str]:
        """Return the words with the run in front named first, where a verb takes a run and none is named."""
        first = next((one for one in verb.arguments if one.positional), None)
        here = self._run_in_front()
        if first is None or first.completes != "run" or here is None:
            return list(words)
        if words and not words[0].startswith("-"):
            try:
                find_run(split_step(words[0])[0], self._runs_dir)
            except RunError:
                if sum(one.positional for one in verb.arguments) == 1:
                    return list(words)  # it can only be meant as a run: the command says what is wrong with it
            else:
                return list(words)
        return [str(here), *words]


def _read_own(verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    """Give the words to the arguments of one of the app's own commands."""
    values: dict[str, object] = {}
    rest = list(words)
    for argument in verb.arguments:
        name = argument.flags[0]
        if argument.nargs == "*":
            values[name], rest = rest, []
        elif rest:
            values[name] = rest.pop(0)
        elif argument.nargs == "?":
            values[name] = None
        else:
            raise UsageError(f"/{verb.name} needs {name}", hint=argument.help)
    if rest and verb.name == "set":
        values["setting"] = " ".join(words)
    elif rest:
        raise UsageError(f"/{verb.name} takes no {rest[0]!r}")
    return argparse.Namespace(**values)


def _split_last(text: str) -> tuple[str, str]:
    """Return a line cut before the word that is being written."""
    before, space, last = text.rpartition(" ")
    return before + space, last


def _files(last: str, start: int) -> list[Candidate]:
    """Return the files and folders whose path begins with what is written."""
    before, name, found = names_in(last)
    shown = sorted(found, key=lambda one: not one.endswith("/"))[:MOST_FILES]
    named = [Candidate(one, "", start) for one in shown]
    return [Candidate(shlex.quote(before + one.text), one.help, start) for one in best(name, named)]


__all__ = ["NOT_HERE", "OWN", "Commands", "Line", "find"]
