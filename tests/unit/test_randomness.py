"""Chance is seeded from where in the run it is used."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import torch

from hftune.training.randomness import derive_seed, seed_forward, seed_initial_weights, set_deterministic


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_the_same_place_in_a_run_draws_the_same_whatever_came_before():
    seed_forward(0, 7, 1, 0)
    first = draws()
    draws()
    seed_forward(0, 7, 1, 0)
    assert draws() == first


def test_every_seed_step_micro_batch_and_rank_draws_its_own():
    seen = set()
    for place in product((0, 1), (0, 1, 2), (0, 1), (0, 1)):
        seed_forward(*place)
        seen.add(draws())
    seed_initial_weights(0)
    seen.add(draws())
    assert len(seen) == 25


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "forward", 1, 0, 0) == 4391286376981179429


def test_deterministic_mode_is_switched_on_and_off():
    set_deterministic(True)
    assert torch.are_deterministic_algorithms_enabled()
    set_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
