"""What a run has used over all its attempts, from its events; energy.json holds it once the run is done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hftune.energy.usage import Usage, energy, total
from hftune.runs import layout
from hftune.runs.events import Event


@dataclass(frozen=True)
class Consumed:
    """What a run used; `estimate`: what its first seconds said that it would, None where it was too short to tell."""

    used: Usage
    estimate: Usage | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what energy.json holds."""
        return {
            "used": self.used.to_dict(),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    def tell(self) -> str:
        """Return it as words, with what was estimated beside what was used."""
        if self.estimate is None:
            return self.used.tell()
        return f"{self.used.tell()} (estimated early on: {energy(self.estimate.wh)})"


def consumed(events: Iterable[Event]) -> Consumed | None:
    """Return what all attempts used; None where no meter told. What a killed attempt did after it last told is lost."""
    by_attempt: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.kind == "energy":
            by_attempt[event.attempt] = dict(event.data)
    try:
        used = [Usage.from_dict(data["usage"]) for data in by_attempt.values()]
        estimates = [Usage.from_dict(data["estimate"]) for data in by_attempt.values() if data.get("estimate")]
    except (KeyError, TypeError, AttributeError):  # of a version that told otherwise
        return None
    return Consumed(total(used), estimates[0] if estimates else None) if used else None


def read_consumed(run: Path) -> Consumed | None:
    """Return what energy.json says; None where there is none that can be read."""
    try:
        record = json.loads((run / layout.ENERGY).read_bytes())
        estimate = record.get("estimate")
        return Consumed(Usage.from_dict(record["used"]), Usage.from_dict(estimate) if estimate else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
