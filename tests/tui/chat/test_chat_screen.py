"""Chat: every key, command and state, with a worker whose models need no torch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hftune_tui.answers import Notice, Target
from hftune_tui.widgets.markdown_view import MarkdownView
from hftune_tui.widgets.transcript import Transcript
from textual.widgets import Input

from hftune.asking.client import WorkerClient

from .pilot import CLS, GEN, RECIPE, fake

# States


async def test_without_a_run_it_says_how_to_get_one_and_keeps_what_was_written(chatting: Any) -> None:
    async with chatting() as chat:
        await chat.pilot.press("4")
        await chat.sees("There is no run to ask.", "/chat RUN")
        await chat.types("hello", settle=False)
        await chat.sees("! There is no run to ask.")
        assert chat.screen.prompt.text == "hello" and not chat.session.exchanges
        for key in ("b", "v", "y", "R", "m", "t", "n"):
            await chat.body(key)
            assert "! " in chat.shown() or "✗ " in chat.shown(), key
        assert chat.app.return_code is None


async def test_a_run_without_a_checkpoint_says_when_one_is_due_and_is_opened_then(chatting: Any, make_run: Any) -> None:
    run = fake(make_run(GEN, "training", step=3, total_steps=50, recipe=RECIPE + "training:\n  save_steps: 25\n"))
    ticks = Ticks()
    async with chatting(monotonic=ticks) as chat:
        await chat.open(run)
        await chat.sees(
            "has no checkpoint yet: it is at step 3 of 50.", "The first comes at step 25.", "○ no checkpoint"
        )
        await chat.types("early", settle=False)
        assert chat.screen.prompt.text == "early"
        folder = run / "checkpoints" / "step-00000025"
        folder.mkdir(parents=True)
        (folder / "MANIFEST.json").write_text("{}")
        ticks.now += 2
        await chat.until(lambda: chat.session.main is not None)
        await chat.ready()
        assert chat.session.main.target == Target(run, 25)
        await chat.types("early")
        await chat.sees("step 25 [1] early", "chat › gen-a1b2@25  ● ready")


@pytest.mark.parametrize(
    ("status", "recipe", "words"),
    [
        ("queued", RECIPE, ("it waits for its turn", "the end of the first epoch")),
        ("training", "[", ("at step 0", "its recipe does not tell")),
        ("paused", None, ("was paused before its first checkpoint", "r lets it go on")),
        ("failed", None, ("ended (failed) before its first checkpoint", "r resumes it")),
    ],
)
async def test_a_run_that_has_nothing_to_ask_says_why(
    chatting: Any, make_run: Any, status: str, recipe: str | None, words: tuple[str, str]
) -> None:
    run = make_run(GEN, status, **({} if recipe is None else {"recipe": recipe}))
    async with chatting() as chat:
        await chat.open(run)
        await chat.sees(*words)


async def test_a_run_that_cannot_be_read_says_so(chatting: Any, make_run: Any) -> None:
    run = make_run(GEN, state="{broken")
    async with chatting() as chat:
        await chat.open(run)
        await chat.sees("cannot be read")


async def test_loading_is_named_and_counted_and_what_is_written_meanwhile_is_answered(chatting: Any, gen: Path) -> None:
    (gen / "hold").touch()
    ticks = Ticks()
    async with chatting(monotonic=ticks) as chat:
        await chat.open(gen)
        await chat.until(lambda: chat.session.phase.name == "loading")
        ticks.now += 4
        await chat.sees(f"loading {GEN} · 4 s so far", "what you write now is answered then", "◌ loading")
        await chat.types("one", settle=False)
        await chat.types("two", settle=False)
        await chat.sees("› one", "› two", "… waits for its turn")
        (gen / "hold").unlink()
        await chat.ready()
        assert "tuned [1] one" in chat.shown() and "tuned [3] two" in chat.shown()


async def test_importing_says_about_how_long_it_takes(chatting: Any, gen: Path, monkeypatch: Any) -> None:
    from hftune_tui.answers import Phase

    ticks = Ticks()
    async with chatting(monotonic=ticks) as chat:
        await chat.open(gen)
        await chat.ready()
        chat.session._set_phase(Phase("starting", "loading torch, about 6 s", since=ticks.now - 3, seconds=6.0))
        await chat.sees("loading torch, about 6 s · 3 s so far")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, ("text-generation", "It is told the whole conversation.")),
        ({"style": "text"}, ("It goes on where your text ends", "Enter alone")),
        ({"style": "completion"}, ("each prompt stands alone",)),
        ({"task": "fill-mask"}, ("[MASK] where a word is to be guessed",)),
        (
            {"task": "text-classification", "labels": list("abcdefgh")},
            ("(a, b, c, d, e, f and 2 more)", "Write a text;"),
        ),
        ({"task": "text-classification", "pairs": True}, ("two texts, each on a line",)),
    ],
)
async def test_what_a_model_takes_is_said_before_the_first_text(
    chatting: Any, make_run: Any, about: dict[str, Any], words: tuple[str, ...]
) -> None:
    run = fake(make_run(GEN, model=True), **about)
    async with chatting() as chat:
        await chat.open(run)
        await chat.ready()
        await chat.sees(*words, "● ready", "1,234 parameters", "cpu")


async def test_a_worker_that_is_killed_is_said_and_enter_begins_anew(chatting: Any, started: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("one")
        await chat.types("kill", settle=False)
        await chat.sees("✗ worker ended", "signal 9", "Perhaps the machine ran out of memory.", "begins anew")
        await chat.types("", settle=True)
        await chat.types("two")
        await chat.sees("tuned [3] two", "● ready")
        await chat.types("die", settle=False)
        await chat.sees("exit code 7", "something broke")
        await chat.types("three")
        await chat.sees("tuned [5] three")
        assert len(started.clients) == 3


async def test_memory_that_runs_out_is_one_failed_answer(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("memory")
        await chat.sees("✗ ", "/set max_new_tokens=32", "● ready")
        await chat.types("one")
        await chat.sees("tuned [1] one")


async def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again(chatting: Any, gen: Path) -> None:
    (gen / "broken").write_text("the base model tiny/none is gone", encoding="utf-8")
    async with chatting() as chat:
        await chat.open(gen)
        await chat.sees("✗ cannot be loaded", "✗ the base model tiny/none is gone", "Mend it. Enter tries again.")
        (gen / "broken").unlink()
        await chat.types("")
        await chat.sees("● ready")


async def test_a_worker_that_cannot_be_started_leaves_the_app_alive(chatting: Any, gen: Path) -> None:
    def nowhere(arguments: Any, *, on_end: Callable[[], None]) -> WorkerClient:
        return WorkerClient(arguments, ("/nonexistent/python",), on_end)

    async with chatting(connect=nowhere) as chat:
        await chat.open(gen)
        await chat.sees("✗ worker ended", "nonexistent")
        await chat.types("one", settle=False)
        await chat.until(lambda: chat.session.exchanges and chat.session.exchanges[0].over)


async def test_a_run_of_a_newer_hftune_is_said(chatting: Any, make_run: Any) -> None:
    run = fake(make_run(GEN, model=True, schema=99))
    async with chatting() as chat:
        await chat.open(run)
        await chat.sees("written by a newer hftune")


async def test_a_text_that_is_too_long_for_a_request_says_so(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        chat.screen.take_text("x" * 1_100_000)
        await chat.ready()
        await chat.sees("Send a shorter text", "(1,100,000 characters in all)")


async def test_a_text_cut_for_the_model_is_said(chatting: Any, cls: Path, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(cls)
        await chat.types("cut it")
        await chat.sees("the text has 90 tokens")
        await chat.open(gen)
        await chat.types("note")
        await chat.sees("! the beginning did not fit")


async def test_too_many_waiting_texts_stay_in_the_prompt(chatting: Any, gen: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("hftune_tui.asking.MAX_WAITING", 2)
    (gen / "hold").touch()
    async with chatting() as chat:
        await chat.open(gen)
        for text in ("one", "two", "three"):
            await chat.types(text, settle=False)
        await chat.sees("✗ 2 texts wait for their answer")
        assert chat.screen.prompt.text == "three" and len(chat.session.exchanges) == 2
        (gen / "hold").unlink()


async def test_hostile_words_of_a_model_are_drawn_as_words(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("hostile")
        assert "red [bold]not bold[/bold] txt.exe [@click=app.quit]x[/]" in chat.shown()
        assert not set(chat.shown()) & set("\x1b\x07\u202e")
        await chat.body("m")
        await chat.until(lambda: "not bold" in chat.shown() and "Heading" not in chat.shown())
        assert not set(chat.shown()) & set("\x1b\x07\u202e")


async def test_a_terminal_that_is_too_small_has_one_line(chatting: Any, gen: Path) -> None:
    async with chatting(size=(60, 10)) as chat:
        await chat.open(gen)
        await chat.sees("chat › gen-a1b2", "needs 80x20")
        await chat.pilot.resize_terminal(80, 20)
        await chat.ready()
        await chat.types("one")
        await chat.sees("tuned [1] one")


# What is asked and what is shown of it


async def test_text_from_another_place_is_asked_here(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen, ask="from elsewhere")
        await chat.ready()
        await chat.sees("› from elsewhere", "tuned [1] from elsewhere", "12.5 tokens/s", "first after 0.25 s", "seed 7")
        assert chat.app.focused is not None and chat.app.focused.id == "prompt"


async def test_a_step_can_be_asked_for_and_one_that_is_not_there_names_the_others(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen, step=10)
        await chat.types("one")
        await chat.sees("gen-a1b2@10", "step 10 [1] one")
        await chat.types("/temp 0")
        await chat.types("/chat gen-a1b2@10 --top-p 0.5")
        await chat.types("/chat gen-a1b2@15 --top-p 0.9")
        await chat.sees("no checkpoint of step 15", "There are those of 20, 10.")
        assert (chat.session.decoding.temperature, chat.session.decoding.top_p) == (0, 0.5)
        await chat.open(gen)  # what was chosen stays
        assert chat.session.main.target == Target(gen, 10)


async def test_pairs_and_probabilities(chatting: Any, make_run: Any) -> None:
    run = fake(make_run(CLS, model=True), task="text-classification", pairs=True)
    async with chatting() as chat:
        await chat.open(run)
        await chat.pilot.press(*"one", "ctrl+j", *"two", "enter")
        await chat.ready()
        await chat.sees("› one", "  two", "negative █", "0.803   margin 0.606")
        await chat.types("alone")
        await chat.sees("✗ this model takes two texts at a time")


async def test_regression_and_masked_words(chatting: Any, make_run: Any) -> None:
    value = fake(make_run(CLS, model=True), task="text-classification", problem_type="regression", labels=["score"])
    masked = fake(make_run(GEN, model=True), task="fill-mask")
    async with chatting() as chat:
        await chat.open(value)
        await chat.types("how good")
        await chat.sees("3.25")
        await chat.open(masked)
        await chat.types("a [MASK] film")
        await chat.sees("good █", "坏")


async def test_an_answer_is_drawn_while_it_comes_on_the_timer_and_esc_stops_it(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.ready()
        shows = 0
        transcript = chat.screen.query_one(Transcript)
        real = transcript.show

        def counted(items: Any) -> None:
            nonlocal shows
            shows += 1
            real(items)

        transcript.show = counted  # type: ignore[method-assign]
        await chat.types("slow", settle=False)
        await chat.types("later", settle=False)
        await chat.sees("word word", "writing · ", "1 waits · Esc stops", "◐ answering")
        answer = chat.session.exchanges[0].answers[0]
        begun, drawn_before, tokens_before = time.monotonic(), shows, answer.tokens
        await chat.until(lambda: answer.tokens > tokens_before + 100)
        assert shows - drawn_before <= (time.monotonic() - begun) / 0.05 + 2
        await chat.pilot.press("escape")
        await chat.ready()
        assert [one.answers[0].state for one in chat.session.exchanges] == ["stopped", "stopped"]
        await chat.sees("stopped", "● ready")
        assert chat.app.place is chat.screen


async def test_esc_outside_the_prompt_stops_then_closes_finding_then_goes_back(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("slow", settle=False)
        await chat.until(lambda: chat.session.exchanges[0].answers[0].tokens)
        await chat.body("escape")
        await chat.ready()
        await chat.body("f", *"slow", "enter", "escape")
        assert chat.app.place is chat.screen and not chat.screen.query_one(Transcript).looked_for
        await chat.pilot.press("escape")
        await chat.pilot.pause()
        assert chat.app.place.NAME == "watch" and chat.app.run_here == gen


async def test_an_empty_text_lets_a_text_go_on_and_means_nothing_else(chatting: Any, make_run: Any) -> None:
    run = fake(make_run(GEN, model=True), style="text")
    async with chatting() as chat:
        await chat.open(run)
        await chat.ready()
        await chat.types("")
        await chat.sees("! write a text to ask")
        await chat.types("one")
        await chat.types("")
        assert chat.session.exchanges[1].answers[0].text == "tuned [3] "


async def test_a_long_answer_and_a_thousand_lines_do_not_hold_the_screen(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("long")
        await chat.sees("… 900,000 characters more")
        await chat.types("lines 3000")
        await chat.sees("line 2999")
        await chat.pilot.press("pageup")
        await chat.pilot.pause()
        assert "line 2999" not in chat.shown() and "line 29" in chat.shown()
        await chat.pilot.press("pagedown", "pagedown")
        await chat.sees("line 2999")
        await chat.body("g", "j", "j", "k", "G")
        assert chat.screen.query_one(Transcript).at_end


# Keys


async def test_b_asks_the_base_beside_and_no_longer(chatting: Any, gen: Path) -> None:
    async with chatting(size=(120, 30)) as chat:
        await chat.open(gen)
        await chat.ready()
        await chat.body("b")
        await chat.types("one")
        await chat.sees("gen-a1b2 beside base of gen-a1b2")
        assert any("tuned [1] one" in line and "base [1] one" in line for line in chat.shown().split("\n"))
        await chat.pilot.resize_terminal(80, 24)
        await chat.sees("base [1] one")
        assert not any("tuned [1] one" in line and "base [1] one" in line for line in chat.shown().split("\n"))
        await chat.body("b")
        await chat.types("two")
        await chat.sees("is not asked any more", "tuned [3] two")
        assert chat.session.beside is None


async def test_a_base_that_is_gone_is_said_and_the_first_model_goes_on(chatting: Any, gen: Path) -> None:
    (gen / "broken-base").write_text("the model it began from is gone", encoding="utf-8")
    async with chatting() as chat:
        await chat.open(gen)
        await chat.body("b")
        await chat.sees("✗ base of gen-a1b2 cannot be asked: the model it began from is gone", "Mend it.")
        await chat.types("one")
        await chat.sees("tuned [1] one")


async def test_v_chooses_another_checkpoint_the_base_or_another_run(chatting: Any, gen: Path, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("one")
        await chat.body("v")
        await chat.sees("gen-a1b2@20", "gen-a1b2@10", "base of gen-a1b2", "cls-c3d4")
        await chat.pilot.press("escape")
        await chat.body("v", "down", "enter")
        await chat.types("two")
        await chat.sees("now gen-a1b2@10", "step 10 [3] two")
        await chat.body("v", *"base", "enter")
        await chat.types("three")
        await chat.sees("base [5] three")
        await chat.body("b")
        await chat.sees("! this is the base model itself")
        await chat.body("v", *"cls", "enter")
        await chat.types("four")
        await chat.sees("chat › cls-c3d4", "negative █")
        assert chat.app.run_here == cls


async def test_y_copies_the_last_answer_whole(chatting: Any, gen: Path, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("long")
        await chat.body("y")
        assert chat.app.clipboard == "a" * 1_000_000
        await chat.open(cls)
        await chat.types("bad")
        await chat.types("/copy")
        assert chat.app.clipboard.startswith("negative █")


async def test_shift_r_and_retry_ask_again(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("one")
        await chat.body("R")
        await chat.ready()
        await chat.types("/retry")
        await chat.sees("once more:")
        assert [one.answers[0].text for one in chat.session.exchanges] == ["tuned [1] one"] * 3


async def test_m_reads_answers_as_markdown_while_they_come(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("markdown")
        await chat.sees("# Heading", "- one")
        await chat.body("m")
        await chat.until(lambda: "• one" in chat.shown() and "# Heading" not in chat.shown())
        await chat.types("slow", settle=False)
        await chat.sees("word word word")
        await chat.pilot.press("escape")
        await chat.ready()
        await chat.types("lines 200")
        await chat.sees("line 199")
        await chat.pilot.press("pageup")
        await chat.until(lambda: "line 199" not in chat.shown())
        view = chat.screen.query_one(MarkdownView)
        await chat.body("g")
        await chat.until(lambda: view.scroll_offset.y == 0)
        await chat.body("j", "j", "k")
        await chat.until(lambda: view.scroll_offset.y == 1)
        await chat.body("G")
        await chat.until(lambda: view.scroll_offset.y == view.max_scroll_y and "line 199" in chat.shown())
        await chat.body("f")
        await chat.sees("! words are found in answers as they are")
        await chat.types("memory")
        await chat.body("m")
        await chat.sees("/set max_new_tokens=32")
        assert not chat.screen.query_one(MarkdownView).children


async def test_markdown_is_for_models_that_write(chatting: Any, make_run: Any) -> None:
    async with chatting() as chat:
        await chat.open(fake(make_run(GEN, model=True), task="fill-mask"))
        await chat.ready()
        await chat.body("m")
        await chat.sees("! Markdown is for a model that writes: gen-a1b2 does not")


async def test_f_finds_and_n_goes_on(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        for text in ("needle one", "hay", "needle two", "lines 60"):
            await chat.types(text)
        await chat.body("f")
        assert isinstance(chat.app.focused, Input)
        await chat.pilot.press(*"NEEDLE")
        await chat.sees("4 found")
        await chat.pilot.press("enter")
        await chat.sees("4 of 4", "needle two")
        await chat.pilot.press("n", "n", "n")
        await chat.sees("1 of 4", "needle one")
        await chat.pilot.press("N")
        await chat.sees("2 of 4")
        await chat.body("f")
        await chat.pilot.press(*"zzz", "enter")
        await chat.sees("found nowhere")
        await chat.pilot.press("f", "escape")
        await chat.pilot.pause()
        await chat.pilot.press("n")
        await chat.sees("! f first says what is to be found")


# Commands


async def test_set_and_temp_change_what_comes_next_and_set_alone_shows_it(chatting: Any, gen: Path, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("/set top-k=7")
        await chat.sees("top_k = 7 from the next answer on", "ready · temperature 0.8 · top_p 0.95 · top_k 7")
        await chat.types("/temp 0")
        await chat.types("one")
        await chat.sees("greedy")
        await chat.types("/set stop ###")
        await chat.types("/set")
        await chat.sees("temperature = 0.0", "stop = '###'", "seed = left to the model")
        await chat.types("/set temprature=1")
        await chat.sees("✗ decoding has no setting 'temprature'", "temperature")
        await chat.types("/temp hot")
        await chat.sees("✗ temperature: 'hot' is not a number")
        await chat.types("/set top_p=7")
        await chat.sees("✗ top_p")
        await chat.open(cls)
        await chat.ready()
        await chat.types("/temp 1")
        await chat.sees("this model writes nothing")


async def test_reset_forgets(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("one")
        await chat.types("/reset")
        await chat.types("two")
        await chat.sees("forgotten", "tuned [1] two")


async def test_beside_takes_the_base_a_step_or_a_run(chatting: Any, gen: Path, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.ready()
        for what, target in (("base", Target(gen, base=True)), ("10", Target(gen, 10)), ("@20", Target(gen, 20)),
                             ("cls-c3d4", Target(cls)), ("gen-a1b2@10", Target(gen, 10))):  # fmt: skip
            await chat.types(f"/beside {what}")
            assert chat.session.beside.target == target
        await chat.types("/beside")
        assert chat.session.beside is None
        for what, words in (("", "/beside base asks a second one"), ("15", "There are those of 20, 10"),
                            ("none", "no run 'none'"), ("gen-a1b2", "is what is asked already")):  # fmt: skip
            await chat.types(f"/beside {what}")
            await chat.sees("✗ ", words)


async def test_save_and_load(chatting: Any, gen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with chatting() as chat:
        chat.app.go("chat")
        await chat.pilot.pause()
        await chat.types("/save", settle=False)
        await chat.sees("✗ there is no conversation to save")
        await chat.open(gen, step=20)
        await chat.types("one")
        await chat.types("/save")
        await chat.sees("saved: gen-a1b2-chat.json")
        await chat.types("/save")
        await chat.sees("saved: gen-a1b2-chat-2.json")
        await chat.types("two")
        await chat.types("/save gen-a1b2-chat-2.json")
        await chat.sees("is there already")
        await chat.pilot.press("n")
        await chat.types(f"/save {gen}/chat.json")
        await chat.sees("✗ run folders are for training alone")
        await chat.types(f"/save {tmp_path}")
        await chat.sees("is a folder")
        await chat.types("/load gen-a1b2-chat.json")
        await chat.until(lambda: len(chat.session.exchanges) == 1)
        await chat.types("three")
        await chat.sees("step 20 [1] one", "step 20 [3] three")
        await chat.types("/load nowhere.json")
        await chat.sees("✗ nowhere.json cannot be read")
        await chat.types("/save gen-a1b2-chat-2.json")
        await chat.sees("is there already")
        await chat.pilot.press("y")
        await chat.sees("saved: gen-a1b2-chat-2.json")
        record = json.loads(Path("gen-a1b2-chat-2.json").read_text())
        assert [one["text"] for one in record["transcript"]] == ["one", "three"]
        assert record["saved"] == "2027-01-15T08:00:00Z" and {one.name for one in gen.iterdir()} == FILES


FILES = {"state.json", "recipe.yaml", "fake.json", "checkpoints", "model"}


async def test_commands_of_the_chat_from_another_place_act_here(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        chat.app.run_here = gen
        chat.app.execute("/temp 0")
        await chat.until(lambda: chat.app.place.NAME == "chat")
        await chat.ready()
        assert chat.session.decoding.temperature == 0


async def test_brackets_change_the_run(chatting: Any, gen: Path, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.ready()
        await chat.body("right_square_bracket" if chat.app.store.rows[1].path == gen else "left_square_bracket")
        await chat.ready()
        assert chat.session.main.target == Target(cls)
        assert Notice("now cls-c3d4") in chat.session.items


async def test_what_is_idle_is_not_drawn_again(chatting: Any, gen: Path) -> None:
    async with chatting() as chat:
        await chat.open(gen)
        await chat.types("one")
        drawn = 0

        def counted(*_: Any) -> None:
            nonlocal drawn
            drawn += 1

        chat.screen.query_one(Transcript).show = counted  # type: ignore[method-assign]
        chat.screen._say_phase = counted  # type: ignore[method-assign]
        for _ in range(5):
            chat.screen.update_now()
        assert drawn == 0
        chat.session.say("something")
        chat.screen.update_now()
        assert drawn == 2


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
