"""How fast models are side by side: each is asked in every round, and compared with its parent within the round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

THOUSAND = 1000


@dataclass(frozen=True)
class Turn:
    """What came of one turn of one model: `latencies` in seconds, one a text (of a generator: a token) asked alone.

    `units` texts (tokens) took `seconds` many at once, and `wh` watt-hours; None where no meter tells.
    """

    latencies: tuple[float, ...]
    units: int
    seconds: float
    wh: float | None = None

    @classmethod
    def of(cls, slices: Sequence[Turn]) -> Turn:
        """Return several as one."""
        wh = [one.wh for one in slices if one.wh is not None]
        return cls(
            tuple(latency for one in slices for latency in one.latencies),
            sum(one.units for one in slices),
            sum(one.seconds for one in slices),
            sum(wh) if len(wh) == len(slices) else None,
        )

    @property
    def p50(self) -> float:
        """The median latency in seconds."""
        return float(np.quantile(self.latencies, 0.5))

    @property
    def p95(self) -> float:
        """The latency in seconds that one in twenty is above."""
        return float(np.quantile(self.latencies, 0.95))

    @property
    def rate(self) -> float:
        """Texts (tokens) a second."""
        return self.units / self.seconds

    @property
    def wh_per_thousand(self) -> float | None:
        """Watt-hours of a thousand texts (tokens)."""
        return None if self.wh is None else THOUSAND * self.wh / self.units


@dataclass(frozen=True)
class Spread:
    """The median over rounds, and the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return that of one value a round."""
        return cls(float(statistics.median(values)), float(min(values)), float(max(values)))


@dataclass(frozen=True)
class Cost:
    """What a model takes, over all rounds, and as quotients of its parent's (`…_ratio`) in the same rounds.

    `p50`, `p95`: seconds of one text (of a generator: one token) asked alone. `rate`: texts (tokens) a second, many at
    once. `peak_bytes`: the most memory that its process ever held; `peak_ratio` has no rounds. `energy`: Wh a thousand
    texts (tokens), `counted` or an estimate, `how`; None where no meter tells. `unit`: text or token. `when`: seconds
    since 1970, the same for all that were measured side by side; `in_groups`: memory did not hold all of them at once.
    """

    unit: str
    rounds: int
    p50: Spread
    p95: Spread
    rate: Spread
    p50_ratio: Spread
    p95_ratio: Spread
    rate_ratio: Spread
    peak_bytes: int
    peak_ratio: float
    energy: Spread | None = None
    energy_ratio: Spread | None = None
    counted: bool = False
    how: str = ""
    when: float = 0.0
    in_groups: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Cost:
        """Return it from JSON; raises TypeError or KeyError for what is none."""
        values: dict[str, Any] = {
            name: Spread(**each) if isinstance(each, dict) else each for name, each in record.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Asked:
    """All turns of one model, a turn a round; `peak_bytes`, `counted` and `how` as `Cost` has them."""

    turns: tuple[Turn, ...]
    peak_bytes: int
    counted: bool = False
    how: str = ""


def cost(own: Asked, parent: Asked, unit: str, when: float = 0.0) -> Cost:
    """Return what a model takes, by its turns and those of its parent in the same rounds."""
    pairs = list(zip(own.turns, parent.turns, strict=True))
    energy = [(one.wh_per_thousand, other.wh_per_thousand) for one, other in pairs]
    known = [(one, other) for one, other in energy if one is not None]
    both = [one / other for one, other in known if other]
    return Cost(
        unit=unit,
        rounds=len(pairs),
        p50=Spread.of([one.p50 for one, _ in pairs]),
        p95=Spread.of([one.p95 for one, _ in pairs]),
        rate=Spread.of([one.rate for one, _ in pairs]),
        p50_ratio=Spread.of([one.p50 / other.p50 for one, other in pairs]),
        p95_ratio=Spread.of([one.p95 / other.p95 for one, other in pairs]),
        rate_ratio=Spread.of([one.rate / other.rate for one, other in pairs]),
        peak_bytes=own.peak_bytes,
        peak_ratio=own.peak_bytes / parent.peak_bytes,
        energy=Spread.of([one for one, _ in known]) if known else None,
        energy_ratio=Spread.of(both) if both else None,
        counted=own.counted,
        how=own.how,
        when=when,
    )
