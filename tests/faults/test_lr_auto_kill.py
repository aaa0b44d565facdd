"""A run with `learning_rate: auto`, killed in its search or after it, ends as if it had never been killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import dying

from hftune.training.lr_curve import STEPS

RECIPE = {
    "name": "tiny",
    "task": "text-classification",
    "model": {
        "architecture": "lstm",
        "config": {"embedding_size": 8, "hidden_size": 8, "dropout": 0.2},
        "tokenizer": {"fit": "characters"},
    },
    "training": {
        "learning_rate": "auto", "max_steps": 12, "per_device_train_batch_size": 8, "logging_steps": 2, "eval_steps": 4,
        "save_steps": 3, "precision": "fp32",
    },
    "energy": {"meter": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, tiny_reviews: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Recipe and outcome of a run that nobody disturbs."""
    recipe = {**RECIPE, "data": {"files": str(tiny_reviews), "max_length": 16}}
    path = dying.make_run(tmp_path_factory.mktemp("uninterrupted"), recipe)
    assert dying.forked(dying.train, str(path)) == 0
    yield recipe, dying.outcome(path)


def searches(path: Path) -> list[tuple[int, float]]:
    from hftune.runs.reader import read_events

    return [(event.attempt, event.data["learning_rate"]) for event in read_events(path) if event.kind == "lr_find"]


def killed_and_taken_up(uninterrupted: Any, folder: Path, kill: tuple[str, int]) -> list[tuple[int, float]]:
    recipe, expected = uninterrupted
    path = dying.make_run(folder, recipe)
    assert dying.forked(dying.train, str(path), kill) == -signal.SIGKILL, f"{kill} was never reached"
    assert dying.forked(dying.train, str(path)) == 0
    assert dying.outcome(path) == expected
    return searches(path)


def test_killed_in_a_step_of_the_search_it_searches_again(uninterrupted: Any, tmp_path: Path) -> None:
    ((attempt, _),) = killed_and_taken_up(uninterrupted, tmp_path, ("forward", 40))
    assert attempt == 2


@pytest.mark.parametrize("steps", [1, 8])
def test_killed_in_training_it_searches_no_more(uninterrupted: Any, tmp_path: Path, steps: int) -> None:
    ((attempt, _),) = killed_and_taken_up(uninterrupted, tmp_path, ("forward", STEPS + steps))
    assert attempt == 1
