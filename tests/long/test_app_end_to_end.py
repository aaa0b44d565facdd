"""The app in a real terminal with real jobs: from nothing to answers, with keys alone, and over the app's death.

HFTUNE_CAPTURES=DIR draws what was shown into pictures; those in README are of such a run.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hftune.runs.reader import read_state
from hftune.runs.state import ACTIVE

from .tmux import Terminal

TRAINING_SECONDS = 1500.0  # two quiet cores take two minutes; a machine that others use takes longer
PREPARING_SECONDS = 600.0  # the model is fetched from the package index
ANSWER_SECONDS = 240.0
STEP = re.compile(r"step ([\d,]+)/")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: no terminal to look at"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    home = tmp_path / "home"
    home.mkdir()
    gone = ("OMP_NUM_THREADS", "COLUMNS", "LINES", "HFTUNE_RUNS_DIR", "TMUX", "NO_COLOR", "HF_HUB_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    captures = os.environ.get("HFTUNE_CAPTURES")
    opened = Terminal(home, {**environment, "HOME": str(home)}, Path(captures) if captures else None)
    yield opened
    opened.close()


def step_of(shown: str) -> int:
    """Return the step that the screen shows, 0 when it shows none."""
    found = STEP.search(shown)
    return int(found[1].replace(",", "")) if found else 0


def header_says(status: str, recipe: str) -> re.Pattern[str]:
    """Return what the first line is when a run of `recipe` has `status`."""
    return re.compile(rf"^ hftune.*{recipe}-[0-9a-f]{{4}}  \S+ {status}")


def ask(terminal: Terminal, text: str) -> None:
    """Go to Chat with `c`, and send a text."""
    terminal.send("c")
    terminal.until(lambda shown: re.search("chat .* ready", shown.splitlines()[0]) is not None, ANSWER_SECONDS)
    terminal.write(text)
    terminal.send("Enter")


def test_a_terminal_can_be_opened_at_once_after_another_was_killed(terminal: Terminal) -> None:
    for _ in range(100):  # a server on its way out took one session in some hundred
        terminal.kill(terminal.open("sleep", "1000"))


def test_an_answer_is_explained_by_one_method_after_another(terminal: Terminal, full_run: Path) -> None:
    text = "the film was wonderful but the plot was boring"
    terminal.open(sys.executable, "-m", "hftune", "tui", str(full_run.parent))
    terminal.until("tiny", 60)
    ask(terminal, text)
    shown = terminal.until("integrated gradients · ", ANSWER_SECONDS)
    marked = [line.strip() for line in shown.splitlines() if re.search(r"[\[{]\w+[\]}]", line)]
    assert [line.translate(str.maketrans("", "", "[]{}")) for line in marked] == [text]
    named = re.findall(r"(\w+) ([+-]\d\.\d\d\d*)", shown)
    assert re.search("toward (negative|positive): ", shown) and {word for word, _ in named} <= set(text.split())
    terminal.keep("explained", "why the classifier answered so")

    terminal.send("Tab", "m")  # Escape and m in one breath would be alt+m to a terminal
    terminal.until("LIME · ", ANSWER_SECONDS)
    terminal.send("t")
    shown = terminal.until("how far to believe it", 60)
    assert "LIME   Esc closes" in shown and "deletion↓ insertion↑" in shown
    assert all(re.search(rf"^  {word} +[+-]\d\.\d\d\d  [█░]", shown, re.MULTILINE) for word in text.split())
    terminal.keep("explained-table", "all words with their numbers")
    terminal.send("Escape")
    terminal.until("LIME · ", 30)


def test_from_nothing_to_answers_over_the_death_of_the_app(terminal: Terminal, tmp_path: Path) -> None:
    runs = tmp_path / "home" / "runs"
    app = (sys.executable, "-m", "hftune")
    pid = terminal.open(*app)
    terminal.until("No runs yet. Press Enter to train your first model.", 60)
    terminal.until(lambda shown: "cores" in shown and "found)" in shown, 60)
    terminal.keep("first-launch", "hftune")
    terminal.send("Enter")
    before = step_of(terminal.until(lambda shown: step_of(shown) >= 60, PREPARING_SECONDS))
    (classifier,) = runs.iterdir()

    terminal.kill(pid)
    assert read_state(classifier).status in ACTIVE, "the job outlives the app"
    terminal.open(*app)
    terminal.until(lambda shown: "bert-cls" in shown and "1 running" in shown, 60)
    terminal.send("Enter")
    terminal.until(lambda shown: step_of(shown) >= max(before + 50, 260), TRAINING_SECONDS)
    terminal.keep("watch", "the curve goes on after the app was killed")
    terminal.until(lambda shown: header_says("done", "bert-cls").search(shown) is not None, TRAINING_SECONDS)
    assert read_state(classifier).status == "done"
    terminal.keep("done", "the run is done")

    ask(terminal, "the movie was not bad, but the ending is dreadful.")
    shown = terminal.until("margin", ANSWER_SECONDS)
    assert re.search(r"negative +█.* 0\.\d+", shown) and re.search(r"positive +\S+ 0\.\d+", shown)
    terminal.until("integrated gradients · ", ANSWER_SECONDS)
    terminal.keep("classifier", "asking the classifier")

    terminal.write("/runs")  # Escape and 1 in one breath would be alt+1 to a terminal
    terminal.send("Enter")
    terminal.until("STATUS", 30)
    terminal.send("t")
    terminal.until("Review writer", 30)
    terminal.send("Down", "Enter")
    terminal.until(lambda shown: header_says("done", "gpt2-gen").search(shown) is not None, TRAINING_SECONDS)

    ask(terminal, "positive review:")
    terminal.until("tokens/s", ANSWER_SECONDS)
    terminal.keep("writer", "the review writer")

    for _ in range(8):  # its sentences are short: one of them, or one that waits, is there to be stopped
        terminal.write("negative review:")
        terminal.send("Enter")
    terminal.send("Escape")
    terminal.until(lambda shown: "stopped" in shown and "● ready" in shown, ANSWER_SECONDS)
    terminal.write("positive review:")
    terminal.send("Enter")
    terminal.until(lambda shown: "tokens/s" in shown.partition("› positive review:")[2], ANSWER_SECONDS)
