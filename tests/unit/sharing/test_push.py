"""`hftune push`: checks before anything is sent, words for people and programs, secrets that stay secret."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.commands.job import carry_out
from hftune.output import Output
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.recipe.schema import HubSection
from hftune.runs import layout
from hftune.runs.reader import read_events, read_state
from tests.hub.client import environment
from tests.hub.server import HubServer

REPO = "anna/model"


def files(hub: HubServer, repo: str = REPO) -> list[str]:
    return sorted(name for name in hub.repos[repo].files() if name != ".gitattributes")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_is_pushed_and_people_are_told(
    hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["push", str(full_run), REPO]) == 0
    assert files(hub) == ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert hub.repos[REPO].private
    said = capsys.readouterr().out
    assert f"{hub.endpoint}/{REPO}  private, new" in said
    assert "model.safetensors" in said
    assert f"pushed: {hub.endpoint}/{REPO}  private, commit {hub.repos[REPO].head[:8]}" in said
    assert cli.run(["push", str(full_run), REPO]) == 0
    assert "was there already, file for file" in capsys.readouterr().out
    assert len(hub.repos[REPO].commits) == 2, "the initial one and ours"


def test_the_dry_run_is_what_is_pushed(hub: HubServer, full_run: Path, tmp_path: Path) -> None:
    before = len(hub.requests)
    assert cli.run(["push", str(full_run), REPO, "--dry-run", "--output", str(tmp_path / "out")]) == 0
    assert len(hub.requests) == before, "nothing is asked or sent"
    assert cli.run(["push", str(full_run), REPO]) == 0
    there = {name: data for name, data in hub.repos[REPO].files().items() if name != ".gitattributes"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == there


def test_a_program_is_told_line_by_line(hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["push", str(full_run), REPO, "--json"]) == 0
    told = lines(capsys.readouterr().out)
    assert any(line.get("phase", "").startswith("scoring the model on ") for line in told)
    ready = next(line["ready"] for line in told if "ready" in line)
    assert (ready["repo"], ready["private"], ready["new"], ready["weights"]) == (REPO, True, True, "whole")
    assert ready["was_private"] is None
    assert [file["name"] for file in ready["files"]] == files(hub)
    assert sum(file["bytes"] for file in ready["files"]) == ready["bytes"]
    last = [line for line in told if "uploaded" in line][-1]
    assert last["uploaded"] == last["of"] == ready["bytes"]
    assert told[-1] == {
        "pushed": True, "repo": REPO, "url": f"{hub.endpoint}/{REPO}", "commit": hub.repos[REPO].head,
        "private": True, "unchanged": False,
    }  # fmt: skip


@pytest.mark.parametrize(("answer", "pushed"), [("yes\n", True), ("y\n", True), ("no\n", False), ("", False)])
def test_who_is_asked_decides(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, answer: str, pushed: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert cli.run(["push", str(full_run), REPO, "--ask"]) == (0 if pushed else 1)
    assert (REPO in hub.repos) is pushed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "does not say where to"),
        (["model"], "has no owner"),
        (["a/b/c"], "cannot be a repository's name"),
        (["anna/mo del"], "cannot be a repository's name"),
        ([REPO, "--private", "--public"], "--private and --public at once"),
        ([REPO, "--adapter", "--merged"], "--adapter and --merged at once"),
        ([REPO, "--output", "x"], "--output is for --dry-run"),
        ([REPO, "--timeout", "0"], "leaves no time"),
        ([REPO, "--adapter"], "has no adapter"),
    ],
)
def test_what_cannot_be_is_a_usage_error(
    hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["push", str(full_run), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not hub.repos


def test_an_unfinished_run_has_nothing_to_push(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(full_run)
    shutil.rmtree(run / "model")
    assert cli.run(["push", str(run), REPO]) == 1
    assert "has no finished model yet" in capsys.readouterr().err
    assert not hub.repos


def test_a_model_with_code_of_its_own_is_refused_before_it_is_loaded(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from hftune.sharing import push

    run = copied(full_run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("trust_remote_code: false", "trust_remote_code: true"))
    monkeypatch.setattr(push, "Predictor", None)  # loading would fail
    assert cli.run(["push", str(run), REPO]) == 2
    assert "trust_remote_code" in capsys.readouterr().err
    assert cli.run(["push", str(run), REPO, "--dry-run"]) == 2
    assert not hub.repos


def test_without_a_token_it_says_how_to_get_one(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert cli.run(["push", str(full_run), REPO]) == 1
    said = capsys.readouterr().err
    assert "there is no token" in said
    assert "hf auth login" in said
    assert not hub.requests


def test_the_token_of_the_hubs_own_login_will_do(
    hub: HubServer, full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(hub.add_user("anna"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert cli.run(["push", str(full_run), REPO]) == 0


@pytest.mark.parametrize(
    ("user", "repo", "words"),
    [
        ({"name": "anna", "role": "read"}, REPO, "the token can only read"),
        ({"name": "bob"}, REPO, "the token is of bob, who cannot write to anna"),
        ({"name": "bob", "orgs": {"acme": "read"}}, "acme/model", "bob may only read in acme"),
        ({"name": "anna", "role": "fineGrained", "scoped": {"anna": ["repo.content.read"]}}, REPO, "may not write to"),
        ({"name": "anna", "role": "fineGrained", "scoped": {"acme": ["repo.write"]}}, REPO, "may not write to"),
    ],
)
def test_permission_is_checked_before_the_model_is_loaded(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    user: dict[str, Any], repo: str, words: str,
) -> None:  # fmt: skip
    from hftune.sharing import push

    monkeypatch.setenv("HF_TOKEN", hub.add_user(**user))
    monkeypatch.setattr(push, "Predictor", None)  # loading would fail
    assert cli.run(["push", str(full_run), repo]) == 1
    assert words in capsys.readouterr().err
    assert not hub.repos


@pytest.mark.parametrize(
    "user",
    [
        {"name": "bob", "orgs": {"acme": "write"}},
        {"name": "bob", "role": "fineGrained", "orgs": {"acme": "write"}, "scoped": {"acme": ["repo.write"]}},
    ],
)
def test_an_organisation_is_pushed_to(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, user: dict[str, Any]
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.add_user(**user))
    assert cli.run(["push", str(full_run), "acme/model"]) == 0
    assert hub.repos["acme/model"].private


def test_a_token_that_the_hub_does_not_know_is_said(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    assert cli.run(["push", str(full_run), REPO]) == 1
    assert "the token is not accepted (401)" in capsys.readouterr().err


def test_offline_nothing_is_tried(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert cli.run(["push", str(full_run), REPO]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    assert not hub.requests


def test_a_dead_hub_is_said_before_the_model_is_loaded(
    hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.close()
    assert cli.run(["push", str(full_run), REPO]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert "--dry-run" in said


def test_a_public_repository_is_not_pushed_to_by_surprise(
    hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.create(REPO, private=False, files={"config.json": b"old"})
    assert cli.run(["push", str(full_run), REPO]) == 2
    assert "everybody would see this model" in capsys.readouterr().err
    assert files(hub) == ["config.json"]
    assert cli.run(["push", str(full_run), REPO, "--public"]) == 0
    assert "model.safetensors" in files(hub)
    assert not hub.repos[REPO].private


def test_an_adapter_goes_alone_only_where_those_who_see_it_find_its_base(
    hub: HubServer, lora_run: Path, copied: Callable[[Path], Path], tiny_bert_folder: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from hftune.modeling.resolve import ResolvedModel

    run = copied(lora_run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace(str(tiny_bert_folder), "acme/tiny-bert"))
    here = ResolvedModel(tiny_bert_folder, "acme/tiny-bert", None, "a copy")
    monkeypatch.setattr("hftune.modeling.resolve.resolve_model", lambda *_, **__: here)
    assert cli.run(["push", str(run), REPO, "--adapter"]) == 2
    assert "acme/tiny-bert is on no Hub" in capsys.readouterr().err
    assert not hub.repos
    assert cli.run(["push", str(run), REPO]) == 0
    assert "adapter_config.json" not in files(hub), "merged, then"
    hub.create("acme/tiny-bert", private=True)
    monkeypatch.setenv("HF_TOKEN", hub.add_user("anna", orgs={"acme": "read"}))
    assert cli.run(["push", str(run), "anna/adapter", "--public"]) == 2
    assert "acme/tiny-bert is private" in capsys.readouterr().err
    assert cli.run(["push", str(run), "anna/adapter"]) == 0
    assert "adapter_config.json" in files(hub, "anna/adapter")


def test_a_merged_model_that_answers_otherwise_is_not_pushed(
    hub: HubServer, lora_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune.sharing import repository

    merge = repository.merge

    def spoiled(model: Any) -> Any:
        merged = merge(model)
        merged.classifier.weight.data.mul_(-1)
        return merged

    monkeypatch.setattr(repository, "merge", spoiled)
    assert cli.run(["push", str(lora_run), REPO]) == 1
    assert "does not answer as the run does" in capsys.readouterr().err
    assert not hub.repos


def test_a_readme_of_somebody_is_replaced_only_when_that_is_said(
    hub: HubServer, full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.create(REPO, private=True, files={"README.md": b"# by hand"})
    assert cli.run(["push", str(full_run), REPO]) == 2
    assert "--replace" in capsys.readouterr().err
    assert files(hub) == ["README.md"]
    assert cli.run(["push", str(full_run), REPO, "--replace"]) == 0
    assert "  replaces README.md" in capsys.readouterr().out
    assert b"- hftune" in hub.repos[REPO].files()["README.md"]


@pytest.mark.parametrize("token", ["hf_secret\x0cSECRET", "hf_secretSECRET\u00e9", "hf_secret SECRET"])
def test_a_token_that_cannot_be_one_is_not_repeated(
    hub: HubServer, full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert cli.run(["push", str(full_run), REPO]) == 1
    said = capsys.readouterr()
    assert "a character that no token has" in said.err
    assert "secret" not in said.out + said.err


def with_hub(run: Path, section: HubSection) -> Path:
    recipe = load_recipe(run / layout.RECIPE).model_copy(update={"hub": section})
    (run / layout.RECIPE).write_text(dump_recipe(recipe))
    return run


def test_a_recipe_says_where_to_and_how(hub: HubServer, full_run: Path, copied: Callable[[Path], Path]) -> None:
    run = with_hub(copied(full_run), HubSection(repo="anna/from-recipe", private=False, license="mit"))
    assert cli.run(["push", str(run)]) == 0
    repo = hub.repos["anna/from-recipe"]
    assert not repo.private
    assert b"license: mit" in repo.files()["README.md"]


def trains(recipe: Any, run: Any, *, allow_inexact: bool = False) -> dict[str, Any]:
    return {"test": {"accuracy": 0.5}}


def test_a_run_whose_recipe_says_so_is_pushed_when_it_is_done(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], words: Output
) -> None:
    run = with_hub(copied(full_run), HubSection(repo=REPO))
    assert carry_out(run, words, train=trains) == 0
    assert "model.safetensors" in files(hub)
    state = read_state(run)
    assert (state.status, state.phase, state.exit_code) == ("done", "", 0)
    alerts = [event.data for event in read_events(run) if event.kind == "alert"]
    assert alerts[-1]["code"] == "pushed"
    assert hub.repos[REPO].private


def test_a_failed_push_leaves_the_run_done_and_can_be_repeated(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], words: Output, clock: Any
) -> None:
    run = with_hub(copied(full_run), HubSection(repo=REPO))
    hub.fail("POST", "/repos/create", status=403, error="not today", times=1)
    assert carry_out(run, words, train=trains) == 0
    state = read_state(run)
    assert (state.status, state.exit_code) == ("done", 0)
    alert = [event.data for event in read_events(run) if event.kind == "alert"][-1]
    assert (alert["level"], alert["code"]) == ("error", "not-pushed")
    assert "not today" in alert["message"]
    assert "hftune push" in alert["hint"]
    said = words.stdout.getvalue()
    assert said.index("next") < said.index("! not pushed to anna/model")
    assert said.rstrip().endswith("does it again.")
    assert cli.run(["push", str(run)]) == 0
    assert "model.safetensors" in files(hub)


def test_whatever_goes_wrong_in_the_push_the_run_is_done(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], words: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune.sharing import push

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = with_hub(copied(full_run), HubSection(repo=REPO))
    monkeypatch.setattr(push, "stage", full)
    assert carry_out(run, words, train=trains) == 0
    assert (read_state(run).status, read_state(run).phase) == ("done", "")
    assert "No space left" in words.stdout.getvalue()


def test_a_bad_moment_before_training_is_not_remembered_after_it(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], words: Output
) -> None:
    run = with_hub(copied(full_run), HubSection(repo=REPO))
    hub.fail("GET", "/api/models/", page=True, times=1)
    assert carry_out(run, words, train=trains) == 0
    assert "could not be pushed" in words.stderr.getvalue()
    assert "model.safetensors" in files(hub)


def test_what_would_keep_it_from_being_pushed_is_said_before_training(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], words: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_hub(copied(full_run), HubSection(repo=REPO))
    monkeypatch.delenv("HF_TOKEN")

    def sees(recipe: Any, run: Any, *, allow_inexact: bool = False) -> dict[str, Any]:
        assert "could not be pushed to anna/model now: there is no token" in words.stderr.getvalue()
        return {}

    assert carry_out(run, words, train=sees) == 0
    assert read_state(run).status == "done"


def test_a_polite_kill_leaves_nothing_behind(hub: HubServer, full_run: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-m", "hftune", "push", str(full_run), REPO, "--ask", "--json"]
    env = {**os.environ, **environment(hub, hub.add_user("anna")), "TMPDIR": str(tmp_path / "scratch")}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any('"ready"' in line for line in iter(process.stdout.readline, ""))
        assert list((tmp_path / "scratch").glob("hftune-push-*"))
        process.terminate()
        assert process.wait() == 143
    assert not list((tmp_path / "scratch").glob("hftune-push-*"))
    assert not hub.repos


@pytest.mark.parametrize("fault", [{}, {"status": 500, "times": None}, {"status": 401, "times": None}])
def test_a_token_is_nowhere_but_in_the_request(
    hub: HubServer, full_run: Path, copied: Callable[[Path], Path], fault: dict[str, Any]
) -> None:
    run, token = copied(full_run), hub.add_user("anna")
    commands: list[bytes] = []

    def look() -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.append(path.read_bytes())
            except OSError:
                continue  # it has ended

    if fault:
        hub.fail("POST", "/commit/", before=look, **fault)
    else:
        hub.fail("POST", "/commit/", before=look)
    command = [sys.executable, "-m", "hftune", "push", str(run), REPO, "--debug", "--json", "--timeout", "1"]
    env = {**os.environ, **environment(hub, token), "HF_DEBUG": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode == 0) == (not fault)
    assert any(b"push" in command for command in commands)
    assert not any(token.encode() in command for command in commands)
    assert token not in done.stdout
    assert token not in done.stderr
    for path in run.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()
    assert any(token in request.headers.get("authorization", "") for request in hub.requests)


def test_a_token_in_a_recipe_is_refused_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = {"name": "a", "task": "text-classification", "model": "x/y", "data": {"source": "d"}}
    file = tmp_path / "a.yaml"
    file.write_text(json.dumps({**recipe, "hub": {"repo": REPO, "token": "hf_secret"}}))
    assert cli.run(["check", str(file), "--fast"]) == 2
    said = capsys.readouterr()
    assert "hub.token: unknown key" in said.err
    assert "hf_secret" not in said.out + said.err
    file.write_text(json.dumps({**recipe, "hub": "hf_secretsecret"}))
    assert cli.run(["check", str(file), "--fast"]) == 2
    said = capsys.readouterr()
    assert "expected OWNER/NAME" in said.err
    assert "hf_secret" not in said.out + said.err


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "full", "model": "x/y"}, "the method full makes no adapter"),
        ({"method": "lora", "model": "hftune:gpt2-mini"}, "the base model is on no Hub"),
    ],
)
def test_an_adapter_that_could_not_be_pushed_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, str], words: str
) -> None:
    recipe = {"name": "a", "task": "text-classification", "data": {"source": "d"}, **fields}
    file = tmp_path / "a.yaml"
    file.write_text(json.dumps({**recipe, "hub": {"repo": REPO, "weights": "adapter"}}))
    assert cli.run(["check", str(file), "--fast"]) == 2
    assert words in capsys.readouterr().err
