"""How much energy work took, as figures that can be added, written down and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from hftune.figures import count, figure

# Within what share the same work twice agrees: of counters on a quiet machine, and where watts are assumed and a busy
# machine takes longer for the same work.
COUNTED_ERROR, ESTIMATED_ERROR = 0.15, 0.5
JOULES = 3600.0  # of a watt-hour


@dataclass(frozen=True)
class Usage:
    """Energy in watt-hours, CO2 equivalents in grams, seconds of the clock, floating-point operations (None: unknown).

    `counted`: counters of the machine (RAPL, NVML) told the processor's and the accelerator's part; they count whatever
    else runs there, too. Otherwise it is an estimate. `how`: what was counted, what was assumed.
    """

    cpu_wh: float = 0.0
    gpu_wh: float = 0.0
    ram_wh: float = 0.0
    co2_g: float = 0.0
    seconds: float = 0.0
    flops: float | None = None
    counted: bool = False
    how: str = ""

    @property
    def wh(self) -> float:
        """All of the energy."""
        return self.cpu_wh + self.gpu_wh + self.ram_wh

    @property
    def error(self) -> float:
        """The share within which the same work twice agrees."""
        return COUNTED_ERROR if self.counted else ESTIMATED_ERROR

    def times(self, factor: float) -> Usage:
        """Return the usage of `factor` times the work."""
        return replace(
            self,
            cpu_wh=self.cpu_wh * factor,
            gpu_wh=self.gpu_wh * factor,
            ram_wh=self.ram_wh * factor,
            co2_g=self.co2_g * factor,
            seconds=self.seconds * factor,
            flops=None if self.flops is None else self.flops * factor,
        )

    def since(self, before: Usage) -> Usage:
        """Return what was used after `before`, an earlier reading of the same meter."""
        both = self.flops is not None and before.flops is not None
        return replace(
            self,
            cpu_wh=self.cpu_wh - before.cpu_wh,
            gpu_wh=self.gpu_wh - before.gpu_wh,
            ram_wh=self.ram_wh - before.ram_wh,
            co2_g=self.co2_g - before.co2_g,
            seconds=self.seconds - before.seconds,
            flops=(self.flops or 0) - (before.flops or 0) if both else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the usage as JSON holds it, with its sum and its error."""
        return {**asdict(self), "wh": self.wh, "error": self.error}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return a usage from JSON; what it does not know is left out. Raises TypeError for what is none."""
        known = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        kinds: dict[str, Any] = {"how": str, "flops": int | float | None}
        if not all(isinstance(value, kinds.get(name, int | float)) for name, value in known.items()):
            raise TypeError("figures of energy are numbers")
        return cls(**known)

    def tell(self) -> str:
        """Return the usage as words: `estimate: 0.83 Wh, 0.32 g CO2, 41.2 TFLOPs`."""
        parts = [energy(self.wh), f"{figure(self.co2_g)} g CO2"]
        if self.flops is not None:
            parts.append(operations(self.flops))
        return ("" if self.counted else "estimate: ") + ", ".join(parts)


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum; it is counted where all of it was. How: that of the last one."""
    found = list(usages)
    flops = [one.flops for one in found if one.flops is not None]
    return Usage(
        cpu_wh=sum(one.cpu_wh for one in found),
        gpu_wh=sum(one.gpu_wh for one in found),
        ram_wh=sum(one.ram_wh for one in found),
        co2_g=sum(one.co2_g for one in found),
        seconds=sum(one.seconds for one in found),
        flops=sum(flops) if flops else None,
        counted=bool(found) and all(one.counted for one in found),
        how=found[-1].how if found else "",
    )


def energy(wh: float) -> str:
    """Return energy as people read it: `12.4 mWh`, `0.83 Wh`, `1.2 kWh`."""
    if wh >= 1000:
        return f"{wh / 1000:.3g} kWh"
    return f"{wh:.3g} Wh" if wh >= 0.1 else f"{wh * 1000:.3g} mWh"


def about_joules(joules: float, counted: bool) -> str:
    """Return energy of a run as people read it; what is an estimate begins with `~`."""
    return ("" if counted else "~") + energy(joules / JOULES)


def operations(flops: float) -> str:
    """Return floating-point operations as people read them: `3.1 GFLOPs`, `41.2 TFLOPs`."""
    for limit, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G")):
        if flops >= limit:
            return f"{flops / limit:.3g} {unit}FLOPs"
    return f"{count(flops)} FLOPs"
