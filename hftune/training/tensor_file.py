"""Write tensors as a safetensors file in one pass: hashed as they are written, and on the disk before it returns.

safetensors' own writer neither syncs nor hashes, needs all tensors on the CPU at once, and hides a full disk behind an
error of its own. The format is small: eight bytes with the header's length, a JSON header, the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Written:
    """What a file must be to be whole: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: str


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Written:
    """Write a safetensors file and sync it; tensors are moved to the CPU one at a time."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, tensor in tensors.items():
        end = position + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data start aligned, so that readers can map them
    start = len(text).to_bytes(8, "little") + text
    return _write(path, chain([start], (_bytes(tensor) for tensor in tensors.values())))


def write_bytes(path: Path, content: bytes) -> Written:
    """Write a small file and sync it."""
    return _write(path, [content])


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    # numpy has no bf16, so the bytes are passed as such.
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> Written:
    digest = hashlib.sha256()
    size = 0
    with path.open("xb") as file:
        for part in parts:
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return Written(size, digest.hexdigest())
