"""Counts the energy of this process while it works, by codecarbon without a network.

The processor's part is RAPL's where the machine has it and lets it be read, an accelerator's NVML's; else it is an
estimate: the watts of the processor at full load (of a table by its name, else 4 W a thread) times the share of it that
this process and its children take. Memory is always estimated. A meter that fails never fails the work: there is then
no figure, and a word why.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hftune.energy.usage import Usage

MEASURE_SECONDS = 15.0
WORLD_GRAMS = 475.0  # CO2e a kWh, IEA 2019: what codecarbon takes where no country is named


@dataclass(frozen=True)
class Grid:
    """Where the electricity comes from, and what is known of the machine that takes it.

    `country`: ISO 3166 code of three letters; `grams`: CO2 equivalents a kWh, which go before it; neither: the world's
    mean. `cpu_watts`: of the processor at full load, `ram_watts`: of the memory; None: as codecarbon assumes.
    """

    country: str | None = None
    grams: float | None = None
    cpu_watts: float | None = None
    ram_watts: float | None = None


class Meter:
    """`with Meter(Grid()) as meter: work(); meter.read()`: what was used since it began.

    `read` gives None while nothing is known: the meter starts in a thread of its own (it takes one to two seconds to
    look at the machine), from which on it counts; and where it failed, which `problem` tells.
    """

    def __init__(
        self,
        grid: Grid,
        tracker: Callable[[Grid], Any] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem = ""
        self._grid, self._make, self._now = grid, tracker or _tracker, now
        self._tracker: Any = None
        self._lock = threading.Lock()
        self._starting: threading.Thread | None = None
        self._began = now()

    def __enter__(self) -> Self:
        self._starting = threading.Thread(target=self._start, name="energy meter", daemon=True)
        self._starting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> Usage | None:
        """Return what was used since the beginning; waits for a meter that is still looking at the machine.

        The time before it began to count is taken to have used as much as the time after.
        """
        if self._starting is not None:
            self._starting.join()
        with self._lock:
            if self._tracker is None:
                return None
            try:
                self._tracker._measure_power_and_energy()  # else it would be as old as the last measurement
                found = _usage(self._tracker, self._grid)
                return found.times(max(1.0, (self._now() - self._began) / max(found.seconds, 1e-3)))
            except Exception as error:  # whatever codecarbon meets on a machine: the work goes on
                self._fail(error)
                return None

    def close(self) -> None:
        """Stop counting."""
        if self._starting is not None:
            self._starting.join()
        with self._lock:
            tracker, self._tracker = self._tracker, None
            if tracker is not None:
                try:
                    tracker.stop()
                except Exception as error:
                    self._fail(error)

    def _start(self) -> None:
        with self._lock:
            try:
                tracker = self._make(self._grid)
                tracker.start()
                if tracker._start_time is None:  # it keeps what it met to itself
                    raise RuntimeError("codecarbon did not start")
                self._tracker = tracker
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._tracker = None
        self.problem = f"{type(error).__name__}: {error}"


def _tracker(grid: Grid) -> Any:
    """Return codecarbon's tracker, told to keep to itself: no file, log or network, whatever a user's settings say."""
    import codecarbon

    logging.getLogger("codecarbon").disabled = True
    return codecarbon.OfflineEmissionsTracker(
        country_iso_code=grid.country or "",
        force_carbon_intensity_g_co2e_kwh=grid.grams,
        force_cpu_power=grid.cpu_watts,
        force_ram_power=grid.ram_watts,
        tracking_mode="process",
        measure_power_secs=MEASURE_SECONDS,
        allow_multiple_runs=True,
        output_methods=[],
        output_handlers=[],
        output_dir=tempfile.gettempdir(),
        emissions_endpoint=None,
        api_call_interval=-1,
        electricitymaps_api_token=None,
        cloud_provider=None,
        cloud_region=None,
        region=None,
        log_level="critical",
        force_mode_cpu_load=False,
        pue=1.0,
    )


def _usage(tracker: Any, grid: Grid) -> Usage:
    """Return what the tracker has counted; its sums are public only once it has stopped."""
    data = tracker._prepare_emissions_data()
    counted = _counted(tracker)
    return Usage(
        cpu_wh=1000 * data.cpu_energy,
        gpu_wh=1000 * data.gpu_energy,
        ram_wh=1000 * data.ram_energy,
        co2_g=1000 * data.emissions,
        seconds=data.duration,
        counted=bool(counted),
        how=_how(tracker, data, grid, counted),
    )


def _counted(tracker: Any) -> list[str]:
    """Return the counters of the machine that are read."""
    found = ["RAPL"] if any("Rapl" in repr(part) for part in tracker._hardware) else []
    return found + (["NVML"] if any("GPU" in type(part).__name__ for part in tracker._hardware) else [])


def _how(tracker: Any, data: Any, grid: Grid, counted: list[str]) -> str:
    parts = [f"counted by {' and '.join(counted)}, other programs included"] if counted else []
    full = next((part._tdp for part in tracker._hardware if type(part).__name__ == "CPU"), None)
    if "RAPL" not in counted and full:
        told = "as the recipe says" if grid.cpu_watts is not None else "assumed"
        parts.append(f"processor {full:g} W at full load ({told}) by this process's share of its time")
    told = "as the recipe says" if grid.ram_watts is not None else "assumed"
    parts.append(f"memory {data.ram_power:.3g} W ({told})")
    grams = 1000 * data.emissions / data.energy_consumed if data.energy_consumed else grid.grams or WORLD_GRAMS
    where = "as the recipe says" if grid.grams is not None else data.country_name or "the world's mean"
    return "; ".join([*parts, f"{grams:.0f} g CO2e a kWh ({where})"])
