"""What the app leaves behind on a terminal."""

from __future__ import annotations

from .real_terminal import Terminal


def test_an_app_that_is_terminated_gives_the_terminal_back(tmp_path, make_run):
    make_run("one-20260101-000000-000a", "done")
    app = Terminal(tmp_path)
    app.shows("one-000a")
    raw = app.terminate()
    assert raw.index("\x1b[?1049h") < raw.index("\x1b[?1049l")
    assert raw.rindex("\x1b[?1000h") < raw.rindex("\x1b[?1000l")  # the pointer is the terminal's again
