"""The run as ranks other than the first see it: rank 0 alone writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hftune.runs.events import Event
from hftune.runs.writer import RunWriter


class SilentRun(RunWriter):
    """A RunWriter that writes nothing and is asked nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def attempt(self) -> int:
        return 1

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Nothing is emitted here."""

    def emit(self, kind: str, **data: Any) -> None:
        """Rank 0 emits the same event."""

    def set_state(
        self,
        status: str | None = None,
        phase: str | None = None,
        reason: str | None = None,
        step: int | None = None,
        total_steps: int | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Rank 0 sets the same state."""

    def requests(self) -> frozenset[str]:
        """Requests reach this process from rank 0 (fit.py)."""
        return frozenset()

    def clear_request(self, name: str) -> None:
        """Rank 0 does."""

    def write_json(self, name: str, obj: Any) -> None:
        """Rank 0 does."""

    def start_heartbeat(self) -> None:
        """Rank 0's heart is the run's."""

    def close(self) -> None:
        """Nothing is open."""
