"""Models measured side by side: all in memory at once, asked in turn, so that noise hits them alike.

A round is several slices, each of which asks every model a few questions one at a time and a batch at once: what else
the machine does lasts longer than that. Each round gives one quotient of a model and its parent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from hftune.asking.client import WorkerClient
from hftune.asking.protocol import START
from hftune.errors import HftuneError, RunError
from hftune.figures import duration, many, size
from hftune.frontier.held_out import LONGEST, Questions
from hftune.frontier.measuring import BATCH
from hftune.frontier.speed import Asked, Cost, Turn, cost

COMMAND = (sys.executable, "-P", "-m", "hftune.frontier.measuring")
ROUNDS = 5
SLICES = 4  # of a round
# Of the parent's slice: enough texts that one slow one moves little, few enough that it is short.
LATENCY_SECONDS, RATE_SECONDS = 0.25, 0.4
FEWEST, MOST = 4, 16  # texts asked alone in a slice
MOST_BATCHES = 2
# What a process holds beside the weights (fp32) and what it computes: measured 380 MiB of torch and transformers.
PROCESS_BYTES, OF_THE_WEIGHTS = 450 << 20, 2.5
SHARE = 0.7  # of the memory that is free
Note = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """What was measured: each run's cost by its name, its parent's among them; and why others could not be."""

    costs: dict[str, Cost] = field(default_factory=dict)
    failed: dict[str, HftuneError] = field(default_factory=dict)


class Process:
    """A model in a process of its own (measuring.py). `unit`: what is counted, text or token."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.unit = ""
        self._client = WorkerClient([str(run.resolve())], COMMAND)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def begin(self, questions: Questions) -> None:
        """Wait until the model is loaded, and give it the questions; raises HftuneError when it cannot be."""
        event = self._client.next_event(START)
        _raise_error(event)
        self.unit = event["data"]["unit"]
        start = held = 0
        for end in range(1, len(questions) + 1):
            held += questions.size(end - 1)
            if held > LONGEST or end == len(questions):  # a few at a time
                self.ask("questions", **questions.fields(start, end))
                start, held = end, 0

    def end(self) -> None:
        """Ask it to end now; `close` still follows."""
        self._client.end()

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Return the data of the answer; raises HftuneError for what went wrong there, also a death."""
        number = self._client.request(op, **fields)
        event = self._client.next_event(number)
        _raise_error(event)
        data: dict[str, Any] = event["data"]
        while self._client.next_event(number)["event"] != "done":
            pass
        return data

    def turn(self, alone: int, together: int, number: int) -> tuple[Turn, bool, str]:
        """Ask so many questions one at a time and so many at once; return what came of it, and how energy is told.

        `number`: how many such turns came before, whose questions are not asked again at once.
        """
        seconds = self.ask("latency", count=alone, first=number * alone)["seconds"]
        rate = self.ask("throughput", count=together, first=number * together)
        turn = Turn(tuple(seconds), rate["units"], rate["seconds"], rate["wh"])
        return turn, bool(rate["counted"]), str(rate["how"])


def groups(bytes_by_run: Mapping[str, int], parent: str, free: int | None = None) -> list[list[str]]:
    """Return which runs are measured at the same time: all where `free` bytes are enough, never fewer than one.

    `bytes_by_run`: what each one's weights take in memory as fp32. The parent is in every group, and so in none here.
    `free`: left out, what the machine has.
    """
    if free is None:
        import psutil

        free = int(psutil.virtual_memory().available)
    need = {name: int(PROCESS_BYTES + OF_THE_WEIGHTS * weights) for name, weights in bytes_by_run.items()}
    room = SHARE * free - need[parent]
    found: list[list[str]] = []
    left = 0.0
    for name in (name for name in need if name != parent):
        if not found or need[name] > left:
            found.append([])
            left = room
        found[-1].append(name)
        left -= need[name]
    return found


def measure(parent: Path, runs: Sequence[Path], questions: Questions, note: Note, rounds: int = ROUNDS) -> Measured:
    """Return what the parent and each run take. Raises HftuneError when the parent cannot be measured."""
    with ExitStack() as held:
        # All at once: each waits for the disk and computes little while it loads.
        processes = [held.enter_context(Process(run)) for run in (parent, *runs)]
        try:
            found = _Rounds(processes)
            found.each(processes, lambda process: process.begin(questions))
            found.ask(note, rounds)
            return found.measured()
        except BaseException:
            for process in processes:  # at the same time, not one after the other
                process.end()
            raise


class _Rounds:
    """Processes asked in turn, the first of them the parent's; one that fails takes no further part."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._parent = processes[0]
        self._running = list(processes)
        self._failed: dict[str, HftuneError] = {}
        self._turns: dict[str, list[Turn]] = {process.run.name: [] for process in processes}
        self._peaks: dict[str, int] = {}
        self._told: dict[str, tuple[bool, str]] = {}

    def each(self, processes: Sequence[Process], work: Callable[[Process], None]) -> None:
        """Do `work` with one after the other; raises RunError where the parent fails."""
        for process in processes:
            try:
                work(process)
            except HftuneError as error:
                if process is self._parent:
                    raise RunError(f"{process.run.name} could not be measured: {error.message}", error.hint) from error
                self._failed[process.run.name] = error
                self._running.remove(process)

    def ask(self, note: Note, rounds: int) -> None:
        """Warm each up, then ask all in turn, in another order each time."""
        alone, together, seconds = _counts(self._parent)
        processes = len(self._running)
        most = (rounds * SLICES + 1) * processes * seconds
        note(
            f"measuring {many(processes, 'model')} side by side, {many(rounds, 'round')} of {SLICES * alone} texts one "
            f"at a time and {SLICES * together} in batches: about {duration(most)} if all are as slow as the first"
        )

        def warm_up(process: Process) -> None:
            process.turn(alone, together, 0)
            self._peaks[process.run.name] = int(process.ask("memory")["peak_bytes"])
            process.ask("meter")

        self.each(list(self._running), warm_up)
        for number in range(rounds * SLICES):

            def take_turn(process: Process, number: int = number) -> None:
                turn, counted, how = process.turn(alone, together, number)
                self._turns[process.run.name].append(turn)
                self._told[process.run.name] = (counted, how)

            # None is always behind the same other one, whose threads may still wait in a loop.
            order = Random(number).sample(self._running, len(self._running))
            self.each(order, take_turn)

    def measured(self) -> Measured:
        """Return the costs of those that took part to the end."""
        asked = {
            name: Asked(_by_round(self._turns[name]), self._peaks[name], *self._told[name])
            for name in (process.run.name for process in self._running)
        }
        base = asked[self._parent.run.name]
        when = time.time()
        costs = {name: cost(own, base, self._parent.unit, when) for name, own in asked.items()}
        return Measured(costs, self._failed)


def _by_round(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(Turn.of(turns[start : start + SLICES]) for start in range(0, len(turns), SLICES))


def _counts(parent: Process) -> tuple[int, int, float]:
    """Return how many texts are asked alone and at once in a slice, and the seconds that takes the parent."""
    parent.ask("latency", count=3)  # the first one is slow
    each = parent.ask("latency", count=MOST)["total"] / MOST
    parent.ask("throughput", count=BATCH)
    batch = parent.ask("throughput", count=BATCH)["seconds"]
    count = max(FEWEST, min(MOST, int(LATENCY_SECONDS / each)))
    batches = max(1, min(MOST_BATCHES, int(RATE_SECONDS / batch)))
    return count, BATCH * batches, count * each + batches * batch


def told_group(names: Sequence[str]) -> str:
    """Return what to say of a group that is measured apart from others, because memory is short."""
    return (
        f"memory is short: {many(len(names), 'model')} beside the parent at a time (a process takes "
        f"{size(PROCESS_BYTES)} and {OF_THE_WEIGHTS:g} times its weights)"
    )


def _raise_error(event: Mapping[str, Any]) -> None:
    if event["event"] == "error":
        raise RunError(str(event.get("message")), str(event.get("hint") or ""))
