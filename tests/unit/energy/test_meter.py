"""The meter: counters where the machine has them, labelled estimates elsewhere, and never in the way of the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hftune.energy.meter import WORLD_GRAMS, Grid, Meter

JOULES = 3600.0  # a watt-hour


def work(seconds: float) -> None:
    """Keep one core busy for so much of its time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


@pytest.fixture(autouse=True)
def fresh_machine() -> Iterator[None]:
    """Let codecarbon look at the machine anew."""
    from codecarbon.core.hardware_cache import clear_cache

    clear_cache()
    yield
    clear_cache()


@pytest.fixture
def no_counters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("codecarbon.core.cpu._get_candidate_bases", lambda folder: [str(tmp_path / "nothing")])
    monkeypatch.setattr("codecarbon.core.gpu.is_nvidia_system", lambda: False)
    monkeypatch.setattr("codecarbon.core.gpu.is_rocm_system", lambda: False)


class Rapl:
    """A tree of files as Linux shows a processor's energy counter."""

    def __init__(self, folder: Path, most: int) -> None:
        self.domain = folder / "intel-rapl:0"
        self.domain.mkdir(parents=True)
        (self.domain / "name").write_text("package-0\n")
        (self.domain / "max_energy_range_uj").write_text(f"{most}\n")
        self.set(0)

    def set(self, microjoules: int) -> None:
        (self.domain / "energy_uj").write_text(f"{microjoules}\n")


@pytest.fixture
def rapl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rapl:
    from codecarbon.core.cpu import IntelRAPL

    folder = str(tmp_path / "powercap")
    tree = Rapl(Path(folder), most=10_000_000)
    monkeypatch.setattr("codecarbon.core.cpu._get_candidate_bases", lambda _: [folder])
    monkeypatch.setattr(
        "codecarbon.external.hardware.IntelRAPL", lambda **named: IntelRAPL(**{**named, "rapl_dir": folder})
    )
    return tree


def test_a_counter_is_read_and_its_wrap_around_is_seen(rapl: Rapl) -> None:
    rapl.set(9_000_000)
    with Meter(Grid(grams=500.0)) as meter:
        first = meter.read()
        rapl.set(9_600_000)
        second = meter.read()
        rapl.set(400_000)  # 0.8 J more: the counter began anew at 10 J
        third = meter.read()
    assert first is not None and second is not None and third is not None, meter.problem
    assert first.counted
    assert (second.cpu_wh - first.cpu_wh) * JOULES == pytest.approx(0.6, rel=1e-6)
    assert (third.cpu_wh - second.cpu_wh) * JOULES == pytest.approx(0.8, rel=1e-6)
    assert "RAPL" in third.how
    assert not third.tell().startswith("estimate")
    assert third.co2_g == pytest.approx(third.wh / 1000 * 500.0)


def test_a_machine_without_counters_is_estimated_and_says_what_it_assumes(no_counters: None) -> None:
    with Meter(Grid(cpu_watts=40.0, ram_watts=6.0)) as meter:
        meter.read()
        work(0.3)
        found = meter.read()
    assert found is not None
    assert not found.counted
    assert found.tell().startswith("estimate")
    assert found.cpu_wh > 0
    assert found.ram_wh == pytest.approx(6.0 * found.seconds / JOULES, rel=found.error)
    assert "processor 40 W at full load (as the recipe says)" in found.how
    assert f"{WORLD_GRAMS:.0f} g CO2e a kWh (the world's mean)" in found.how


def test_the_processors_part_is_its_share_of_the_time(no_counters: None) -> None:
    from codecarbon.core.cpu import count_cpus

    with Meter(Grid(cpu_watts=40.0)) as meter:
        before = meter.read()
        began = time.process_time()
        work(1.5)
        after = meter.read()
        seconds = time.process_time() - began
    assert before is not None and after is not None
    expected = 40.0 / count_cpus() * seconds / JOULES
    assert after.cpu_wh - before.cpu_wh == pytest.approx(expected, rel=after.error)


def test_a_country_has_its_grid(no_counters: None) -> None:
    with Meter(Grid(country="FRA")) as meter:
        found = meter.read()
    assert found is not None
    assert 20 < 1000 * found.co2_g / found.wh < 120, "France's electricity is mostly nuclear"
    assert "(France)" in found.how


class Broken:
    """A tracker that fails where it is told to."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __getattr__(self, name: str) -> Any:
        def call() -> None:
            if name == self._where:
                raise OSError("no such counter")

        return call


@pytest.mark.parametrize("where", ["start", "_measure_power_and_energy", "_prepare_emissions_data", "stop"])
def test_a_meter_that_fails_does_not_fail_the_work(where: str) -> None:
    with Meter(Grid(), tracker=lambda grid, accelerators: Broken(where)) as meter:
        if where != "stop":
            assert meter.read() is None
    assert meter.problem == ("" if where == "stop" else "OSError: no such counter")
    assert meter.read() is None


def test_a_tracker_that_did_not_start_is_a_problem() -> None:
    """codecarbon keeps what its start meets to itself."""
    with Meter(
        Grid(), tracker=lambda grid, accelerators: SimpleNamespace(start=lambda: None, _start_time=None)
    ) as meter:
        assert meter.read() is None
    assert "did not start" in meter.problem


def test_a_missing_package_is_a_problem_like_any_other() -> None:
    def missing(grid: Grid, accelerators: int) -> Any:
        raise ModuleNotFoundError("No module named 'codecarbon'")

    with Meter(Grid(), tracker=missing) as meter:
        assert meter.read() is None
    assert "codecarbon" in meter.problem


def test_nothing_is_written_or_sent(
    no_counters: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A user's own settings of codecarbon, which may upload, are not followed; and tests have no network."""
    settings = (
        "co2_signal_api_token = x",
        "save_to_api = true",
        "emissions_endpoint = http://example.com",
        "save_to_file = true",
    )
    (tmp_path / ".codecarbon.config").write_text("\n".join(["[codecarbon]", *settings, "log_level = info", ""]))
    monkeypatch.chdir(tmp_path)
    with Meter(Grid()) as meter:
        assert meter.read() is not None
        tracker = meter._tracker
        assert tracker._output_handlers == []
        assert not tracker._electricitymaps_api_token, "with one it would ask the network what the grid emits"
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]
    assert meter.problem == ""
    captured = capfd.readouterr()
    assert "codecarbon" not in captured.out + captured.err


def test_a_meter_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that does not answer must hold up no training, nor its end."""
    monkeypatch.setattr("hftune.energy.meter.START_SECONDS", 0.1)
    answered, stopped = threading.Event(), threading.Event()

    def waiting(grid: Grid, accelerators: int) -> Any:
        answered.wait(60)
        return SimpleNamespace(start=lambda: None, _start_time=0.0, stop=stopped.set)

    with Meter(Grid(), tracker=waiting) as meter:
        assert meter.read() is None
        assert "did not start within" in meter.problem
    assert not stopped.is_set()
    answered.set()
    assert stopped.wait(60), "who begins to count when nobody asks any more stops at once"


def tracked(energy: dict[str, float], *parts: Any) -> Any:
    """A tracker with fixed figures in kWh."""
    whole = sum(energy.values())
    data = SimpleNamespace(**{f"{name}_energy": kwh for name, kwh in energy.items()}, energy_consumed=whole,
                           emissions=whole * 0.4, duration=10.0, ram_power=5.0, country_name="Germany")  # fmt: skip
    return SimpleNamespace(
        start=lambda: None, stop=lambda: None, _start_time=0.0, _measure_power_and_energy=lambda: None,
        _prepare_emissions_data=lambda: data, _hardware=list(parts),
    )  # fmt: skip


class CPU(SimpleNamespace):
    """As codecarbon calls the processor."""


class GPU(SimpleNamespace):
    """As codecarbon calls accelerators."""


RAPL, LOAD = CPU(_mode="intel_rapl", _tdp=100), CPU(_mode="cpu_load", _tdp=100)


@pytest.mark.parametrize(
    ("parts", "accelerators", "counted", "words"),
    [
        ((RAPL,), 0, True, "processor counted by RAPL"),
        ((LOAD,), 0, False, "processor 100 W at full load (assumed)"),
        ((RAPL, GPU()), 1, True, "accelerator counted by its driver"),
        ((LOAD, GPU()), 1, False, "accelerator counted by its driver"),
        ((RAPL,), 1, False, "accelerator not counted"),
    ],
)
def test_only_what_is_counted_in_whole_is_called_counted(
    parts: tuple[Any, ...], accelerators: int, counted: bool, words: str
) -> None:
    figures = {"cpu": 0.001, "gpu": 0.003, "ram": 0.001}
    with Meter(Grid("DEU"), accelerators, tracker=lambda grid, count: tracked(figures, *parts)) as meter:
        found = meter.read()
    assert found is not None
    assert found.counted is counted
    assert words in found.how
    assert "400 g CO2e a kWh (Germany)" in found.how


def test_accelerators_that_others_work_on_are_left_out() -> None:
    figures = {"cpu": 0.001, "gpu": 0.003, "ram": 0.001}
    with Meter(Grid(), 0, tracker=lambda grid, count: tracked(figures, RAPL, GPU())) as meter:
        found = meter.read()
    assert found is not None
    assert found.wh == pytest.approx(2.0)
    assert found.co2_g == pytest.approx(0.8)


def test_a_country_that_is_not_known_is_said(no_counters: None) -> None:
    with Meter(Grid(country="GER")) as meter:
        found = meter.read()
    assert found is not None
    assert "the world's mean, as GER is no country that is known" in found.how
