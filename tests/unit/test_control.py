"""The benchmark of control: its interval, and texts that are drawn as they come."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("control", "samples"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import control

    return control


@pytest.mark.parametrize(("right", "total"), [(0, 20), (93, 100), (200, 200), (101, 200)])
def test_the_interval_is_wilsons(control: ModuleType, right: int, total: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy has the reference interval")
    theirs = stats.binomtest(right, total).proportion_ci(method="wilson")
    assert control.wilson(right, total) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_a_prompt_is_continued_as_often_as_asked_and_the_same_each_time(
    control: ModuleType, tiny_gpt2_folder: Path
) -> None:
    model, tokenizer = control.load(str(tiny_gpt2_folder))
    texts = control.write(model, tokenizer, "the film", 30)
    assert len(texts) == 30 and len(set(texts)) > 1
    assert not any("<|endoftext|>" in text or "\n" in text for text in texts)
    assert control.write(model, tokenizer, "the film", 30) == texts
