"""The slash commands of the chat: settings, asking again, forgetting, saving and loading, a model beside."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.asking.decoding import parse_setting
from hftune.errors import UsageError
from hftune.recipe.paths import expand
from hftune.runs.reader import find_run, split_step

from .answers import Target, newest_target, whole_checkpoints
from .chat_states import listed
from .commands import Line
from .saved_chat import SavedChat, read_chat, write_chat

if TYPE_CHECKING:
    from .screens.chat import ChatScreen

SHOWN_TEXT = 60


class ChatCommands:
    """Carries out the commands of one chat; raises HftuneError for what cannot be done."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen

    def obey(self, command: Line) -> None:
        """Carry out a command."""
        getattr(self, f"_{command.name}")(command.arguments)

    def _set(self, arguments: Any) -> None:
        screen, text = self._screen, (arguments.setting or "").strip()
        if not text:
            settings = screen.session.decoding.to_dict()
            screen.session.say("\n".join(f"{name} = {_shown(value)}" for name, value in settings.items()))
            return
        sign = "=" if "=" in text.split(" ")[0] else " "
        name, _, value = text.partition(sign)
        key = name.strip().replace("-", "_")
        screen.session.set({key: parse_setting(key, value.strip())})
        setting = screen.session.decoding.to_dict()[key]
        screen.say(f"{key} = {_shown(setting)} from the next answer on{self._means_nothing()}")

    def _temp(self, arguments: Any) -> None:
        arguments.setting = f"temperature={arguments.temperature}"
        self._set(arguments)

    def _means_nothing(self) -> str:
        main = self._screen.session.main
        task = main.about.get("task") if main is not None else None
        return (
            "; this model writes nothing, so it changes nothing here" if task not in (None, "text-generation") else ""
        )

    def _retry(self, _: Any) -> None:
        self._screen.session.retry()
        self._screen.to_end()

    def _reset(self, _: Any) -> None:
        self._screen.session.reset()

    def _explain(self, arguments: Any) -> None:
        self._screen.explaining.obey(arguments.method)

    def _beside(self, arguments: Any) -> None:
        session, other = self._screen.session, arguments.other
        if other is None:
            if session.beside is None:
                raise UsageError("one model is asked", hint="/beside base asks a second one.")
            session.close_beside()
            return
        if session.main is None:
            raise UsageError("there is no model yet that another could stand beside", hint="/chat RUN opens one.")
        target = self._target(other, session.main.target.run)
        if target == session.main.target:
            raise UsageError(f"{target.name} is what is asked already")
        session.open_beside(target)

    def _target(self, ref: str, here: Path) -> Target:
        """Return what a word means: `base`, a step, `@step`, or a run with a step or without."""
        if ref == "base":
            return Target(here, base=True)
        digits = ref.removeprefix("@")
        if digits.isascii() and digits.isdigit():
            return checkpoint(here, int(digits))
        name, step = split_step(ref)
        run = find_run(name, self._screen.app.runs_dir)
        if step is not None:
            return checkpoint(run, step)
        target = newest_target(run)
        if target is None:
            raise UsageError(f"{run.name} has no checkpoint yet")
        return target

    def _save(self, arguments: Any) -> None:
        screen = self._screen
        if screen.session.main is None:
            raise UsageError("there is no conversation to save")
        path = expand(arguments.file) if arguments.file else self._free_name()
        if path.resolve().is_relative_to(screen.app.runs_dir.resolve()):
            raise UsageError("run folders are for training alone", hint="Save it somewhere else: /save FILE.")
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="/save FILE takes the name of a file.")
        if path.exists():
            screen.app.ask_confirm(f"{path} is there already.\nReplace it?", "Replace it", lambda: self._write(path))
        else:
            self._write(path)

    def _free_name(self) -> Path:
        """Return a file of the folder that the app was started in, whose name is not taken."""
        main = self._screen.session.main
        assert main is not None
        name = Target(main.target.run).name
        number, path = 1, Path(f"{name}-chat.json")
        while path.exists():
            number += 1
            path = Path(f"{name}-chat-{number}.json")
        return path

    def _write(self, path: Path) -> None:
        screen = self._screen
        saved = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(screen.app.clock()))
        screen.app.in_background(
            lambda: write_chat(path, screen.session, saved),
            lambda _: screen.say(f"saved: {path}   (/load {path} goes on with it)"),
        )

    def _load(self, arguments: Any) -> None:
        screen, path = self._screen, expand(arguments.file)

        def resume(saved: SavedChat) -> None:
            screen.session.resume(saved.main, saved.beside, saved.items, saved.settings)
            screen.opened(saved.main.target.run)
            screen.say(f"{path} goes on")

        screen.app.in_background(lambda: read_chat(path), resume)


def checkpoint(run: Path, step: int) -> Target:
    """Return the checkpoint of a step; raises UsageError that names those there are."""
    steps = whole_checkpoints(run)
    if step not in steps:
        hint = f"There are those of {listed(steps)}." if steps else "It has none yet."
        raise UsageError(f"{run.name} has no checkpoint of step {step}", hint=hint)
    return Target(run, step)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return "left to the model" if value is None else str(value)[:SHOWN_TEXT]
