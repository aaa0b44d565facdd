"""In which number format forward passes are computed. Weights and optimizer state stay fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from hftune.errors import UsageError
from hftune.modeling.processor import computes_bf16


@dataclass(frozen=True)
class Precision:
    """The format chosen: `name` as recipes spell it, `native` whether the processor computes it directly."""

    name: str
    device_type: str
    native: bool = True

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device_type, torch.bfloat16 if self.name == "bf16" else torch.float16)

    def scaler(self) -> torch.amp.GradScaler | None:
        """Return what keeps small fp16 gradients from vanishing; other formats need none."""
        return torch.amp.GradScaler(self.device_type) if self.name == "fp16" else None


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """Return the format to compute in; `auto` is bf16 where it is native, else fp32.

    Raises UsageError for fp16 off CUDA. bf16 is allowed everywhere, but emulated (`native` False) it is slow.
    """
    native = computes_bf16(device)
    if wanted == "auto":
        return Precision("bf16" if native else "fp32", device.type)
    if wanted == "fp16" and device.type != "cuda":
        raise UsageError(
            f"training.precision: fp16 needs a CUDA device, and this run is on {device.type}",
            hint="Its range is so small that gradients vanish without hardware support; use auto, bf16 or fp32.",
        )
    return Precision(wanted, device.type, native=wanted != "bf16" or native)
