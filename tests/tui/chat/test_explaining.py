"""Explanations in the chat: made after an answer, never in the way of the next text, by any method, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hftune_tui.answers import Answer, Explanation, Target
from hftune_tui.asking import Session
from hftune_tui.methods import COUNTERFACTUAL, TITLES, WORDS
from hftune_tui.screens.dialogs import Reading
from hftune_tui.widgets.explained import explanation_rows
from textual.containers import VerticalScroll

from hftune.explainers import CHANCE, methods, registry

from .pilot import GEN, Chat, fake


def asked_for(run: Path) -> list[str]:
    """Return what the fake worker was asked to explain."""
    path = run / "explained"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def last(session: Session) -> Answer:
    return session.exchanges[-1].answers[0]


async def explained(chat: Chat) -> None:
    """Wait until the last answer has its explanation, and draw it."""
    await chat.until(lambda: (found := last(chat.session).explanation) and (found.record or found.failed))
    chat.screen.update_now()
    await chat.pilot.pause()


async def opened(chat: Chat, run: Path, *texts: str) -> None:
    """Open a classifier, ask it, and leave the prompt."""
    await chat.open(run)
    for text in texts:
        await chat.types(text)
        await explained(chat)
    await chat.body()


def test_the_methods_are_those_that_there_are() -> None:
    assert {*TITLES, CHANCE} - {COUNTERFACTUAL} == set(methods("text-classification"))
    assert all(title == registry.load(name).TITLE for name, title in TITLES.items() if name != COUNTERFACTUAL)


# The session: what is asked of the worker, and when.


@pytest.fixture
def cls_run(chat: Any, tmp_path: Path) -> Path:
    return Path(chat.fake_run(tmp_path, "cls-20260102-000000-c3d4", task="text-classification"))


def test_the_last_of_several_texts_is_explained_once_none_waits(chat: Any, session: Session, cls_run: Path) -> None:
    session.open(Target(cls_run))
    for text in ("one", "two", "three"):
        session.ask(text)
    chat.settled(session)
    chat.until(lambda: last(session).explanation and last(session).explanation.record)
    assert asked_for(cls_run) == ["integrated-gradients three"]


def test_a_model_without_gradients_is_explained_by_what_needs_none(chat: Any, session: Session, tmp_path: Path) -> None:
    about = {"task": "text-classification", "gradients": False}
    run = Path(chat.fake_run(tmp_path, "int8-20260102-000000-c3d4", **about))
    session.open(Target(run))
    session.ask("one")
    chat.settled(session)
    chat.until(lambda: last(session).explanation and last(session).explanation.record)
    session.explaining.choose("lime")
    chat.until(lambda: last(session).method == "lime" and last(session).explanation.record)
    assert asked_for(run) == ["ablation one", "lime one"]


def test_a_new_text_never_waits_for_an_explanation(chat: Any, session: Session, cls_run: Path) -> None:
    session.open(Target(cls_run))
    session.ask("endless")
    chat.until(lambda: asked_for(cls_run))
    session.ask("next")
    chat.until(lambda: len(asked_for(cls_run)) == 2 and last(session).explanation)
    first = session.exchanges[0].answers[0]
    assert first.state == "done" and not first.explanations and first.explanation is None
    chat.until(lambda: last(session).explanation.record)


@pytest.mark.parametrize("what", ["open", "beside", "restart", "resume", "close", "die", "cancel"])
def test_an_explanation_is_in_nobodys_way(
    chat: Any, session: Session, started: Any, cls_run: Path, run: Path, what: str
) -> None:
    session.open(Target(cls_run))
    answer = session.ask("endless").answers[0]
    chat.until(lambda: asked_for(cls_run))
    if what == "open":
        session.open(Target(run))
    elif what == "beside":
        session.open_beside(Target(run))
    elif what == "restart":
        session.restart()
    elif what == "resume":
        assert session.main is not None
        session.resume(session.main, None, [], {})
    elif what == "close":
        session.close()
    elif what == "die":
        started.clients[0].kill()
        chat.until(lambda: session.phase.name == "dead")
    else:
        assert session.explaining.cancel()
    if what not in ("close", "die"):
        session.ask("one")
        chat.settled(session)
        assert last(session).state == "done"
    assert answer.state == "done" and not answer.explanations


def test_what_is_there_is_not_asked_for_again(chat: Any, session: Session, cls_run: Path) -> None:
    session.open(Target(cls_run))
    session.ask("one")
    chat.until(lambda: session.exchanges[0].over)
    for method in ("lime", "", "integrated-gradients", "lime"):
        chat.until(lambda: not last(session).method or last(session).explanation.record)
        assert session.explaining.choose(method)
    assert last(session).explanation.record
    assert sorted(set(asked_for(cls_run))) == ["integrated-gradients one", "lime one"]
    assert asked_for(cls_run).count("lime one") == 1


def test_where_a_method_is_let_go_the_one_before_is_shown(chat: Any, session: Session, cls_run: Path) -> None:
    session.open(Target(cls_run))
    answer = session.ask("endless lime").answers[0]
    chat.until(lambda: answer.explanation and answer.explanation.record)
    assert session.explaining.choose("lime")
    chat.until(lambda: len(asked_for(cls_run)) == 2)
    assert answer.method == "lime"
    session.ask("next")
    assert answer.method == "integrated-gradients" and answer.explanation.record
    chat.until(lambda: last(session).method == "lime" and last(session).explanation.record)


def test_only_the_first_of_two_models_and_nothing_that_writes_is_explained(
    chat: Any, session: Session, cls_run: Path, run: Path
) -> None:
    session.open(Target(cls_run))
    session.open_beside(Target(cls_run, base=True))
    session.ask("one")
    chat.until(lambda: session.exchanges[0].over and last(session).explanation and last(session).explanation.record)
    assert not session.exchanges[0].answers[1].explanations and len(asked_for(cls_run)) == 1
    session.open(Target(run))
    assert not session.explaining.choose("lime")  # that answer is of another model
    session.ask("two")
    chat.settled(session)
    assert not last(session).explanations and not asked_for(run)


def test_two_texts_are_explained_together(chat: Any, session: Session, tmp_path: Path) -> None:
    run = chat.fake_run(tmp_path, "pair-20260102-000000-c3d4", task="text-classification", pairs=True)
    session.open(Target(run))
    session.ask("one\n\ntwo")
    chat.until(lambda: session.exchanges[0].over and last(session).explanation and last(session).explanation.record)
    assert last(session).explanation.record["text"] == "one\ntwo"


# The screen: what is shown, keys, commands.


async def test_words_are_marked_named_and_believed_or_not(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls, "not bad but dreadful .")
        await chat.sees(
            "[not] [bad] but {dreadful} {.}",
            "toward negative: not +0.90 · bad +0.50 toward positive: . -0.70 · dreadful -0.30",
            "integrated gradients · better than 5 of 5 random orders",
            "m Method  t Table  b Base",
        )
        assert chat.session.phase.name == "ready"


async def test_m_goes_through_the_methods_and_keeps_what_is_there(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls, "not bad")
        shown = ("LIME · no better than chance here: do not believe it", "SHAP · better than 5 of 5", "ablation · ",
                 "it would have been positive 0.710 'not' → 'good', without 'not'")  # fmt: skip
        for words in shown:
            await chat.body("m")
            await explained(chat)
            await chat.sees(words)
        await chat.body("m")
        await chat.sees("· answers are not explained: m or /explain")
        await chat.until(lambda: "would have been" not in chat.shown() and "toward" not in chat.shown())
        await chat.types("unexplained")
        await chat.body("t")
        await chat.sees("! there is no explanation")
        await chat.body("m")
        await chat.sees("explained by integrated gradients")
        await explained(chat)
        await chat.body("m", "m", "m", "m", "m", "m")
        await explained(chat)
        texts = [line.split(" ", 1)[1] for line in asked_for(cls)]
        assert texts.count("not bad") == 5 and texts.count("unexplained") <= 5


async def test_m_before_the_first_text_is_for_those_to_come(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls)
        await chat.ready()
        await chat.body("m")
        await chat.sees("explained by LIME from the next answer on")
        await chat.types("one film")
        await explained(chat)
        await chat.sees("LIME · no better than chance")
        assert asked_for(cls) == ["lime one film"]


@pytest.mark.parametrize("kind", ["regression", "multi_label_classification"])
async def test_m_leaves_out_what_the_model_has_not(chatting: Any, make_run: Any, kind: str) -> None:
    run = fake(make_run(GEN, model=True), task="text-classification", problem_type=kind, labels=["score", "b", "c"])
    async with chatting() as chat:
        await opened(chat, run, "how good is it")
        await chat.sees(f"{'more' if kind == 'regression' else 'toward'} score: how +0.90",
                        f"{'less' if kind == 'regression' else 'against'} score: it -0.30")  # fmt: skip
        await chat.body("m", "m", "m", "m")
        await chat.sees("answers are not explained")


async def test_t_opens_all_words_with_their_numbers_and_esc_closes(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls, " ".join(f"word{number}" for number in range(30)))
        await chat.body("t")
        assert isinstance(chat.app.screen, Reading)
        await chat.sees("integrated gradients Esc closes", "negative 0.803; + speaks for it", "word25", "+0.900")
        assert all(len(line) <= 80 for line in chat.shown().split("\n"))
        scroll = chat.app.screen.query_one(VerticalScroll)
        await chat.pilot.press(*["pagedown"] * 5)
        await chat.until(lambda: scroll.scroll_offset.y == scroll.max_scroll_y)
        await chat.sees("how far to believe it", "chance (mean)", "Better than 5 of 5 random orders.")
        await chat.pilot.press("escape")
        await chat.pilot.pause()
        await chat.types("/explain counterfactual")
        await explained(chat)
        await chat.body("t")
        await chat.sees("counterfactuals Esc closes", "it would have been", "good word0 word1")


async def test_t_says_why_there_is_no_table(chatting: Any, cls: Path, gen: Path, make_run: Any) -> None:
    async with chatting() as chat:
        await chat.open(cls)
        await chat.types("endless")
        await chat.sees("… explaining: integrated-gradients: words")
        await chat.body("t")
        await chat.sees("! the explanation is being made")
        await chat.open(gen)
        await chat.types("one film")
        await chat.body("t")
        await chat.sees('! only labels are explained here: /explain "PROMPT"')
        await chat.open(fake(make_run("mask-20260103-000000-e5f6", model=True), task="fill-mask"))
        await chat.ready()
        await chat.body("t")
        await chat.sees("! mask-e5f6 gives no labels")


async def test_esc_stops_an_explanation_and_leaves_the_prompt_first(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await chat.open(cls)
        await chat.types("endless")
        await chat.sees("… explaining")
        await chat.pilot.press("escape")
        await chat.pilot.pause()
        assert chat.app.focused is not chat.screen.query_one("#prompt") and last(chat.session).explanation
        await chat.pilot.press("escape")
        await chat.sees("· stopped")
        await chat.until(lambda: "… explaining" not in chat.shown())
        assert chat.app.place is chat.screen and not last(chat.session).explanations


async def test_what_is_missing_is_one_quiet_line_once(chatting: Any, cls: Path) -> None:
    (cls / "no-captum").write_text("explanations need captum", encoding="utf-8")
    async with chatting() as chat:
        await opened(chat, cls, "one film")
        await chat.sees("not explained: explanations need captum · pip install 'hftune[explain]'")
        assert "✗" not in chat.shown()
        await chat.types("two")
        await chat.until(lambda: len(asked_for(cls)) == 2 and not last(chat.session).explanations)
        chat.screen.update_now()
        await chat.pilot.pause()
        assert chat.shown().count("not explained") == 1
        (cls / "no-captum").unlink()
        await chat.types("/explain")
        await explained(chat)
        await chat.sees("› two", "[two]")


async def test_a_text_without_a_word_and_numbers_that_are_none_say_so(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls, "wordless")
        await chat.sees("not explained: there is no word to explain · Give a text.")
        await opened(chat, cls, "nan")
        await chat.sees("not explained: what the model answers are no numbers")
        await opened(chat, cls, "cut")
        await chat.sees("! only the first 64 of 90 tokens are explained")


async def test_explain_names_a_method_or_off(chatting: Any, cls: Path) -> None:
    async with chatting() as chat:
        await opened(chat, cls, "sure")
        for words, seen in (("shap", "SHAP · one word"), ("counterfactual", "no text with up to three changed words"),
                            ("LIME", "LIME · one word")):  # fmt: skip
            await chat.types(f"/explain {words}")
            await explained(chat)
            await chat.sees(seen)
        await chat.types("/explain off")
        await chat.sees("answers are not explained")
        assert not last(chat.session).method
        await chat.types("/explain lmie")
        await chat.sees("✗ no method 'lmie'", "'lime'")
        await chat.types("/explain")
        await chat.sees("explained by integrated gradients")


async def test_what_is_copied_and_saved_is_the_answer(
    chatting: Any, cls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with chatting() as chat:
        await opened(chat, cls, "one film")
        await chat.body("y")
        assert "toward" not in chat.app.clipboard and "negative █" in chat.app.clipboard
        await chat.types("/save talk.json")
        await chat.sees("saved: talk.json")
        assert "explan" not in json.dumps(json.loads((tmp_path / "talk.json").read_text()))
        await chat.types("/load talk.json")
        await chat.sees("goes on")
        await chat.ready()
        await chat.types("/explain shap")
        await explained(chat)
        await chat.sees("SHAP · better than 5 of 5 random orders")


async def test_hostile_words_are_marked_as_words(chatting: Any, cls: Path) -> None:
    from .fake_worker import HOSTILE

    async with chatting() as chat:
        await chat.open(cls)
        await chat.ready()
        chat.screen.take_text(HOSTILE)
        await explained(chat)
        await chat.sees("[red] [[bold]not] bold[/bold]", "{[@click=app.quit]x[/]}")
        await chat.body("t")
        await chat.sees("[bold]not")
        assert not set(chat.shown()) & set("\x1b\x07\u202e")


def test_small_values_have_digits_that_are_not_zero() -> None:
    record = {"text": "a b", "label": "x", "words": ["a", "b"], "spans": [(0, 1), (2, 3)], "notes": [], "best": None,
              "methods": [{"method": "lime", "title": "LIME", "values": [0.00123, -0.0004]}]}  # fmt: skip
    answer = Answer("main", "bert", {}, prediction={"probabilities": {"x": 0.5, "y": 0.5}}, method="lime")
    answer.explanations["lime"] = Explanation("lime", record)
    rows = ["".join(words for words, _ in row) for row in explanation_rows(answer, 76)]
    assert rows[:2] == ["[a] {b}", "toward x: a +0.0012   toward y: b -0.0004"]


async def test_a_long_text_is_marked_in_its_first_rows(chatting: Any, cls: Path) -> None:
    async with chatting(size=(100, 50)) as chat:
        await opened(chat, cls, "palaver " * 400 + "这部电影的结尾非常糟糕")
        await chat.sees("… t shows all words")
        assert sum("palaver" in line for line in chat.shown().split("\n")) < 30


def test_the_words_of_explain_are_told_from_a_text_and_completed(opened_commands: Any) -> None:
    read = opened_commands.read
    assert [read(f"/explain {words}").arguments.method for words in ("", "Lime", "off")] == ["", "lime", "off"]
    for words in ('"a good film"', "dreadful", "--method lime", 'here "a film" --method shap'):
        assert "run" in read(f"/explain {words}").arguments
    found: Sequence[str] = [one.text for one in opened_commands.complete("/explain ")]
    assert tuple(found[: len(WORDS)]) == WORDS and "latest" in found
    assert opened_commands.complete("/explain sh")[0].text == "shap"
    assert "off: how the chat explains" in opened_commands.describe("explain")


@pytest.fixture
def opened_commands(tmp_path: Path) -> Any:
    from hftune_tui.commands import Commands

    return Commands(tmp_path, lambda: ["here"], lambda: tmp_path / "run", list)
