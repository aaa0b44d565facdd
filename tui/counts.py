"""How many runs do what, in words."""

from __future__ import annotations

from collections.abc import Mapping

from hftune.figures import many

RUNNING = ("preparing", "training", "evaluating")


def counted(counts: Mapping[str, int]) -> str:
    """Return how many runs do what: `2 running · 1 queued · 5 done`."""
    said = [f"{_sum(counts, *RUNNING)} running"]
    said += [f"{counts[name]} {name}" for name in ("queued", "paused") if counts.get(name)]
    return " · ".join([*said, f"{counts.get('done', 0)} done"])


def kept_running(counts: Mapping[str, int]) -> str:
    """Return what goes on without the app: `2 jobs keep running`, empty for nothing."""
    running = _sum(counts, *RUNNING, "queued")
    return f"{many(running, 'job')} keep{'s' if running == 1 else ''} running" if running else ""


def _sum(counts: Mapping[str, int], *names: str) -> int:
    return sum(counts.get(name, 0) for name in names)
