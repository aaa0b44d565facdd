"""A session asks from a thread: phases, order, stopping, two models, deaths, and no process left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hftune_tui.answers import Notice, Target, newest_target
from hftune_tui.asking import MAX_ITEMS, MAX_WAITING, Session

from hftune.asking.client import WorkerClient
from hftune.errors import UsageError


def texts(session: Session) -> list[str]:
    return [answer.text for one in session.exchanges for answer in one.answers]


def test_phases_are_told_and_texts_asked_meanwhile_are_answered_in_order(
    chat: Any, session: Session, run: Path
) -> None:
    (run / "hold").touch()
    session.open(Target(run))
    seen = [session.phase]
    chat.until(lambda: session.phase.name == "loading")
    seen.append(session.phase)
    first, second = session.ask("one"), session.ask("two")
    assert (first.answers[0].state, second.answers[0].state) == ("waiting", "waiting")
    (run / "hold").unlink()
    chat.settled(session)
    assert (seen[0].name, seen[0].seconds, seen[1].words) == ("starting", 6.0, f"loading {run.name}")
    assert texts(session) == ["tuned [1] one", "tuned [3] two"]
    answer = first.answers[0]
    assert (answer.state, answer.finish_reason, answer.tokens, answer.seed) == ("done", "length", 3, 7)
    assert (answer.tokens_per_second, answer.first_token_seconds) == (12.5, 0.25)
    assert session.main is not None and session.main.about["task"] == "text-generation"


def test_nothing_that_screens_call_waits_for_a_worker_that_does_not_read(chat: Any, run: Path) -> None:
    clients = []

    def deaf(arguments: Any, *, on_end: Callable[[], None]) -> WorkerClient:
        clients.append(WorkerClient([], (sys.executable, "-c", "import signal\nwhile True: signal.pause()"), on_end))
        return clients[-1]

    session = Session(deaf)
    begun = time.monotonic()
    session.open(Target(run))
    session.ask("x" * 500_000)  # more than a pipe holds
    session.open_beside(Target(run, base=True))
    session.stop()
    session.restart()
    session.close()
    assert time.monotonic() - begun < 1.0
    chat.until(lambda: all(not psutil.pid_exists(one.process_id) for one in clients))


def test_stop_ends_the_answer_keeps_its_text_and_withdraws_what_waits(chat: Any, session: Session, run: Path) -> None:
    session.open(Target(run))
    slow, waiting = session.ask("slow"), session.ask("later")
    chat.until(lambda: slow.answers[0].tokens > 3)
    assert session.phase.name == "answering" and slow.answers[0].tokens_per_second
    assert session.stop()
    chat.settled(session)
    assert (slow.answers[0].state, waiting.answers[0].state) == ("stopped", "stopped")
    assert slow.answers[0].text.startswith("word word") and slow.answers[0].finish_reason == "cancelled"
    assert not waiting.answers[0].text and not session.stop()
    session.ask("goes on")
    chat.settled(session)
    assert texts(session)[-1] == "tuned [3] goes on"


def test_retry_asks_with_new_settings_and_forgets_the_answer(chat: Any, session: Session, run: Path) -> None:
    session.open(Target(run))
    with pytest.raises(UsageError, match="nothing has been asked"):
        session.retry()
    session.ask("one")
    chat.settled(session)
    session.set({"temperature": 0})
    with pytest.raises(UsageError, match="top_p"):
        session.set({"top_p": 7})
    again = session.retry()
    session.ask("two")
    chat.settled(session)
    assert texts(session) == ["tuned [1] one", "tuned [1] one", "tuned [3] two"]
    assert again.again and again.answers[0].seed is None and again.answers[0].settings["temperature"] == 0
    assert session.exchanges[0].answers[0].settings["temperature"] == 0.8


def test_reset_forgets_in_its_turn(chat: Any, session: Session, run: Path) -> None:
    session.open(Target(run))
    session.ask("one")
    session.reset()
    session.ask("two")
    chat.settled(session)
    assert texts(session) == ["tuned [1] one", "tuned [1] two"]
    assert not session.goes_on()


def test_two_models_answer_one_after_the_other_and_each_keeps_its_own_history(
    chat: Any, session: Session, run: Path
) -> None:
    session.open(Target(run))
    session.ask("one")
    session.open_beside(Target(run, base=True))
    session.ask("two")
    session.ask("three")
    chat.settled(session)
    assert texts(session)[1:] == ["tuned [3] two", "base [3] two", "tuned [5] three", "base [5] three"]
    assert [one.model for one in session.exchanges[1].answers] == ["gen-a1b2", "base of gen-a1b2"]
    session.close_beside()
    session.ask("four")
    chat.settled(session)
    assert texts(session)[-1] == "tuned [7] four"
    assert Notice("base of gen-a1b2 is not asked any more") in session.items


def test_a_base_that_cannot_be_loaded_is_said_and_the_first_model_goes_on(
    chat: Any, session: Session, run: Path
) -> None:
    (run / "broken-base").write_text("the model that the run began from cannot be found any more", encoding="utf-8")
    session.open(Target(run))
    session.open_beside(Target(run, base=True))
    session.ask("one")
    chat.until(lambda: session.exchanges[0].over)
    assert session.beside is None and session.phase.name == "ready"
    assert [one.state for one in session.exchanges[0].answers] == ["done", "failed"]
    (said,) = [one for one in session.items if isinstance(one, Notice)]
    assert said.level == "error" and "cannot be found any more" in said.text and "Mend it." in said.text


def test_an_untrained_head_is_said(chat: Any, session: Session, tmp_path: Path) -> None:
    run = chat.fake_run(tmp_path, task="text-classification")
    session.open(Target(run))
    session.open_beside(Target(run, base=True))
    chat.until(lambda: session.beside is not None and session.beside.about)
    (said,) = session.items
    assert isinstance(said, Notice) and said.level == "warning" and "not trained" in said.text


def test_another_checkpoint_is_told_the_same_and_another_run_is_not(
    chat: Any, session: Session, tmp_path: Path, run: Path
) -> None:
    session.open(Target(run))
    session.ask("one")
    session.open(Target(run, 40))
    session.ask("two")
    chat.settled(session)
    session.open(Target(chat.fake_run(tmp_path, "other-20260101-000000-c3d4")))
    session.ask("three")
    chat.settled(session)
    assert texts(session) == ["tuned [1] one", "step 40 [3] two", "tuned [1] three"]
    assert [one.text for one in session.items if isinstance(one, Notice)] == ["now gen-a1b2@40", "now other-c3d4"]


def test_a_model_that_cannot_be_loaded_is_tried_again_with_the_next_text(
    chat: Any, session: Session, started: Any, run: Path
) -> None:
    (run / "broken").write_text("gen has no finished model yet", encoding="utf-8")
    session.open(Target(run))
    early = session.ask("early")
    chat.until(lambda: session.phase.name == "failed" and early.over)
    assert (session.phase.words, session.phase.hint) == ("gen has no finished model yet", "Mend it.")
    assert early.answers[0].error == "gen has no finished model yet"
    (run / "broken").unlink()
    session.ask("again")
    chat.until(lambda: session.exchanges[-1].over)
    assert texts(session)[-1] == "tuned [1] again" and len(started.clients) == 1


@pytest.mark.parametrize(
    ("asked", "words", "hint"),
    [("die", "exit code 7", "something broke"), ("kill", "signal 9", "ran out of memory")],
)
def test_a_worker_that_dies_is_a_phase_and_the_next_text_starts_it_again(
    chat: Any, session: Session, run: Path, asked: str, words: str, hint: str
) -> None:
    session.open(Target(run))
    session.ask("one")
    chat.settled(session)
    dead, after = session.ask(asked), session.ask("waits")
    chat.until(lambda: session.phase.name == "dead")
    assert words in session.phase.words and hint in session.phase.hint
    assert dead.answers[0].state == after.answers[0].state == "failed" and words in dead.answers[0].error
    session.ask("two")
    chat.settled(session)
    assert texts(session)[-1] == "tuned [3] two"  # it is told what was said before


def test_a_worker_that_dies_while_nobody_asks_is_noticed(chat: Any, session: Session, started: Any, run: Path) -> None:
    session.open(Target(run))
    chat.settled(session)
    psutil.Process(started.clients[0].process_id).kill()
    chat.until(lambda: session.phase.name == "dead")
    session.restart()
    chat.settled(session)


def test_a_frozen_worker_can_be_started_again(chat: Any, session: Session, run: Path) -> None:
    session.open(Target(run))
    frozen = session.ask("frozen")
    chat.until(lambda: frozen.answers[0].state == "asked")
    session.restart()
    assert frozen.answers[0].state == "failed" and "started again" in frozen.answers[0].error
    session.ask("one")
    chat.settled(session)
    assert texts(session)[-1] == "tuned [1] one"


def test_memory_that_runs_out_fails_one_answer_with_a_hint_for_this_app(chat: Any, session: Session, run: Path) -> None:
    session.open(Target(run))
    session.open_beside(Target(run, base=True))
    failed = session.ask("memory").answers[0]
    bug = session.ask("bug").answers[0]
    session.ask("one")
    chat.settled(session)
    assert failed.state == "failed" and "/set max_new_tokens" in failed.hint and "(b)" in failed.hint
    assert "ZeroDivisionError" in bug.error
    assert texts(session)[-1] == "base [1] one"


def test_a_worker_that_cannot_be_started_is_a_phase(chat: Any, run: Path) -> None:
    def nowhere(arguments: Any, *, on_end: Callable[[], None]) -> WorkerClient:
        return WorkerClient(arguments, ("/nonexistent/python",), on_end)

    session = Session(nowhere)
    session.open(Target(run))
    session.ask("one")
    chat.until(lambda: session.phase.name == "dead")
    assert "nonexistent" in session.phase.words and session.exchanges[0].over


def test_a_text_goes_on_with_an_empty_line_until_the_model_ends_it(chat: Any, session: Session, tmp_path: Path) -> None:
    session.open(Target(chat.fake_run(tmp_path, style="text")))
    session.ask("one")
    chat.settled(session)
    assert session.goes_on()
    session.ask("")
    session.ask("end")
    chat.settled(session)
    assert texts(session)[1] == "tuned [3] " and not session.goes_on()


def test_pairs_are_two_lines(chat: Any, session: Session, tmp_path: Path) -> None:
    session.open(Target(chat.fake_run(tmp_path, task="text-classification", pairs=True)))
    one = session.ask("a man sleeps").answers[0]
    two = session.ask("a man sleeps\nnobody sleeps").answers[0]
    chat.settled(session)
    assert "two lines" in one.hint and two.prediction is not None and two.prediction["label"] == "negative"


def test_a_transcript_and_the_texts_that_wait_are_bounded(chat: Any, session: Session, run: Path) -> None:
    for number in range(MAX_ITEMS + 10):
        session.say(str(number))
    assert len(session.items) == MAX_ITEMS and session.dropped == 10 and session.items[0] == Notice("10")
    (run / "hold").touch()
    session.open(Target(run))
    for number in range(MAX_WAITING):
        session.ask(str(number))
    with pytest.raises(UsageError, match="wait") as caught:
        session.ask("one more")
    assert "Esc" in caught.value.hint
    session.stop()
    (run / "hold").unlink()
    chat.settled(session)


def test_nothing_to_ask_is_said(session: Session) -> None:
    with pytest.raises(UsageError, match="no model to ask"):
        session.ask("one")
    with pytest.raises(UsageError, match="no model yet"):
        session.open_beside(Target(Path("x")))
    session.close_beside()
    session.restart()
    assert session.phase.name == "closed"


def test_what_can_be_asked_of_a_run_is_its_model_or_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "bert-20260101-000000-a1b2"
    assert newest_target(run) is None
    for step in (10, 20, 30):
        folder = run / "checkpoints" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        if step < 30:
            (folder / "MANIFEST.json").touch()
    found = newest_target(run)
    assert found == Target(run, 20) and found.name == "bert-a1b2@20"
    (run / "model").mkdir()
    assert newest_target(run) == Target(run) and Target(Path("odd")).name == "odd"
    assert Target(run, base=True).name == "base of bert-a1b2"


OWNER = """
import sys, time
from hftune.asking.client import WorkerClient
from hftune_tui.asking import Session
from hftune_tui.answers import Target
from pathlib import Path
clients = []
def connect(arguments, *, on_end):
    clients.append(WorkerClient(arguments, sys.argv[2:], on_end))
    return clients[-1]
session = Session(connect)
session.open(Target(Path(sys.argv[1])))
asked = session.ask("slow")
while not asked.answers[0].tokens:
    time.sleep(0.01)
print(clients[0].process_id, flush=True)
if sys.stdin.readline().strip() == "leave":
    sys.exit(0)
time.sleep(600)
"""


@pytest.mark.parametrize("killed", [False, True], ids=["leaves", "killed"])
def test_the_worker_goes_with_the_app_however_that_ends(chat: Any, run: Path, killed: bool) -> None:
    command = [sys.executable, "-c", OWNER, str(run), *chat.FAKE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None and owner.stdin is not None
        worker = int(owner.stdout.readline())
        assert psutil.pid_exists(worker)
        if killed:
            owner.kill()
        else:
            owner.stdin.write("leave\n")
            owner.stdin.flush()
            assert owner.wait(chat.SECONDS) == 0
        chat.until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)


def test_a_session_with_the_real_worker_and_a_base(chat: Any, real_generator: Path) -> None:
    session = Session()
    try:
        session.set({"temperature": 0, "max_new_tokens": 6})
        session.open(Target(real_generator))
        session.open_beside(Target(real_generator, base=True))
        asked = session.ask("the film was")
        chat.until(lambda: asked.over or session.phase.name in ("dead", "failed"), str(session.phase))
        tuned, base = asked.answers
        assert tuned.state == base.state == "done" and tuned.tokens == base.tokens == 6
        assert tuned.text != base.text
        assert tuned.seed is None and tuned.tokens_per_second is not None
    finally:
        session.close()
