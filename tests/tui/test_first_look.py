"""What the first screen says of this machine, and how long a recipe took here."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hftune_tui import first_look
from hftune_tui.first_look import Fact, FirstLook, cores_fact, disk_fact, hub_fact, measured_seconds, torch_fact
from hftune_tui.watch import RunStore

from hftune.recipe.load import dump_recipe, load_recipe
from hftune.runs import layout, process

NOW = 1_800_000_000.0


def test_a_fact_is_marked_without_colour():
    assert str(Fact("2 cores")) == "✓ 2 cores" and str(Fact("no disk", well=False)) == "! no disk"


def test_torch_is_found_without_loading_it():
    code = (
        "import sys; from hftune_tui.first_look import torch_fact; print(torch_fact()); "
        "print(sorted({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].startswith("✓ torch 2.") and said[0].split()[-1] in ("cpu", "cuda", "mps") and said[1] == "[]"


def test_no_torch_is_a_fact_that_says_what_to_do(monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    fact = torch_fact()
    assert not fact.well and "hftune doctor" in fact.text


def test_cores_are_those_this_process_may_use():
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cores_fact().text == f"{count} core{'' if count == 1 else 's'}"


def test_the_disk_is_that_of_a_folder_which_need_not_be_there_yet(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        asked.append(path)
        return SimpleNamespace(free=3 * 2**30 if len(asked) == 1 else 2**30)

    monkeypatch.setattr(first_look.shutil, "disk_usage", usage)
    assert disk_fact(tmp_path / "not" / "yet") == Fact("3 GiB free")
    assert disk_fact(tmp_path) == Fact("1 GiB free", well=False)
    assert asked == [tmp_path, tmp_path]


def test_a_hub_that_is_not_to_be_asked_is_no_trouble():
    assert hub_fact() == Fact("Hub offline (not needed)", well=False)  # HF_HUB_OFFLINE is set for all tests


@pytest.mark.parametrize(("said", "fact"), [("yes", Fact("Hub")), ("no", Fact("Hub unreachable (not needed)", False))])
def test_the_hub_answers_or_not(monkeypatch, said, fact):
    monkeypatch.setattr(first_look, "ASK_HUB", f"print('a warning'); print({said!r})")
    assert hub_fact() == fact


def test_a_hub_that_takes_too_long_is_unreachable(monkeypatch):
    monkeypatch.setattr(first_look, "ASK_HUB", "import time; time.sleep(60)")
    monkeypatch.setattr(first_look, "HUB_SECONDS", 0.2)
    assert hub_fact() == Fact("Hub unreachable (not needed)", well=False)


def test_facts_come_one_by_one_and_a_question_that_fails_loses_no_other(tmp_path):
    def gone():
        raise OSError(5, "Input/output error")

    def odd():
        raise ValueError("what is this?")

    seen = []
    look = FirstLook(tmp_path, (cores_fact, gone, lambda: seen.append(len(look.facts)) or Fact("last"), odd))
    look.look()
    assert seen == [2] and list(map(str, look.facts[1:])) == ["! Input/output error", "✓ last", "! what is this?"]


def test_it_looks_once_and_in_a_thread(tmp_path):
    import threading

    threads = []
    look = FirstLook(tmp_path, (lambda: threads.append(threading.current_thread()) or Fact("x"),))
    look.begin()
    look.begin()
    for thread in [each for each in threading.enumerate() if each.name == "hftune-first-look"]:
        thread.join(20)
    assert len(threads) == 1 and threads[0] is not threading.main_thread() and len(look.facts) == 1


@pytest.fixture
def finished(make_run):
    """Make a run of bert_cls that was done in some seconds."""

    def make(name, seconds=90.0, recipe="bert_cls", overrides=(), status="done", **more):
        text = dump_recipe(load_recipe(recipe, overrides))
        run = make_run(name, status, recipe=text, **{"host": process.host(), **more})
        times = {"status": NOW - 500, "plan": NOW - 200, "result": NOW - 200 + seconds}
        lines = [
            json.dumps({"v": 1, "seq": seq, "attempt": 1, "time": time, "kind": kind, "data": {}})
            for seq, (kind, time) in enumerate(times.items())
        ]
        (run / layout.EVENTS).write_text("\n".join(lines) + "\n")
        return run

    return make


def rows_of(runs):
    store = RunStore(runs, lambda: NOW)
    store.poll_once()
    return store.rows


def test_the_newest_run_of_exactly_this_recipe_says_how_long_it_takes(finished, runs):
    finished("bert-cls-20260101-000000-0001", 80.0)
    finished("bert-cls-20260102-000000-0002", 90.0)
    finished("bert-cls-20260103-000000-0003", 5.0, overrides=["training.max_steps=3"])
    finished("gpt2-gen-20260104-000000-0004", 7.0, recipe="gpt2_gen")
    assert measured_seconds("bert_cls", rows_of(runs)) == 90.0
    assert measured_seconds("gpt2_gen", rows_of(runs)) == 7.0
    assert measured_seconds("seed_lstm", rows_of(runs)) is None


@pytest.mark.parametrize(
    "more",
    [{"host": "elsewhere"}, {"attempt": 2}, {"status": "stopped"}, {"status": "failed"}],
    ids=["another machine", "resumed", "stopped", "failed"],
)
def test_a_time_that_says_nothing_about_this_machine_is_not_used(finished, runs, more):
    finished("bert-cls-20260101-000000-0001", **more)
    assert measured_seconds("bert_cls", rows_of(runs)) is None


def test_a_run_without_its_files_has_no_time(finished, runs):
    run = finished("bert-cls-20260101-000000-0001")
    (run / layout.EVENTS).write_text("not json\n")
    assert measured_seconds("bert_cls", rows_of(runs)) is None
    (run / layout.RECIPE).unlink()
    assert measured_seconds("bert_cls", rows_of(runs)) is None
