"""Carrying out a prepared run directory: what `run`, `resume`, the app and `hftune job` all do."""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from hftune.commands import summary
from hftune.commands.display import Display
from hftune.commands.push import push_when_done, say_pushed, warn_early
from hftune.commands.signals import Signals, asking_to_stop
from hftune.commands.streams import give_up_stdout, into_log
from hftune.errors import EXIT_DONE, EXIT_USAGE, HftuneError, InterruptedRun, RunError
from hftune.output import Output, describe
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.devices import devices_of
from hftune.runs.events import Event
from hftune.runs.launch import read_launch
from hftune.runs.lock import device_lock, run_lock
from hftune.runs.reader import find_run, read_state, short_name
from hftune.runs.writer import RunWriter
from hftune.sanitize import sanitize
from hftune.threads import wait_politely_when_busy

Metrics = Mapping[str, Mapping[str, float | None]]


class Train(Protocol):
    """What trains: `hftune.pipeline.train`, after a look at the data."""

    def __call__(self, recipe: Recipe, run: RunWriter, *, allow_inexact: bool = False) -> Metrics: ...


class Shown(Protocol):
    """What shows a run while it is carried out; `stopping` is set by a signal handler, so setting it prints nothing."""

    stopping: str

    def __enter__(self) -> Shown: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def feed(self, event: Event) -> None:
        """Take in the next event of the run."""


# (an Output to people, the run) -> what shows it
Show = Callable[[Output, Path], Shown]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    status: str
    exit_code: int
    metrics: Metrics = field(default_factory=dict)
    error: HftuneError | None = None
    push: Mapping[str, Any] | None = None  # what came of pushing it, where the recipe says so


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out RUN; the exit code is that of the run."""
    path = find_run(arguments.run, arguments.runs_dir)
    return carry_out(
        path, output, processes=arguments.processes, allow_inexact=arguments.allow_inexact, debug=arguments.debug
    )


def carry_out(
    path: Path,
    output: Output,
    *,
    processes: int | None = None,
    allow_inexact: bool = False,
    debug: bool = False,
    train: Train | None = None,
) -> int:
    """Train the run at `path` in this process (or start `processes`), show it, and return the exit code.

    Raises RunLockedError when another process holds it, RecipeError when its recipe cannot be read; whatever goes
    wrong later becomes the run's state and an error on stderr (with `debug` after its traceback).
    """
    recipe = load_recipe(path / layout.RECIPE)
    processes = processes or read_launch(path).processes
    if recipe.hub is not None:
        warn_early(recipe.hub, output)
    began = time.monotonic()
    with run_lock(path, "training"):
        if processes > 1:
            from hftune.commands.group import carry_out_in_group

            outcome = carry_out_in_group(path, recipe, output, processes, allow_inexact)
        else:
            outcome = _in_this_process(path, recipe, output, allow_inexact, train, show)
        if recipe.hub is not None and outcome.status == "done":
            outcome = replace(outcome, push=push_when_done(path, recipe.hub, output))
    try:
        return conclude(path, outcome, output, debug, time.monotonic() - began)
    except OSError:  # the terminal or the reader has gone; the run has ended as it has
        give_up_stdout()
        return outcome.exit_code


def carry_out_here(path: Path, output: Output, show: Show) -> Outcome:
    """Train the run at `path` in this process, shown by what `show` makes; how it ended is for the caller to say.

    Raises RunLockedError when another process holds it.
    """
    recipe = load_recipe(path / layout.RECIPE)
    with run_lock(path, "training"):
        return _in_this_process(path, recipe, output, False, None, show)


def _in_this_process(
    path: Path, recipe: Recipe, output: Output, allow_inexact: bool, train: Train | None, show: Show
) -> Outcome:
    with ExitStack() as stack:
        run = stack.enter_context(RunWriter.open(path))
        run.start_heartbeat()
        people = stack.enter_context(into_log(path / layout.LOG, output))
        display = stack.enter_context(show(people, path))
        run.subscribe(telling(display, people))

        def ask(words: str) -> None:
            run.ask("stop")
            display.stopping = words

        signals = stack.enter_context(asking_to_stop(ask))
        return attempt(run, recipe, signals, allow_inexact, train)


def attempt(run: RunWriter, recipe: Recipe, signals: Signals, allow_inexact: bool, train: Train | None) -> Outcome:
    """Train once and set the state that the attempt ends with; everything that goes wrong is in the Outcome."""
    try:
        try:
            with ExitStack() as held:
                wait_for_devices(run, recipe, 1, held)
                metrics = (train or check_and_train)(recipe, run, allow_inexact=allow_inexact)
            run.set_state(status="done", phase="", exit_code=EXIT_DONE)
            return Outcome("done", EXIT_DONE, metrics)
        except InterruptedRun as error:
            return interrupted(run, signals, error.message)
        except KeyboardInterrupt:
            return interrupted(run, signals, "ended at once; the newest checkpoint holds what was saved before")
    except (Exception, SystemExit) as error:
        traceback.print_exc()  # stderr is the log now
        return failed(run, error)


def wait_for_devices(run: RunWriter, recipe: Recipe, processes: int, held: ExitStack) -> None:
    """Hold the devices that the recipe trains on; `queued` while another run has one. Raises InterruptedRun."""
    for device in devices_of(recipe.training.device, processes):
        held.enter_context(
            device_lock(
                device,
                f"run {run.path.name}",
                waiting=lambda owner, device=device: run.set_state(  # type: ignore[misc]
                    status="queued", phase="queued", reason=f"{device} is in use by {owner}"
                ),
                cancelled=lambda: bool(run.requests() & {"stop", "pause"}),
            )
        )
    if run.state.status == "queued":
        run.set_state(status="preparing", phase="preparing", reason="")


def show(people: Output, path: Path) -> Display:
    """Return the display of a run: on stdout, or on stderr in plain lines when stdout is for programs."""
    return Display(people.stderr, path.name, live=False) if people.json else Display(people.stdout, path.name)


def telling(display: Shown, people: Output) -> Callable[[Event], None]:
    """Return what tells an event to a person, and with --json to a program."""

    def tell(event: Event) -> None:
        people.emit(as_record(event))
        display.feed(event)

    return tell


def as_record(event: Event) -> dict[str, Any]:
    """Return an event as --json prints it: the fields of its line in events.jsonl."""
    import json

    record: dict[str, Any] = json.loads(event.to_line())
    return record


def conclude(path: Path, outcome: Outcome, output: Output, debug: bool, seconds: float | None = None) -> int:
    """Say how a run ended and what to do next; the last line with --json is the result object."""
    result = {"run": str(path), "status": outcome.status, "metrics": outcome.metrics}
    if outcome.push is not None:
        result["push"] = outcome.push
    if outcome.error is not None:
        if debug and outcome.error.__cause__ is not None:
            traceback.print_exception(outcome.error.__cause__, file=output.stderr)
        output.emit({**result, "error": describe(outcome.error)})
        return Output(stdout=output.stdout, stderr=output.stderr).report(outcome.error)
    output.emit(result)
    if outcome.status == "done":
        summary.say_done(path, outcome.metrics, output, seconds)
        if outcome.push is not None:
            say_pushed(outcome.push, output)
    else:
        output.say(sanitize(f"{outcome.status}: {read_state(path).reason}"))
        output.say(f"  run   {sanitize(path)}")
        output.say(f"  next  hftune resume {short_name(path)}")
    return outcome.exit_code


def interrupted(run: RunWriter, signals: Signals, message: str) -> Outcome:
    """Set the state of an attempt that was asked to end, forget the requests, and return its outcome."""
    asked = run.requests() | run.cleared  # training may have forgotten what it obeyed
    status = "paused" if signals.first is None and "pause" in asked and "stop" not in asked else "stopped"
    run.set_state(status=status, phase="", reason=message, exit_code=signals.exit_code)
    for request in run.requests():
        run.clear_request(request)
    return Outcome(status, signals.exit_code)


def failed(run: RunWriter, error: BaseException) -> Outcome:
    """Set the state of an attempt that went wrong and return its outcome, with an error that says how to go on."""
    known = isinstance(error, HftuneError)
    message = error.message if isinstance(error, HftuneError) else f"{type(error).__name__}: {error}"
    code = error.exit_code if isinstance(error, HftuneError) else RunError.exit_code
    with suppress(OSError):  # a full disk cannot take the state either; readers then see a run whose process is gone
        run.set_state(status="failed", reason=message, exit_code=code)
    hints = [error.hint] if isinstance(error, HftuneError) and error.hint else []
    has_more = f"{run.path / layout.LOG} has {'the details' if known else 'the traceback'}"
    if code == EXIT_USAGE:
        hints.append(f"Correct the recipe and run it again; {has_more}.")
    elif any("hftune resume" in hint for hint in hints):
        hints.append(f"{has_more}.")
    else:
        hints.append(f"{has_more}; `hftune resume {short_name(run.path)}` goes on from the last checkpoint.")
    shown = RunError(message, hint="\n  ".join(hints), exit_code=code)
    shown.__cause__ = error
    return Outcome("failed", code, error=shown)


def check_and_train(recipe: Recipe, run: RunWriter, *, allow_inexact: bool = False) -> Metrics:
    """Train, and look at the data before, unless the run was started without.

    In every attempt: what makes figures doubtful stands in metrics.json, which must not depend on a kill.
    """
    wait_politely_when_busy()
    from hftune import pipeline
    from hftune.preflight.inspect import findings

    look = findings if read_launch(run.path).check else None
    return pipeline.train(recipe, run, allow_inexact=allow_inexact, look=look)
