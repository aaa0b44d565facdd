"""`hftune compress RUN --frontier` with real runs of tiny models: made once, measured once, interrupted and gone on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sklearn import metrics as sk

from hftune import cli
from hftune.frontier.plot import has_matplotlib
from hftune.inference.predictor import Predictor
from hftune.runs.lock import run_lock
from hftune.runs.reader import list_runs, read_events, read_state
from tests.unit.compressors.runs import train, write_recipe

SHORT = ["-s", "training.max_steps=4"]
RUINOUS = [*SHORT, "-s", "training.learning_rate=3.0", "-s", "training.max_grad_norm=0"]


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, tiny_reviews: Path) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    reviews = shutil.copy(tiny_reviews, folder / "reviews.csv")
    data = {"files": str(reviews), "max_length": 32, "validation_share": 0.2, "test_share": 0.3}
    return train(write_recipe(folder, "tiny", str(tiny_bert_folder), data), folder / "runs")


@pytest.fixture
def parent(trained: Path, tmp_path: Path) -> Path:
    """A finished run in the test's own folder."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / trained.name, copy_function=shutil.copy2))


@pytest.fixture
def unmeasured_speed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Measure nothing, which takes seconds a process; returns which runs were to be measured, call by call."""
    from hftune.frontier import side_by_side
    from hftune.frontier.speed import Asked, Turn, cost

    asked: list[list[str]] = []

    def measure(parent: Path, runs: list[Path], questions: Any, note: Any) -> side_by_side.Measured:
        asked.append([run.name for run in runs])
        turns = Asked((Turn((0.01,), 32, 0.1),), 1000)
        when = float(len(asked))
        return side_by_side.Measured({run.name: cost(turns, turns, "text", when) for run in (parent, *runs)})

    monkeypatch.setattr(side_by_side, "measure", measure)
    return asked


def frontier(run: Path, *arguments: str) -> int:
    return cli.run(["compress", str(run), "--frontier", *arguments])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one object on standard output."""
    (line,) = capsys.readouterr().out.splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def found_last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the object on the last line of standard output."""
    record: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return record


def attempts() -> dict[str, int]:
    """Return run name -> attempts, of all runs."""
    return {run.name: run.state.attempt for run in list_runs() if run.state is not None}


def test_models_are_made_judged_and_measured_beside_their_parent(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png = ["--png", str(tmp_path / "f.png")] if has_matplotlib() else []
    assert frontier(parent, "--only", "distill,bf16", "--max-loss", "90%", *SHORT, *png, "--json") == 0
    record = found(capsys)
    models = {one["name"]: one for one in record["models"]}
    assert list(models) == ["parent", "distill", "bf16"]
    assert (record["complete"], record["metric"], record["task"]) == (True, "accuracy", "text-classification")
    assert (record["chosen_on"], record["judged_on"], record["rows"]) == (
        "validation",
        "test",
        {"validation": 12, "test": 18},
    )
    assert record["parent"] == models["parent"]["run"] == parent.name
    runs = {run.name: run for run in list_runs()}
    assert {models[name]["run"] for name in models} == set(runs)

    # What each figure is: the one that `predict` gives, by scikit-learn; what each takes: that of its files.
    test = rows_of(parent, "test")
    right = {}
    for name, one in models.items():
        said = [each.label for each in Predictor.load(runs[one["run"]].path).classify([text for text, _ in test])]
        right[name] = sk.accuracy_score([label for _, label in test], said)
        assert one["quality"]["test"]["value"]["value"] == pytest.approx(right[name])
        assert one["quality"]["test"]["loss"]["value"] == pytest.approx(right["parent"] - right[name])
        model = runs[one["run"]].path / "model"
        assert one["bytes"] == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
        assert one["cost"]["rounds"] == 5 and one["cost"]["p50"]["median"] > 0 and one["cost"]["rate"]["low"] > 0
        assert one["cost"]["p50_ratio"]["low"] <= one["cost"]["p50_ratio"]["median"] <= one["cost"]["p50_ratio"]["high"]
        assert one["cost"]["peak_bytes"] > 50 << 20
        assert one["cost"]["energy"] is None  # the recipe has no meter
    assert models["parent"]["cost"]["rate_ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert models["distill"]["parameters"] < models["parent"]["parameters"] == models["bf16"]["parameters"]
    assert record["recommended"] in ("distill", "bf16") and record["fits"] is True
    assert record["recommended"] in record["verdict"] and models["parent"]["quality"]["test"]["loss"]["value"] == 0

    # The files: the same object, a line a model, a picture.
    folder = Path(record.pop("frontier"))
    assert folder == tmp_path / "runs" / "frontiers" / parent.name
    assert json.loads((folder / "frontier.json").read_text()) == record
    with (folder / "frontier.csv").open() as file:
        assert [line["run"] for line in csv.DictReader(file)] == [one["run"] for one in record["models"]]
    if png:
        assert (folder / "frontier.png").read_bytes() == (tmp_path / "f.png").read_bytes()

    # Again: nothing is made or measured, and it is told to people, in 80 columns.
    assert frontier(parent, "--only", "distill,bf16", "--max-loss", "90%", *SHORT) == 0
    assert attempts() == dict.fromkeys(runs, 1)
    said = capsys.readouterr().out
    assert said.count("there already") == 2 and "measuring" not in said
    assert record["verdict"] in " ".join(said.split())
    assert max(map(len, said[said.index("accuracy on") :].splitlines()[:-2])) <= 80


def rows_of(run: Path, split: str) -> list[tuple[str, str]]:
    from hftune.data.load import load_splits
    from hftune.recipe.load import load_recipe

    rows = load_splits(load_recipe(run / "recipe.yaml").data)[split]
    return list(zip(rows["text"][:], rows["label"][:], strict=True))


def test_another_call_measures_what_is_new_alone_and_again_measures_all(
    parent: Path, unmeasured_speed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert frontier(parent, "--only", "bf16", *SHORT) == 0
    assert frontier(parent, "--only", "bf16,prune-neurons", *SHORT, "--json") == 0
    record = found_last(capsys)
    runs = {one["name"]: one["run"] for one in record["models"]}
    assert unmeasured_speed == [[runs["bf16"]], [runs["prune-neurons"]]]
    # What one call leaves out is kept for the next.
    assert frontier(parent, "--only", "prune-neurons", *SHORT, "--json") == 0
    assert [one["name"] for one in found(capsys)["others"]] == ["bf16"]
    assert frontier(parent, "--only", "bf16,prune-neurons", *SHORT, "--again") == 0
    assert unmeasured_speed[2:] == [[runs["prune-neurons"], runs["bf16"]]]
    assert list(attempts().values()) == [1, 1, 1]
    # A model that is not the one that was measured is measured anew.
    weights = next((parent.parent / runs["bf16"] / "model").glob("*.safetensors"))
    weights.touch()
    assert frontier(parent, "--only", "bf16", *SHORT) == 0
    assert unmeasured_speed[3:] == [[runs["bf16"]]]
    assert frontier(parent, "--only", "bf16", *SHORT, "--again", "--json") == 0
    assert [one["name"] for one in found_last(capsys)["others"]] == ["prune-neurons"]


def test_a_run_made_by_hand_counts_whatever_it_may_lose(
    parent: Path, unmeasured_speed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = ["--method", "quantize", "-s", "compress.format=bf16", "-s", "compress.max_loss=0.5"]
    assert cli.run(["compress", str(parent), *by_hand]) == 0
    assert frontier(parent, "--only", "bf16") == 0
    assert len(attempts()) == 2


def test_a_run_made_by_hand_that_lost_more_than_it_may_counts_too(
    parent: Path, unmeasured_speed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = ["--method", "distill", *RUINOUS, "-s", "compress.max_loss=0"]
    assert cli.run(["compress", str(parent), *by_hand]) == 1
    assert "worse than its parent" in capsys.readouterr().err
    assert frontier(parent, "--only", "distill", *RUINOUS) == 0
    said = capsys.readouterr().out
    assert "distill  there already" in said and "left out" not in said and "worse than its parent" not in said
    assert list(attempts().values()) == [1, 1]


def test_a_run_begun_by_hand_is_finished_and_counts_whatever_it_may_lose(
    parent: Path,
    unmeasured_speed: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_hand = ["--method", "distill", *RUINOUS, "-s", "compress.max_loss=0"]
    with monkeypatch.context() as broken:
        broken.setattr("hftune.pipeline.final_figures", lambda *_: 1 / 0)
        assert cli.run(["compress", str(parent), *by_hand]) == 1
    capsys.readouterr()
    assert frontier(parent, "--only", "distill", *RUINOUS, "--json") == 0
    record = found_last(capsys)
    assert [one["name"] for one in record["models"]] == ["parent", "distill"] and record["left_out"] == []
    assert sorted(attempts().values()) == [1, 2]


def test_what_was_made_of_a_parent_that_has_changed_is_made_anew(
    parent: Path, unmeasured_speed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert frontier(parent, "--only", "bf16", *SHORT, "--json") == 0
    first = found(capsys)["models"][1]
    assert cli.run(["resume", str(parent), "--allow-inexact", "-s", "training.max_steps=60"]) == 0
    capsys.readouterr()
    assert frontier(parent, "--only", "bf16", *SHORT) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"bf16 made anew: the model of {parent.name} has changed since {first['run']} was made of it" in said
    assert frontier(parent, "--only", "bf16", *SHORT, "--json") == 0
    record = found(capsys)
    assert record["models"][1]["run"] != first["run"] and [one["run"] for one in record["others"]] == [first["run"]]
    assert len(attempts()) == 3
    # What is only newer is the same: a folder of runs may have been copied.
    for path in (parent / "model").iterdir():
        path.touch()
    assert frontier(parent, "--only", "bf16", *SHORT) == 0
    assert "bf16  there already" in capsys.readouterr().out and len(attempts()) == 3


def test_what_another_process_is_making_is_left_out(
    parent: Path, unmeasured_speed: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = ["--method", "distill", *SHORT]
    with monkeypatch.context() as broken:
        broken.setattr("hftune.pipeline.final_figures", lambda *_: 1 / 0)
        assert cli.run(["compress", str(parent), *by_hand]) == 1
    capsys.readouterr()
    begun = next(run for run in list_runs() if run.name.startswith("tiny-distill-"))
    with run_lock(begun.path, "training"):
        assert frontier(parent, "--only", "distill,bf16", *SHORT, "--json") == 0
    record = found(capsys)
    assert [one["name"] for one in record["models"]] == ["parent", "bf16"]
    (left_out,) = record["left_out"]
    assert left_out["name"] == "distill" and f"run {begun.name} is in use by" in left_out["why"]


def test_where_memory_does_not_hold_all_that_is_said_and_not_that_measuring_again_would_help(
    parent: Path, unmeasured_speed: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "hftune.frontier.side_by_side.groups", lambda weights, parent: [[name] for name in weights if name != parent]
    )
    assert frontier(parent, "--only", "prune-neurons,bf16", *SHORT) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert len(unmeasured_speed) == 2 and said.count("memory is short: 1 model beside the parent at a time") == 2
    assert "before the rest, since memory did not hold all at once: prune-neurons" in said
    assert "--again" not in said


def test_a_picture_that_cannot_be_is_said_before_anything_is_made(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hftune.frontier.plot.has_matplotlib", lambda: True)
    for path, why in ((tmp_path / "no" / "f.png", "there is no folder"), (tmp_path, "is a folder")):
        assert frontier(parent, "--png", str(path)) == 2
        assert why in capsys.readouterr().err
    assert len(attempts()) == 1 and not (parent.parent / "frontiers").exists()


def test_the_tables_stand_when_the_picture_fails(
    parent: Path,
    tmp_path: Path,
    unmeasured_speed: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("hftune.frontier.plot.has_matplotlib", lambda: True)
    monkeypatch.setattr("hftune.frontier.plot.draw_png", lambda *_: b"a picture")
    picture = tmp_path / "runs" / "frontiers" / parent.name / "frontier.png"
    picture.mkdir(parents=True)
    (picture / "in the way").touch()
    for png, code in (([], 0), (["--png", str(tmp_path / "f.png")], 1)):
        assert frontier(parent, "--only", "bf16", *png) == code
        said = capsys.readouterr()
        assert "bf16 is the smallest model" in said.out
        assert f"there is no picture: {picture} cannot be written: Is a directory" in said.err


def test_why_something_failed_is_said_once(
    parent: Path, unmeasured_speed: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hftune.pipeline.final_figures", lambda *_: 1 / 0)
    assert frontier(parent, "--only", "bf16") == 1
    said = capsys.readouterr()
    assert (said.out + said.err).count("division by zero") == 1 and "nothing smaller could be made" in said.err
    # A program gets it in its one object.
    assert frontier(parent, "--only", "bf16", "--json") == 1
    assert "division by zero" in found(capsys)["error"]["hint"]


def test_what_fails_or_cannot_be_is_left_out_and_the_others_go_on(
    parent: Path, unmeasured_speed: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hftune.compressors.quantize.find_spec", lambda name: None)
    diverging = ["-s", "distill.training.learning_rate=1e30", "-s", "training.max_steps=40"]
    names = "distill,distill+onnx-int8,torchao-int8,bf16"
    assert frontier(parent, "--only", names, *diverging, "--json") == 0
    record = found(capsys)
    assert [one["name"] for one in record["models"]] == ["parent", "bf16"]
    why = {one["name"]: one["why"] for one in record["left_out"]}
    assert list(why) == ["distill", "torchao-int8", "distill+onnx-int8"]
    assert "has not been finite" in why["distill"] and "which is not there" in why["distill+onnx-int8"]
    assert "torchao" in why["torchao-int8"]
    assert frontier(parent, "--only", "torchao-int8") == 1
    assert "nothing smaller could be made" in capsys.readouterr().err


def test_interrupted_while_measuring_the_next_call_makes_nothing_anew(
    parent: Path, unmeasured_speed: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hftune.frontier import side_by_side

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(side_by_side, "measure", interrupted)
        assert frontier(parent, "--only", "bf16") == 130
    assert "the same command goes on with what is finished" in capsys.readouterr().out
    record = json.loads((parent.parent / "frontiers" / parent.name / "frontier.json").read_text())
    assert (record["complete"], [one["cost"] for one in record["models"]]) == (False, [None, None])
    assert frontier(parent, "--only", "bf16", "--json") == 0
    assert found(capsys)["complete"] is True
    assert list(attempts().values()) == [1, 1] and len(unmeasured_speed) == 1


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.long)]
)
def test_an_interrupted_frontier_goes_on_with_what_is_finished(
    parent: Path,
    ending: signal.Signals,
    code: int,
    unmeasured_speed: list[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["-s", "training.max_steps=300", "-s", "training.save_steps=20", "-s", "training.eval_steps=300"]
    asked = ["--only", "distill,bf16", *sizes]
    command = [sys.executable, "-m", "hftune", "compress", str(parent), "--frontier", *asked]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    run = wait_for_step(child, "tiny-distill-", 30)
    os.kill(child.pid, ending)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == code, said
    assert read_state(run).status == ("stopped" if ending == signal.SIGINT else "lost")
    if ending == signal.SIGINT:
        assert "0 models of 2 are there: the same command goes on with what is finished" in said

    assert frontier(parent, *asked, "--json") == 0
    record = found(capsys)
    assert record["complete"] is True and [one["name"] for one in record["models"]] == ["parent", "distill", "bf16"]
    assert attempts()[run.name] == 2 and len(attempts()) == 3
    steps = [event.data["step"] for event in read_events(run) if event.kind == "train" and event.attempt == 2]
    assert steps[0] > 1 and steps[-1] == 300


def wait_for_step(child: subprocess.Popen[str], name: str, step: int) -> Path:
    """Return the run whose name begins so once it has come to `step`."""
    deadline = time.monotonic() + 120
    while True:
        assert child.poll() is None and time.monotonic() < deadline
        for run in list_runs():
            if run.name.startswith(name) and any(
                event.kind == "train" and event.data["step"] >= step for event in read_events(run.path)
            ):
                return run.path
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-loss", "1"], "Write --max-loss 1% if that is meant"),
        (["--max-size", "10"], "Write --max-size 10MB if megabytes are meant"),
        (["--only", "bf61"], "Did you mean 'bf16'?"),
        (["--method", "prune"], "--method and --frontier at once"),
        (["--detach"], "--detach and --frontier at once"),
        (["-s", "training.sead=1"], "training.sead"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    parent: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frontier(parent, *arguments) == 2
    assert said in capsys.readouterr().err
    assert len(attempts()) == 1 and not (parent.parent / "frontiers").exists()


def test_options_of_a_frontier_are_refused_elsewhere(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compress", str(parent), "--method", "prune", "--max-size", "1MB"]) == 2
    assert "--max-size goes with --frontier" in capsys.readouterr().err


def test_a_run_that_is_not_finished_has_no_frontier(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(parent / "model")
    assert frontier(parent) == 1
    assert "has no finished model yet" in capsys.readouterr().err


def test_an_adapter_weighs_as_much_as_the_base_that_it_stands_on(
    tmp_path: Path,
    tiny_bert_folder: Path,
    tiny_reviews: Path,
    unmeasured_speed: list[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {"files": str(tiny_reviews), "max_length": 32, "test_share": 0.3}
    method = {"name": "lora", "r": 4}
    run = train(write_recipe(tmp_path, "adapter", str(tiny_bert_folder), data, method=method), tmp_path / "runs")
    capsys.readouterr()
    assert frontier(run, "--only", "bf16", "--json") == 0
    record = found(capsys)
    parent, half = record["models"]
    base = (tiny_bert_folder / "model.safetensors").stat().st_size
    assert parent["bytes"] > base > half["bytes"]
    assert parent["bytes"] == base + sum(one.stat().st_size for one in (run / "model").iterdir()), "the base once"
    assert record["recommended"] == "bf16"


def test_a_writer_of_texts_is_told_by_its_perplexity(
    tmp_path: Path, tiny_gpt2_folder: Path, unmeasured_speed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"the {thing} was good , number {n}"} for thing in ("film", "plot") for n in range(10)]
    data = {"rows": rows, "max_length": 32, "test_share": 0.3, "validation_share": 0}
    run = train(
        write_recipe(tmp_path, "writer", str(tiny_gpt2_folder), data, task="text-generation"), tmp_path / "runs"
    )
    capsys.readouterr()
    assert frontier(run, "--only", "distill-lstm,prune-layers,bf16", *SHORT) == 0
    said = capsys.readouterr().out
    assert "left out: distill-lstm: it is for text-classification" in said
    assert "perplexity on 6 rows of test" in said and "both chose it and judge it" in said
    assert "hftune generate" in said
