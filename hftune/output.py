"""What a command says: text for people, or JSON for programs, never mixed on one stream."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from hftune.errors import HftuneError, RecipeError
from hftune.sanitize import sanitize


class Output:
    """Text goes to stdout; with `json` stdout carries only JSON and text goes to stderr."""

    def __init__(self, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = as_json
        self.stdout = stdout or sys.stdout
        self.stderr = stderr or sys.stderr

    def say(self, text: str = "") -> None:
        """Print a line for a person."""
        print(text, file=self.stderr if self.json else self.stdout, flush=True)

    def note(self, text: str) -> None:
        """Print a line that is not part of the answer (which source was used, a warning) to stderr, safe to show."""
        print(sanitize(text, lines=True), file=self.stderr, flush=True)

    def emit(self, record: Any) -> None:
        """With `json`, print one record as a line; otherwise nothing."""
        if self.json:
            print(json_line(record, self.stdout), file=self.stdout, flush=True)

    def report(self, error: HftuneError, extra: Mapping[str, Any] | None = None) -> int:
        """Print an error as one short block; with `json` also as an object with `extra`. Return its exit code."""
        self.emit({**(extra or {}), "error": describe(error)})
        print(f"hftune: {sanitize(error, lines=True)}", file=self.stderr, flush=True)
        return error.exit_code


def json_line(record: Any, stream: TextIO, default: Callable[[Any], Any] | None = None) -> str:
    """Return a record as a line of JSON that `stream` can hold; NaN, which JSON has not, becomes null."""
    clean = finite(record)
    text = json.dumps(clean, ensure_ascii=False, allow_nan=False, default=default)
    return text if can_hold(stream, text) else json.dumps(clean, allow_nan=False, default=default)


def finite(value: Any) -> Any:
    """Return `value`, as JSON holds it, with None for every NaN and infinity in it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def can_hold(stream: TextIO, text: str) -> bool:
    """Tell whether every character of `text` has a form in the stream's encoding."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def describe(error: HftuneError) -> dict[str, Any]:
    """Return an error as programs get it: message, hint, problems of a recipe, exit code."""
    problems = [vars(problem) for problem in error.problems] if isinstance(error, RecipeError) else []
    return {"message": error.message, "hint": error.hint, "problems": problems, "code": error.exit_code}
