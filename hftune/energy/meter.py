"""Counts the energy of this process while it works, by codecarbon without a network.

The processor's part is RAPL's where the machine has it and lets it be read, an accelerator's NVML's; else it is an
estimate: the watts of the processor at full load (of a table by its name, else 4 W a thread) times the share of it that
this process and its children take. Memory is always estimated. A meter that fails, or does not start in time, never
fails or holds up the work: there is then no figure, and `problem` says why.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hftune.energy.usage import Usage

# Between measurements that nobody asks for: often enough that no counter wraps around twice, seldom enough to cost
# nothing and to hardly ever fall together with one that is asked for.
MEASURE_SECONDS = 600.0
START_SECONDS = 20.0  # looking at the machine takes one or two; a driver that hangs is not waited for
WORLD_GRAMS = 475.0  # CO2e a kWh, IEA 2019: what codecarbon takes where no country is named


@dataclass(frozen=True)
class Grid:
    """Where the electricity comes from, and what is known of the machine that takes it.

    `country`: ISO 3166 code of three letters; `grams`: CO2 equivalents a kWh, which go before it; neither: the world's
    mean. `cpu_watts`: of the processor at full load where no counter tells, `ram_watts`: of the memory; None: as
    codecarbon assumes.
    """

    country: str | None = None
    grams: float | None = None
    cpu_watts: float | None = None
    ram_watts: float | None = None


class Meter:
    """`with Meter(Grid()) as meter: …; meter.read()`: what was used since the meter began to count.

    That is one or two seconds after the beginning: it looks at the machine in a thread of its own. `read` waits for it
    and gives None where it failed, which `problem` tells. `accelerators`: how many are worked on; none: only the
    processor and the memory count.
    """

    def __init__(self, grid: Grid, accelerators: int = 0, tracker: Callable[[Grid, int], Any] | None = None) -> None:
        self.problem = ""
        self._grid, self._accelerators, self._make = grid, accelerators, tracker or _tracker
        self._tracker: Any = None
        self._closed = False
        self._lock = threading.Lock()
        self._starting = threading.Thread(target=self._start, name="energy meter", daemon=True)

    def __enter__(self) -> Self:
        self._starting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> Usage | None:
        """Return what was used since it began to count."""
        self._starting.join(START_SECONDS)
        if self._starting.is_alive():
            self.problem = f"the meter of energy did not start within {START_SECONDS:.0f} s"
            return None
        with self._lock:
            if self._tracker is None:
                return None
            try:
                self._tracker._measure_power_and_energy()  # else it would be as old as the last measurement
                return _usage(self._tracker, self._grid, self._accelerators)
            except Exception as error:  # whatever codecarbon meets on a machine: the work goes on
                self._give_up(error)
                return None

    def close(self) -> None:
        """Stop counting; a meter that is still looking at the machine stops by itself once it has."""
        with self._lock:
            self._closed = True
            tracker, self._tracker = self._tracker, None
        _stop(tracker)

    def _start(self) -> None:
        try:
            tracker = self._make(self._grid, self._accelerators)
            tracker.start()
            if tracker._start_time is None:  # it keeps what it met to itself
                raise RuntimeError("codecarbon did not start")
        except Exception as error:
            self._give_up(error)
            return
        with self._lock:
            if not self._closed:
                self._tracker = tracker
                return
        _stop(tracker)

    def _give_up(self, error: Exception) -> None:
        tracker, self._tracker = self._tracker, None
        self.problem = f"{type(error).__name__}: {error}"
        _stop(tracker)


def _stop(tracker: Any) -> None:
    if tracker is not None:
        with suppress(Exception):
            tracker.stop()


def _tracker(grid: Grid, accelerators: int) -> Any:
    """Return codecarbon's tracker, told to keep to itself: no file, log or network, whatever a user's settings say."""
    logging.getLogger("codecarbon").disabled = True
    import codecarbon
    from codecarbon.core.cpu import is_rapl_available

    logging.getLogger("codecarbon").disabled = True  # its own set-up may have turned it on
    watts_told = grid.cpu_watts is not None and not is_rapl_available()  # they would go before the counter
    visible = "CUDA_VISIBLE_DEVICES" in os.environ
    return codecarbon.OfflineEmissionsTracker(
        country_iso_code=grid.country or "",
        force_carbon_intensity_g_co2e_kwh=grid.grams,
        force_cpu_power=grid.cpu_watts if watts_told else None,
        force_ram_power=grid.ram_watts,
        tracking_mode="process",
        measure_power_secs=MEASURE_SECONDS,
        allow_multiple_runs=True,
        output_methods=[],
        output_handlers=[],
        output_dir=tempfile.gettempdir(),
        emissions_endpoint=None,
        api_call_interval=-1,
        electricitymaps_api_token="",  # of None it would look for one in the user's settings, and ask the network
        cloud_provider=None,
        cloud_region=None,
        region=None,
        gpu_ids=None if visible or not accelerators else list(range(accelerators)),
        log_level="critical",
        force_mode_cpu_load=False,
        rapl_include_dram=False,
        rapl_prefer_psys=False,
        pue=1.0,
    )


def _usage(tracker: Any, grid: Grid, accelerators: int) -> Usage:
    """Return what the tracker has counted; its sums are public only once it has stopped."""
    data = tracker._prepare_emissions_data()
    cpu, gpu, ram = 1000 * data.cpu_energy, 1000 * data.gpu_energy, 1000 * data.ram_energy
    whole = cpu + gpu + ram
    ours = whole if accelerators else cpu + ram  # else it is others who work on them
    return Usage(
        cpu_wh=cpu,
        gpu_wh=gpu if accelerators else 0.0,
        ram_wh=ram,
        co2_g=1000 * data.emissions * (ours / whole if whole else 1.0),
        seconds=data.duration,
        counted=_has_rapl(tracker) and (not accelerators or _has_gpu(tracker)),
        how=_how(tracker, data, grid, accelerators),
    )


def _has_rapl(tracker: Any) -> bool:
    return any(getattr(part, "_mode", "") == "intel_rapl" for part in tracker._hardware)


def _has_gpu(tracker: Any) -> bool:
    return any(type(part).__name__ == "GPU" for part in tracker._hardware)


def _how(tracker: Any, data: Any, grid: Grid, accelerators: int) -> str:
    parts = []
    if _has_rapl(tracker):
        parts.append("processor counted by RAPL, other programs included")
    elif full := next((part._tdp for part in tracker._hardware if type(part).__name__ == "CPU"), None):
        told = "as the recipe says" if grid.cpu_watts is not None else "assumed"
        parts.append(f"processor {full:g} W at full load ({told}) by this process's share of its time")
    if accelerators:
        known = "counted by its driver, other programs included" if _has_gpu(tracker) else "not counted"
        parts.append(f"accelerator {known}")
    told = "as the recipe says" if grid.ram_watts is not None else "assumed"
    parts.append(f"memory {data.ram_power:.3g} W ({told})")
    grams = 1000 * data.emissions / data.energy_consumed if data.energy_consumed else grid.grams or WORLD_GRAMS
    return "; ".join([*parts, f"{grams:.0f} g CO2e a kWh ({_where(grid, data.country_name)})"])


def _where(grid: Grid, country: str | None) -> str:
    if grid.grams is not None:
        return "as the recipe says"
    if country:
        return country
    return "the world's mean" + (f", as {grid.country} is no country that is known" if grid.country else "")
