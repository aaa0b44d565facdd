"""Text of others never reaches the terminal as anything but text: the app on a real pseudo-terminal, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from .conftest import evaluated, train
from .real_terminal import SEQUENCE, Terminal

# The clipboard, the window's title, a device string, a report, blinking, a reset, a bell: also with 8-bit introducers.
ATTACK = (
    "\x1b]52;c;b3duZWQ=\x07\x1b]0;owned\x1b\\\x1bPq#owned\x1b\\\x1b[6n\x1b[5m\x1bc\x07\x9d0;x\x9c\x9b5m\x90q\x9c\x0e"
)
# Colours and weights (never blinking), positions, the modes that Textual sets and asks for, the keyboard, the pointer.
OURS = re.compile(
    r"\x1b(?:\[(?!5m)[\d;]*m|\[\d+;\d+H|\[\?(?:7|25|1000|1003|1004|1006|1015|1049|2004)[hl]|\[\?(?:2026|2048)\$p"
    r"|\[(?:>25|<)u|\]22;default\x07)"
)


def fill(folder: Path, make_run: Callable[..., Path], attack: str) -> None:
    """Make runs and a recipe with `attack` in every text that others write."""
    file_name = attack.replace("/", "")
    alert = {"level": "warning", "code": f"acode{attack}", "message": f"amessage{attack}", "hint": f"ahint{attack}"}
    cls = make_run(
        f"zname{file_name}-20260103-000000-000c", "failed", reason=f"zreason{attack}", phase=f"zphase{attack}",
        host=f"zhost{attack}", metric=f"zmetric{attack}", metric_value=0.5, model=True, step=20, total_steps=500,
        log=f"zlog{attack}\n", recipe=f'name: "zrecipe{json.dumps(attack)[1:-1]}"\n',
        events=[
            ("status", {"status": "training", "reason": f"zwhy{attack}"}), ("phase", {"phase": f"zphase{attack}"}),
            *(train(step, 1.0 / step) for step in range(1, 20)),
            evaluated(10, split=f"zsplit{attack}", **{f"zfigure{attack}": 0.5}), ("alert", alert),
        ],
    )  # fmt: skip
    labels = [f"lgood{attack}", f"lbad{attack}"]
    (cls / "fake.json").write_text(json.dumps({"task": "text-classification", "labels": labels}))
    other = make_run("yother-20260102-000000-000b", "done", model=True, events=[train(step) for step in range(1, 9)])
    (other / "fake.json").write_text("{}")
    described = f'description: "fwords{json.dumps(attack)[1:-1]}"'
    (folder / f"frecipe{file_name}.yaml").write_text(
        f"name: x\n{described}\ntask: fill-mask\nmodel: a/b\ndata: {{source: c/d}}\n"
    )


def walk(folder: Path) -> str:
    """Look at every place and return what was written to the terminal."""
    app = Terminal(folder)
    app.shows("zname", "yother", "zreason")
    app.press("\r")
    app.shows("zreason", "zlog")
    app.press("l")
    app.shows("amessage", "zsplit")
    app.press("1")
    app.shows("yother")
    app.press(" ")
    app.press("j ")
    app.press("3")
    app.shows("zname", "yother", "━A")  # a curve: what the run wrote is read
    app.press("m")
    app.shows("zsplit", "zfigure")
    app.press("1")
    app.shows("zreason")
    app.press("gcwhat is it?\r")
    app.shows("lgood", "lbad", "toward lgood")
    app.press("/recipes\r")
    app.shows("frecipe")
    app.press("e")
    app.shows("fwords")
    return app.leave()


def strange(raw: str) -> list[str]:
    """Return the controls and sequences in a text that the app has no use for."""
    return [one for one in SEQUENCE.findall(raw) if not OURS.fullmatch(one)]


def test_what_others_wrote_reaches_the_terminal_as_text_alone(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    assert strange(ATTACK) == SEQUENCE.findall(ATTACK)
    fill(tmp_path, make_run, ATTACK)
    raw = walk(tmp_path)
    assert "\x1b[?1049h" in raw and "\x1b[?1049l" in raw  # all of it, from the first to the last
    assert not strange(raw)
