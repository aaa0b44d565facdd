"""What the processes of a run tell each other: sums of losses and gradients, with real processes and gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RANK = """
import os, sys
from datetime import timedelta
rank, store = int(sys.argv[1]), sys.argv[2]
os.environ |= {
    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
    "HFTUNE_PROCESS_STORE": store, "OMP_NUM_THREADS": "1",
}
import torch
from hftune.recipe.schema import TrainingSection
from hftune.training import collective
from hftune.training.device import open_accelerator

accelerator = open_accelerator(TrainingSection(device="cpu", threads=1))
assert accelerator.num_processes == 2
assert collective.sum_over_ranks(accelerator, [rank + 1.0, 0.25]) == [3.0, 0.5]
assert collective.from_first_rank(accelerator, {"from": rank}) == {"from": 0}

collective._PIECE = 4  # so that gradients travel in more than one piece
both, first_only, nowhere = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3,), (5,)))
both.grad = torch.full((2, 2), rank + 1.0)
first_only.grad = torch.arange(3.0) if rank == 0 else None
collective.sum_gradients(accelerator, [both, first_only, nowhere])
assert torch.equal(both.grad, torch.full((2, 2), 3.0))
assert torch.equal(first_only.grad, torch.arange(3.0))
assert nowhere.grad is None
torch.distributed.destroy_process_group()
"""


def test_two_processes_sum_losses_and_gradients(tmp_path: Path):
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    store = str(tmp_path / "store")
    ranks = [
        subprocess.Popen([sys.executable, str(script), str(rank), store], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=240)
        assert rank.returncode == 0, errors
