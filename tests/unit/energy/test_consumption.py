"""What runs write down of what they use: by the meter, by torch's counter, over all attempts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hftune.data.batches import batch_plan
from hftune.energy.flops import count
from hftune.energy.usage import Usage
from hftune.pipeline import make_setup
from hftune.recipe.load import parse_recipe
from hftune.runs import layout
from hftune.runs.consumption import consumed, read_consumed
from hftune.runs.events import Event
from hftune.runs.reader import read_events
from hftune.training.consumption import Consumption
from hftune.training.evaluation import evaluate_split
from hftune.training.progress import Progress
from hftune.training.silent import SilentRun
from hftune.training.step import make_learner, train_step
from tests.unit.inference.conftest import trained

FULL: dict[str, Any] = {"name": "full"}
LORA = {"name": "lora", "r": 4}


def shortened(recipe: dict[str, Any], **training: Any) -> dict[str, Any]:
    few = {"max_steps": 4, "num_train_epochs": 1, "save_steps": 2, "eval_steps": 2, **training}
    return {**recipe, "training": {**recipe["training"], **few}}


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("recipe", ["reviews_recipe", "language_recipe"])
def test_operations_of_steps_and_evaluations_are_those_that_torch_counts(
    recipe: str, method: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    asked = {**shortened(request.getfixturevalue(recipe)), "method": method}
    setup, model = make_setup(parse_recipe(asked), SilentRun(Path()))
    learner = make_learner(setup, model.train())
    books = Consumption(setup, learner, None)
    progress = Progress(per_device_batch_size=setup.recipe.training.per_device_train_batch_size)
    lengths = np.asarray(setup.prepared.splits["train"]["length"][:])
    (batch, *_) = batch_plan(lengths, seed=0, epoch=0, batch_size=setup.plan.batch_size, group_by_length=True)
    books.trained(batch, progress.per_device_batch_size)
    counted = count(lambda: train_step(setup, learner, progress, batch))
    # With padding attention takes another way, on which scores are not computed twice.
    assert books.flops == pytest.approx(counted, rel=0.02)
    books.evaluated("validation")
    counted += count(
        lambda: evaluate_split(model, setup.task, setup.recipe, setup.prepared, "validation", setup.accelerator)
    )
    assert books.flops == pytest.approx(counted, rel=0.02)


def test_long_rows_cost_what_they_are_long(reviews_recipe: dict[str, Any]) -> None:
    """Also where hardly any row is short: blocks of one length, and the rest."""
    from hftune.training.consumption import COUNTED_LENGTH, _rows_to_count

    long = COUNTED_LENGTH + 1
    assert list(_rows_to_count(np.array([40, 511, 512, 512]))) == [40, 511, 512]
    assert list(_rows_to_count(np.array([long, long + 9, long + 3]))) == [long, long + 3, long + 9]
    assert list(_rows_to_count(np.array([512] * 9))) == [512]
    assert list(_rows_to_count(np.array([5, 900, 30, 7, 12]))) == [5, 12, 30]


def test_making_ready_is_not_multiplied(reviews_recipe: dict[str, Any]) -> None:
    """What was used before training began counts once in what a run is estimated to use."""
    setup, model = make_setup(parse_recipe(shortened(reviews_recipe)), SilentRun(Path()))
    readings = iter([Usage(cpu_wh=5.0), Usage(cpu_wh=6.0)])
    books = Consumption(setup, make_learner(setup, model), SimpleNamespace(read=lambda: next(readings)))  # type: ignore[arg-type]
    books.begin()
    books.flops = books.plan_flops() / 10
    found = books.estimate()
    assert found is not None
    assert found.wh == pytest.approx(5.0 + 10 * 1.0)


def test_counting_leaves_weights_and_gradients_as_they_were(reviews_recipe: dict[str, Any]) -> None:
    setup, model = make_setup(parse_recipe(shortened(reviews_recipe)), SilentRun(Path()))
    learner = make_learner(setup, model.train())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Consumption(setup, learner, None)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_a_run_tells_what_it_used(reviews_recipe: dict[str, Any], tmp_path: Path) -> None:
    run = trained(tmp_path, {**shortened(reviews_recipe), "energy": {"grid_intensity": 100.0, "cpu_watts": 40.0}})
    told = [event for event in read_events(run) if event.kind == "energy"]
    assert [event.data["step"] for event in told] == [2, 4, 4]
    used = read_consumed(run)
    assert used is not None
    assert used.used == Usage.from_dict(told[-1].data["usage"])
    assert used.used.wh > 0
    assert used.used.co2_g == pytest.approx(used.used.wh / 1000 * 100.0)
    assert used.used.flops is not None
    assert used.used.flops > 0
    assert "energy" not in json.loads((run / layout.METRICS).read_text()), "those figures depend on no meter"


def test_a_recipe_turns_the_meter_off(reviews_recipe: dict[str, Any], tmp_path: Path) -> None:
    run = trained(tmp_path, {**shortened(reviews_recipe), "energy": {"meter": False}})
    assert not (run / layout.ENERGY).exists()
    assert not [event for event in read_events(run) if event.kind == "energy"]
    assert not [event for event in read_events(run) if event.kind == "alert" and event.data["code"] == "no-energy"]


def test_a_run_without_a_meter_is_done_all_the_same(
    reviews_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(grid: Any, accelerators: int) -> Any:
        raise OSError("no meter here")

    monkeypatch.setattr("hftune.energy.meter._tracker", broken)
    run = trained(tmp_path, shortened(reviews_recipe))
    assert (run / layout.METRICS).is_file()
    assert not (run / layout.ENERGY).exists()
    assert read_consumed(run) is None
    alerts = [event.data["message"] for event in read_events(run) if event.kind == "alert"]
    assert alerts.count("energy is not metered: OSError: no meter here") == 1


def test_operations_that_cannot_be_counted_are_unknown(
    reviews_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise NotImplementedError("an unknown kernel")

    monkeypatch.setattr("hftune.training.consumption.row_cost", refused)
    run = trained(tmp_path, shortened(reviews_recipe))
    used = read_consumed(run)
    assert used is not None
    assert used.used.flops is None
    alerts = [event.data["message"] for event in read_events(run) if event.kind == "alert"]
    assert sum("an unknown kernel" in message for message in alerts) == 1


def energy_event(attempt: int, wh: float, estimate: float | None = None) -> Event:
    usage = Usage(cpu_wh=wh, co2_g=wh, seconds=60.0, flops=1e9)
    whole = None if estimate is None else Usage(cpu_wh=estimate).to_dict()
    return Event(0, attempt, 0.0, "energy", {"step": 1, "usage": usage.to_dict(), "estimate": whole})


def test_attempts_add_up_each_by_the_last_it_told() -> None:
    found = consumed([energy_event(1, 0.1), energy_event(1, 0.2, 0.5), energy_event(2, 0.4)])
    assert found is not None
    assert found.used.wh == pytest.approx(0.6)
    assert found.used.flops == 2e9
    assert found.estimate is not None
    assert found.estimate.wh == pytest.approx(0.5)
    assert found.tell() == "estimate: 0.6 Wh, 0.6 g CO2, 2 GFLOPs (estimated early on: 0.5 Wh)"
    assert consumed([]) is None


@pytest.mark.parametrize("data", [{}, {"usage": None}, {"usage": 3}, {"usage": {"cpu_wh": "much"}}])
def test_what_cannot_be_read_is_no_figure(data: dict[str, Any]) -> None:
    assert consumed([Event(0, 1, 0.0, "energy", data)]) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"used": 3}', "{"])
def test_a_broken_file_is_no_figure(content: str, tmp_path: Path) -> None:
    (tmp_path / layout.ENERGY).write_text(content)
    assert read_consumed(tmp_path) is None


def test_a_recipe_tells_the_meter_where_it_is(reviews_recipe: dict[str, Any]) -> None:
    assert parse_recipe({**reviews_recipe, "energy": "DEU"}).energy.grid().country == "DEU"
    assert parse_recipe(reviews_recipe).energy.grid().country is None


def test_check_says_what_a_run_would_use(reviews_recipe: dict[str, Any]) -> None:
    from hftune.preflight.estimate import measure

    setup, model = make_setup(parse_recipe(shortened(reviews_recipe, max_steps=100)), SilentRun(Path()))
    found = measure(setup.recipe, setup.prepared, model, budget=1.0, metered=True)
    assert found.usage is not None
    books = Consumption(setup, make_learner(setup, model.train()), None)
    assert found.usage.flops == pytest.approx(books.plan_flops())
    assert any(line.startswith("energy      ") for line in found.describe())
