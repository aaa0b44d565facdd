"""A run with several processes: rank 0 writes the run directory, this process holds its lock and shows it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hftune.commands.job import Outcome, failed, interrupted, show, telling, wait_for_devices
from hftune.commands.signals import Signals, asking_to_stop
from hftune.commands.streams import into_log
from hftune.commands.summary import read_metrics
from hftune.errors import EXIT_DONE, EXIT_FAILED, InterruptedRun, RunError
from hftune.output import Output
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import EventTail, load_state
from hftune.runs.requests import request
from hftune.runs.state import ACTIVE
from hftune.runs.writer import RunWriter
from hftune.threads import wait_politely_when_busy

POLL_SECONDS = 0.1

# (run, processes, allow_inexact) -> exit code of the group
Launch = Callable[[Path, int, bool], int]


def carry_out_in_group(
    path: Path, recipe: Recipe, output: Output, processes: int, allow_inexact: bool, launch: Launch | None = None
) -> Outcome:
    """Train with `processes` processes under this one, which trains nothing itself."""
    with ExitStack() as stack:
        run = stack.enter_context(RunWriter.open(path))  # before signals: it forgets requests of earlier attempts
        run.start_heartbeat()
        people = stack.enter_context(into_log(path / layout.LOG, output))
        display = stack.enter_context(show(people, path))
        tell = telling(display, people)
        run.subscribe(tell)

        def ask(words: str) -> None:
            request(path, "stop")
            display.stopping = words

        signals = stack.enter_context(asking_to_stop(ask))
        held = stack.enter_context(ExitStack())
        try:
            wait_for_devices(run, recipe, processes, held)
        except InterruptedRun as error:
            return interrupted(run, signals, error.message)
        run.hand_over(to_child=True)
        with _following(path, tell):
            try:
                code = (launch or _launch)(path, processes, allow_inexact)
            except KeyboardInterrupt:
                return _ended(path, lambda run: interrupted(run, signals, "ended at once"))
            except Exception as error:
                traceback.print_exc()
                problem = error
                return _ended(path, lambda run: failed(run, problem))
        return _outcome(path, code, signals)


def _outcome(path: Path, code: int, signals: Signals) -> Outcome:
    """Return how the group ended, by the state that rank 0 left; when it left none, the group was killed."""
    state = load_state(path)
    if state.status in ACTIVE:
        if signals.first is not None:
            return _ended(path, lambda run: interrupted(run, signals, "ended before its state was saved"))
        problem = RunError("a process of the group was killed or ended without a word", exit_code=code or EXIT_FAILED)
        return _ended(path, lambda run: failed(run, problem))
    if state.status == "done":
        return Outcome("done", EXIT_DONE, read_metrics(path))
    if state.status in ("stopped", "paused"):
        return Outcome(state.status, signals.exit_code)
    problem = RunError(state.reason, exit_code=state.exit_code or code or EXIT_FAILED)
    return _ended(path, lambda run: failed(run, problem))


def _ended(path: Path, how: Callable[[RunWriter], Outcome]) -> Outcome:
    """Set the state that no process of the group has set."""
    with RunWriter.open(path, new_attempt=False) as run:
        return how(run)


@contextmanager
def _following(path: Path, tell: Callable[[Event], None]) -> Iterator[None]:
    """Tell events as they come into events.jsonl, in a thread: this one waits for the group."""
    ended = threading.Event()
    tail = EventTail(path)
    tail.poll()  # earlier attempts, and what this process has told

    def feed() -> None:
        for event in tail.poll():
            tell(event)

    def follow() -> None:
        while not ended.wait(POLL_SECONDS):
            feed()

    thread = threading.Thread(target=follow, name="hftune-display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        feed()


def _launch(path: Path, processes: int, allow_inexact: bool) -> int:
    wait_politely_when_busy()  # once, for all of the group: each would take the others for company
    from hftune.training.processes import launch

    return launch(path, processes, allow_inexact)
