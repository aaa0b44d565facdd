"""Figures of turns, in closed form: medians over rounds of quotients within them."""

from __future__ import annotations

import json

import pytest

from hftune.frontier.speed import Asked, Cost, Spread, Turn, cost


def turn(latency: float, rate: float, wh: float | None = None) -> Turn:
    return Turn((latency, latency, latency), 32, 32 / rate, wh)


def test_quotients_are_of_the_same_round_so_a_slow_machine_changes_none() -> None:
    # In the second round all takes three times as long.
    own = Asked((turn(0.01, 100), turn(0.03, 100 / 3), turn(0.01, 110)), 50)
    parent = Asked((turn(0.02, 50), turn(0.06, 50 / 3), turn(0.025, 50)), 200)
    found = cost(own, parent, "text")
    assert found.p50_ratio == Spread(pytest.approx(0.5), pytest.approx(0.4), pytest.approx(0.5))
    assert found.rate_ratio == Spread(pytest.approx(2.0), pytest.approx(2.0), pytest.approx(2.2))
    assert (found.p50.median, found.p50.low, found.p50.high) == (0.01, 0.01, 0.03)
    assert (found.rounds, found.peak_bytes, found.peak_ratio) == (3, 50, 0.25)
    assert cost(parent, parent, "text").rate_ratio == Spread(1.0, 1.0, 1.0)


def test_percentiles_are_those_of_all_texts_of_a_round() -> None:
    found = Turn.of([Turn(tuple(range(1, 51)), 10, 2.0, 1.0), Turn(tuple(range(51, 102)), 30, 2.0, 3.0)])
    assert (found.p50, found.p95) == (51, 96)
    assert (found.rate, found.wh, found.wh_per_thousand) == (10.0, 4.0, 100.0)


def test_energy_is_told_where_a_meter_does_and_is_none_elsewhere() -> None:
    metered = Asked((turn(0.01, 100, 0.032), turn(0.01, 100, 0.064)), 1, False, "guessed")
    parent = Asked((turn(0.01, 100, 0.064), turn(0.01, 100, 0.064)), 1)
    found = cost(metered, parent, "text")
    assert found.energy is not None and found.energy_ratio is not None
    assert (found.energy.low, found.energy.high) == (1.0, 2.0)
    assert (found.energy_ratio.low, found.energy_ratio.high, found.counted, found.how) == (0.5, 1.0, False, "guessed")
    none = cost(Asked((turn(0.01, 100),), 1), Asked((turn(0.01, 100, 0.1),), 1), "text")
    assert none.energy is None and none.energy_ratio is None
    assert Turn.of([turn(0.01, 100, 0.1), turn(0.01, 100)]).wh is None


def test_a_cost_survives_json() -> None:
    own = Asked((turn(0.01, 100, 0.1), turn(0.02, 90, 0.1)), 50, True, "counted by RAPL")
    found = cost(own, own, "token")
    assert Cost.from_dict(json.loads(json.dumps(found.to_dict()))) == found
