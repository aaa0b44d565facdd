"""`hftune lr-find` from the command line: range test, trials, verdicts; and what is left when it is interrupted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.commands import lr_find as command
from hftune.commands.ticker import RunTicker
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import list_runs, load_state, read_events
from hftune.tasks import text_classification
from hftune.training import lr_find
from hftune.training.lr_curve import STEPS
from hftune.verbs import find

LSTM = {"architecture": "lstm", "config": {"embedding_size": 8, "hidden_size": 8}, "tokenizer": {"fit": "characters"}}
SHORT = ["--steps", "40", "--trial-steps", "12"]


@pytest.fixture
def recipe(tmp_path: Path, tiny_reviews: Path) -> Path:
    return write(tmp_path, {"files": str(tiny_reviews), "max_length": 16})


def write(folder: Path, data: dict[str, Any], model: Any = LSTM, **more: Any) -> Path:
    training = {
        "learning_rate": 5e-3,
        "per_device_train_batch_size": 8,
        "precision": "fp32",
        **more.pop("training", {}),
    }
    path = folder / "small.yaml"
    whole = {"name": "small", "task": "text-classification", "model": model, "data": data, **more, "training": training}
    path.write_text(json.dumps(whole))  # JSON is YAML
    return path


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def runs() -> list[Path]:
    return [summary.path for summary in list_runs("runs")]


def test_the_defaults_of_the_command_are_those_of_the_range_test() -> None:
    verb = find("lr-find")
    assert verb is not None
    defaults = {argument.flags[0]: argument.default for argument in verb.arguments}
    assert defaults["--steps"] == STEPS


def test_it_says_how_long_shows_the_curve_tries_and_suggests(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lr-find", recipe.name, *SHORT, "-s", "training.seed=1"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    first, second = said.partition("small: ")[2].splitlines()[:2]
    assert "48 examples in batches of 8" in first and "its own rate 5e-3" in first
    assert second.startswith("about ") and "a range test of 40 steps" in second
    order = [
        "range test from",
        "loss, averaged",
        "trial 1/5 at",
        "beyond the best",
        "suggested  training.learning_rate: ",
    ]
    assert [said.index(part) for part in order] == sorted(said.index(part) for part in order)
    assert "next  hftune run small.yaml -s training.seed=1 -s training.learning_rate=" in said
    made = runs()
    assert 5 <= len(made) <= 7
    for run in made:
        trial = load_recipe(run / layout.RECIPE)
        assert trial.name.startswith("small-lr-") and trial.name in run.name
        assert trial.description.startswith("a trial of lr-find: small for 12 steps at")
        assert load_state(run).status == "done"
        assert (run / layout.MODEL).is_dir() and (run / layout.METRICS).is_file()
        assert not (run / layout.CHECKPOINTS).exists()
    rates = {load_recipe(run / layout.RECIPE).training.learning_rate for run in made}
    assert 5e-3 in rates and max(rates) / min(rates) >= 100  # type: ignore[operator,type-var]
    assert cli.run(["watch", made[0].name, "--plain", "--runs-dir", "runs"]) == 0


def test_with_json_the_answer_is_one_object_that_agrees_with_the_runs(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["lr-find", str(recipe), *SHORT, "--rows", "5", "--json"]) == 0
    found = answer(capsys)
    assert (found["recipe"], found["method"], found["interrupted"]) == ("small", "full", False)
    test = found["range_test"]
    assert len(test["rates"]) == len(test["losses"]) == len(test["averages"]) <= test["steps"] == 40
    assert set(test["candidates"]) == {"steepest", "minimum/10", "valley"}
    assert found["held_out"]["rows"] == 5
    suggested = found["suggestion"]
    assert suggested["by"] == "trials" and suggested["learning_rate"] in suggested["tied"]
    for trial in found["trials"]:
        run = Path("runs") / trial["run"]
        assert load_recipe(run / layout.RECIPE).training.learning_rate == trial["learning_rate"]
        evaluated = json.loads((run / layout.METRICS).read_text())["validation"]["loss"]
        assert trial["loss"] == pytest.approx(evaluated, rel=1e-5), "the rows' losses are those of the evaluation"
        assert trial["verdict"] in ("too small", "good", "too large", "diverged")
        assert trial["verdict"] == "diverged" or trial["low"] <= trial["beyond_best"] <= trial["high"]
    assert [trial["learning_rate"] for trial in found["trials"]] == sorted(
        trial["learning_rate"] for trial in found["trials"]
    )


@pytest.mark.parametrize("method", ["full", {"name": "lora", "r": 2}], ids=["full", "lora"])
def test_it_serves_generation_with_either_method(
    tmp_path: Path, tiny_gpt2_folder: Path, tiny_reviews: Path, method: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"files": str(tiny_reviews), "max_length": 16}
    path = write(tmp_path, data, str(tiny_gpt2_folder), task="text-generation", method=method)
    assert cli.run(["lr-find", str(path), "--steps", "20", "--trial-steps", "3", "--rows", "4", "--json"]) == 0
    found = answer(capsys)
    assert found["usual"] == ([1e-5, 3e-4] if method == "full" else [1e-4, 3e-3])
    assert len(found["trials"]) >= 5
    for trial in found["trials"]:
        evaluated = json.loads((Path("runs") / trial["run"] / layout.METRICS).read_text())["validation"]["loss"]
        assert trial["loss"] == pytest.approx(evaluated, rel=1e-4)


def test_rates_at_which_training_diverges_are_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Regression by plain gradient descent without clipping: numbers grow beyond all bounds, and nothing fails."""
    rows = [{"text": "abcdefgh"[k % 7 :], "label": float(k % 7)} for k in range(70)]
    training = {"optim": "sgd", "max_grad_norm": 0, "learning_rate": 1e8}
    path = write(tmp_path, {"rows": rows, "max_length": 16, "validation_share": 0.2}, training=training)
    assert cli.run(["lr-find", str(path), "--steps", "40", "--trial-steps", "20", "--json"]) == 0
    found = answer(capsys)
    assert found["usual"] is None and found["range_test"]["diverged_at"] is not None
    verdicts = {trial["learning_rate"]: trial["verdict"] for trial in found["trials"]}
    assert verdicts[max(verdicts)] == "diverged"
    assert verdicts[found["suggestion"]["learning_rate"]] == "good"


def test_without_held_out_rows_there_are_no_trials(
    tmp_path: Path, tiny_reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"files": str(tiny_reviews), "max_length": 16, "validation_share": 0.0}
    assert cli.run(["lr-find", str(write(tmp_path, data)), *SHORT, "--json"]) == 0
    captured = capsys.readouterr()
    found, said = json.loads(captured.out), " ".join(captured.err.split())
    assert (found["trials"], found["suggestion"]["by"]) == ([], "range test")
    assert "there is no validation split" in said and "no trial has confirmed it" in said
    assert not Path("runs").exists()


def test_zero_trial_steps_leave_nothing_on_the_disk(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    assert cli.run(["lr-find", str(recipe), "--steps", "40", "--trial-steps", "0"]) == 0
    assert "suggested  training.learning_rate" in capsys.readouterr().out
    assert [path for path in sorted(Path().rglob("*")) if path.name != "queue" and "queue" not in path.parts] == before


def test_a_rate_outside_of_the_usual_is_warned_of(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune.methods import full

    monkeypatch.setattr(full, "_FROM_SCRATCH", (1e-6, 1e-5))
    ends = ["--min-rate", "1e-4", "--max-rate", "1e-1"]
    assert cli.run(["lr-find", str(recipe), "--steps", "40", "--trial-steps", "0", *ends]) == 0
    assert "is above what is usual for `method: full` of a model from" in capsys.readouterr().out


# Interrupted


def interrupt_in_run(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C at the first training point of the `number`th trial."""
    feed, seen = RunTicker.feed, set[int]()

    def feeding(self: RunTicker, event: Event) -> None:
        seen.add(id(self))
        if event.kind == "train" and len(seen) == number:
            raise KeyboardInterrupt
        feed(self, event)

    kept: list[RunTicker] = []  # no two of them share an id
    begin = RunTicker.__enter__
    monkeypatch.setattr(RunTicker, "__enter__", lambda self: (kept.append(self), begin(self))[1])
    monkeypatch.setattr(RunTicker, "feed", feeding)


def test_ctrl_c_leaves_finished_trials_whole_and_says_what_is_known(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_run(monkeypatch, 3)
    assert cli.run(["lr-find", str(recipe), *SHORT, "--json"]) == 130
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["interrupted"] is True and len(found["trials"]) == 2 and len(found["missing"]) == 3
    assert found["suggestion"]["by"] == "range test", "the third candidate has had no turn"
    assert "beyond the best" in captured.err and "no trial has confirmed it" in " ".join(captured.err.split())
    assert "not tried to the end, so this may change" in " ".join(captured.err.split())
    statuses = sorted(load_state(run).status for run in runs())
    assert statuses == ["done", "done", "stopped"]
    for trial in found["trials"]:
        assert "result" in {event.kind for event in read_events(Path("runs") / trial["run"])}


def test_ctrl_c_after_the_candidates_leaves_their_verdict(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_run(monkeypatch, 5)
    assert cli.run(["lr-find", str(recipe), *SHORT, "--json"]) == 130
    found = answer(capsys)
    assert (len(found["trials"]), len(found["missing"]), found["suggestion"]["by"]) == (4, 1, "trials")


def test_ctrl_c_before_a_trial_begins_leaves_no_run_that_waits(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hftune.commands.lr_trials.carry_out_here", interrupted)
    assert cli.run(["lr-find", str(recipe), *SHORT, "--json"]) == 130
    found = answer(capsys)
    assert found["trials"] == [] and found["suggestion"]["by"] == "range test"
    assert runs() == []


def test_ctrl_c_in_the_first_trial_leaves_the_range_tests_word(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_run(monkeypatch, 1)
    assert cli.run(["lr-find", str(recipe), *SHORT, "--json"]) == 130
    found = answer(capsys)
    assert found["trials"] == [] and found["suggestion"]["by"] == "range test"


def test_ctrl_c_in_the_range_test_says_that_nothing_is_known(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lr_find, "range_test", interrupted)
    assert cli.run(["lr-find", str(recipe), *SHORT, "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"recipe": "small", "interrupted": True, "suggestion": None}
    assert "nothing was written" in captured.err
    assert not Path("runs").exists()


# What cannot be


def test_a_loss_that_is_no_number_from_the_start_is_said_before_anything_is_made(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = text_classification.loss
    monkeypatch.setattr(text_classification, "loss", lambda *arguments: loss(*arguments) * math.nan)
    assert cli.run(["lr-find", str(recipe), *SHORT]) == 1
    assert "before any weight has moved" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_an_error_in_a_trial_is_told_after_what_is_known(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune import pipeline
    from hftune.errors import RunError

    finish, calls = pipeline._finish, []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise RunError("the disk is full", "Make room.")
        return finish(*arguments)

    monkeypatch.setattr(pipeline, "_finish", failing)
    assert cli.run(["lr-find", str(recipe), *SHORT]) == 1
    captured = capsys.readouterr()
    assert "suggested  training.learning_rate" in captured.out and "the disk is full" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", "3"],
        ["--trial-steps", "-1"],
        ["--rows", "0"],
        ["--min-rate", "0"],
        ["--min-rate", "1e-2", "--max-rate", "1e-3"],
    ],
    ids=" ".join,
)
def test_odd_arguments_are_refused_at_once(
    recipe: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_recipe", None)
    assert cli.run(["lr-find", str(recipe), *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_data_that_do_not_fit_name_the_line_of_the_recipe(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lr-find", str(recipe), "-s", "data.text=txt", *SHORT]) == 2
    assert "'txt'" in capsys.readouterr().err
    assert not Path("runs").exists()
