"""The settings file: what is wrong in it is said at its place, and the rest counts."""

from pathlib import Path

import pytest
from hftune_tui import settings

from hftune.errors import HftuneError

IDS = ["app.quit", "app.stop"]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "app.yaml"


def write(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return settings.read(file, IDS)


def test_a_missing_or_empty_file_changes_nothing(file):
    assert settings.read(file, IDS).problems == []
    found = write(file, "\n")
    assert (found.theme, found.keys, found.problems) == ("dark", {}, [])


def test_theme_and_keys_are_taken(file):
    found = write(file, "theme: light\nkeys: {app.quit: ctrl+x, app.stop: 7}\n")
    assert (found.theme, found.keys, found.problems) == ("light", {"app.quit": "ctrl+x", "app.stop": "7"}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theme: drak\n", "dark"),
        ("thme: dark\n", "theme"),
        ("keys: {app.qiut: x}\n", "app.quit"),
        ("keys: {app.quit: ctrl+m}\n", "ctrl+m is Enter"),
        ("keys: {app.quit: [1]}\n", "not the name of a key"),
        ("- a\n", "mapping"),
        ("theme: [\n", "app.yaml"),
        (b"\xff\xfe\x00", "app.yaml"),
    ],
)
def test_a_wrong_line_is_said_at_its_place(file, text, said):
    found = write(file, text)
    assert len(found.problems) == 1
    assert said in found.problems[0] and str(file) in found.problems[0]


def test_a_wrong_line_leaves_the_others(file):
    found = write(file, "theme: light\nkeys: {app.qiut: x, app.stop: z}\n")
    assert (found.theme, found.keys) == ("light", {"app.stop": "z"})
    assert ":2:" in found.problems[0]


def test_writing_the_theme_keeps_all_else(file):
    settings.write_theme(file, "light")
    assert settings.read(file, IDS).theme == "light"
    write(file, "# mine\nkeys: {app.stop: z}  # a reason\ntheme: dark\n")
    settings.write_theme(file, "high-contrast")
    text = file.read_text()
    assert "# mine" in text and "# a reason" in text
    assert settings.read(file, IDS).theme == "high-contrast"


def test_a_theme_that_cannot_be_written_is_said(file):
    write(file, "[1, 2\n")
    with pytest.raises(HftuneError, match="not kept"):
        settings.write_theme(file, "light")


def test_the_place_of_the_file_can_be_given(monkeypatch):
    monkeypatch.setenv(settings.FILE_VARIABLE, "/somewhere/app.yaml")
    assert settings.default_path() == Path("/somewhere/app.yaml")
    monkeypatch.delenv(settings.FILE_VARIABLE)
    assert settings.default_path().name == "app.yaml"
