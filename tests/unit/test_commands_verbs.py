"""Verbs around runs, on run directories made by hand: stop, pause, resume, runs, watch, doctor."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hftune import cli
from hftune.commands import doctor
from hftune.commands.run import in_background
from hftune.output import Output
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.runs import layout
from hftune.runs.launch import Launch, read_launch, write_launch
from hftune.runs.lock import run_lock
from hftune.runs.reader import default_runs_dir, load_state
from hftune.runs.requests import request
from hftune.runs.writer import RunWriter

RECIPE = parse_recipe(
    {
        "name": "abc",
        "task": "text-classification",
        "model": "some/model",
        "data": {"rows": [{"text": "a", "label": "b"}]},
    }
)


@pytest.fixture
def run():
    with RunWriter.create(default_runs_dir(), "abc", dump_recipe(RECIPE)) as run:
        yield run


def make_lost(run):
    run.close()
    state = json.loads((run.path / layout.STATE).read_text())
    (run.path / layout.STATE).write_text(json.dumps({**state, "status": "training", "process_started": -5.0}))


def answering(run, status, exit_code=130):
    """Answer the next request as a job does."""

    def answer():
        while not run.requests():
            time.sleep(0.001)
        run.set_state(status=status, step=7, exit_code=exit_code)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("verb", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_asking_waits_until_the_run_has_ended_and_says_what_became_of_it(run, capsys, verb, status):
    thread = answering(run, status)
    assert cli.run([verb, "latest"]) == 0
    thread.join(10)
    captured = capsys.readouterr()
    assert f"{run.path.name} is {status} at step 7" in captured.out and "hftune resume latest" in captured.out
    assert f"asked {run.path.name} to {verb}" in captured.err
    assert run.requests() == frozenset()


def test_a_run_that_ends_before_it_reads_the_request_is_done(run, capsys):
    answering(run, "done", 0)
    assert cli.run(["stop", "latest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": str(run.path), "status": "done", "step": 7}
    assert run.requests() == frozenset()


def test_a_run_that_does_not_answer_is_named_after_the_timeout(run, capsys):
    run.set_state(phase="tokenizing")
    assert cli.run(["stop", "latest", "--timeout", "0.01"]) == 1
    error = capsys.readouterr().err
    assert "has not answered for 0.01 s (tokenizing)" in error and f"kill {os.getpid()}" in error
    assert run.requests() == {"stop"}
    write_launch(run.path, Launch(2))  # the pid is that of the first of several, which a signal would kill unsaved
    assert cli.run(["stop", "latest", "--timeout", "0.01"]) == 1
    assert "kill" not in capsys.readouterr().err


@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_while_waiting_leaves_the_request(run):
    code = "import sys; from hftune.cli import main; main(['stop', sys.argv[1]])"
    child = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stderr=subprocess.PIPE)
    while not run.requests():
        assert child.poll() is None
        time.sleep(0.001)
    assert b"asked" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    child.stderr.close()
    assert run.requests() == {"stop"}


@pytest.mark.parametrize("verb", ["stop", "pause", "watch"])
def test_a_lost_run_is_called_lost_and_resume_is_offered(run, capsys, verb):
    make_lost(run)
    assert cli.run([verb, "latest"]) == 1
    error = capsys.readouterr().err
    assert "is lost" in error and "hftune resume latest" in error
    assert run.requests() == frozenset()


def test_resume_refuses_a_changed_recipe_unless_told(run, capsys):
    run.close()
    before = (run.path / layout.RECIPE).read_text()
    assert cli.run(["resume", "latest", "-s", "training.seed=5"]) == 2
    assert "--allow-inexact" in capsys.readouterr().err
    assert (run.path / layout.RECIPE).read_text() == before
    assert cli.run(["resume", "latest", "--processes", "0"]) == 2


def test_resume_refuses_another_number_of_processes_unless_told(run, capsys):
    run.close()
    write_launch(run.path, Launch(1, True))
    (run.path / layout.CHECKPOINTS / layout.checkpoint_name(1)).mkdir(parents=True)
    assert cli.run(["resume", "latest", "--processes", "2"]) == 2
    assert "--allow-inexact" in capsys.readouterr().err
    assert read_launch(run.path) == Launch(1, True)


def test_resume_of_a_run_in_use_is_73(run, capsys):
    with run_lock(run.path, "training"):
        assert cli.run(["resume", "latest"]) == 73
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_resume_of_a_done_run_says_what_to_do_with_it(run, capsys):
    run.write_json(layout.METRICS, {"test": {"accuracy": 0.9}, "warnings": ["one class only"]})
    run.set_state(status="done", exit_code=0)
    assert cli.run(["resume", "latest", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["metrics"] == {"test": {"accuracy": 0.9}}
    assert "hftune predict latest" in captured.err
    assert cli.run(["watch", "latest"]) == 0
    assert "! one class only" in capsys.readouterr().out
    assert load_state(run.path).attempt == 1


def test_a_job_that_cannot_begin_is_reported(run, capsys):
    run.set_state(status="stopped")
    run.close()
    (run.path / layout.RECIPE).write_text("name: [")
    assert cli.run(["resume", "latest", "--detach"]) == 1
    error = capsys.readouterr().err
    assert "ended at once" in error and "log.txt" in error
    assert "recipe.yaml" in (run.path / layout.LOG).read_text()


def test_runs_are_listed_with_what_matters(run, capsys):
    run.emit("plan", total_steps=500)
    run.emit("train", step=315, metrics={}, timing={})
    run.emit("best", step=250, metric="accuracy", value=0.8661)
    run.set_state(status="training")
    broken = default_runs_dir() / "abc-20200101-000000-abcd"
    broken.mkdir()
    (broken / layout.STATE).write_text("{")
    assert cli.run(["runs"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "STATUS", "STEP", "METRIC", "AGE"]
    assert first.split()[:5] == [run.path.name, "training", "315/500", "accuracy", "0.8661"]
    assert second.startswith(f"{broken.name} ") and "unreadable" in second
    assert len(first) <= 80
    assert cli.run(["runs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [entry["status"] for entry in listed] == ["training", "unreadable"]


def test_a_list_of_runs_fits_in_80_columns_whatever_the_metric_is_called(run, capsys):
    run.emit("plan", total_steps=123_456)
    run.emit("train", step=12_345, metrics={}, timing={})
    run.emit("best", step=250, metric="matthews_correlation", value=-0.8661)
    run.set_state(status="training")
    assert cli.run(["runs"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert len(row) <= 80
    assert "12345/123456 matthews_… -0.8661" in row


def test_no_runs_says_how_to_make_one(capsys, tmp_path):
    assert cli.run(["runs", "--runs-dir", str(tmp_path / "none")]) == 0
    assert "hftune run RECIPE" in capsys.readouterr().out


def test_watch_follows_until_the_run_ends(run, capsys):
    def work():
        run.set_state(status="training")
        run.alert("info", "x", "one")
        run.set_state(status="failed", reason="no memory", exit_code=1)

    thread = threading.Thread(target=work)
    thread.start()
    assert cli.run(["watch", "latest", "--plain"]) == 1
    thread.join()
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["· one"]  # how it ended is said once, as an error
    assert "failed: no memory" in captured.err and "hftune resume latest" in captured.err


def test_watch_json_is_events_and_a_last_word(run, capsys):
    request(run.path, "pause")
    run.set_state(status="paused", reason="paused at step 3, on request")
    assert cli.run(["watch", "latest", "--json"]) == 0
    *events, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == [0, 1]
    assert (last["status"], last["run"]) == ("paused", str(run.path))


def test_how_a_run_was_started_is_kept(run):
    assert read_launch(run.path) == Launch(1, True)
    write_launch(run.path, Launch(2, False))
    assert read_launch(run.path) == Launch(2, False)
    for odd in ("{", "[]", '{"processes": "x"}', '{"processes": null}'):
        (run.path / layout.LAUNCH).write_text(odd)
        assert read_launch(run.path) == Launch(1, True)


def no_index(monkeypatch, code=1, stderr="ERROR: no such host"):
    answer = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *arguments, **options: answer)


def test_doctor_examines_this_machine(monkeypatch, capsys):
    no_index(monkeypatch)
    assert cli.run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["torch"] and report["torch"]["error"] == ""
    assert report["devices"][0]["name"] == "cpu" and report["threads"] >= 1
    assert report["hub"]["ok"] is False and "HF_HUB_OFFLINE" in report["hub"]["reason"]
    assert report["index"] == {"ok": False, "reason": "no such host"}
    assert {disk["what"] for disk in report["disk"]} == {"runs", "cache", "models"}
    assert cli.run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "! the package index is not used: no such host" in shown and "bf16" in shown


def test_doctor_says_who_is_signed_in_without_the_token(monkeypatch, capsys, tmp_path):
    from huggingface_hub import constants

    no_index(monkeypatch)
    assert cli.run(["doctor"]) == 0
    assert "· not signed in to the Hub" in capsys.readouterr().out
    (tmp_path / "token").write_text("hf_secret")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert cli.run(["doctor"]) == 0
    assert "✓ signed in to the Hub by hf auth login" in capsys.readouterr().out
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert cli.run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "✓ signed in to the Hub by HF_TOKEN" in shown and "hf_secret" not in shown


def test_doctor_names_what_is_missing_and_the_command_that_installs_it(monkeypatch, capsys):
    no_index(monkeypatch, 1, "/usr/bin/python: No module named pip")
    installed = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: {"peft": "", "tensorboard": "", "datasets": "1.0"}.get(name, installed(name))
    )
    assert cli.run(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert f"{sys.executable} -m pip install 'peft<0.22,>=0.21' torch==" in shown
    assert "✗ datasets<6,>=5 is needed, and 1.0 is installed" in shown
    assert "without tensorboard" in shown and "ensurepip" in shown


def test_a_job_in_another_folder_is_called_by_its_path(tmp_path, monkeypatch, capsys):
    run = RunWriter.create(tmp_path / "elsewhere", "abc", "task: text-classification\n")
    monkeypatch.setattr("hftune.commands.run.start_job", lambda *given, **options: os.getpid())
    assert in_background(run.path, Output(), 1) == 0
    run.close()
    assert f"hftune watch {run.path}\n" in capsys.readouterr().out
