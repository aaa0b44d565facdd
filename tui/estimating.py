"""What training a recipe would cost: `hftune check --json`, a process that trains a few steps, read by a thread."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hftune.energy.usage import Usage
from hftune.figures import duration, figure, many, size
from hftune.recipe.load import dump_recipe
from hftune.sanitize import sanitize

from . import subcommand
from .recipe_text import resolved

MOST_ANSWER = 1 << 22
MOST_LINES = 200
MARKS = {"error": "✗", "warning": "!", "info": "·"}


class Estimating:
    """An estimate under way: `lines` say what it does; once `over`, a `record` or a `problem`.

    The text is resolved here, so that it need not be saved; raises RecipeError when it is no recipe.
    """

    def __init__(self, text: str, file: Path, runs_dir: Path) -> None:
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.record: Mapping[str, Any] | None = None
        self.problem = ""
        self.over = self.stopped = False
        whole = dump_recipe(resolved(text, file))
        self._folder = tempfile.TemporaryDirectory(prefix="hftune-estimate-")
        path = Path(self._folder.name) / "recipe.yaml"
        path.write_text(whole, encoding="utf-8")
        words = ["check", str(path), "--json", "--runs-dir", str(runs_dir)]
        self._process = subcommand.start(words, subprocess.PIPE)
        threading.Thread(target=self._read, name="estimate", daemon=True).start()
        threading.Thread(target=self._follow, name="estimate-words", daemon=True).start()

    def stop(self) -> None:
        """End the process; nothing is kept of it."""
        self.stopped = True
        self._process.terminate()

    def _follow(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as said:
            for part in iter(lambda: said.readline(2_000), b""):
                self.lines.append(part.decode("utf-8", "replace").rstrip())

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            answer = said.read(MOST_ANSWER)
        code = self._process.wait()
        try:
            record = json.loads(answer)
            if "error" in record:
                self.problem = _error_words(record["error"])
            else:
                self.record = record
        except (ValueError, TypeError, AttributeError):
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            self.problem = f"hftune check {ended} and said nothing that can be read"
        self._folder.cleanup()
        self.over = True


def _error_words(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    return "\n  ".join(str(error[key]) for key in ("message", "hint") if error.get(key))


def estimate_lines(record: Mapping[str, Any]) -> list[str]:
    """Return a check's answer as lines for people: time and memory first."""
    lines = list(_figures(record["estimate"])) if record.get("estimate") else ["Nothing could be measured."]
    splits, parameters = record.get("splits") or {}, record.get("parameters") or {}
    if splits:
        lines.append("examples    " + " · ".join(f"{name} {count:,}" for name, count in splits.items()))
    if parameters:
        lines.append(f"weights     {parameters.get('trained', 0):,} of {parameters.get('total', 0):,} learn")
    for finding in record.get("findings") or ():
        hint = f" {finding['hint']}" if finding.get("hint") else ""
        lines.append(f"{MARKS.get(finding['level'], '·')} {finding['message']}{hint}")
    return [sanitize(one) for one in lines]


def _figures(estimate: Mapping[str, Any]) -> Iterator[str]:
    error = estimate["error_seconds"]
    yield f"time        {duration(estimate['seconds'])} ± {duration(error)}"
    yield f"steps       {estimate['total_steps']:,} ({estimate['steps_per_epoch']:,} an epoch)"
    yield f"memory      {size(estimate['memory_bytes'])}"
    yield f"disk        {size(estimate['disk_bytes'])}, {size(estimate['checkpoint_bytes'])} a checkpoint"
    if estimate.get("usage"):
        yield f"energy      {Usage.from_dict(estimate['usage']).tell()}"
    where = f"on {estimate['device']}, {estimate['precision']}"
    yield f"speed       {figure(estimate['samples_per_second'])} examples/s {where}"
    yield f"measured    {many(estimate['measured_steps'], 'step')} of training, none of it kept"
