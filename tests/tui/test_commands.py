"""The table of slash commands: reading, completing, describing."""

from pathlib import Path

import pytest
from hftune_tui.commands import NOT_HERE, Commands

from hftune.errors import UsageError
from hftune.verbs import VERBS

SHORT = "bert-a3f1"
NAME = "bert-20260101-000000-a3f1"


@pytest.fixture
def here():
    return []


@pytest.fixture
def commands(runs, make_run, here):
    make_run(NAME)
    return Commands(
        runs,
        lambda: [SHORT],
        lambda: here[0] if here else None,
        lambda: [("bert_cls", "the classifier"), ("my file.yaml", "mine")],
        lambda name: {"name": ["dark", "light"]}.get(name, []),
    )


def texts(found):
    return [one.text for one in found]


def test_every_verb_of_the_command_line_is_a_slash_command(commands):
    shown = {verb.name for verb in VERBS if not verb.hidden} - NOT_HERE
    assert shown <= commands.table.keys()


def test_a_verb_is_read_as_on_the_command_line(commands):
    line = commands.read("/run bert_cls -s training.seed=3")
    assert (line.name, line.arguments.recipe, line.arguments.set) == ("run", "bert_cls", ["training.seed=3"])


def test_a_verb_without_a_run_means_the_run_in_front(commands, here, runs):
    with pytest.raises(UsageError, match=r"RUN\n.*/help watch shows"):
        commands.read("/watch")
    here.append(runs / NAME)
    assert commands.read("/watch").arguments.run == str(runs / NAME)
    assert commands.read('/predict "a good film"').arguments.text == ["a good film"]
    assert commands.read("/predict a3f1 fine").arguments.run == "a3f1"
    assert commands.read("/watch nothing-such").arguments.run == "nothing-such"


def test_what_is_wrong_is_said_with_the_nearest_name(commands):
    with pytest.raises(UsageError) as unknown:
        commands.read("/wacth x")
    assert "watch" in str(unknown.value)
    with pytest.raises(UsageError, match="cannot be read"):
        commands.read('/predict "never closed')
    with pytest.raises(UsageError, match="needs temperature"):
        commands.read("/temp")
    with pytest.raises(UsageError, match="takes no 'now'"):
        commands.read("/quit now")
    with pytest.raises(UsageError):
        commands.read("/run")


def test_own_commands_are_read(commands):
    assert commands.read("/set ban=a b").arguments.setting == "ban=a b"
    assert commands.read("/set").arguments.setting is None
    assert commands.read("/compare a b").arguments.runs == ["a", "b"]
    assert commands.read("/theme").arguments.name is None
    assert commands.read("/recipes").words == ()
    assert commands.read("/recipes list").arguments.subverb == "list"
    assert commands.read("/run --help").name == "help"


def test_commands_are_described(commands):
    assert "--name" in commands.describe("run")
    assert commands.describe("/temp").startswith("/temp: ")
    with pytest.raises(UsageError, match="no command 'rnu'"):
        commands.describe("rnu")


def test_completing_knows_commands_runs_recipes_flags_and_choices(commands):
    assert "/run" in texts(commands.complete("/"))
    assert texts(commands.complete("/the"))[0] == "/theme"
    assert texts(commands.complete("/watch b"))[0] == SHORT
    assert "latest" in texts(commands.complete("/chat "))
    assert "bert_cls" in texts(commands.complete("/run b"))
    assert "'my file.yaml'" in texts(commands.complete("/run "))
    assert "--plain" in texts(commands.complete("/watch x --"))
    assert texts(commands.complete("/theme l")) == ["light"]
    assert texts(commands.complete("/recipes s"))[0] in ("show", "schema")
    assert texts(commands.complete("/evaluate x --split v")) == ["validation"]
    assert commands.complete("/nothing x") == []


def test_a_candidate_says_where_it_begins(commands):
    text = "/watch b"
    one = commands.complete(text)[0]
    assert text[: one.start] + one.text == f"/watch {SHORT}"


def test_files_are_completed(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data", "my reviews.csv").touch()
    Path(".hidden").touch()
    assert texts(commands.complete("/file d")) == ["data/"]
    assert texts(commands.complete("/file data/m")) == ["'data/my reviews.csv'"]
    assert ".hidden" not in texts(commands.complete("/file "))
    assert commands.complete("/file nowhere/x") == []


def test_it_is_known_which_commands_need_more(commands, here, runs):
    assert commands.wants_more("/run")
    assert commands.wants_more("/recipes")
    assert commands.wants_more("/watch")
    here.append(runs / NAME)
    assert not commands.wants_more("/watch")
    assert not commands.wants_more("/run bert_cls")
    assert not commands.wants_more("/quit")


def test_a_home_of_nobody_holds_no_files_and_harms_nothing(commands):
    assert commands.complete("/file ~nobody-such/x") == []
