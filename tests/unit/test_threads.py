"""Threads sleep while they wait when the machine is busy, and spin for a moment when it is quiet."""

from __future__ import annotations

import psutil
import pytest

from hftune.threads import SETTINGS, wait_politely_when_busy


@pytest.fixture(autouse=True)
def before_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "torch", raising=False)


@pytest.mark.parametrize(
    ("busy", "expected"), [(3.0, {"GOMP_SPINCOUNT": "2500"}), (55.0, {"OMP_WAIT_POLICY": "PASSIVE"})]
)
def test_threads_sleep_beside_other_work_and_never_spin_for_long(
    busy: float, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: busy)
    environment: dict[str, str] = {}
    wait_politely_when_busy(environment)
    assert environment == expected


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_users_stands(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 100.0)
    environment = {setting: "ACTIVE"}
    wait_politely_when_busy(environment)
    assert environment == {setting: "ACTIVE"}
