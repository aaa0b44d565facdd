"""HftuneApp: the places, what they share, and the keys that act everywhere."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType

from hftune.errors import HftuneError
from hftune.figures import many

from . import themes
from .commands import Commands
from .completion import History
from .counts import kept_running
from .execution import Execution
from .machine import Machine
from .screens.base import Place
from .turns import Turns
from .watch import RunStore

if TYPE_CHECKING:
    from .jobs import Action
    from .link import Connect
    from .recipe_list import KnownRecipe

TWICE_SECONDS = 1.0  # a second ctrl+c within this quits
MACHINE_SECONDS = 2.0
BUG = "Jobs keep running; hftune opens them again. This is a bug: please report it with what hftune tui --debug prints."


def _make_place(name: str) -> Place:
    """Make a place the first time it is gone to: the first paint waits for one of them, not for all."""
    match name:
        case "runs":
            from .screens.runs import RunsScreen as Chosen
        case "watch":
            from .screens.watch import WatchScreen as Chosen  # type: ignore[assignment]
        case "compare":
            from .screens.compare import CompareScreen as Chosen  # type: ignore[assignment]
        case "chat":
            from .screens.chat import ChatScreen as Chosen  # type: ignore[assignment]
        case _:
            from .screens.recipes import RecipesScreen as Chosen  # type: ignore[assignment]
    return Chosen()


PLACES = ("runs", "watch", "compare", "chat", "recipes")


class HftuneApp(App[str]):
    """`watch`: the run to begin with. `clock` and `machine` are given by tests; `reads`: a thread reads the runs."""

    CSS_PATH = "theme.tcss"
    TITLE = "hftune"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"visit('{name}')", name.capitalize(), id=f"app.{name}")
            for number, name in enumerate(PLACES, 1)
        ),
        Binding("left_square_bracket", "step_run(1)", "the run before", id="app.older"),
        Binding("right_square_bracket", "step_run(-1)", "the run after", id="app.newer"),
        Binding("colon,ctrl+p", "palette", "everything that can be done", id="app.palette"),
        Binding("question_mark,f1", "keys", "the keys of this place", id="app.keys"),
        Binding("x", "stop_run", "stop the run (asks)", id="app.stop"),
        Binding("p", "obey_run('pause')", "pause the run", id="app.pause"),
        Binding("r", "obey_run('resume')", "resume the run", id="app.resume"),
        Binding("P", "push_run", "push the run's model to the Hub", id="app.push"),
        Binding(
            "f6", "release_mouse", "leave the mouse to the terminal, or take it back", id="app.mouse", priority=True
        ),
        Binding("ctrl+c", "interrupt", "copy; else stop the answer; twice: quit", id="app.interrupt", priority=True),
        Binding("q,ctrl+q", "quit", "quit; jobs keep running", id="app.quit"),
    ]

    def __init__(
        self,
        runs_dir: Path,
        *,
        watch: Path | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        machine: Callable[[], str] | None = None,
        connect: Connect | None = None,
        settings: Path | None = None,
        reads: bool = True,
        debug: bool = False,
    ) -> None:
        self.clock, self.monotonic = clock, monotonic
        self.runs_dir = runs_dir
        self.store = RunStore(runs_dir, clock)
        self.run_here: Path | None = watch
        self.marked: dict[Path, None] = {}  # in the order they were marked
        self.pushed_to: dict[Path, str] = {}  # by run: the repository that was named last
        self.history = History()
        self.blurred = False
        self.machine_text = ""
        self.places: dict[str, Place] = {}
        self.commands = Commands(
            runs_dir, self._run_names, lambda: self.place.run_in_front(), self._recipe_names, self._values
        )
        if watch is not None:
            self.DEFAULT_MODE = "watch"  # type: ignore[misc]
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.set_reactive(
            App.theme, "dark"
        )  # chosen later, it would have every style read twice before the first paint
        self.stylesheet.set_variables(self.get_css_variables())
        for name in PLACES:
            self.add_mode(name, partial(self._place, name))
        self._execution = Execution(self)
        self._machine = machine or Machine().text
        self._connect = connect
        self._settings_path = settings
        self._reads, self._shows_traces = reads, debug
        self._recipes: list[KnownRecipe] | None = None
        self._last_interrupt = float("-inf")
        self.turns = Turns(self, super().on_event)
        self._mouse = True

    # What places and widgets ask for.

    @property
    def place(self) -> Place:
        """The place that is shown, behind any dialog."""
        return self._place(self.current_mode)

    @property
    def connect(self) -> Connect:
        """What starts a worker process."""
        if self._connect is None:
            from hftune.asking.client import WorkerClient

            self._connect = WorkerClient
        return self._connect

    def go(self, name: str, **what: Any) -> None:
        """Show a place, and `what` in it; `run` becomes the run in front."""
        if (run := what.get("run")) is not None:
            self.run_here = run
        while len(self.screen_stack) > 1:  # a dialog of the place that is left has had its answer
            self.pop_screen()
        place = self._place(name)
        place.expect(what)
        if self.current_mode == name:
            place.take_arrival()
        else:
            self.turns.hold()
            self.switch_mode(name)

    async def on_event(self, event: events.Event) -> None:
        """Let what is typed have its turn."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.turns.take(event)
        else:
            await super().on_event(event)

    def execute(self, text: str) -> None:
        """Carry out a slash command as it was typed; what is wrong with it is said above the prompt."""
        try:
            self._execution.execute(self.commands.read(text))
        except HftuneError as error:
            self.place.fail(error)

    def in_background(self, work: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Do what may wait in a thread, and `then` what follows here; an error for people is shown."""

        def carry_out() -> None:
            try:
                result = work()
            except HftuneError as error:
                self.call_from_thread(self.place.fail, error)
            else:
                self.call_from_thread(then, result)

        self.run_worker(carry_out, thread=True, exit_on_error=False)

    def ask_confirm(self, question: str, yes: str, callback: Callable[[], None]) -> None:
        """Ask; `callback` is called when the answer is yes."""
        from .screens.dialogs import Confirm

        self.push_screen(Confirm(question, yes), lambda answer: callback() if answer else None)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard of the terminal (OSC 52, where the terminal allows it)."""
        if not text:
            self.place.cannot("there is nothing to copy")
            return
        self.copy_to_clipboard(text)
        self.place.say(f"copied {many(len(text), 'character')}")

    def recipes(self, anew: bool = False) -> list[KnownRecipe]:
        """Return the recipes of this folder, then those that ship; `anew`: look at the files again."""
        if self._recipes is None or anew:
            from .recipe_list import known_recipes

            self._recipes = known_recipes()
        return self._recipes

    # How it works.

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables of our own styles, which are read before a theme of ours is chosen."""
        return dict(themes.DARK.variables)

    def _place(self, name: str) -> Place:
        if name not in self.places:
            self.places[name] = _make_place(name)
        return self.places[name]

    def on_mount(self) -> None:
        if not self.is_headless:  # else the shell would stand on the app's screen, the keyboard still the app's
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(self.leave, asked=True))
        self._read_settings()
        self.call_after_refresh(self._look_at_machine)
        self.set_interval(MACHINE_SECONDS, self._look_at_machine)
        if self.run_here is not None:
            self.place.expect({"run": self.run_here})
        if self._reads:
            self.call_after_refresh(self.store.start)
            self.call_after_refresh(self.in_background, self.recipes)

    def on_unmount(self) -> None:
        self.store.stop()

    def _read_settings(self) -> None:
        from . import settings

        path = self._settings_path or settings.default_path()
        self._settings_path = path
        if not path.exists():
            return
        found = settings.read(path, self._binding_ids())
        self.theme = found.theme
        self.set_keymap(found.keys)
        if found.problems:
            self.call_after_refresh(lambda: self.place.say("  ".join(found.problems), "warning"))

    def _binding_ids(self) -> list[str]:
        from .keys import binding_ids

        return binding_ids([self, *(self._place(name) for name in PLACES)])

    def use_theme(self, name: str | None) -> None:
        """Change the theme (None: to the next one) and keep that in the settings file; raises HftuneError."""
        from . import settings

        following = themes.NAMES[(themes.NAMES.index(self.theme) + 1) % len(themes.NAMES)]
        self.theme = name or following
        self.place.say(f"theme: {self.theme}")
        assert self._settings_path is not None
        settings.write_theme(self._settings_path, self.theme)

    def _look_at_machine(self) -> None:
        if not self.blurred:
            self.machine_text = self._machine()

    def on_app_blur(self) -> None:
        self.blurred = self.store.blurred = True

    def on_app_focus(self) -> None:
        self.blurred = self.store.blurred = False
        self.store.look_soon()

    def _run_names(self) -> Sequence[str]:
        return [row.short for row in self.store.rows]

    def _recipe_names(self) -> list[tuple[str, str]]:
        return [(one.name, one.description) for one in self.recipes()]

    def _values(self, argument: str) -> Sequence[str]:
        """Return what an argument of the app's own commands can be."""
        if argument == "setting":
            from hftune.asking.decoding import KINDS

            return [f"{name}=" for name in KINDS]
        return {"name": themes.NAMES, "command": tuple(self.commands.table)}.get(argument, ())

    # Keys.

    def action_visit(self, name: str) -> None:
        here = self.place.run_in_front()
        self.go(name, **({"run": here} if name in ("watch", "chat") and here is not None else {}))

    def action_step_run(self, step: int) -> None:
        rows = [row.path for row in self.store.rows]
        if not rows:
            self.place.cannot("there are no runs yet")
            return
        here = self.place.run_in_front()
        place = rows.index(here) + step if here in rows else 0
        if not 0 <= place < len(rows):
            self.place.cannot("this is the oldest run" if step > 0 else "this is the newest run")
            return
        self.go(self.place.NAME if self.place.NAME in ("watch", "chat") else "watch", run=rows[place])

    def action_palette(self) -> None:
        from .keys import palette_entries
        from .screens.palette import Entry, Palette

        def do(entry: Entry | None) -> None:
            if entry is None:
                return
            if entry.ask:
                self.place.prompt.enter(entry.command + " ")
            else:
                self.execute(entry.command)

        self.push_screen(Palette(palette_entries(self)), do)

    def action_keys(self) -> None:
        from .keys import keys_of
        from .screens.dialogs import Reading

        self.push_screen(Reading(f"Keys: {self.place.TITLE}", keys_of(self)))

    def action_stop_run(self) -> None:
        self._on_run_in_front(self._execution.confirm_stop)

    def action_obey_run(self, what: Action) -> None:
        self._on_run_in_front(partial(self._execution.ask_run, what))

    def action_push_run(self) -> None:
        self._on_run_in_front(self._execution.push)

    def _on_run_in_front(self, carry_out: Callable[[Path], None]) -> None:
        run = self.place.run_in_front()
        if run is None:
            self.place.cannot("there is no run in front")
            return
        try:
            carry_out(run)
        except HftuneError as error:
            self.place.fail(error)

    def action_release_mouse(self) -> None:
        driver, self._mouse = self._driver, not self._mouse
        change = getattr(driver, "_enable_mouse_support" if self._mouse else "_disable_mouse_support", None)
        if change is not None:
            change()
        self.place.say("the mouse is the app's" if self._mouse else "the mouse is the terminal's: F6 takes it back")

    def action_interrupt(self) -> None:
        selected = self.screen.get_selected_text() or getattr(self.focused, "selected_text", "")
        now = self.monotonic()
        twice = now - self._last_interrupt <= TWICE_SECONDS
        self._last_interrupt = now
        if selected:
            self.copy(selected)
        elif twice:
            self.leave()
        elif self.place.stop_answer():
            self.place.say("stopped; ctrl+c again quits")
        else:
            self.place.say("ctrl+c again quits; jobs keep running")

    async def action_quit(self) -> None:
        """Quit, or let the place ask first."""
        self.leave()

    def leave(self, asked: bool = False) -> None:
        """End the app, after a question where something would be lost; jobs go on, and the last line says so."""
        lost = next(filter(None, (place.unsaved() for place in self.places.values())), "")
        question = f"{lost}.\nQuit all the same?"
        if lost and not asked and getattr(self.screen, "question", "") != question:  # asked again: that is an answer
            self.ask_confirm(question, "Quit", lambda: self.leave(asked=True))
            return
        for place in self.places.values():
            place.leave()
        self.exit(kept_running(self.store.counts))

    def _fatal_error(self) -> None:
        """Show an error that nobody expected as one sentence; `--debug` shows where it came from."""
        if self._shows_traces:
            super()._fatal_error()
            return
        error = self._exception
        from rich.text import Text

        from .drawing import sanitize

        text = f"hftune: the app met an error: {type(error).__name__}: {error}\n  {BUG}"
        said = sanitize(text, lines=True)
        self._exit_renderables.append(Text(said))
        self._close_messages_no_wait()
