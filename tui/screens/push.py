"""Push: a run's model onto the Hub: what is asked, what would be sent, how far it is, what came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from hftune.errors import HftuneError

from ..drawing import Words, line, plain, sanitize
from ..folder import short_name
from ..push_words import (
    ABOUT_NAME,
    CANCELLED,
    FORM,
    REFUSED,
    body,
    keys,
    name_problem,
    title,
    visibilities,
    weights,
)
from ..pushing import Asked, Pushing, Visibility, Weights, adapter_and_wishes
from ..run_files import recipe_facts
from ..widgets.cycle import Cycle

if TYPE_CHECKING:
    from ..app import HftuneApp

SHOWN_SECONDS = 0.1


class PushScreen(ModalScreen[None]):
    """A form, then a push that it shows; at most one process at a time, which ends with the dialog.

    `given` says what the form begins with; what it leaves open the run's recipe says, then what was pushed before.
    """

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "make it ready; push it; try again", id="push.go_on", priority=True),
        Binding("escape", "back", "end it, or back", id="push.back", priority=True),
        Binding("down,tab", "move(1)", "next line", id="push.next", priority=True),
        Binding("up,shift+tab", "move(-1)", "line before", id="push.previous", priority=True),
        Binding("pagedown", "page(1)", "a page down", id="push.page_down"),
        Binding("pageup", "page(-1)", "a page up", id="push.page_up"),
        Binding("q", "leave", "close it, while nothing is on its way", id="push.leave"),
        Binding("y", "copy", "copy the address, or what went wrong", id="push.copy"),
    ]
    DEFAULT_CSS = """
    PushScreen Horizontal { height: 1; }
    PushScreen .name { width: 12; color: $primary; }
    PushScreen Input { border: none; height: 1; width: 1fr; background: $surface; }
    PushScreen #push-form { height: 1fr; margin-top: 1; }
    PushScreen #push-help, PushScreen #push-about { height: auto; margin-top: 1; }
    PushScreen #push-body { margin-top: 1; }
    PushScreen #push-said { height: auto; max-height: 3; }
    """

    def __init__(self, run: Path, given: Asked) -> None:
        super().__init__()
        self.run_path, self.given = run, given
        self.pushing: Pushing | None = None
        self._known = self._waits = False  # what the recipe says; Enter, for that
        self._drawn: tuple[object, ...] = ()
        self._shown = ""  # the state that was drawn last
        self._began = 0.0

    def compose(self) -> ComposeResult:
        """Lay it out: the form, and what takes its place."""
        with Vertical(classes="dialog push"):
            yield Words(id="push-title")
            with Vertical(id="push-form"):
                with Horizontal():
                    yield Words("Run", classes="name")
                    yield Words(plain(self.given.run.rpartition("/")[2]))
                with Horizontal():
                    yield Words("Repository", classes="name")
                    yield Input(placeholder="OWNER/NAME", compact=True, select_on_focus=False, id="push-repo")
                with Horizontal():
                    yield Words("Visibility", classes="name")
                    yield Cycle(visibilities(""), id="push-visibility")
                with Horizontal(id="push-adapter"):
                    yield Words("Weights", classes="name")
                    yield Cycle(weights(""), id="push-weights")
                with Horizontal(id="push-more"):
                    yield Words("Also", classes="name")
                    yield Words(plain(" ".join(self.given.more)))
                yield Words(id="push-help")
                yield Words(plain(FORM, "$muted"), id="push-about")
            with VerticalScroll(id="push-body", can_focus=False):
                yield Words(id="push-lines")
            yield Words(id="push-said")
            yield Words(id="push-keys")

    def on_mount(self) -> None:
        self.query_one("#push-adapter").display, self.query_one("#push-more").display = False, bool(self.given.more)
        self._fill_name(self.given.repo)
        self._visibility.offer(visibilities(""), self.given.visibility)
        self._weights.offer(weights(""), self.given.weights)
        self.set_interval(SHOWN_SECONDS, self._show)
        self._show()
        self.app.in_background(lambda: _facts_of(self.run_path), self._take_facts)

    def on_unmount(self) -> None:
        if self.pushing is not None and not self.pushing.over:
            self.pushing.stop()

    # The form.

    @property
    def _repo(self) -> Input:
        return self.query_one("#push-repo", Input)

    @property
    def _visibility(self) -> Cycle:
        return self.query_one("#push-visibility", Cycle)

    @property
    def _weights(self) -> Cycle:
        return self.query_one("#push-weights", Cycle)

    def _fill_name(self, name: str) -> None:
        self._repo.value = sanitize(name)
        self._repo.action_select_all()  # what is typed stands in its place, however early it comes

    def _take_facts(self, facts: dict[str, str]) -> None:
        """Fill in what the recipe says, where neither a command nor a person has said it."""
        if not self.is_running:  # it is closed already
            return
        adapter, wishes = adapter_and_wishes(facts)
        if not self._repo.value:
            self._fill_name(wishes.get("repo") or self.app.pushed_to.get(self.run_path, ""))
        wish, said = wishes.get("visibility", ""), self._visibility.current.value
        self._visibility.offer(visibilities(wish), wish if said == "private" else said)
        wish, said = wishes.get("weights", ""), self._weights.current.value
        self._weights.offer(weights(wish), said or wish)
        self.query_one("#push-adapter").display = adapter
        self._known = True
        self._show()
        if self._waits:
            self.action_go_on()

    @on(Input.Changed)
    def _name_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._waits = False
        self._say(name_problem(event.value.strip()), "bold $error")

    def _begin(self) -> None:
        """Start the push that the form asks for."""
        name = self._repo.value.strip()
        problem = name_problem(name) or ("" if name else "the repository needs a name: OWNER/NAME")
        if problem:
            self._say(problem, "bold $error")
            self._repo.focus()
            return
        if not self._known:
            self._waits = True
            self._say("its recipe is being read", "$muted")
            return
        self.given = replace(
            self.given,
            repo=name,
            visibility=cast(Visibility, self._visibility.current.value),
            weights=cast(Weights, self._weights.current.value),
        )
        self.app.pushed_to[self.run_path] = name
        try:
            self.pushing = Pushing(self.given, self.app.runs_dir, self.app.monotonic)
        except OSError as error:
            self._say(f"no process can be started: {error.strerror}", "bold $error")
            return
        self._began = self.app.monotonic()
        self._show()

    def _show_form(self, said: str = "") -> None:
        self.pushing = None
        self._show()
        self._say(said)

    # What is shown.

    @property
    def state(self) -> str:
        """What the dialog is at: the form, or what its push does."""
        return self.pushing.state if self.pushing is not None else "form"

    def _show(self) -> None:
        """Draw what changed."""
        pushing, state, now = self.pushing, self.state, self.app.monotonic()
        if state != self._shown:
            self._change_to(state)
        if pushing is None:
            key: tuple[object, ...] = (self.focused, self._visibility.current, self._weights.current)
        else:
            key = (pushing, pushing.version, state, int(now - self._began))
        if key == self._drawn:
            return
        self._drawn = key
        self._words("title").say(line(*title(state, short_name(self.run_path.name), self.given, now - self._began)))
        if pushing is None:
            self._words("help").say(plain(self._help(), "$muted"))
        else:
            self._words("lines").say(Content("\n").join([line(*parts) for parts in body(pushing, now)]))

    def _change_to(self, state: str) -> None:
        self._shown, self._drawn = state, ()
        form = state == "form"
        self.query_one("#push-form").display, self._body.display = form, not form
        self._body.scroll_home(animate=False)
        self._words("keys").say(line(*keys(state)))
        self._say()
        if form:
            self._repo.focus()
        else:
            self.set_focus(None)

    def _help(self) -> str:
        if isinstance(self.focused, Cycle):
            return self.focused.current.about
        return ABOUT_NAME

    def _words(self, name: str) -> Words:
        return self.query_one(f"#push-{name}", Words)

    def _say(self, text: str = "", style: str = "$warning") -> None:
        self._words("said").say(line((" ".join(text.split()), style)))

    # Keys.

    def action_go_on(self) -> None:
        pushing, state = self.pushing, self.state
        if pushing is None:
            self._begin()
        elif state == "ready":
            pushing.agree()
            self._began = self.app.monotonic()
            self._show()
        elif state in ("failed", "stopped"):
            self._show_form(pushing.failure.message if state == "failed" and pushing.failure else "")
        elif state == "done":
            self._close()
        else:
            waits = "it is not ready yet: you are asked before anything is sent"
            self._say(waits if state == "preparing" else "it is on its way: Esc ends it")

    def action_back(self) -> None:
        pushing, state = self.pushing, self.state
        if pushing is None or state in ("done", "failed", "stopped"):
            self._close()
            return
        pushing.stop()
        if state == "sending":
            self._show()
        else:
            self._show_form(CANCELLED if state == "preparing" else REFUSED)

    def action_leave(self) -> None:
        if self.state in ("preparing", "ready", "sending"):
            self._say("Esc ends it")
        else:
            self._close()

    def action_move(self, by: int) -> None:
        if self.pushing is not None:
            self._body.scroll_relative(y=by, animate=False)
        elif by > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def action_page(self, by: int) -> None:
        self._body.scroll_relative(y=by * max(1, self._body.size.height - 1), animate=False)

    @property
    def _body(self) -> VerticalScroll:
        return self.query_one("#push-body", VerticalScroll)

    def action_copy(self) -> None:
        text = self._copied()
        if text:
            self.app.copy(text)
        self._say("copied" if text else "there is nothing to copy yet")

    def _copied(self) -> str:
        pushing = self.pushing
        if pushing is None:
            return ""
        if pushing.done is not None:
            return sanitize(pushing.done.url)
        if pushing.failure is not None and pushing.state == "failed":
            return sanitize(pushing.failure, lines=True)
        return sanitize(pushing.ready.url) if pushing.ready is not None else ""

    def _close(self) -> None:
        done = self.pushing.done if self.pushing is not None else None
        if done is not None:
            self.app.place.say(f"{done.url} has it ({'private' if done.private else 'public'})")
        self.dismiss(None)


def _facts_of(run: Path) -> dict[str, str]:
    """Return what a run's recipe says, nothing where it cannot be read: the push will tell. For a thread."""
    try:
        return recipe_facts(run)
    except HftuneError:
        return {}
