"""The push dialog: its form, every state of a push, every key, and that no process stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hftune_tui import pushing
from hftune_tui.app import HftuneApp
from hftune_tui.drawing import Words
from hftune_tui.push_words import name_problem
from hftune_tui.pushing import Asked, Pushing, why_not
from hftune_tui.screens.dialogs import Reading
from hftune_tui.screens.output import OutputScreen
from hftune_tui.widgets.cycle import Cycle
from textual.widgets import Input

from hftune.runs.reader import read_state

from .conftest import Ticks, all_at_once, notice, text_of, until
from .test_app import type_in

NAME = "bert-lora-20260101-000000-000a"
LORA = "name: bert-lora\nmodel: {id: a/b}\nmethod: {name: lora}\n"
URL = "http://127.0.0.1:9/anna/films"
FILES = [{"name": "README.md", "bytes": 5170}, {"name": "config.json", "bytes": 830}]
READY = {
    "ready": {"repo": "anna/films", "url": URL, "private": True, "new": True, "weights": "whole",
              "files": FILES, "bytes": 6000},
}  # fmt: skip
DONE = {"pushed": True, "repo": "anna/films", "url": URL, "commit": "0123456789abcdef", "private": True}
DONE["unchanged"] = False
ERROR = {"message": "the token can only read", "hint": "Make one that can write.", "problems": [], "code": 1}
SECONDS = 20
TOKEN = "hf_" + "a1B2" * 8


class Fake:
    """What stands in for `hftune push`: `says` sets what it does, `called` is how it was called last."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def says(self, *steps: tuple[str, Any]) -> None:
        self.file.write_text(json.dumps(steps))

    @property
    def called(self) -> dict[str, Any]:
        beside = self.file.with_suffix(".called")
        return dict(json.loads(beside.read_text())) if beside.exists() else {}

    def forget(self) -> None:
        self.file.with_suffix(".called").unlink()


def gone(called: dict[str, Any]) -> bool:
    """Tell whether a process is no more, and nothing of what it wrote."""
    try:
        ended = psutil.Process(called["pid"]).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        ended = True
    return ended and not Path(called["folder"]).exists()


def ends(called: dict[str, Any]) -> None:
    """Wait until a process is no more."""
    limit = time.monotonic() + SECONDS
    while not gone(called):
        assert time.monotonic() < limit, "a process is left"
        time.sleep(0.01)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    file = tmp_path / "fake.json"
    monkeypatch.setattr(pushing, "MODULE", "fake_push")
    monkeypatch.setenv("FAKE_PUSH", str(file))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    fake = Fake(file)
    fake.says(("stay", None))
    yield fake
    if fake.called:
        ends(fake.called)


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(NAME, "done", model=True)


@pytest.fixture
def form(opened: Callable[..., Any], run: Path) -> Callable[..., Any]:
    """Open the app with its dialog on the run: `async with form() as (app, pilot)`."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def open_form(*keys: str, **options: Any) -> Any:
        async with opened(**options) as (app, pilot):
            await pilot.press("P")
            await shows(app, pilot, "Repository")
            await pilot.press(*keys)
            yield app, pilot

    return open_form


@pytest.fixture
def pushed(form: Callable[..., Any]) -> Callable[..., Any]:
    """Open the app and push the run to anna/films."""
    return lambda **options: form(*"anna/films", "enter", **options)


def flat(app: HftuneApp) -> str:
    """What is shown, on one line, without the frame of the dialog."""
    return " ".join(text_of(app).replace("│", " ").split())


async def shows(app: HftuneApp, pilot: Any, *words: str) -> None:
    """Wait until all of these are shown."""
    await until(pilot, lambda: all(word in flat(app) for word in words))


async def value(pilot: Any, key: str, name: str) -> str:
    await pilot.press(key)
    return str(pilot.app.screen.query_one(f"#push-{name}", Cycle).current.value)


# The form.


async def test_p_opens_a_form_for_the_run_under_the_cursor(opened, three, fake):
    async with opened() as (app, pilot):
        await pilot.press("G", "P")
        await shows(app, pilot, "Push bert-lora-000a to the Hub", "Run bert-lora-20260101-000000-000a")
        await shows(app, pilot, "OWNER/NAME", "‹ private ›", "Nothing is sent before you have agreed", "Enter makes it")
        assert "Weights" not in flat(app)
        assert isinstance(app.focused, Input) and not fake.called
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.place


async def test_p_pushes_the_run_that_is_watched(opened, run):
    async with opened(watch=run) as (app, pilot):
        await pilot.press("P")
        await shows(app, pilot, "Push bert-lora-000a to the Hub")


async def test_what_cannot_be_pushed_says_why(opened, three):
    async with opened() as (app, pilot):
        await pilot.press("P")
        await pilot.pause()
        assert notice(app) == "! nothing to push yet, it is training"
        await pilot.press("j", "P")
        await pilot.pause()
        assert notice(app) == "! nothing to push, it is failed; /push gpt2-gen-000b@100 pushes its newest checkpoint"


async def test_without_a_run_there_is_nothing_to_push(opened):
    async with opened() as (app, pilot):
        await pilot.press("P")
        await pilot.pause()
        assert notice(app) == "! there is no run in front"


async def test_a_run_that_cannot_be_read_is_an_error_and_no_traceback(opened, runs):
    async with opened() as (app, pilot):
        app.go("watch", run=runs / "gone-20260101-000000-0000")
        await pilot.pause()
        await pilot.press("P")
        await pilot.pause()
        assert "has no state.json" in notice(app)


def test_a_run_without_its_model_has_nothing_to_push(make_run):
    done = make_run(NAME, "done")
    assert why_not(done, read_state(done)) == "its model/ is not there any more"
    broken = make_run("broken-20260101-000000-000b", state="{", model=True)
    assert why_not(broken, None) == ""  # the push says what is wrong with it


async def test_the_key_is_listed_and_can_be_another(opened, run, tmp_path):
    (tmp_path / "app.yaml").write_text("keys: {app.push: z, push.go_on: f5, cycle.next: n}\n")
    async with opened() as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Reading)
        (row,) = [each for each in str(app.screen.text).splitlines() if "app.push" in each]
        assert row.split() == ["z", "push", "the", "run's", "model", "to", "the", "Hub", "app.push"]
        await pilot.press("escape", "z")
        await shows(app, pilot, "Repository")
        assert (
            await value(pilot, "tab", "visibility") == "private" and await value(pilot, "n", "visibility") == "public"
        )
        await pilot.press("f5")
        await shows(app, pilot, "the repository needs a name")


@pytest.mark.parametrize(
    ("typed", "run_shown", "asked"),
    [
        ("/push", NAME, {}),
        ("/push 000a", NAME, {}),
        ("/push anna/films --public", NAME, {"repo": "anna/films", "visibility": "public"}),
        ("/push 000a anna/films --private --merged", NAME,
         {"repo": "anna/films", "visibility": "hide", "weights": "merged"}),
        ("/push 000a@7 anna/films --adapter --license mit --timeout 5", f"{NAME}@7",
         {"repo": "anna/films", "weights": "adapter", "more": ("--license", "mit", "--timeout", "5.0")}),
    ],
)  # fmt: skip
async def test_the_command_opens_the_form_with_what_it_says(opened, make_run, typed, run_shown, asked):
    run = make_run(NAME, "done", model=True, checkpoints=[7], recipe=LORA)
    async with opened() as (app, pilot):
        await type_in(pilot, typed)
        await shows(app, pilot, f"Run {run_shown}", "Weights")
        assert app.screen.given == Asked(str(run.parent / run_shown), **asked)
        await shows(app, pilot, *(["Also --license mit --timeout 5.0"] if "more" in asked else []))
        assert ("Also" in flat(app)) == ("more" in asked)
        assert app.screen.query_one("#push-repo", Input).value == asked.get("repo", "")
        for name, default in (("visibility", "private"), ("weights", "")):
            assert app.screen.query_one(f"#push-{name}", Cycle).current.value == asked.get(name, default)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/push 00a1", "'00a1' is neither a run nor the OWNER/NAME of a repository"),
        ("/push 000a a/b --private --public", "--private and --public at once · Give either."),
        ("/push a/b --adapter --merged", "--adapter and --merged at once · Give either."),
        ("/push 000a@8", "has no checkpoint of step 8"),
        ("/push a/b --timeout soon", "--timeout"),
        ("/push bert-lora-00a", "bert-lora-000a"),
    ],
)
async def test_a_command_that_is_wrong_says_why(opened, run, typed, said):
    async with opened() as (app, pilot):
        await type_in(pilot, typed)
        assert app.screen is app.place and said in notice(app)


async def test_the_command_pushes_the_run_that_is_chatted_with(opened, run, chat_is_closed):
    async with opened() as (app, pilot):
        app.go("chat", run=run)
        await pilot.pause()
        await type_in(pilot, "/push anna/films")
        await shows(app, pilot, f"Run {NAME}", "anna/films")


@pytest.fixture
def chat_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is started."""
    monkeypatch.setattr("hftune_tui.asking.Session.open", lambda *_, **__: None)


async def test_a_dry_run_sends_nothing_and_asks_nothing(opened, run, runs, tmp_path, monkeypatch):
    program = tmp_path / "says.sh"
    program.write_text('#!/bin/sh\nprintf "%s " "$@"\n')
    program.chmod(0o755)
    async with opened() as (app, pilot):
        monkeypatch.setattr(sys, "executable", str(program))
        await type_in(pilot, "/push 000a anna/films --dry-run")
        await until(pilot, lambda: isinstance(app.screen, OutputScreen) and app.screen.command.code == 0)
        said = " ".join(app.screen.command.lines).replace(f"--runs-dir {runs} ", "")
        assert said.split() == ["-P", "-m", "hftune", "push", "000a", "anna/films", "--dry-run"]


NAMES = [
    ("", ""), ("anna/films", ""), ("a-1.b_c/d_1.2-x", ""), ("anna", "write OWNER/NAME"),
    ("anna/films/new", "one / only: OWNER/NAME"), ("anna/", "NAME is missing: OWNER/NAME"),
    ("/films", "OWNER is missing: OWNER/NAME"), ("anna/my films", "not a space"), ("anna/电影", "not “电”"),
    ("-anna/films", "OWNER begins with a letter or a digit"), ("anna/.films", "NAME begins with a letter or a digit"),
    ("https://huggingface.co/anna/films", "not “:”"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "problem"), NAMES)
def test_a_name_that_cannot_be_says_what_is_wrong_with_it(name, problem):
    assert problem in name_problem(name) and bool(problem) == bool(name_problem(name))


async def test_a_name_is_judged_while_it_is_typed(form, fake):
    async with form(*"anna") as (app, pilot):
        await shows(app, pilot, "write OWNER/NAME")
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.state == "form" and "write OWNER/NAME" in flat(app)
        await pilot.press(*"/films")
        await until(pilot, lambda: "write OWNER/NAME" not in flat(app))
        assert not fake.called


async def test_without_a_name_enter_says_so(form, fake):
    async with form("enter") as (app, pilot):
        await shows(app, pilot, "the repository needs a name: OWNER/NAME")
        assert app.screen.state == "form" and not fake.called


async def test_the_keys_of_the_form_move_and_change(opened, make_run):
    make_run(NAME, "done", model=True, recipe=LORA)
    async with opened() as (app, pilot):
        await pilot.press("P")
        await shows(app, pilot, "Weights", "OWNER is your account")
        for key, name in (("down", "visibility"), ("tab", "weights"), ("tab", "repo"), ("shift+tab", "weights"),
                          ("up", "visibility")):  # fmt: skip
            await pilot.press(key)
            assert app.focused.id == f"push-{name}"
        for key, taken, about in (
            ("space", "public", "Everybody can see and download it"), ("right", "hide", "hidden as a whole"),
            ("l", "private", "Only you and those you let in"), ("left", "hide", "hidden"), ("h", "public", "Everybody"),
        ):  # fmt: skip
            assert await value(pilot, key, "visibility") == taken
            await shows(app, pilot, about)
        await pilot.press("y")
        await shows(app, pilot, "there is nothing to copy yet")
        await pilot.press("down")
        assert [await value(pilot, "space", "weights") for _ in range(3)] == ["adapter", "merged", ""]
        await pilot.click("#push-weights")
        assert app.screen.query_one("#push-weights", Cycle).current.value == "adapter"


async def test_the_recipe_says_where_to_and_how(opened, make_run):
    hub = "hub: {repo: acme/films, private: false, weights: merged}\n"
    make_run(NAME, "done", model=True, recipe=LORA + hub)
    async with opened() as (app, pilot):
        await pilot.press("P")
        await shows(app, pilot, "acme/films", "‹ public ›", "‹ adapter and base as one model ›")
        await pilot.press("down")
        assert await value(pilot, "space", "visibility") == "hide"  # left out, it would be public all the same


async def test_a_command_goes_before_the_recipe(opened, make_run):
    make_run(NAME, "done", model=True, recipe=LORA + "hub: acme/films\n")
    async with opened() as (app, pilot):
        await type_in(pilot, "/push anna/films --public --adapter")
        await shows(app, pilot, "anna/films", "‹ public ›", "‹ the adapter alone ›")


async def test_what_is_typed_goes_before_the_recipe(opened, make_run):
    make_run(NAME, "done", model=True, recipe=LORA + "hub: acme/films\n")
    async with opened() as (app, pilot):
        all_at_once(app, "P", *"a/b")
        await shows(app, pilot, "Weights")
        await shows(app, pilot, "Repository a/b")


async def test_a_recipe_that_cannot_be_read_leaves_the_form_as_it_is(opened, make_run, fake):
    make_run(NAME, "done", model=True, recipe="{")
    async with opened() as (app, pilot):
        all_at_once(app, "P", *"anna/films", "enter")
        await shows(app, pilot, "preparing")


async def test_enter_waits_for_the_recipe(form, fake, monkeypatch):
    read = threading.Event()
    monkeypatch.setattr("hftune_tui.screens.push.recipe_facts", lambda _: {"method": str(read.wait(SECONDS))})
    try:
        async with form(*"anna/films", "enter") as (app, pilot):
            await shows(app, pilot, "its recipe is being read")
            assert not fake.called
            read.set()
            await shows(app, pilot, "preparing")
    finally:
        read.set()


async def test_the_recipe_may_come_when_the_form_is_closed(form, monkeypatch):
    read = threading.Event()
    monkeypatch.setattr("hftune_tui.screens.push.recipe_facts", lambda _: {"method": str(read.wait(SECONDS))})
    async with form("escape") as (app, pilot):
        await until(pilot, lambda: app.screen is app.place)
        read.set()
        await app.workers.wait_for_complete()
        assert app.is_running


async def test_the_name_that_was_used_last_is_there_again(form, fake):
    fake.says(("say", {"error": ERROR}))
    async with form(*"anna/films", "enter") as (app, pilot):
        await shows(app, pilot, "the token can only read")
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("P")
        await shows(app, pilot, "Repository anna/films")


@pytest.mark.parametrize(
    ("asked", "flags"),
    [
        ({}, []),
        ({"visibility": "public", "weights": "merged"}, ["--public", "--merged"]),
        ({"visibility": "hide", "more": ("--license", "mit")}, ["--private", "--license", "mit"]),
        ({"weights": "adapter"}, ["--adapter"]),
    ],
)
def test_what_is_asked_becomes_a_command_line(asked, flags):
    words = Asked("runs/a", "anna/films", **asked).words()
    assert words == ["push", "runs/a", "anna/films", *flags, "--ask", "--json"]


# Getting ready.


async def test_what_is_done_is_told_until_it_is_ready(pushed, fake, run, runs):
    fake.says(
        ("say", {"phase": "looking at the Hub"}), ("say", {"phase": "scoring the model on 9 rows of test"}),
        ("stay", None),
    )  # fmt: skip
    async with pushed() as (app, pilot):
        await shows(app, pilot, "✓ looking at the Hub", "◐ scoring the model on 9 rows of test")
        await shows(app, pilot, "Push bert-lora-000a to anna/films preparing", "Esc cancels")
        assert fake.called["words"] == [
            "push", str(run.absolute()), "anna/films", "--ask", "--json", "--runs-dir", str(runs),
        ]  # fmt: skip
        for key, said in (("y", "there is nothing to copy yet"), ("q", "Esc ends it")):
            await pilot.press(key)
            await shows(app, pilot, said)
        await pilot.press("enter")
        await shows(app, pilot, "not ready yet: you are asked before anything is sent")
        assert app.screen.state == "preparing"


async def test_how_long_it_takes_is_shown(pushed, fake):
    ticks = Ticks()
    async with pushed(monotonic=ticks) as (app, pilot):
        await shows(app, pilot, "preparing, 0s", "starting")
        ticks.now += 72
        await shows(app, pilot, "preparing, 1m12s")


async def test_esc_cancels_and_nothing_was_sent(pushed, fake):
    fake.says(("write", "model.safetensors"), ("say", {"phase": "writing the model"}), ("stay", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "writing the model")
        called = fake.called
        assert Path(called["folder"], "model.safetensors").exists()
        await pilot.press("escape")
        await shows(app, pilot, "cancelled: nothing was sent", "Repository anna/films")
        await until(pilot, lambda: gone(called))
        assert "told" not in fake.called and isinstance(app.focused, Input)
        fake.says(("say", {"phase": "once more"}), ("stay", None))
        await pilot.press("enter")
        await shows(app, pilot, "once more")


async def test_what_is_ready_is_shown_before_it_is_sent(pushed, fake):
    fake.says(("say", READY), ("ask", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, f"To {URL}", "a new repository", "by nobody but you and those you let in (private)")
        await shows(app, pilot, "Holds the whole model: 2 files, 5.86 KiB", "config.json 830 B")
        await shows(app, pilot, "ready: not sent yet", "Enter pushes Esc does not")
        await pilot.press("y")
        await shows(app, pilot, "copied")
        assert app.clipboard == URL
        await pilot.press("escape")
        await shows(app, pilot, "not pushed: nothing was sent", "Repository anna/films")
        await until(pilot, lambda: gone(fake.called))
        assert fake.called.get("told", "") != "yes\n"


async def test_what_everybody_would_see_is_said_in_capitals(pushed, fake):
    ready = {**READY["ready"], "private": False, "new": False, "weights": "merged"}
    fake.says(("say", {"ready": ready}), ("ask", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "BY EVERYBODY", "there already", "the model, its adapter merged")


async def test_many_files_can_be_scrolled(pushed, fake):
    files = [{"name": f"model-{number:05}.safetensors", "bytes": 10 * number} for number in range(60)]
    fake.says(("say", {"ready": {**READY["ready"], "files": files}}), ("ask", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "model-00000")
        body = app.screen.query_one("#push-body")
        page = body.size.height - 1
        for key, line in (("down", 1), ("tab", 2), ("up", 1), ("shift+tab", 0), ("pagedown", page), ("pageup", 0)):
            await pilot.press(key)
            await pilot.pause()
            assert body.scroll_y == line, key
        await pilot.press(*["pagedown"] * 9)
        await shows(app, pilot, "model-00059")


# On the way.


def sending(tmp_path: Path, *then: tuple[str, Any]) -> list[tuple[str, Any]]:
    """Return the steps of a push that stands at 40 percent until the file `go` is opened."""
    os.mkfifo(tmp_path / "go")
    return [
        ("say", READY), ("ask", None), ("say", {"uploaded": 0, "of": 6000}), ("say", {"uploaded": 2400, "of": 6000}),
        ("wait", str(tmp_path / "go")), *then,
    ]  # fmt: skip


async def test_enter_pushes_and_shows_how_far_it_is(pushed, fake, tmp_path):
    fake.says(*sending(tmp_path, ("say", {"uploaded": 6000, "of": 6000}), ("say", DONE)))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "████████████░░░░░░░░░░░░░░░░░░ 40% 2.34 KiB of 5.86 KiB", "◐ uploading")
        await shows(app, pilot, "pushing")
        assert fake.called["told"] == "yes\n"
        await pilot.press("enter")
        await shows(app, pilot, "it is on its way: Esc ends it")
        (tmp_path / "go").write_text("")
        await shows(app, pilot, "✓ Pushed.", f"At {URL}", "(private)", "Commit 0123456789ab")
        await pilot.press("y")
        await shows(app, pilot, "copied")
        assert app.clipboard == URL
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is app.place and notice(app) == f"· {URL} has it (private)"


async def test_all_bytes_there_is_not_the_end(pushed, fake, tmp_path):
    steps = sending(tmp_path)
    fake.says(*steps[:2], ("say", {"uploaded": 6000, "of": 6000}), ("stay", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "100%", "all of it is there: the Hub makes the commit")


async def test_before_the_first_byte_it_says_what_is_done(pushed, fake):
    fake.says(("say", READY), ("ask", None), ("stay", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "comparing with what is there")


async def test_esc_ends_it_and_says_that_it_goes_on(pushed, fake, tmp_path):
    fake.says(*sending(tmp_path))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "40%", "Esc ends it", "Pushing again compares with what is there first")
        await pilot.press("escape")
        await shows(app, pilot, "Ended while it was being sent", "sends only what is missing", "Enter tries again")
        await until(pilot, lambda: gone(fake.called))
        await pilot.press("enter")
        await shows(app, pilot, "Repository anna/films")


async def test_what_arrived_before_it_was_ended_has_arrived(pushed, fake):
    fake.says(("say", READY), ("ask", None), ("say", DONE), ("stay", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "✓ Pushed.")
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.place and "has it" in notice(app)
        await until(pilot, lambda: gone(fake.called))


async def test_what_the_hub_had_already_is_not_called_pushed(pushed, fake):
    fake.says(("say", READY), ("ask", None), ("say", {**DONE, "unchanged": True, "private": False}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "It was there already, file for file: nothing was sent.", "BY EVERYBODY")
        assert "Pushed" not in flat(app)


# What goes wrong.


async def test_a_failure_says_what_to_do_and_enter_tries_again(form, fake):
    fake.says(("say", {"error": ERROR}), ("exit", 1))
    async with form(*"anna/films", "down", "space", "enter") as (app, pilot):
        await shows(app, pilot, "failed", "the token can only read", "Make one that can write.", "Nothing was sent.")
        await pilot.press("y")
        await shows(app, pilot, "copied")
        assert app.clipboard == "the token can only read\nMake one that can write."
        fake.says(("say", READY), ("ask", None))
        await pilot.press("enter")
        await shows(app, pilot, "Repository anna/films", "‹ public ›", "the token can only read Enter makes it ready")
        await pilot.press("enter")
        await shows(app, pilot, "ready: not sent yet")
        assert fake.called["words"][2:4] == ["anna/films", "--public"]


async def test_flags_in_a_hint_are_lines_of_the_form(pushed, fake):
    fake.says(("say", {"error": {"message": "it is public", "hint": "Give --public, or --merged."}}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "the form, where that is the line Visibility and the line Weights.")


async def test_a_long_failure_is_there_as_a_whole(pushed, fake):
    long = {"message": " ".join(f"word{number}" for number in range(400)), "hint": "The end."}
    fake.says(("say", {"error": long}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "word0 word1", "Enter tries again")
        await pilot.press(*["pagedown"] * 9)
        await shows(app, pilot, "word399", "The end.")


async def test_a_failure_on_the_way_says_that_it_goes_on(pushed, fake):
    fake.says(("say", READY), ("ask", None), ("say", {"error": ERROR}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "failed", "the token can only read", "Pushing again compares")


async def test_a_process_that_is_killed_is_told_with_its_last_words(pushed, fake):
    fake.says(("words", "first"), ("words", f"\x1b[31mlast of all {TOKEN}"), ("kill", 9))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "hftune push was ended by signal 9", "ran out of memory", "words: last of all hf_…")
        assert TOKEN not in text_of(app)
        await pilot.press("y", "q")
        await pilot.pause()
        assert app.screen is app.place and TOKEN not in app.clipboard


async def test_a_process_that_is_killed_at_the_question_takes_no_answer(pushed, fake, tmp_path):
    os.mkfifo(tmp_path / "go")
    fake.says(("say", READY), ("wait", str(tmp_path / "go")), ("kill", 15))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        (tmp_path / "go").write_text("")
        await shows(app, pilot, "hftune push was ended by signal 15 before it said how it went")


async def test_a_process_that_says_nothing_is_told(pushed, fake):
    fake.says(("exit", 3))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "hftune push ended with 3 before it said how it went")


async def test_an_error_of_another_form_is_told_as_it_is(pushed, fake):
    fake.says(("say", {"error": "no more"}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "failed", "no more", "Nothing was sent.")


async def test_a_process_that_does_not_push_is_told(pushed, fake):
    fake.says(("say", {"pushed": False}))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "hftune push ended without sending anything")


GARBAGE = [
    "no json\n", "\x00\x1b]0;x\x07\n", "[1, 2]\n", "{}\n", '{"phase": null}\n', '{"uploaded": "x", "of": null}\n',
    '{"uploaded": -1, "of": true}\n', "[" * 100_000 + "\n", '{"a": "' + "x" * (1 << 21) + '"}\n', "\xff\xfe\n",
]  # fmt: skip


async def test_garbage_is_passed_over(pushed, fake):
    fake.says(*(("raw", each) for each in GARBAGE), ("say", READY), ("ask", None), ("raw", '{"cut off'), ("exit", 0))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "Enter pushes")
        await pilot.press("enter")
        await shows(app, pilot, "hftune push ended with 0 before it said how it went")


@pytest.mark.parametrize(
    "ready",
    ["yes", {}, {**READY["ready"], "files": 7}, {**READY["ready"], "files": [{"name": "a"}]},
     {**READY["ready"], "private": "yes"}, {**READY["ready"], "bytes": None}],
)  # fmt: skip
async def test_what_cannot_be_shown_cannot_be_agreed_to(pushed, fake, ready):
    fake.says(("say", {"ready": ready}), ("ask", None))
    async with pushed() as (app, pilot):
        await shows(app, pilot, "nothing that can be read of what it would send", "Nothing was sent.")
        await until(pilot, lambda: gone(fake.called))
        assert fake.called.get("told", "") != "yes\n"


ATTACK = "[bold]x[/bold] \x1b]52;c;b3duZWQ=\x07\x1b[2J\x9b5m\u202e[link=a]"
SHOWN = "[bold]x[/bold] [link=a]"


async def test_text_of_others_is_drawn_as_text(pushed, fake):
    files = [{"name": ATTACK, "bytes": 1}]
    fake.says(
        ("say", {"phase": f"phase {ATTACK}"}), ("say", {"ready": {**READY["ready"], "url": ATTACK, "files": files}}),
        ("ask", None), ("say", {"error": {"message": f"message {ATTACK}\nsecond", "hint": f"hint {ATTACK}"}}),
    )  # fmt: skip
    async with pushed() as (app, pilot):
        await shows(app, pilot, f"To {SHOWN}", f"{SHOWN} 1 B")
        await pilot.press("enter")
        await shows(app, pilot, f"message {SHOWN} second", f"hint {SHOWN}")
        await pilot.press("y")
        await pilot.pause()
        for text in (text_of(app), app.clipboard):
            assert not any(strange in text for strange in ("\x1b", "\x9b", "\x07", "\u202e"))


async def test_when_no_process_can_be_started_the_form_says_so(form, fake, monkeypatch):
    async with form(*"anna/films") as (app, pilot):
        monkeypatch.setattr(sys, "executable", "/nothing/such")
        await pilot.press("enter")
        await shows(app, pilot, "no process can be started: No such file or directory")
        assert app.screen.state == "form"


# No process stays.


async def test_the_process_ends_with_the_dialog(pushed, fake):
    async with pushed() as (app, pilot):
        await until(pilot, lambda: fake.called)
        app.go("recipes")  # a job that has begun takes the app to its place
        await until(pilot, lambda: gone(fake.called))
        assert app.screen is app.place


async def test_the_process_ends_with_the_app(pushed, fake):
    async with pushed() as (app, pilot):
        await until(pilot, lambda: fake.called)
        app.leave(asked=True)
    ends(fake.called)


PARENT = """
import os, signal, sys, time
from pathlib import Path
from hftune_tui import pushing
pushing.MODULE = "fake_push"
one = pushing.Pushing(pushing.Asked("run", "anna/films"), Path("runs"))
while not any(each.text == "here" for each in one.phases):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_when_the_app_is_killed(fake, tmp_path):
    fake.says(("write", "model.safetensors"), ("say", {"phase": "here"}), ("stay", None))
    killed = subprocess.run([sys.executable, "-c", PARENT], cwd=tmp_path, timeout=60)
    assert killed.returncode == -9
    ends(fake.called)


def test_stopping_what_has_ended_changes_nothing(fake, tmp_path):
    fake.says(("say", {"error": ERROR}))
    push = Pushing(Asked("run", "anna/films"), tmp_path)
    while not push.over:
        pass
    push.stop()
    push.agree()
    assert push.state == "failed" and str(push.failure) == "the token can only read\nMake one that can write."
    assert push.speed is None


def test_the_speed_is_that_of_late_and_begins_again(fake, tmp_path):
    ticks = Ticks(0.0)
    push = Pushing(Asked("run", "anna/films"), tmp_path, ticks)
    for now, done in ((0, 0), (1, 1000), (30, 2000), (31, 4000)):
        ticks.now = now
        push._take({"uploaded": done, "of": 9000})
    assert push.speed == 2000.0
    push._take({"uploaded": 0, "of": 9000})
    assert push.speed is None and push.uploaded == (0, 9000)
    push.stop()
    while not push.over:
        pass
    assert push.state == "stopped"


# Beside a picture that was looked at, and with the real command.


def test_the_question_before_anything_is_sent(snap_compare, runs, run, fake):
    fake.says(("say", READY), ("ask", None))
    app = HftuneApp(runs, clock=Ticks(), monotonic=Ticks(), machine=lambda: "CPU 3%", reads=False)

    async def prepare(pilot: Any) -> None:
        app.store.poll_once()
        await pilot.pause()
        app.place.update_now()
        await shows(app, pilot, "CPU 3%", "bert-lora-000a")
        await pilot.press("P", *"anna/films", "enter")
        await shows(app, pilot, "ready: not sent yet", "To ", "(private)", "config.json 830 B", "Enter pushes")

    assert snap_compare(app, terminal_size=(80, 24), run_before=prepare)


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned for two steps."""
    folder = tmp_path_factory.mktemp("real")
    words = ["run", "lstm_zh", "-s", "training.max_steps=2", "--name", "tiny", "--runs-dir", str(folder)]
    subprocess.run([sys.executable, "-P", "-m", "hftune", *words], cwd=folder, check=True, capture_output=True)
    (run,) = folder.glob("tiny-*")
    return run


async def test_a_real_run_is_on_the_hub_afterwards_and_private(opened, real_run, monkeypatch):
    from tests.hub.client import environment
    from tests.hub.server import HubServer

    async def comes_to(app: HftuneApp, pilot: Any, state: str) -> None:
        await until(pilot, lambda: app.screen.state in (state, "failed"), 120)
        assert app.screen.state == state, app.screen.pushing.failure

    with HubServer() as hub:
        for name, setting in environment(hub, token := hub.add_user("anna")).items():
            monkeypatch.setenv(name, setting)
        async with opened(runs_dir=real_run.parent) as (app, pilot):
            await pilot.press("P", *"anna/tiny", "enter")
            await comes_to(app, pilot, "ready")
            await shows(app, pilot, "Enter pushes", "README.md", "a new repository", "(private)")
            assert not hub.repos
            await pilot.press("enter")
            await comes_to(app, pilot, "done")
            repo = hub.repos["anna/tiny"]
            assert repo.private and {"README.md", "model.safetensors"} <= set(repo.files())
            await shows(app, pilot, f"At {hub.endpoint}/anna/tiny", f"Commit {repo.head[:12]}")
            assert not any(token in str(each.visual) for each in app.screen.query(Words))
            await pilot.press("enter", "P", "enter")
            await comes_to(app, pilot, "ready")
            await pilot.press("enter")
            await shows(app, pilot, "It was there already, file for file")
