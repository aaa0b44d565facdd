"""Randomness without a state to save: every use of chance is seeded from where in the run it happens."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Return a seed (63 bits) that depends on all parts, the same on every machine and version."""
    digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_all(*parts: int | str) -> None:
    """Seed Python, numpy and torch (CPU and accelerators) from the parts."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_initial_weights(seed: int) -> None:
    """Seed what draws new weights: a fresh head, an adapter, a model from scratch."""
    seed_all(seed, "initial weights")


def seed_forward(seed: int, step: int, micro_batch: int, rank: int) -> None:
    """Seed dropout and augmentation of one forward pass, so that a resumed run needs no replay of earlier ones."""
    seed_all(seed, "forward", step, micro_batch, rank)


@contextmanager
def kept_randomness() -> Iterator[None]:
    """Put the global random generators (Python, numpy, torch on every device) back afterwards."""
    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


def set_deterministic(deterministic: bool) -> None:
    """Allow only algorithms that give the same bits each time (on accelerators; CPU ones do so already)."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first call
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False
