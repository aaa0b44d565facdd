"""Slash commands carried out: what a place does better is done there, any other verb runs as a process and is shown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError, closest
from hftune.runs.reader import find_run, read_state, split_step

from .commands import Line
from .drawing import line, pad
from .methods import EXPLAIN

if TYPE_CHECKING:
    from .app import HftuneApp
    from .jobs import Action

IN_CHAT = ("beside", "set", "temp", "retry", "reset", "save", "load")
DONE = {"stop": "stops after saving its state", "pause": "pauses after saving its state", "resume": "goes on"}


class Execution:
    """Carries out the commands of one app."""

    def __init__(self, app: HftuneApp) -> None:
        self._app = app
        self._native: dict[str, Callable[[argparse.Namespace, Line], None]] = {
            "run": self._run, "runs": lambda *_: app.go("runs"), "watch": self._watch, "chat": self._chat,
            "stop": self._change, "pause": self._change, "resume": self._change, "push": self._push,
            "recipes": self._recipes,
            "compare": self._compare, "copy": lambda *_: app.copy(app.place.copied()), "theme": self._theme,
            "file": self._file, "keys": lambda *_: app.action_keys(), "help": self._help,
            "quit": lambda *_: app.leave(),
        }  # fmt: skip

    def execute(self, command: Line) -> None:
        """Carry out a command; raises HftuneError when it cannot be."""
        if command.name in IN_CHAT or (command.name == EXPLAIN and "run" not in command.arguments):
            self._in_chat(command)
        elif command.name in self._native:
            self._native[command.name](command.arguments, command)
        else:
            self._show_output([command.name, *command.words])

    def why_not(self, what: Action, run: Path) -> str:
        """Return why a run cannot be stopped, paused or resumed now; empty when it can."""
        from . import jobs

        row = self._app.store.row(run)
        return jobs.why_not(what, row.state if row else read_state(run), run)

    def ask_run(self, what: Action, run: Path) -> None:
        """Stop, pause or resume a run, in a thread: files are written."""
        from . import jobs

        app = self._app
        if why := self.why_not(what, run):
            app.place.cannot(why)
            return

        def done(_: object) -> None:
            app.store.look_soon()
            app.place.say(f"{run.name} {DONE[what]}")

        app.in_background(lambda: getattr(jobs, what)(run), done)

    def confirm_stop(self, run: Path) -> None:
        """Stop a run after a question."""
        if why := self.why_not("stop", run):
            self._app.place.cannot(why)
            return
        question = f"Stop {run.name}?\nIt saves its state first; r resumes it."
        self._app.ask_confirm(question, "Stop it", lambda: self.ask_run("stop", run))

    def _run(self, arguments: argparse.Namespace, command: Line) -> None:
        if arguments.skip_check:  # rare, and the command line does it
            self._show_output(["run", "--detach", *command.words])
            return
        named = [f"name={json.dumps(arguments.name)}"] if arguments.name else []
        self.start(arguments.recipe, [*arguments.set, *named], arguments.processes)

    def start(self, recipe: str, overrides: list[str], processes: int = 1) -> None:
        """Start a job and watch it."""
        from . import jobs

        app = self._app
        app.place.say(f"starting {recipe}…")

        def begun(run: Path) -> None:
            app.place.say("")
            app.store.look_soon()
            app.go("watch", run=run)

        app.in_background(lambda: jobs.start(recipe, app.runs_dir, overrides, processes), begun)

    def _found(self, arguments: argparse.Namespace, ref: str | None = None) -> Path:
        return find_run(ref or arguments.run, arguments.runs_dir or self._app.runs_dir)

    def _watch(self, arguments: argparse.Namespace, _: Line) -> None:
        self._app.go("watch", run=self._found(arguments))

    def _chat(self, arguments: argparse.Namespace, command: Line) -> None:
        from hftune.asking.decoding import KINDS

        from .chat_commands import checkpoint

        ref, step = split_step(arguments.run)
        run = self._found(arguments, ref)
        if step is not None:
            checkpoint(run, step)  # one that is not there is said now, before a setting is said over it
        self._app.go("chat", run=run, step=step)
        named = [word.split("=")[0] for word in command.words if word.startswith("--")]
        for name in KINDS:
            if not any(f"--{name.replace('_', '-')}".startswith(flag) for flag in named):
                continue  # a default must not undo what /set said
            value = getattr(arguments, name, None)
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                setting = f"{name}={one}"
                self._in_chat(Line("set", (setting,), argparse.Namespace(setting=setting)))

    def _change(self, arguments: argparse.Namespace, command: Line) -> None:
        if getattr(arguments, "set", None) or getattr(arguments, "allow_inexact", False):
            self._show_output([command.name, "--detach", *command.words])
        else:
            self.ask_run(command.name, self._found(arguments))  # type: ignore[arg-type]

    def push(self, run: Path, step: int | None = None, **given: Any) -> None:
        """Open the dialog that pushes a run, or its checkpoint of `step`; raises HftuneError when there is none."""
        from .chat_commands import checkpoint
        from .pushing import Asked, why_not
        from .screens.push import PushScreen

        app = self._app
        row = app.store.row(run)
        if step is not None:
            checkpoint(run, step)
        elif why := why_not(run, row.state if row else read_state(run)):
            app.place.cannot(why)
            return
        ref = str(run.absolute()) + ("" if step is None else f"@{step}")
        app.push_screen(PushScreen(run, Asked(ref, **given)))

    def _push(self, arguments: argparse.Namespace, command: Line) -> None:
        if arguments.dry_run or arguments.output:  # nothing is sent: there is nothing to ask
            self._show_output(["push", *command.words])
            return
        for one, other in (("private", "public"), ("adapter", "merged")):
            if getattr(arguments, one) and getattr(arguments, other):
                raise UsageError(f"--{one} and --{other} at once", hint="Give either.")
        if arguments.repo and "/" not in arguments.repo:  # a run that is not there is taken for it
            names = [row.short for row in self._app.store.rows]
            hint = closest(arguments.repo, names)
            raise UsageError(f"{arguments.repo!r} is neither a run nor the OWNER/NAME of a repository", hint=hint)
        ref, step = split_step(arguments.run)
        more = [("--license", arguments.license), ("--timeout", arguments.timeout)]
        self.push(
            self._found(arguments, ref),
            step,
            repo=arguments.repo or "",
            visibility="hide" if arguments.private else "public" if arguments.public else "private",
            weights="adapter" if arguments.adapter else "merged" if arguments.merged else "",
            more=tuple(str(word) for flag, value in more if value is not None for word in (flag, value)),
        )

    def _recipes(self, _: argparse.Namespace, command: Line) -> None:
        if command.words:
            self._show_output([command.name, *command.words])
        else:
            self._app.go("recipes")

    def _compare(self, arguments: argparse.Namespace, _: Line) -> None:
        runs = [find_run(ref, self._app.runs_dir) for ref in arguments.runs]
        self._app.go("compare", **({"runs": runs} if runs else {}))

    def _theme(self, arguments: argparse.Namespace, _: Line) -> None:
        from . import themes

        if arguments.name and arguments.name not in themes.NAMES:
            raise UsageError(f"no theme {arguments.name!r}", hint=closest(arguments.name, themes.NAMES))
        self._app.use_theme(arguments.name)

    def _file(self, arguments: argparse.Namespace, _: Line) -> None:
        from .screens.my_file import MyFileScreen

        self._app.push_screen(MyFileScreen(Path(arguments.file) if arguments.file else None))

    def _help(self, arguments: argparse.Namespace, _: Line) -> None:
        from textual.content import Content

        from .screens.dialogs import Reading

        app = self._app
        if arguments.command:
            app.push_screen(Reading(arguments.command, app.commands.describe(arguments.command)))
            return
        table = app.commands.table.values()
        lines = [line((f"  {pad('/' + verb.name, 12)}", "bold $primary"), verb.help) for verb in table]
        app.push_screen(
            Reading("Commands", Content("\n").join([*lines, line(""), line("/help COMMAND says more of one.")]))
        )

    def _in_chat(self, command: Line) -> None:
        app = self._app
        if app.place.NAME != "chat":
            run = app.place.run_in_front()
            app.go("chat", **({"run": run} if run is not None else {}))
        app.call_after_refresh(app.places["chat"].obey, command)

    def _show_output(self, words: list[str]) -> None:
        from .screens.output import Command, OutputScreen

        app = self._app
        app.push_screen(OutputScreen(Command(words, app.runs_dir, max(60, min(100, app.size.width - 10)))))
