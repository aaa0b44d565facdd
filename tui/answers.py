"""What has been asked and answered: plain objects that a session's thread fills and screens read on their timers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hftune.runs import layout
from hftune.runs.reader import RUN_NAME

State = Literal["waiting", "asked", "done", "stopped", "failed"]
OVER: tuple[State, ...] = ("done", "stopped", "failed")


@dataclass(frozen=True)
class Target:
    """A model to ask: a run's finished one, its checkpoint of `step`, or the pretrained one that it began from."""

    run: Path
    step: int | None = None
    base: bool = False

    @property
    def name(self) -> str:
        """What people call it: `bert-a3f1`, `bert-a3f1@500`, `base of bert-a3f1`."""
        match = RUN_NAME.fullmatch(self.run.name)
        short = f"{match['name']}-{match['hex']}" if match else self.run.name
        if self.base:
            return f"base of {short}"
        return short if self.step is None else f"{short}@{self.step}"

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.base:
            return "the model that it began from"
        return "the finished model" if self.step is None else f"its checkpoint of step {self.step}"


def whole_checkpoints(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints that are whole, newest first."""
    found = [path for path in layout.checkpoints(run) if (path / layout.MANIFEST).is_file()]
    return [step for path in reversed(found) if (step := layout.checkpoint_step(path)) is not None]


def newest_target(run: Path) -> Target | None:
    """Return what of a run can be asked now: the finished model, else its newest checkpoint, else None."""
    if (run / layout.MODEL).is_dir():
        return Target(run)
    steps = whole_checkpoints(run)
    return Target(run, steps[0]) if steps else None


def targets_of(run: Path) -> list[Target]:
    """Return all of a run that can be asked: the finished model, its checkpoints, newest first, and its base."""
    found = [Target(run)] if (run / layout.MODEL).is_dir() else []
    found += [Target(run, step) for step in whole_checkpoints(run)]
    return [*found, Target(run, base=True)] if found else []


@dataclass(eq=False)
class Explanation:
    """Why a model answered so, by one method: the worker's `record` once it is there.

    `words` say what is done until then, or why there will be none, and `hint` what to type about it.
    """

    method: str
    record: dict[str, Any] | None = None
    words: str = ""
    hint: str = ""
    failed: bool = False


@dataclass(eq=False)
class Answer:
    """One model's answer to one text; `version` grows with each change. Seconds are those since it was sent.

    `explanations`: those there are, by method; `method`: which of them is shown, empty for none.
    """

    slot: str
    model: str
    settings: dict[str, Any]
    state: State = "waiting"
    version: int = 0
    text: str = ""
    tokens: int = 0
    sent: float = 0.0  # on the session's clock
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    finish_reason: str = ""
    seed: int | None = None
    prediction: dict[str, Any] | None = None
    filling: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    stop_wanted: bool = False
    explanations: dict[str, Explanation] = field(default_factory=dict)
    method: str = ""

    @property
    def explanation(self) -> Explanation | None:
        """The explanation that is shown."""
        return self.explanations.get(self.method)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER

    def add_token(self, event: Mapping[str, Any], now: float) -> None:
        """Take in a piece of text that came at `now`."""
        self.text += str(event.get("text", ""))
        self.tokens = int(event.get("tokens", self.tokens))
        passed = now - self.sent
        if self.first_token_seconds is None:
            self.first_token_seconds = passed
        writing = passed - self.first_token_seconds
        self.tokens_per_second = (self.tokens - 1) / writing if writing > 0 and self.tokens > 1 else None

    def take(self, data: Mapping[str, Any]) -> None:
        """Take in the data of a result."""
        if "predictions" in data:
            self.prediction = data["predictions"][0]
        elif "fillings" in data:
            self.filling = data["fillings"][0]
        else:
            self.text, self.tokens = data["text"], data["tokens"]
            self.finish_reason, self.seed = data["finish_reason"], data["seed"]
            self.tokens_per_second, self.first_token_seconds = data["tokens_per_second"], data["time_to_first_token"]
            self.notes = tuple(data["notes"])

    def fail(self, message: str, hint: str) -> None:
        """End it without what was asked for; text that has come stays."""
        self.state, self.error, self.hint = "failed", message, hint


@dataclass(eq=False)
class Exchange:
    """A text and the answers to it, one of each model that was there; `again`: the text before was asked once more."""

    text: str
    answers: list[Answer]
    again: bool = False

    @property
    def over(self) -> bool:
        """Whether every answer is."""
        return all(answer.over for answer in self.answers)


@dataclass(frozen=True)
class Notice:
    """Something to say between exchanges: another model was loaded, one could not be."""

    text: str
    level: Literal["info", "warning", "error"] = "info"


Item = Exchange | Notice


@dataclass(frozen=True)
class Phase:
    """What the session does now; `since` is a time of its clock, `seconds` about how long it takes, if anyone knows."""

    name: Literal["closed", "starting", "loading", "ready", "answering", "failed", "dead"]
    words: str = ""
    hint: str = ""
    since: float = 0.0
    seconds: float | None = None


@dataclass(eq=False)
class Slot:
    """One of the models that are asked, `main` or `beside`, and what it was told so far.

    `about` is the worker's description of it, empty until it is loaded. `before` is what it was told before the last
    text, so that this can be asked again.
    """

    name: str
    target: Target
    about: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)
    before: list[dict[str, str]] = field(default_factory=list)
    problem: str = ""
    hint: str = ""
