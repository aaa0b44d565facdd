"""Errors written for people: what went wrong, where, and how to fix it.

Every error that hftune raises on purpose is a `HftuneError`; the command line prints it as one short block and exits
with its code. Anything else that escapes is a bug and is reported as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_LOCKED = 73
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class HftuneError(Exception):
    """What went wrong in one sentence, a hint that says how to fix it, and the exit code that goes with it."""

    exit_code: int = EXIT_FAILED

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(HftuneError):
    """The command line asked for something that cannot be."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: where it stands, what was found and what would be right.

    `key` is the dotted path (`training.learning_rate`); `line` and `column` count from 1, 0 when the value is not in
    a file (an override from the command line).
    """

    key: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else (f"{self.file}: " if self.file else "")
        text = f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"
        return f"{text}\n  {self.hint}" if self.hint else text


class RecipeError(HftuneError):
    """A recipe with problems; all of them at once, each with its place."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Iterable[Problem] | str, hint: str = "") -> None:
        self.problems = [Problem("", problems, hint)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class KeyedError(HftuneError):
    """What a recipe's key names is not as the recipe says.

    `key` is that key (`data.label`); the message begins with it, and whoever knows the file names the line.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message, hint, exit_code)
        self.key = key


class DataError(KeyedError):
    """The data are not what the recipe says they are: a missing column, an unknown label, an empty split."""

    exit_code = EXIT_USAGE


class ModelError(KeyedError):
    """A model, tokenizer or adapter that cannot be found, read or used."""


class RunError(HftuneError):
    """A run directory that cannot be found, read or continued."""


class RunLockedError(RunError):
    """Another process holds the run; the message names it."""

    exit_code = EXIT_LOCKED


class DivergedError(HftuneError):
    """Training whose loss or gradient stays no number; what was learned before is in the checkpoints."""


class InterruptedRun(HftuneError):  # noqa: N818 - it reports a request, not a mistake
    """The run was stopped or paused on request after its state was saved."""

    exit_code = EXIT_INTERRUPTED


def closest(word: str, names: Iterable[str]) -> str:
    """Return `Did you mean 'x'?` for the name nearest to `word`, or the choices when none is near."""
    known = list(names)
    near = get_close_matches(word, known, n=1, cutoff=0.6) or get_close_matches(
        word.lower(), [name for name in known if name.islower()], n=1, cutoff=0.6
    )
    if near:
        return f"Did you mean {near[0]!r}?"
    return "Choose one of: " + ", ".join(known) + "." if known else ""


def place(file: str | Path, line: int = 0, column: int = 0) -> str:
    """Return `file:line:column`, leaving out what is not known."""
    parts = [str(file)]
    if line:
        parts.append(str(line))
        if column:
            parts.append(str(column))
    return ":".join(parts)
