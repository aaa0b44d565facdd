"""From a data file to a recipe, question by question: what can be answered, what was, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hftune.figures import many

from .columns import Column, FileColumns
from .own_recipe import Aim, Choices, Start, cannot_be_second, cannot_start, recipe_name, starts
from .widgets.picks import Pick

Step = Literal["columns", "text", "second", "aim", "model", "recipe"]
STEPS: tuple[Step, ...] = ("columns", "text", "second", "aim", "model", "recipe")
TITLES: dict[Step, str] = {
    "columns": "columns", "text": "text", "second": "second", "aim": "learn", "model": "model",
    "recipe": "recipe",
}  # fmt: skip
TEXTS = ("text", "messages")
NUMBERS = ("integer", "number")
CLASSES = ("text", "integer", "number", "boolean")
Target = tuple[Aim, str | None]
MOST_NAMES = 99


class Walk:
    """The questions about one file, with what is chosen so far; a choice stays when one goes back.

    `step` is the question that is asked.
    """

    def __init__(self, file: Path, found: FileColumns) -> None:
        self.file, self.found = file, found
        self.step: Step = "columns"
        self.texts = [column for column in found.columns if column.type in TEXTS]
        self._text = found.named(found.text) or (self.texts[0] if self.texts else None)
        self._second: Column | None = None
        self._target: Target | None = None
        self._start: Start | None = None

    def question(self) -> str:
        """Return what is asked now."""
        rows = many(self.found.rows_in_file, "row")
        about = "" if self.found.whole else "about "
        return {
            "columns": f"{about}{rows}, {many(len(self.found.columns), 'column')}. Enter goes on.",
            "text": "Which column is the text?",
            "second": "Is there a second text that belongs to it (a question, a reply)?",
            "aim": "What is to be learned?",
            "model": "Which model learns it?",
            "recipe": "",
        }[self.step]

    def picks(self) -> list[Pick]:
        """Return what can be answered now."""
        return {
            "columns": lambda: [_of_column(column) for column in self.found.columns],
            "text": lambda: [_of_column(column) for column in self.texts],
            "second": self._seconds,
            "aim": self._aims,
            "model": self._models,
            "recipe": list,
        }[self.step]()

    def place(self, picks: list[Pick]) -> int:
        """Return the line that the cursor begins on: what was chosen, else what is most likely meant."""
        wanted: object = {"columns": self._text, "text": self._text, "second": self._second, "aim": self._target,
                          "model": self._start}.get(self.step)  # fmt: skip
        able = [place for place, pick in enumerate(picks) if not pick.why_not]
        return next((place for place in able if picks[place].value == wanted), able[0] if able else 0)

    def cannot(self) -> str:
        """Return why there is no way on from here, empty when there is."""
        if self.step == "columns" and not self.texts:
            return "no column holds texts: there is nothing that a model could read"
        return ""

    def choose(self, value: object) -> None:
        """Answer the question and go on to the next one."""
        if self.step == "text":
            assert isinstance(value, Column)
            self._text = value
            self._second = None if self._second == value else self._second
            self._target = None if self._target is not None and self._target[1] == value.name else self._target
        elif self.step == "second":
            assert value is None or isinstance(value, Column)
            self._second = value
        elif self.step == "aim":
            assert isinstance(value, tuple)
            self._target = value
        elif self.step == "model":
            assert isinstance(value, Start)
            self._start = value
        self._move(1)

    def back(self) -> bool:
        """Go back to the question before; false when this is the first one."""
        if self.step == "columns":
            return False
        self._move(-1)
        return True

    def choices(self) -> Choices:
        """Return what was chosen; every question is answered."""
        assert self._text is not None and self._target is not None and self._start is not None
        aim, name = self._target
        return Choices(self._text, self._second, aim, self.found.named(name), self._start)

    def said(self) -> str:
        """Return the answers so far in a few words."""
        words = [self._text.name] if self._text is not None and self.step not in ("columns", "text") else []
        if self._second is not None and self.step in ("aim", "model", "recipe"):
            words.append(f"+ {self._second.name}")
        if self._target is not None and self.step in ("model", "recipe"):
            words.append(f"→ {self._target[1] or 'such texts'}")
        return " ".join(words)

    def _move(self, by: int) -> None:
        place = STEPS.index(self.step) + by
        while self._skips(STEPS[place]):
            place += by
        self.step = STEPS[place]

    def _skips(self, step: Step) -> bool:
        """Whether a question has one answer only, which is given here."""
        conversation = self._text is not None and self._text.type == "messages"
        if step == "second" and (conversation or len(self._others()) == 0):
            self._second = None
            return True
        if step == "aim" and conversation:
            self._target = ("texts", None)
            return True
        return False

    def _others(self) -> list[Column]:
        return [column for column in self.texts if column != self._text and column.type == "text"]

    def _seconds(self) -> list[Pick]:
        return [Pick("none", "one text a row", None), *map(_of_column, self._others())]

    def _aims(self) -> list[Pick]:
        taken = (self._text, self._second)
        columns = [column for column in self.found.columns if column not in taken and column.distinct]
        guess = self.found.label
        columns.sort(key=lambda column: (column.name != guess, column.use != "label", column.use != "number"))
        likely: list[Pick] = []
        others: list[Pick] = []
        for column in columns:
            picks = _targets(column)
            likely += [pick for pick, is_likely in picks if is_likely]
            others += [pick for pick, is_likely in picks if not is_likely]
        about = f"after {self._second.name}" if self._second else "nothing else is needed"
        why = next((why for one in taken if one and self._second and (why := cannot_be_second(one, "texts"))), "")
        texts = Pick("to write such texts", about, ("texts", None), why)
        return [*likely, texts, *others]

    def _models(self) -> list[Pick]:
        assert self._target is not None
        found = starts(self._target[0])
        return [Pick(one.title, one.about, one, cannot_start(one, self._second)) for one in found]


def _targets(column: Column) -> list[tuple[Pick, bool]]:
    """Return what a column could be learned as, each with whether that is likely meant."""
    found = []
    if column.type in CLASSES or (column.type == "list" and column.use == "label"):
        several = "several a text" if column.type == "list" else f"one of {column.distinct:,}"
        several = "each row has its own" if column.use == "id" else several
        shown = ", ".join(value for value, _ in column.counts) or ", ".join(column.examples)
        found.append((Pick(column.name, f"label: {several}: {shown}", ("classes", column.name)), column.use == "label"))
    if column.type in NUMBERS:
        pick = Pick(column.name, f"number (rating): {', '.join(column.examples)}", ("number", column.name))
        found.append((pick, column.use == "number" or (column.use == "label" and column.type == "integer")))
    return found if column.use != "number" else found[::-1]


def _of_column(column: Column) -> Pick:
    missing = f"{column.missing:,} missing" if column.missing else ""
    length = f"{column.length:.0f} letters" if column.length is not None else ""
    words = f"{column.type:<9}{column.use:<8}{column.distinct:>7,} distinct  {length:<13}{missing}"
    return Pick(column.name, words.rstrip(), column)


def free_name(file: Path, folder: Path) -> str:
    """Return a name for the recipe that no file of the folder has."""
    stem = recipe_name(file)
    names = [f"{stem}.yaml", *(f"{stem}-{number}.yaml" for number in range(2, MOST_NAMES))]
    return next((name for name in names if not (folder / name).exists()), names[0])


__all__ = ["STEPS", "TITLES", "Pick", "Step", "Walk", "free_name"]
