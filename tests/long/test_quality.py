"""The shipped recipes reach what they promise on the test split: one seed each here, all of it in `make quality`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.long.conftest import Hftune

# From the mean of three seeds (0.84, 0.815) to the worst of them: a seed's accuracy on 1,056 texts varies by a point.
ONE_SEED = 0.01

pytestmark = pytest.mark.long


def test_full_fine_tuning_reaches_its_accuracy(bert_cls: Path) -> None:
    check(bert_cls, 0.84)


def test_low_rank_adaptation_reaches_its_accuracy(hftune: Hftune, tmp_path: Path) -> None:
    hftune("run", "bert_cls_lora", "--runs-dir", tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    check(run, 0.815)


def check(run: Path, floor: float) -> None:
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["test"]["accuracy"] >= floor - ONE_SEED
    assert abs(figures["test"]["accuracy"] - figures["validation"]["accuracy"]) < 0.06, "both splits tell the same"
