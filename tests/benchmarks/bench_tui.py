"""How quick the app is and what it costs, measured through a real terminal (a pty): `make bench-tui`.

Starts `python -m hftune tui` in an empty home, presses keys, and reads what it paints. The load is eight runs that get
200 events a second each from a process of its own (load.py). A time ends when the bytes are read that complete what a
person waits for. CPU is the app's own process, in shares of one core. Prints a Markdown table; about three minutes.
A busy machine makes every figure worse: the load before the measurement is printed, pauses are chosen by a seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import psutil
from load import RECIPE
from table import Table
from terminal import Screen, Terminal

from hftune.runs import layout
from hftune.runs.state import RunState

HERE = Path(__file__).parent
CREATED = 1_780_000_000.0
WINDOW_SECONDS = 2.0
SETTLE_SECONDS = 3.0
MIB = 2**20
STEP = re.compile(r"step ([\d,]+)/")
PARTS = ("first", "idle", "load", "many", "wide")
# Targets in milliseconds, percent of a core, MiB.
FIRST_PAINT, KEY_IDLE, KEY_LOAD, EVENT, CPU_LOAD, CPU_IDLE, MEMORY = 800.0, 16.0, 50.0, 150.0, 15.0, 1.0, 80.0
PAGES = 30  # down, then up again: a thousand runs have some forty
MANY = 2  # a thousand runs may take this many times as long


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=60, help="keys and events for each figure; default: 60")
    parser.add_argument("--starts", type=int, default=10, help="starts for each figure; default: 10")
    parser.add_argument("--windows", type=int, default=6, help="windows of two seconds for CPU; default: 6")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-tui-") as folder:
        bench = Bench(Path(folder), arguments.keys, arguments.starts, arguments.windows)
        for part in arguments.parts:
            getattr(bench, part)()
    print(f"load average afterwards: {os.getloadavg()[0]:.2f}\n\n{bench.table.text()}")


def machine() -> str:
    """Return what this ran on."""
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        cpu = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} cores, {cpu}", f"Python {platform.python_version()}", f"Textual {version('textual')}"]
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    return f"{', '.join(parts)}; load average before: {load}"


class Bench:
    """Measures one part after the other, each in app processes of its own."""

    def __init__(self, folder: Path, keys: int, starts: int, windows: int) -> None:
        self.table = Table()
        self._folder, self._keys, self._starts, self._windows = folder, keys, starts, windows
        self._chance = random.Random(0)

    def first(self) -> None:
        """First paint with no run, with 8 and with 1,000, in turn: a machine that slows down slows all of them."""
        counts = (0, 8, 1000)
        folders = {count: self._runs(count) for count in counts}
        painted: dict[int, list[float]] = {count: [] for count in counts}
        listed: dict[int, list[float]] = {count: [] for count in counts if count}
        self._first_paint(folders[0], 0)  # Python writes its bytecode
        for _ in range(self._starts):
            for count in counts:
                paint, rows = self._first_paint(folders[count], count)
                painted[count].append(paint)
                if count:
                    listed[count].append(rows)
        for count in counts:
            target = FIRST_PAINT * (MANY if count == 1000 else 1)
            self.table.times(f"first paint, {count:,} runs", target, painted[count])
            if count:
                self.table.times(f"newest run listed, {count:,} runs", None, listed[count])

    def _first_paint(self, runs: Path, count: int) -> tuple[float, float]:
        """Return the seconds until header and prompt are there, and until the newest run is."""
        with self._app(runs) as app:
            painted = app.until(is_painted) - app.started
            rows = app.until_text(short(count)) - app.started if count else painted
            self._quit(app)
        return painted, rows

    def idle(self) -> None:
        """Keys, CPU and memory while nothing works."""
        with self._app(self._runs(8)) as app:
            app.until_text(short(8))
            app.drain(SETTLE_SECONDS)
            self.table.shares("CPU, idle, Runs", CPU_IDLE, self._cpu(app))
            self._press_all(app, "idle", KEY_IDLE)
            self._weigh(app, "idle")
            self._quit(app)

    def load(self) -> None:
        """Keys, events, CPU and memory under the load, on Runs and on Watch."""
        with self._loaded() as (folder, names), self._app(folder) as app:
            app.until_text(short_of(names[-1]))
            app.drain(SETTLE_SECONDS)
            self.table.shares("CPU under load, Runs", CPU_LOAD, self._cpu(app))
            self._press_all(app, "under load, Runs", KEY_LOAD)
            self._watch(app, folder, "", self._keys)
            self._weigh(app, "after the load")
            self._quit(app)

    def wide(self) -> None:
        """The same on Watch in a large terminal."""
        with self._loaded() as (folder, names), self._app(folder, columns=160, rows=48) as app:
            app.until_text(short_of(names[-1]))
            self._watch(app, folder, ", 160x48", max(1, self._keys // 2))
            self._quit(app)

    def many(self) -> None:
        """Moving through a thousand runs."""
        with self._app(self._runs(1000)) as app:
            app.until_text(short(1000))
            app.drain(SETTLE_SECONDS)
            app.send("j")
            app.drain(0.5)
            self.table.times("key to paint, 1,000 runs: j", MANY * KEY_IDLE, self._moves(app, ("j",)))
            pages = self._moves(app, ("\x1b[6~",) * PAGES + ("\x1b[5~",) * PAGES)
            self.table.times("key to paint, 1,000 runs: PgDn", MANY * KEY_IDLE, pages)
            self.table.shares("CPU, idle, 1,000 runs", CPU_IDLE, self._cpu(app))
            self._weigh(app, "1,000 runs")
            self._quit(app)

    # Pressing keys.

    def _press_all(self, app: Terminal, when: str, target: float) -> None:
        app.send("k")
        app.drain(0.5)
        self.table.times(f"key to paint, {when}: j k", target, self._moves(app, ("j", "k")))
        self.table.times(f"key to paint, {when}: a letter in the prompt", target, self._letters(app))
        opened, closed = self._palette(app)
        self.table.times(f"palette opens, {when}", None, opened)
        self.table.times(f"palette closes, {when}", None, closed)

    def _moves(self, app: Terminal, keys: tuple[str, ...]) -> list[float]:
        """Press keys that put the cursor on another run; return the seconds each took."""
        found = []
        for number in range(self._keys):
            before = under_cursor(app.screen)
            sent = app.send(keys[number % len(keys)])
            found.append(app.until(lambda screen, before=before: under_cursor(screen) not in ("", before)) - sent)
            self._pause(app)
        return found

    def _letters(self, app: Terminal) -> list[float]:
        """Type in the prompt."""
        app.send("i")
        self._pause(app)
        found, written = [], ""
        for _ in range(self._keys):
            if len(written) == 8:
                app.send("\x7f" * 8)
                app.until(lambda screen: prompt(screen) == "")
                written = ""
                self._pause(app)
            letter = self._chance.choice("abcdefghijklmnopqrstuvwxyz")
            written += letter
            sent = app.send(letter)
            found.append(app.until(lambda screen, written=written: prompt(screen) == written) - sent)
            self._pause(app)
        app.send("\x7f" * len(written))
        app.until(lambda screen: prompt(screen) == "")
        app.send("\x1b")
        app.drain(0.5)
        return found

    def _palette(self, app: Terminal) -> tuple[list[float], list[float]]:
        """Open and close the palette."""
        opened, closed = [], []
        for _ in range(max(1, self._keys // 3)):
            sent = app.send(":")
            opened.append(app.until_text("what to do") - sent)
            self._pause(app)
            sent = app.send("\x1b")
            closed.append(app.until(lambda screen: "what to do" not in screen.text) - sent)
            self._pause(app)
        return opened, closed

    def _pause(self, app: Terminal) -> None:
        app.drain(self._chance.uniform(0.05, 0.2))

    # Watch.

    def _watch(self, app: Terminal, folder: Path, where: str, samples: int) -> None:
        app.send("2")
        app.until(lambda screen: shown_step(screen) is not None)
        app.drain(SETTLE_SECONDS)
        paints: list[tuple[int, float]] = []
        cpu = self._cpu(app, lambda screen, now: note_step(paints, screen, now))
        self.table.shares(f"CPU under load, Watch{where}", CPU_LOAD, cpu)
        run = folder / next(each.name for each in folder.iterdir() if short_of(each.name) in app.screen.lines[0])
        self.table.times(f"event to paint under load{where}", EVENT, self._freshness(run, paints, samples))
        self.table.times(f"key to paint under load, Watch{where}: a letter in the prompt", KEY_LOAD, self._letters(app))

    def _freshness(self, run: Path, paints: list[tuple[int, float]], samples: int) -> list[float]:
        """Return, for steps taken by chance, the seconds from writing a step's event until it, or a later one, is seen.

        The clock of events is time.time; both clocks are compared now, they do not part in seconds.
        """
        shift = time.monotonic() - time.time()
        written = {}
        for line in (run / layout.EVENTS).read_bytes().splitlines():
            if b'"train"' in line:
                event = json.loads(line)
                written[event["data"]["step"]] = event["time"] + shift
        steps = [step for step in written if paints[0][0] < step <= paints[-1][0]]
        found = []
        for step in self._chance.sample(steps, min(samples, len(steps))):
            seen = next(now for shown, now in paints if shown >= step)
            found.append(seen - written[step])
        return found

    # Weighing.

    def _cpu(self, app: Terminal, each: Callable[[Screen, float], None] = lambda *_: None) -> list[float]:
        """Return the CPU share of the app's process in percent of a core, in windows of two seconds."""
        process = psutil.Process(app.pid)
        found = []
        for _ in range(self._windows):
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            until = began + WINDOW_SECONDS
            while (rest := until - time.monotonic()) > 0:
                if (now := app.read(rest)) is not None:
                    each(app.screen, now)
            used = sum(process.cpu_times()[:2]) - before
            found.append(100 * used / (time.monotonic() - began))
        return found

    def _weigh(self, app: Terminal, when: str) -> None:
        memory = psutil.Process(app.pid).memory_full_info()
        self.table.sizes(f"memory (RSS), {when}", MEMORY, [memory.rss / MIB])
        self.table.sizes(f"memory of its own (USS), {when}", None, [memory.uss / MIB])

    # Making ready.

    @contextmanager
    def _app(self, runs: Path, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
        """Start the app in an empty home."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="home-") as home:
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            environment = {**kept, "HOME": home, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
            command = [sys.executable, "-m", "hftune", "tui", str(runs)]
            with Terminal(command, columns=columns, rows=rows, environment=environment, folder=Path(home)) as app:
                yield app

    def _quit(self, app: Terminal) -> None:
        app.send("q")
        if code := app.end():
            sys.exit(f"the app ended with {code}:\n{app.screen.text}")

    def _runs(self, count: int) -> Path:
        """Return a folder with so many runs that are done."""
        folder = self._folder / f"runs-{count}"
        if not folder.exists():
            for number in range(1, count + 1):
                make_run(folder, number)
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def _loaded(self) -> Iterator[tuple[Path, list[str]]]:
        """Keep eight runs training in a folder."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="load-") as folder:
            command = [sys.executable, str(HERE / "load.py"), folder]
            writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            try:
                yield Path(folder), json.loads(writer.stdout.readline())
                rest, _ = writer.communicate("")
                self.table.note(f"events written a second into each of 8 runs: {float(rest):.0f}")
            finally:
                writer.kill()
                writer.wait()


def make_run(folder: Path, number: int) -> None:
    """Write a run that is done, one second after the one before."""
    created = CREATED + number
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(created))
    run = folder / f"old{number:04}-{stamp}-{number:04x}"
    run.mkdir(parents=True)
    steps = {"step": 500, "total_steps": 500, "metric": "accuracy", "metric_value": 0.8 + number / 10_000}
    state = RunState(status="done", created=created, heartbeat=created + 60, host="bench", exit_code=0, **steps)
    (run / layout.STATE).write_text(json.dumps(asdict(state)))
    (run / layout.RECIPE).write_text(RECIPE.format(name=f"old{number:04}"))
    lines = []
    for seq in range(20):
        data = {"step": 25 * seq, "epoch": seq / 10, "metrics": {"loss": 1 / (1 + seq)}, "timing": {}}
        record = {"v": 1, "seq": seq, "attempt": 1, "time": created + seq, "kind": "train", "data": data}
        lines.append(json.dumps(record))
    (run / layout.EVENTS).write_text("\n".join(lines) + "\n")


def short(number: int) -> str:
    """Return the name that the list shows for run `number`."""
    return f"old{number:04}-{number:04x}"


def short_of(name: str) -> str:
    """Return the name that the app shows for a run directory."""
    first, *_, last = name.split("-")
    return f"{first}-{last}"


def is_painted(screen: Screen) -> bool:
    """Tell whether the header and the prompt are there."""
    lines = screen.lines
    return "hftune" in lines[0] and any("Keys" in line for line in lines[-3:])


def under_cursor(screen: Screen) -> str:
    """Return the name of the run that the cursor of the list is on; empty while the screen is half painted."""
    marked = [line for line in screen.lines if line[:3].lstrip().startswith("▸")]
    return marked[0].lstrip(" ▸*").split(" ")[0] if len(marked) == 1 else ""


def prompt(screen: Screen) -> str | None:
    """Return what is written in the prompt."""
    found = next((line for line in reversed(screen.lines) if line.lstrip().startswith("›")), None)
    return None if found is None else found.partition("›")[2][1:].split(" ")[0]


def shown_step(screen: Screen) -> int | None:
    """Return the step that Watch shows."""
    found = STEP.search(screen.text)
    return int(found[1].replace(",", "")) if found else None


def note_step(paints: list[tuple[int, float]], screen: Screen, now: float) -> None:
    """Keep which step was seen when."""
    step = shown_step(screen)
    if step is not None and (not paints or step > paints[-1][0]):
        paints.append((step, now))


if __name__ == "__main__":
    main()
