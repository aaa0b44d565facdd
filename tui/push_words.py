"""What the push dialog says in each of its states. Draws nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from hftune.figures import duration, many, size
from hftune.recipe.schema import REPOSITORY

from .drawing import Part, bar, pad, sanitize
from .pushing import Asked, Failure, Pushing, Ready
from .widgets.cycle import Value

PRIVATE = Value("private", "private", "Only you and those you let in can see it. What is public already is left alone.")
PUBLIC = Value("public", "public", "Everybody can see and download it, from the moment it is there.", grave=True)
HIDE = Value(
    "hide", "private, hide what is public", "As private; a repository that is public now is hidden as a whole."
)
LEFT = Value("", "left to hftune", "The adapter alone where its base is on the Hub, else both as one model.")
ADAPTER = Value("adapter", "the adapter alone", "Small. Who loads it gets its base model from the Hub.")
MERGED = Value("merged", "adapter and base as one model", "Loads without peft, and is as large as its base.")
ABOUT_NAME = "OWNER is your account, or an organisation; a repository that is not there yet is made."
FORM = (
    "Enter makes it ready: scores the model for its card, writes it, shows what would be sent. "
    "Nothing is sent before you have agreed. You are who $HF_TOKEN or `hf auth login` says."
)
NOTHING_SENT = "nothing was sent"
GOES_ON = "Pushing again compares with what is there first, and sends only what is missing."
CANCELLED, REFUSED = f"cancelled: {NOTHING_SENT}", f"not pushed: {NOTHING_SENT}"
HOLDS = {"whole": "the whole model", "adapter": "the adapter alone", "merged": "the model, its adapter merged"}
TRY_AGAIN, CLOSES, ADDRESS = ("Enter", "tries again"), ("Esc", "closes"), ("y", "copies the address")
KEYS: Mapping[str, Sequence[tuple[str, str]]] = {
    "form": (("Enter", "makes it ready"), ("↑ ↓", "next"), ("Space", "changes"), CLOSES),
    "preparing": (("Esc", "cancels"),),
    "ready": (("Enter", "pushes"), ("Esc", "does not"), ("↑ ↓", "more"), ADDRESS),
    "sending": (("Esc", "ends it"),),
    "done": (ADDRESS, CLOSES),
    "failed": (TRY_AGAIN, ("↑ ↓", "more"), ("y", "copies this"), CLOSES),
    "stopped": (TRY_AGAIN, CLOSES),
}
NAME_COLUMNS = 40
BAR_COLUMNS = 30
MOST_PHASES = 8  # the last ones, with the one that is under way

Line = Sequence[Part]


def visibilities(wish: str) -> Sequence[Value]:
    """Return what can be chosen; what a recipe says (`wish`) can be overruled only by saying something."""
    return (PUBLIC, HIDE) if wish == "public" else (HIDE, PUBLIC) if wish == "hide" else (PRIVATE, PUBLIC, HIDE)


def weights(wish: str) -> Sequence[Value]:
    """Return what can be chosen of an adapter's weights; `wish` as in `visibilities`."""
    return (ADAPTER, MERGED) if wish else (LEFT, ADAPTER, MERGED)


def name_problem(name: str) -> str:
    """Return what is wrong with a repository's name, empty when nothing is, or nothing is written yet."""
    if not name or re.fullmatch(REPOSITORY, name):
        return ""
    strange = re.search(r"[^A-Za-z0-9._/-]", name)
    if strange:
        what = "a space" if strange[0].isspace() else f"“{sanitize(strange[0])}”"
        return f"a name has letters, digits, - _ and dots, not {what}"
    if name.count("/") != 1:
        return "write OWNER/NAME" if "/" not in name else "one / only: OWNER/NAME"
    owner, _, own = name.partition("/")
    if not owner or not own:
        return f"{'OWNER' if not owner else 'NAME'} is missing: OWNER/NAME"
    return f"{'OWNER' if re.match(r'[^A-Za-z0-9]', owner) else 'NAME'} begins with a letter or a digit"


def title(state: str, run: str, asked: Asked, seconds: float) -> Line:
    """Return the first line: which run, where to, what is done."""
    states = {
        "preparing": (f"preparing, {_whole(seconds)}", "$accent"),
        "ready": ("ready: not sent yet", "$accent"),
        "sending": (f"pushing, {_whole(seconds)}", "$accent"),
        "done": ("done", "$success"),
        "failed": ("failed", "bold $error"),
        "stopped": ("ended", "$warning"),
    }
    where = f" to {asked.repo}" if state != "form" else " to the Hub"
    return [("Push ", "bold"), (run, "bold $primary"), (where, "bold"), "  ", states.get(state, "")]


def keys(state: str) -> Line:
    """Return the last line: what can be done, each key in the colour of keys."""
    return [part for key, what in KEYS[state] for part in ((key, "bold $primary"), f" {what}   ")]


def body(pushing: Pushing, now: float) -> Iterator[Line]:
    """Yield the lines of a push, whatever its state."""
    state = pushing.state
    if state == "preparing":
        yield from _preparing(pushing, now)
    elif state == "ready" and pushing.ready is not None:
        yield from _ready(pushing.ready)
    elif state == "sending":
        yield from _sending(pushing)
    elif state == "done":
        yield from _done(pushing)
    elif state == "stopped":
        yield [("Ended while it was being sent.", "$warning")]
        yield ["Perhaps it has arrived, perhaps not. ", GOES_ON]
    else:
        yield from _failed(pushing.failure or Failure("it failed"), pushing.agreed)


def _preparing(pushing: Pushing, now: float) -> Iterator[Line]:
    phases = list(pushing.phases)
    for before, after in pairwise(phases[-MOST_PHASES:]):
        took = after.began - before.began
        yield [("✓ ", "$success"), before.text, (f"  {_whole(took)}" if took >= 1 else "", "$muted")]
    if phases:
        yield [("◐ ", "$accent"), phases[-1].text, (f"  {_whole(now - phases[-1].began)}", "$muted")]
    else:
        yield [("◐ ", "$accent"), "starting: torch is loaded, the Hub is asked who you are"]
    yield []
    yield [("Nothing is sent before you have seen it.", "$muted")]


def _ready(ready: Ready) -> Iterator[Line]:
    yield [("To     ", "$muted"), (ready.url, "bold")]
    there = (
        "a new repository, which is made first"
        if ready.new
        else "there already: files that differ are replaced, others stay"
    )
    yield [("       ", ""), there]
    yield [("Seen   ", "$muted"), _visibility(ready.private)]
    holds = f"{HOLDS.get(ready.weights, ready.weights)}: {many(len(ready.files), 'file')}, {size(ready.bytes)}"
    yield [("Holds  ", "$muted"), holds]
    for name, count in ready.files:
        yield [f"       {pad(sanitize(name), NAME_COLUMNS)} ", f"{size(count):>10}"]


def _visibility(private: bool) -> Part:
    if private:
        return "by nobody but you and those you let in (private)"
    return "BY EVERYBODY: anyone can find and download it (public)", "bold $warning"


def _sending(pushing: Pushing) -> Iterator[Line]:
    if pushing.uploaded is not None:
        done, total = pushing.uploaded
        share = done / total if total else 1.0
        yield [(bar(share, BAR_COLUMNS), "$primary"), f"  {int(100 * share)}%  {size(done)} of {size(total)}"]
        yield [_pace(pushing.speed, total - done)]
    yield []
    if pushing.uploaded is not None and pushing.uploaded[0] >= pushing.uploaded[1]:
        yield [("◐ ", "$accent"), "all of it is there: the Hub makes the commit"]
    elif pushing.phases:
        yield [("◐ ", "$accent"), pushing.phases[-1].text]
    yield []
    yield [(f"Ended early? {GOES_ON}", "$muted")]


def _pace(speed: float | None, left: int) -> str:
    return f"{size(speed)}/s   {_whole(left / speed)} to go" if left and speed else ""


def _whole(seconds: float) -> str:
    """Return a time that is drawn anew each second."""
    return duration(seconds) if seconds >= 60 else f"{int(seconds)}s"


def _done(pushing: Pushing) -> Iterator[Line]:
    done = pushing.done
    assert done is not None
    if done.unchanged:
        yield [("✓ ", "$success"), "It was there already, file for file: nothing was sent."]
    else:
        yield [("✓ ", "$success"), "Pushed."]
    yield []
    yield [("At     ", "$muted"), (done.url, "bold")]
    yield [("Seen   ", "$muted"), _visibility(done.private)]
    yield [("Commit ", "$muted"), done.commit[:12]]


def _failed(failure: Failure, agreed: bool) -> Iterator[Line]:
    for text in failure.message.splitlines():
        yield [(text, "bold $error")]
    yield []
    for text in failure.hint.splitlines():
        yield [text]
    yield []
    lines = [name for name, flag in _LINES if re.search(flag, failure.hint)]
    if lines:
        yield [(f"Enter goes back to the form, where that is the line {' and the line '.join(lines)}.", "$muted")]
    yield [(GOES_ON if agreed else "Nothing was sent.", "$muted")]


_LINES = (("Visibility", "--p(ublic|rivate)"), ("Weights", "--(adapter|merged)"))
