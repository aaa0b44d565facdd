"""argv -> a command, errors -> one short block and an exit code."""

import io
import json
import os
import subprocess
import sys

import pytest

from hftune import __version__, cli
from hftune.commands import runs
from hftune.errors import EXIT_FAILED, HftuneError, Problem, RecipeError, RunLockedError
from hftune.output import Output
from hftune.verbs import VERBS, find


def raising(monkeypatch, error):
    def execute(arguments, output):
        raise error

    monkeypatch.setattr(runs, "execute", execute)


def test_help_lists_every_shown_verb_and_no_hidden_one(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run(["--help"])
    assert caught.value.code == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert {verb.name for verb in VERBS if not verb.hidden} <= listed
    assert not {verb.name for verb in VERBS if verb.hidden} & listed


def test_no_arguments_is_help_and_no_failure(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run([])
    assert caught.value.code == 0 and "usage: hftune" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_a_command_module_and_help(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run([verb, "--help"])
    assert caught.value.code == 0 and "usage: hftune" in capsys.readouterr().out
    assert find(verb).module == "hftune.commands." + verb.replace("-", "_")


def test_a_misspelt_command_suggests(capsys):
    assert cli.run(["resum"]) == 2
    assert "'resume'" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["run"], ["runs", "--nothing"], ["--nothing"], ["run", "x", "--processes", "two"]])
def test_bad_usage_exits_2_with_one_short_block(argv, capsys):
    assert cli.run(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("hftune: ") and len(error.splitlines()) == 2


@pytest.mark.parametrize("error", [HftuneError("it broke", "mend it"), RunLockedError("in use", "wait")])
def test_errors_are_a_sentence_a_hint_and_an_exit_code(monkeypatch, capsys, error):
    raising(monkeypatch, error)
    assert cli.run(["runs"]) == error.exit_code
    assert capsys.readouterr().err == f"hftune: {error.message}\n  {error.hint}\n"


def test_json_errors_are_objects_and_stderr_stays_readable(monkeypatch, capsys):
    raising(monkeypatch, RecipeError([Problem("training.seed", "no number", "0", "a.yaml", 3, 5)]))
    assert cli.run(["runs", "--json"]) == 2
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["problems"] == [
        {"key": "training.seed", "message": "no number", "hint": "0", "file": "a.yaml", "line": 3, "column": 5}
    ]
    assert "a.yaml:3:5: training.seed: no number" in captured.err


def test_what_nobody_expected_is_called_a_bug_and_debug_shows_it(monkeypatch, capsys):
    raising(monkeypatch, ZeroDivisionError("by zero"))
    assert cli.run(["runs"]) == EXIT_FAILED
    assert "bug in hftune" in capsys.readouterr().err
    assert cli.run(["runs", "--debug"]) == EXIT_FAILED
    assert "ZeroDivisionError: by zero\nhftune: " in capsys.readouterr().err


def test_debug_changes_neither_the_exit_code_nor_the_json(monkeypatch, capsys):
    raising(monkeypatch, RecipeError("no number"))
    assert cli.run(["runs", "--debug", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == 2
    assert "Traceback" in captured.err


def test_text_that_the_terminal_cannot_show_ends_nothing(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "hftune", "runs", "--runs-dir", str(tmp_path / "caf\u00e9")]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "") and "caf?" in shown.stdout
    shown = subprocess.run(
        [*command[:3], "check", "caf\u00e9", "--json"], env=environment, capture_output=True, text=True
    )
    assert json.loads(shown.stdout)["error"]["problems"][0]["file"] == "caf\u00e9"


def test_json_has_neither_nan_nor_broken_characters():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    Output(as_json=True, stdout=stream).emit({"loss": float("nan"), "text": "\udcff"})
    stream.seek(0)
    assert json.loads(stream.read(), parse_constant=pytest.fail) == {"loss": None, "text": "\udcff"}


def test_error_text_does_not_steer_the_terminal(monkeypatch, capsys):
    raising(monkeypatch, HftuneError("\x1b[2Jno file \x1b]0;x\x07named so"))
    cli.run(["runs"])
    assert capsys.readouterr().err == "hftune: no file named so\n"


def test_notes_do_not_steer_the_terminal(capsys):
    Output().note("  the template fails: \x1b]0;x\x07\x1b[2Jno role\n  second line")
    assert capsys.readouterr().err == "  the template fails: no role\n  second line\n"


def test_ctrl_c_exits_130(monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    assert cli.run(["runs"]) == 130


def test_a_reader_that_has_gone_is_no_traceback(tmp_path):
    code = "import sys\nfrom hftune.cli import main\nmain(['runs', '--runs-dir', sys.argv[1]])"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    assert child.wait(30) == EXIT_FAILED
    assert child.stderr.read() == b""
    child.stderr.close()


def test_version_and_module_start():
    shown = subprocess.run([sys.executable, "-m", "hftune", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"hftune {__version__}\n"
