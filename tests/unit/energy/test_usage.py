"""Usage as figures: added, multiplied, written down and told."""

from __future__ import annotations

import json

import pytest

from hftune.energy.usage import COUNTED_ERROR, ESTIMATED_ERROR, Usage, energy, total

ONE = Usage(0.3, 0.0, 0.1, 0.19, 60.0, 2e12, False, "assumed")


def test_usages_add_up() -> None:
    whole = total([ONE, Usage(0.1, 0.5, 0.2, 0.4, 30.0, None, True, "RAPL")])
    assert whole.wh == pytest.approx(1.2)
    assert whole.co2_g == pytest.approx(0.59)
    assert whole.seconds == 90.0
    assert whole.flops == 2e12
    assert not whole.counted, "what is partly an estimate is an estimate"
    assert total([]) == Usage()


def test_twice_the_work_takes_twice_as_much() -> None:
    assert ONE.times(2).wh == pytest.approx(2 * ONE.wh)
    assert ONE.times(2).flops == 4e12
    assert ONE.times(2).how == ONE.how


def test_a_usage_is_read_as_it_was_written() -> None:
    written = json.loads(json.dumps(ONE.to_dict()))
    assert written["wh"] == pytest.approx(0.4)
    assert Usage.from_dict({**written, "of a later version": 1}) == ONE
    assert Usage.from_dict({}) == Usage()


def test_an_estimate_says_so() -> None:
    assert ONE.tell() == "estimate: 0.4 Wh, 0.19 g CO2, 2 TFLOPs"
    assert Usage(cpu_wh=2000, co2_g=900, counted=True).tell() == "2 kWh, 900 g CO2"
    assert ONE.error == ESTIMATED_ERROR > COUNTED_ERROR == Usage(counted=True).error


@pytest.mark.parametrize(("wh", "words"), [(0.0, "0 mWh"), (0.0124, "12.4 mWh"), (0.83, "0.83 Wh"), (1240, "1.24 kWh")])
def test_energy_is_told_in_thousands(wh: float, words: str) -> None:
    assert energy(wh) == words
