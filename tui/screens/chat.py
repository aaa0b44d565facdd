"""Chat: a run's model is asked, also while the run trains; two models side by side."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from hftune.errors import HftuneError

from ..answers import Target, newest_target, targets_of
from ..asking import Session
from ..chat_commands import ChatCommands, checkpoint
from ..chat_explaining import CLASSIFIES, WRITES, ChatExplaining
from ..chat_states import NO_RUN, PHASE_MARKS, introduction, names, phase_line, same_run, why_nothing_yet
from ..commands import Line
from ..drawing import Words, plain
from ..widgets.finder import Finder
from ..widgets.markdown_view import MarkdownView
from ..widgets.rows import answer_text
from ..widgets.transcript import Transcript
from ..widgets.wrapped import wrap
from .base import STYLES
from .finding import FindingPlace
from .palette import Entry, Palette

PHASE_ROWS = 4
FAST_SECONDS = 0.05  # between drawings while there is something new
LOOK_SECONDS = 1.0  # between looks for the first checkpoint
OTHER_RUNS = 50


class ChatScreen(FindingPlace):
    """One conversation, that of the session; it stays while other places are shown."""

    NAME: ClassVar[str] = "chat"
    TITLE: ClassVar[str] = "chat"
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = (("b", "Base"), ("v", "Other"), ("y", "Copy"))
    CLASSIFIER_HINTS: ClassVar[tuple[tuple[str, str], ...]] = (("m", "Method"), ("t", "Table"), ("b", "Base"))
    STARTS_IN_PROMPT: ClassVar[bool] = True
    DEFAULT_CSS = """
    ChatScreen #chat-about { height: auto; margin-bottom: 1; }
    ChatScreen #chat-phase { height: auto; max-height: 4; }
    ChatScreen MarkdownView { display: none; }
    ChatScreen.-markdown MarkdownView { display: block; }
    ChatScreen.-markdown Transcript { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "stop the answer, then back", id="chat.back"),
        Binding("b", "beside", "the base model beside it, or no longer", id="chat.beside"),
        Binding("v", "choose", "another checkpoint or run", id="chat.choose"),
        Binding("y", "copy", "copy the last answer", id="chat.copy"),
        Binding("R", "retry", "ask the last thing again", id="chat.retry"),
        Binding("m", "other_reading", "another method, or Markdown", id="chat.markdown"),
        Binding("t", "table", "the explanation in numbers", id="chat.table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.explaining = ChatExplaining(self)
        self._commands = ChatCommands(self)
        self._waits_for: Path | None = None  # a run without a model yet
        self._why: tuple[str, str] = ("", "")
        self._chosen = False  # by hand: a newer checkpoint does not take its place
        self._looked = 0.0
        self._drawn: tuple[object, ...] = ()
        self._phase_rows = 0

    @cached_property
    def session(self) -> Session:
        """The one session of the app; its worker is started when a model is opened."""
        return Session(self.app.connect, self.app.monotonic)

    def compose_body(self) -> ComposeResult:
        """Lay the conversation out."""
        yield Words(id="chat-about")
        yield Transcript(id="transcript")
        yield MarkdownView(id="markdown")
        yield Finder("find in what was said")
        yield Words(id="chat-phase")

    # What is asked

    def arrive(self, run: Path | None = None, step: int | None = None, ask: str | None = None, **_: Any) -> None:
        """Open the model of `run`: that of a step, the finished one, or its newest checkpoint; then ask `ask`."""
        run = run or (self.app.run_here if self.session.main is None else None)
        try:
            if run is not None and step is not None:
                self._open(checkpoint(run, step), chosen=True)
            elif run is not None and not (self._chosen and same_run(self._target, run)):
                self._open_newest(run)
        except HftuneError as error:
            self.fail(error)
            return
        if ask:
            self.take_text(ask)

    @property
    def _target(self) -> Target | None:
        return self.session.main.target if self.session.main is not None and self._waits_for is None else None

    @property
    def _does(self) -> str | None:
        return self.session.main.about.get("task") if self.session.main is not None else None

    def _open(self, target: Target, chosen: bool) -> None:
        self._waits_for, self._chosen = None, chosen
        self.session.open(target)
        row = self.app.store.row(target.run)
        if row is not None and row.newer:
            self.say(f"{row.short} was written by a newer hftune: it is read as far as this one can", "warning")

    def _open_newest(self, run: Path) -> None:
        target = newest_target(run)
        if target is not None:
            self._open(target, chosen=False)
            return
        self._waits_for, self._looked, self._chosen = run, self.app.monotonic(), False
        self._explain()

    def _explain(self) -> None:
        """Find out why there is nothing to ask of the run that is waited for; its recipe is read in a thread."""
        run = self._waits_for
        row = self.app.store.row(run) if run is not None else None

        def keep(why: tuple[str, str]) -> None:
            if self._waits_for == run:
                self._why = why

        if run is not None:
            self.app.in_background(lambda: why_nothing_yet(run, row.state if row is not None else None), keep)

    def opened(self, run: Path) -> None:
        """Take note that the session was given the model of a run in another way."""
        self._waits_for, self._chosen, self.app.run_here = None, True, run
        self.to_end()

    def run_in_front(self) -> Path | None:
        """Return the run that is asked, or waited for."""
        if self._waits_for is not None:
            return self._waits_for
        return self._target.run if self._target is not None else self.app.run_here

    def take_text(self, text: str) -> None:
        """Ask; without a text: go on, or begin anew with a worker that has ended."""
        session = self.session
        if self._target is None:
            self.prompt.enter(text)
            self.cannot(self._why[0] if self._waits_for else NO_RUN[0])
        elif not text.strip() and session.phase.name in ("failed", "dead", "closed"):
            session.restart()
        elif text.strip() or session.goes_on():
            try:
                session.ask(text)
            except HftuneError as error:
                self.prompt.enter(text)
                self.fail(error)
            else:
                self.say("")
                self.to_end()
        else:
            self.cannot("write a text to ask")

    def obey(self, command: Line) -> None:
        """Carry out one of the chat's commands."""
        try:
            self._commands.obey(command)
        except HftuneError as error:
            self.fail(error)

    def stop_answer(self) -> bool:
        """Stop the answer that is written, and those that wait."""
        return self.session.stop()

    def leave(self) -> None:
        """End the worker."""
        self.session.close()

    def copied(self) -> str:
        """Return the last answer, that of each model."""
        with self.session.lock:
            last = next((one for one in reversed(self.session.exchanges)), None)
            said = [answer_text(answer) for answer in last.answers] if last is not None else []
        return "\n\n".join(text for text in said if text)

    # What is shown

    def breadcrumb(self) -> str:
        """Return what is asked, and what its session does."""
        if self._waits_for is not None:
            return f"chat › {Target(self._waits_for).name}  ○ no checkpoint yet"
        if self._target is None:
            return "chat"
        return f"chat › {names(self.session)}  {PHASE_MARKS[self.session.phase.name]}"

    # Textual calls the place's own handlers of the same names too.

    def on_mount(self) -> None:
        self._fast = self.set_interval(FAST_SECONDS, self._tick, pause=True)

    def on_screen_suspend(self) -> None:
        self._fast.pause()

    def on_key(self) -> None:
        """Draw soon what a key has changed."""
        self._fast.resume()

    def _rests(self) -> bool:
        """Tell whether nothing is there that has to be drawn at once."""
        known = self._known()
        return self.session.phase.name != "answering" and self._drawn[: len(known)] == known and self._phase_fits()

    def _known(self) -> tuple[object, ...]:
        """Return what of the drawn is not told by the clock."""
        return self.session.version, self._waits_for, self._why, self.size.width

    def refresh_place(self) -> None:
        """Draw what changed: at most twenty times a second, however fast tokens come."""
        chosen, other = (self._timer, self._fast) if self._rests() else (self._fast, self._timer)
        chosen.resume()
        other.pause()
        self._look_for_checkpoint()
        session = self.session
        with session.lock:
            words, level = phase_line(session, self.app.monotonic())
            state = (*self._known(), words, level)
            if state == self._drawn and self._phase_fits():
                return
            changed = self._drawn[:1] != state[:1]
            self._drawn = state
            items = tuple(session.items)
            about = self._about(bool(session.exchanges))
            if changed:
                self.query_one(Transcript).show(items)
        if changed:
            self.prompt.set_hints(self.CLASSIFIER_HINTS if self._does == CLASSIFIES else self.HINTS)
        if changed and self.has_class("-markdown"):
            self.call_later(self.query_one(MarkdownView).show, items)
        self._say_about(about)
        self._say_phase(words if self._target is not None else "", level)

    def _about(self, said_something: bool) -> list[str]:
        if self._waits_for is not None:
            return list(self._why)
        if self._target is None:
            return list(NO_RUN)
        return [] if said_something else introduction(self.session)

    def _say_about(self, lines: list[str]) -> None:
        about = self.query_one("#chat-about", Words)
        about.display = bool(lines)
        if lines:
            about.say(plain("\n".join(lines)))

    def _say_phase(self, words: str, level: str) -> None:
        phase = self.query_one("#chat-phase", Words)
        mark = "✗ " if level == "error" else "  "
        said = wrap(mark + words, max(20, self.size.width - 2)) if words else []
        # Laying the place out again for each figure that counts would cost more than all the rest of a streamed answer.
        self._phase_rows = min(PHASE_ROWS, len(said))
        phase.display = bool(said)
        phase.update(plain("\n".join(said), STYLES[level]), layout=not self._phase_fits())

    def _phase_fits(self) -> bool:
        """Tell whether the phase has the rows it needs: two changes at once may have been laid out as one."""
        return self._phase_rows in (0, self.query_one("#chat-phase").size.height)

    def _look_for_checkpoint(self) -> None:
        """Open the model of the run that is waited for as soon as there is one."""
        run, now = self._waits_for, self.app.monotonic()
        if run is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if newest_target(run) is not None:
            self._open_newest(run)
        else:
            self._explain()

    def to_end(self) -> None:
        """Show the end of the conversation."""
        self.query_one(Transcript).action_end()
        self.query_one(MarkdownView).anchor()

    def focus_body(self) -> None:
        """Go to the transcript."""
        (self.query_one(MarkdownView) if self.has_class("-markdown") else self.query_one(Transcript)).focus()

    def scroll_transcript(self, pages: int) -> None:
        """Scroll by pages."""
        if self.has_class("-markdown"):
            view = self.query_one(MarkdownView)
            view.release_anchor()
            view.scroll_relative(y=pages * max(1, view.size.height - 2), animate=False)
        else:
            self.query_one(Transcript).page(pages)

    def on_resize(self, event: events.Resize) -> None:
        self._drawn = ()

    # Keys

    def action_back(self) -> None:
        if self.stop_answer() or self.session.explaining.cancel():
            self.say("stopped")
            return
        if self.query_one(Transcript).looked_for:
            self.forget_found()
            return
        run = self.run_in_front()
        self.app.go("watch", run=run) if run is not None else self.app.go("runs")

    def action_beside(self) -> None:
        session = self.session
        if self._target is None:
            self.cannot("no model is asked yet: v chooses one")
        elif session.beside is not None:
            session.close_beside()
        elif self._target.base:
            self.cannot("this is the base model itself: v chooses another")
        else:
            session.open_beside(Target(self._target.run, base=True))

    def action_choose(self) -> None:
        choices = self._choices()
        if not choices:
            self.cannot("there is no other model to ask yet")
            return

        def open_chosen(entry: Entry | None) -> None:
            if entry is None:
                return
            target = choices[entry]
            if isinstance(target, Target):
                self._open(target, chosen=True)
            else:
                self.app.run_here = target
                self._open_newest(target)
            self.update_now()

        self.app.push_screen(Palette(list(choices)), open_chosen)

    def _choices(self) -> dict[Entry, Target | Path]:
        """Return what else can be asked: of this run, newest first, then of the other runs."""
        here = self.run_in_front()
        choices: dict[Entry, Target | Path] = {}
        for target in targets_of(here) if here is not None else ():
            if target != self._target:
                choices[Entry(target.name, target.about, "")] = target
        for row in self.app.store.rows[:OTHER_RUNS]:
            if here is None or row.path.name != here.name:
                choices[Entry(row.short, f"run, {row.status}", row.name)] = row.path
        return choices

    def action_copy(self) -> None:
        self.app.copy(self.copied())

    def action_retry(self) -> None:
        try:
            self.session.retry()
        except HftuneError as error:
            self.fail(error)
        else:
            self.to_end()

    def action_table(self) -> None:
        self.explaining.open_table()

    async def action_other_reading(self) -> None:
        main, shown = self.session.main, self.has_class("-markdown")
        if self._does == CLASSIFIES and not shown:
            self.explaining.go_on()
        elif self._does == WRITES or shown:
            await self._read_markdown(not shown)
        elif main is None:
            self.cannot("no model is asked yet: v chooses one")
        else:
            self.cannot(f"Markdown is for a model that writes: {main.target.name} does not")

    async def _read_markdown(self, wanted: bool) -> None:
        in_body = self.focused is self.query_one(Transcript) or self.focused is self.query_one(MarkdownView)
        self.set_class(wanted, "-markdown")
        view = self.query_one(MarkdownView)
        if wanted:
            await view.show(tuple(self.session.items))
        else:
            await view.clear()
        if in_body:
            self.focus_body()
