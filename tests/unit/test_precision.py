"""Which number format a run computes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hftune.errors import UsageError
from hftune.modeling import processor as features
from hftune.training.precision import choose_precision

CPU = torch.device("cpu")


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pretend to a processor with these flags."""

    def pretend(flags: str) -> None:
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor\t: 0\nmodel name\t: Test\nflags\t\t: fpu {flags} sse\n")
        monkeypatch.setattr(features, "_CPU_INFO", file)

    return pretend


@pytest.mark.parametrize(("flags", "name"), [("avx512_bf16", "bf16"), ("amx_bf16", "bf16"), ("avx512f avx2", "fp32")])
def test_auto_takes_bf16_only_where_the_processor_computes_it(processor, flags: str, name: str):
    processor(flags)
    assert choose_precision("auto", CPU).name == name


def test_emulated_bf16_is_allowed_and_known_to_be_slow(processor):
    processor("avx2")
    chosen = choose_precision("bf16", CPU)
    assert (chosen.name, chosen.native) == ("bf16", False)
    with chosen.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_fp32_changes_nothing():
    chosen = choose_precision("fp32", CPU)
    assert chosen.native
    assert chosen.scaler() is None
    with chosen.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_fp16_needs_cuda_and_says_why():
    with pytest.raises(UsageError, match="fp16 needs a CUDA device") as caught:
        choose_precision("fp16", CPU)
    assert "gradients vanish" in caught.value.hint
