"""What a processor computes in hardware: bf16 and int8 products are faster than fp32 only where it does."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CPU_INFO = Path("/proc/cpuinfo")


def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products run in hardware: CUDA 8.0 and later, CPUs with AVX512-BF16 or AMX.

    torch runs bf16 on other CPUs too, about 20 times slower than fp32, so its own "supported" does not help here.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_flags() & {"avx512_bf16", "amx_bf16"})


def computes_int8() -> bool:
    """Whether this CPU multiplies and adds int8 in one instruction (VNNI, AMX; on ARM dot products)."""
    return bool(_flags() & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


def _flags() -> set[str]:
    """Return the processor's features as Linux names them, none where it does not tell."""
    if platform.system() != "Linux" or not _CPU_INFO.exists():
        return set()
    lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    # "flags" of x86, "Features" of ARM.
    return set(next((line for line in lines if line.lower().startswith(("flags", "features"))), "").split())
