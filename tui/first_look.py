"""What the first screen says of this machine, and how long a recipe took here: found in a thread, nothing heavy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hftune.figures import many, size
from hftune.runs import layout, process
from hftune.runs.devices import devices_of
from hftune.runs.events import Event
from hftune.runs.files import nearest_folder
from hftune.runs.reader import read_events
from hftune.threads import available_cores

from .folder import RunRow

LOW_DISK_BYTES = 2 * 2**30  # a run of a 22M-parameter model takes about 1 GiB with its checkpoints
HUB_SECONDS = 15.0
COMPARED_RUNS = 20
# A process of its own: asking loads huggingface_hub, which takes a second that the screen should have.
ASK_HUB = (
    "from hftune import hub; answer = hub.reach('model', 'sentence-transformers/all-MiniLM-L6-v2'); "
    "print('offline' if hub.offline() else 'yes' if answer.ok else 'no')"
)


@dataclass(frozen=True)
class Fact:
    """Something about this machine; not `well` where it is missing or short."""

    text: str
    well: bool = True

    def __str__(self) -> str:
        return f"{'✓' if self.well else '!'} {self.text}"


def torch_fact() -> Fact:
    """Return which torch is installed and what it will compute on, without loading it."""
    from importlib import metadata

    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Fact("torch is missing: hftune doctor says how to install it", well=False)
    device = devices_of("auto")[0].partition(":")[0]
    return Fact(f"torch {'.'.join(version.split('.')[:2])} {device}")


def cores_fact() -> Fact:
    """Return how many cores this process may use."""
    return Fact(many(available_cores(), "core"))


def disk_fact(folder: Path) -> Fact:
    """Return the free space where `folder` is or would be made."""
    free = shutil.disk_usage(nearest_folder(folder)).free
    return Fact(f"{size(free)} free", well=free >= LOW_DISK_BYTES)


def hub_fact() -> Fact:
    """Return whether the Hub can be asked; it is not needed for what the first screen offers."""
    command = [sys.executable, "-P", "-c", ASK_HUB]
    try:
        answer = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=HUB_SECONDS, text=True)
        said = answer.stdout.split()[-1:]
    except (OSError, subprocess.TimeoutExpired):
        said = []
    if said == ["yes"]:
        return Fact("Hub")
    return Fact(f"Hub {'offline' if said == ['offline'] else 'unreachable'} (not needed)", well=False)


class FirstLook:
    """Looks around once; `facts` grows as they become known."""

    def __init__(self, runs_dir: Path, questions: Sequence[Callable[[], Fact]] = ()) -> None:
        self.facts: tuple[Fact, ...] = ()
        self._questions = questions or (torch_fact, cores_fact, lambda: disk_fact(runs_dir), hub_fact)
        self._begun = False

    def begin(self) -> None:
        """Begin to look, in a thread; the second time nothing happens."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self.look, name="hftune-first-look", daemon=True).start()

    def look(self) -> None:
        """Find the facts, one after the other."""
        for question in self._questions:
            try:
                self.facts = (*self.facts, question())
            except Exception as error:  # a disk that is gone: the others are still worth knowing
                self.facts = (*self.facts, Fact(f"{getattr(error, 'strerror', None) or error}", well=False))


def measured_seconds(recipe: str, rows: Iterable[RunRow]) -> float | None:
    """Return how long the newest finished run of exactly this recipe trained on this machine, None without one."""
    from hftune.recipe.load import dump_recipe, load_recipe

    wanted = load_recipe(recipe)
    text, start = dump_recipe(wanted), f"{wanted.name}-"
    finished = [row for row in rows if row.name.startswith(start) and row.state and row.state.status == "done"]
    for row in finished[:COMPARED_RUNS]:
        assert row.state is not None
        if row.state.host != process.host() or row.state.attempt != 1 or _recipe_of(row.path) != text:
            continue
        if (seconds := training_seconds(read_events(row.path))) is not None:
            return seconds
    return None


def training_seconds(events: Iterable[Event]) -> float | None:
    """Return the seconds from the plan to the result: what came before, downloads for one, is done only once."""
    times = {event.kind: event.time for event in events if event.kind in ("plan", "result")}
    return times["result"] - times["plan"] if len(times) == 2 else None


def _recipe_of(run: Path) -> str:
    try:
        return (run / layout.RECIPE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
