"""A run killed at any moment and taken up again ends as if it had never been killed: weights, figures, curves."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import dying

METHODS = {"full": "full", "lora": {"name": "lora", "r": 4, "lora_dropout": 0.1}}


def recipe(model: Path, data: Path, method: str) -> dict[str, Any]:
    """Two epochs of six steps, with dropout, accumulation, evaluations and checkpoints that do not coincide."""
    return {
        "name": "tiny",
        "task": "text-classification",
        "model": str(model),
        "data": {"files": str(data), "max_length": 32},
        "method": METHODS[method],
        "energy": {"meter": False},  # looking at the machine anew would take longer than each attempt
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "learning_rate": 5e-3,
            "warmup_steps": 0.2,
            "logging_steps": 2,
            "eval_steps": 4,
            "save_steps": 3,
            "precision": "fp32",
        },
    }


@pytest.fixture(scope="module", params=list(METHODS))
def uninterrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, tiny_reviews: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, int]]]:
    """Recipe, outcome and call counts of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    wanted = recipe(tiny_bert_folder, tiny_reviews, request.param)
    path = dying.make_run(folder, wanted)
    assert dying.forked(dying.train, str(path), None, str(folder / "counts")) == 0
    yield wanted, dying.outcome(path), json.loads((folder / "counts").read_text())


def check_kill(uninterrupted: Any, folder: Path, kills: list[tuple[str, int]]) -> Path:
    """Kill a run at each of the points in turn, let it finish, and compare."""
    wanted, expected, _ = uninterrupted
    path = dying.make_run(folder, wanted)
    for kill in kills:
        assert dying.forked(dying.train, str(path), kill) == -signal.SIGKILL, f"{kill} was never reached"
    assert dying.forked(dying.train, str(path)) == 0
    assert dying.outcome(path) == expected, f"differs after kills at {kills}"
    return path


# A step is two forward passes, an evaluation one. 9: the first evaluation; 20: in the second epoch; 27: the last one.
@pytest.mark.parametrize("at", [9, 20, 27])
def test_killed_in_a_step_or_an_evaluation(uninterrupted: Any, tmp_path: Path, at: int):
    check_kill(uninterrupted, tmp_path, [("forward", at)])


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_killed_while_a_file_is_put_on_disk(uninterrupted: Any, tmp_path: Path, share: float):
    check_kill(uninterrupted, tmp_path, [("fsync", int(uninterrupted[2]["fsync"] * share))])


def test_killed_while_a_folder_gets_its_name(uninterrupted: Any, tmp_path: Path):
    check_kill(uninterrupted, tmp_path, [("rename", uninterrupted[2]["rename"] // 2)])


def test_killed_again_and_again(uninterrupted: Any, tmp_path: Path):
    check_kill(uninterrupted, tmp_path, [("forward", 7), ("forward", 5), ("fsync", 20), ("emit", 9), ("forward", 8)])


def test_no_example_is_trained_on_twice_in_an_epoch(uninterrupted: Any, tmp_path: Path):
    """Of the steps that count (those done again replace their first try), each epoch holds each example once."""
    from hftune.runs.reader import read_events

    path = check_kill(uninterrupted, tmp_path, [("forward", 17)])
    attempts: dict[int, list[list[int]]] = {}
    for line in path.with_suffix(".samples").read_text().splitlines():
        process, split, indices = json.loads(line)
        assert split == "train"
        attempts.setdefault(process, []).append(indices)
    first, second = (list(zip(parts[::2], parts[1::2], strict=False)) for parts in attempts.values())
    (resumed_from,) = [event.data["step"] for event in read_events(path) if event.kind == "resume"]
    assert resumed_from > 0
    steps = [a + b for a, b in first[:resumed_from] + second]
    assert len(steps) == 12
    for epoch in (steps[:6], steps[6:]):
        seen = Counter(index for step in epoch for index in step)
        assert sorted(seen) == list(range(48))
        assert set(seen.values()) == {1}


def test_masks_are_drawn_again_as_they_were(tiny_bert_folder: Path, tiny_reviews: Path, tmp_path: Path):
    wanted = {**recipe(tiny_bert_folder, tiny_reviews, "full"), "task": "fill-mask"}
    path = dying.make_run(tmp_path / "one", wanted)
    assert dying.forked(dying.train, str(path)) == 0
    check_kill((wanted, dying.outcome(path), {}), tmp_path / "two", [("forward", 13), ("forward", 9)])


def test_a_broken_newest_checkpoint_changes_nothing_but_is_said_aloud(uninterrupted: Any, tmp_path: Path):
    from hftune.runs.reader import read_events

    wanted, expected, _ = uninterrupted
    path = dying.make_run(tmp_path, wanted)
    assert dying.forked(dying.train, str(path), ("forward", 25)) == -signal.SIGKILL
    newest = sorted((path / "checkpoints").glob("step-*"))[-1]
    weights = newest / "trainable.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert dying.forked(dying.train, str(path)) == 0
    assert dying.outcome(path) == expected
    events = read_events(path)
    assert [event.data["level"] for event in events if event.data.get("code") == "checkpoint-quarantined"] == [
        "warning"
    ]
    (resume,) = [event.data for event in events if event.kind == "resume"]
    assert resume["quarantined"] == [f"checkpoints/broken-{newest.name}-1"]


@pytest.mark.long
def test_killed_at_every_forward_pass(uninterrupted: Any, tmp_path: Path):
    for at in range(1, uninterrupted[2]["forward"] + 1):
        check_kill(uninterrupted, tmp_path / str(at), [("forward", at)])


@pytest.mark.long
@pytest.mark.parametrize("point", ["fsync", "rename", "emit"])
def test_killed_at_every_kind_of_file_operation_and_event(uninterrupted: Any, tmp_path: Path, point: str):
    # Every third: a save syncs eight times, so over the saves of a run each place in a save is met.
    for at in range(1, uninterrupted[2][point] + 1, 1 if point == "rename" else 3):
        check_kill(uninterrupted, tmp_path / str(at), [(point, at)])
