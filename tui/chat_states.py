"""What the chat says of itself: what is asked, what it waits for, what to do when it cannot answer. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftune.asking.decoding import Decoding
from hftune.errors import HftuneError
from hftune.figures import count
from hftune.runs import layout
from hftune.runs.state import ACTIVE, RunState

from .answers import Answer, Phase, Target
from .asking import Session
from .widgets.rows import pace_words, settings_words

LABELS_SHOWN = 6
NO_RUN = (
    "There is no run to ask.",
    "2 Watch and 1 Runs show runs: c there opens one here. /chat RUN or /chat RUN@step does it from anywhere.",
    "No run yet? 5 shows recipes; /run RECIPE trains one.",
)
PHASE_MARKS: Mapping[str, str] = {
    "closed": "○ closed", "starting": "◌ loading", "loading": "◌ loading", "ready": "● ready",
    "answering": "◐ answering", "failed": "✗ cannot be loaded", "dead": "✗ worker ended",
}  # fmt: skip
BY_STYLE = {
    "chat": "It is told the whole conversation.",
    "text": "It goes on where your text ends; Enter alone lets it go on by itself.",
    "completion": "It was trained on prompts and answers: each prompt stands alone.",
}


def names(session: Session) -> str:
    """Return what is asked: `bert-a3f1@500 beside base of bert-a3f1`."""
    if session.main is None:
        return ""
    beside = f" beside {session.beside.target.name}" if session.beside is not None else ""
    return session.main.target.name + beside


def phase_line(session: Session, now: float) -> tuple[str, str]:
    """Return what the session does as one or two lines, and how grave it is: `info`, `warning` or `error`."""
    phase = session.phase
    if phase.name in ("starting", "loading"):
        return _loading(phase, now), "info"
    if phase.name in ("failed", "dead"):
        again = "Enter tries again." if phase.name == "failed" else "Enter, or the next text, begins anew."
        return f"{phase.words}\n{phase.hint} {again}".replace("\n ", "\n"), "error"
    if phase.name == "answering":
        return _answering(session, now), "info"
    if phase.name == "ready" and session.main is not None:
        return _ready(session.main.about, session.decoding), "info"
    return "", "info"


def introduction(session: Session) -> list[str]:
    """Return what to know before the first text, by what the model does; empty until it is loaded."""
    main = session.main
    if main is None or not main.about:
        return []
    about = main.about
    lines = [f"{main.target.name}: {_kind(about)}"]
    if about.get("task") == "text-classification":
        takes = (
            "two texts, each on a line (shift+enter or ctrl+j begins the second)" if about.get("pairs") else "a text"
        )
        lines.append(f"Write {takes}; Enter asks.")
    elif about.get("task") == "fill-mask":
        lines.append(f"Write a text with {about.get('mask')} where a word is to be guessed; Enter asks.")
    else:
        lines.append(BY_STYLE.get(str(about.get("style")), "Write a text; Enter asks."))
    more = "m explains" if about.get("task") == "text-classification" else "/set changes how it writes"
    lines.append(f"b asks the base model beside it, v another checkpoint, {more}, ? shows the keys.")
    return lines


def why_nothing_yet(run: Path, state: RunState | None) -> tuple[str, str]:
    """Return why a run has no model to ask and what to do, in two lines; reads its recipe."""
    if state is None:
        return f"{run.name} cannot be read, and has no model.", "hftune runs says why; another run: 1."
    if state.status in ACTIVE:
        where = f"it is at step {state.step}" + (f" of {state.total_steps}" if state.total_steps else "")
        waits = "it waits for its turn" if state.status == "queued" else where
        return f"{run.name} has no checkpoint yet: {waits}.", f"{_first_due(run)} It is opened here by itself then."
    if state.status == "paused":
        return f"{run.name} was paused before its first checkpoint.", "r lets it go on."
    return f"{run.name} ended ({state.status}) before its first checkpoint.", "r resumes it; 2 shows what happened."


def _first_due(run: Path) -> str:
    from hftune.recipe.load import load_recipe  # a third of a second, and rarely needed

    try:
        steps = load_recipe(run / layout.RECIPE).training.save_steps
    except (HftuneError, OSError):
        return "The first comes at a step that its recipe does not tell."
    return f"The first comes at step {steps}." if steps else "The first comes at the end of the first epoch."


def _loading(phase: Phase, now: float) -> str:
    passed = max(0.0, now - phase.since)
    since = f" · {passed:.0f} s so far" if passed >= 1 else ""
    return f"{phase.words or 'loading'}{since} · what you write now is answered then"


def _answering(session: Session, now: float) -> str:
    answers = [answer for one in session.exchanges for answer in one.answers if not answer.over]
    current = next((answer for answer in answers if answer.state == "asked"), None)
    said = [] if current is None else [_writing(current, now, session.beside is not None)]
    if waiting := sum(answer.state == "waiting" for answer in answers):
        said.append(f"{waiting} wait{'s' if waiting == 1 else ''}")
    return " · ".join([*said, "Esc stops"])


def _writing(answer: Answer, now: float, named: bool) -> str:
    who = f"{answer.model} " if named else ""
    if answer.tokens:
        return f"{who}writing · {pace_words(answer)}"
    return f"{who}reading · {max(0.0, now - answer.sent):.1f} s"


def _ready(about: Mapping[str, Any], decoding: Decoding) -> str:
    if about.get("task") in ("text-classification", "fill-mask"):
        return f"ready · {_kind(about)}"
    return f"ready · {settings_words(decoding.to_dict())}"


def _kind(about: Mapping[str, Any]) -> str:
    """Return what a model is: `text-classification (negative, positive) · 4.4M parameters · cpu`."""
    labels = [str(label) for label in about.get("labels") or ()]
    more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
    named = f" ({', '.join(labels[:LABELS_SHOWN])}{more})" if labels else ""
    return f"{about.get('task')}{named} · {count(about.get('parameters'))} parameters · {about.get('device')}"


def listed(steps: list[int], most: int = 8) -> str:
    """Return steps as people read them: `500, 400, 300 and 4 more`."""
    more = f" and {len(steps) - most} more" if len(steps) > most else ""
    return ", ".join(map(str, steps[:most])) + more


def same_run(target: Target | None, run: Path) -> bool:
    """Tell whether a target is of a run."""
    return target is not None and target.run.absolute() == run.absolute()
