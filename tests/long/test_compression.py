"""The starter BERT made smaller keeps what README says of it: accuracy, size, operations; asked without hftune too.

Seconds are in README, measured by `hftune compress --frontier`; here stand operations, which no busy machine changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hftune.energy.flops import count
from hftune.inference.predictor import Predictor
from hftune.runs import layout
from hftune.runs.compression import Comparison, read_comparison
from hftune.sharing import parity
from hftune.sharing.parity import Kind
from tests.long.conftest import Hftune

TOKENS = 24
ROWS = 200

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smaller")


def compressed(hftune: Hftune, parent: Path, runs: Path, *words: str) -> tuple[Path, Comparison]:
    folder = runs / words[1]
    hftune("compress", parent, *words, "--runs-dir", folder)
    (run,) = folder.iterdir()
    found = read_comparison(run)
    assert found is not None
    return run, found


def operations(run: Path) -> int:
    """Return the operations of one text of TOKENS tokens."""
    import torch

    model = Predictor.load(run, device="cpu").loaded.model
    ids = torch.ones(1, TOKENS, dtype=torch.int64)
    with torch.no_grad():
        return count(lambda: model(input_ids=ids))


def check_said(hftune: Hftune, run: Path, found: Comparison) -> None:
    """`hftune evaluate` says what the run says of itself."""
    scored = json.loads(hftune("evaluate", run, "--json").stdout)
    assert scored["metrics"]["accuracy"] == found.value
    assert scored["rows"] == found.rows


def check_alone(run: Path, kind: Kind) -> None:
    """model/ answers as the run does in a process without hftune."""
    predictor = Predictor.load(run, device="cpu")
    asked = parity.questions(predictor, ROWS, lambda _: None)
    expected = parity.reference(predictor, asked)
    alone = parity.ask(run / layout.MODEL, kind, predictor.task, asked, None, None)
    parity.compare(asked, expected, alone).require()


def test_a_student_of_half_the_layers_keeps_97_of_100(hftune: Hftune, bert_cls: Path, runs: Path) -> None:
    run, found = compressed(hftune, bert_cls, runs, "--method", "distill", "-s", "compress.layers=3")
    assert kept(found) >= 0.97
    assert operations(run) <= 0.6 * operations(bert_cls)
    check_said(hftune, run, found)
    check_alone(run, "transformers")


def test_a_pruned_model_computes_and_takes_less_for_at_most_two_points(
    hftune: Hftune, bert_cls: Path, runs: Path
) -> None:
    run, found = compressed(hftune, bert_cls, runs, "--method", "prune")
    assert lost(found) <= 0.02
    assert operations(run) <= operations(bert_cls) / 1.4
    assert found.parameters < 0.8 * found.parent_parameters and found.bytes < 0.8 * found.parent_bytes
    check_said(hftune, run, found)
    check_alone(run, "transformers")


def test_a_quantized_model_takes_a_third_for_at_most_a_point(hftune: Hftune, bert_cls: Path, runs: Path) -> None:
    run, found = compressed(hftune, bert_cls, runs, "--method", "quantize")
    assert lost(found) <= 0.01
    assert found.bytes <= found.parent_bytes / 3
    check_said(hftune, run, found)
    check_alone(run, "onnx")


def kept(found: Comparison) -> float:
    value, parent = found.value["value"], found.parent_value["value"]
    assert value is not None and parent
    return value / parent


def lost(found: Comparison) -> float:
    assert found.loss["value"] is not None
    return found.loss["value"]
