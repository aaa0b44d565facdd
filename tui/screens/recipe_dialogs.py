"""The dialogs of the recipes: what to do with one, a name for a file, the short form, the estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from hftune.errors import HftuneError
from hftune.figures import duration

from ..drawing import Words, line, plain, sanitize
from ..estimating import Estimating, estimate_lines
from ..recipe_edit import COMMON, common_values, set_value
from ..recipe_text import describe_path, problems, said
from ..widgets.entries import Entries, Entry

if TYPE_CHECKING:
    from ..app import HftuneApp

ESTIMATE = (
    "Reads the data and trains a few steps to measure time and memory; nothing is kept. "
    "From some seconds to a minute; a model that is not here yet is fetched first."
)
FORM_KEYS = "   ↑ ↓ next · Enter takes all · Esc none"


class Choose(ModalScreen[str | None]):
    """A few things to do, by arrows and Enter; Esc does none of them."""

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "none of them", id="choose.close")]

    def __init__(self, title: str, about: str, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.heading, self.about, self.entries = title, about, entries

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Words(line((self.heading, "bold $primary")))
            yield Words(plain(f"{self.about}\n", "$muted"))
            yield Entries(self.entries)

    def on_mount(self) -> None:
        self.query_one(Entries).focus()

    def on_entries_chosen(self, event: Entries.Chosen) -> None:
        event.stop()
        self.dismiss(event.entry.name)

    def action_close(self) -> None:
        self.dismiss(None)


class AskName(ModalScreen[str | None]):
    """A name for a file; Enter takes it, Esc gives none."""

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "give no name", id="name.close")]
    DEFAULT_CSS = "AskName Input { border: none; height: 1; margin: 1 0; background: $surface; }"

    def __init__(self, question: str, name: str, why: str = "") -> None:
        super().__init__()
        self.question, self.proposed, self.why = question, name, why

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Words(line((self.question, "bold $primary")))
            if self.why:
                yield Words(line(("✗ ", "bold $error"), " ".join(self.why.split())))
            yield Input(self.proposed, compact=True, select_on_focus=False)
            yield Words(line(("Enter", "bold $primary"), " saves   ", ("Esc", "bold $primary"), " goes back"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)

    def action_close(self) -> None:
        self.dismiss(None)


class ShortForm(ModalScreen[str | None]):
    """The common keys of a recipe, one a line; Enter gives the text with those that changed."""

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "leave all as it is", id="form.close"),
        Binding("down,tab", "go(1)", "next key", id="form.next", priority=True),
        Binding("up,shift+tab", "go(-1)", "previous key", id="form.previous", priority=True),
        Binding("enter", "take", "take all", id="form.take", priority=True),
    ]
    DEFAULT_CSS = """
    ShortForm Horizontal { height: 1; }
    ShortForm .name { width: 16; color: $primary; }
    ShortForm Input { border: none; height: 1; width: 1fr; background: $surface; }
    ShortForm #form-help, ShortForm #form-said { height: auto; max-height: 4; margin-top: 1; }
    """

    def __init__(self, text: str) -> None:
        """Raises RecipeError for a text that is no YAML."""
        super().__init__()
        self._text = text
        self._values = common_values(text)

    def compose(self) -> ComposeResult:
        """Lay it out: what is written over several lines can be changed in the text alone."""
        with Vertical(classes="dialog"):
            yield Words(line(("The common keys", "bold $primary"), (FORM_KEYS, "$muted")))
            yield Words("")
            for number, one in enumerate(COMMON):
                value = self._values[one.title][1]
                with Horizontal():
                    yield Words(one.title, classes="name")
                    if value is None:
                        yield Words("(a section of its own: change it in the text)")
                    else:
                        yield Input(sanitize(value), compact=True, select_on_focus=False, id=f"form-{number}")
            yield Words(id="form-help")
            yield Words(id="form-said")

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    def on_descendant_focus(self) -> None:
        if isinstance(self.focused, Input) and self.focused.id:
            one = COMMON[int(self.focused.id.rpartition("-")[2])]
            self.query_one("#form-help", Words).say(plain(describe_path(self._values[one.title][0]), "$muted"))

    @on(Input.Changed)
    def _judge(self, event: Input.Changed) -> None:
        event.stop()
        try:
            found = [said(one) for one in problems(self._changed())]
        except HftuneError as error:
            found = [" ".join(str(error).split())]
        self.query_one("#form-said", Words).say(plain("\n".join(f"✗ {one}" for one in found[:3]), "bold $error"))

    def action_go(self, step: int) -> None:
        self.focus_next() if step > 0 else self.focus_previous()

    def action_take(self) -> None:
        try:
            self.dismiss(self._changed())
        except HftuneError as error:
            self.query_one("#form-said", Words).say(plain(f"✗ {error}", "bold $error"))

    def _changed(self) -> str:
        """Return the text with the values that were changed; raises HftuneError for one that cannot be."""
        text = self._text
        for number, one in enumerate(COMMON):
            path, before = self._values[one.title]
            fields = self.query(f"#form-{number}").results(Input)
            for field in fields:
                if field.value.strip() != sanitize(before or "").strip():
                    text = set_value(text, path, field.value)
        return text

    def action_close(self) -> None:
        self.dismiss(None)


class EstimateScreen(ModalScreen[str | None]):
    """An estimate as it comes; Esc ends it, Enter launches the recipe once it is there."""

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,x", "close", "end it, and back", id="estimate.close"),
        Binding("enter", "launch", "launch the recipe", id="estimate.launch"),
        Binding("y", "copy", "copy what it says", id="estimate.copy"),
    ]
    DEFAULT_CSS = "EstimateScreen VerticalScroll { max-height: 14; }"

    def __init__(self, name: str, estimating: Estimating) -> None:
        super().__init__()
        self.recipe_name, self.estimating = name, estimating
        self._said: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Words(id="estimate-title")
            yield Words(plain(f"{ESTIMATE}\n", "$muted"))
            with VerticalScroll(can_focus=False):
                yield Words(id="estimate-lines")

    def on_mount(self) -> None:
        self._began = self.app.monotonic()
        self.set_interval(0.2, self._show)
        self._show()

    @property
    def words(self) -> list[str]:
        """What there is to read now."""
        one = self.estimating
        if one.over and one.record is not None:
            return estimate_lines(one.record)
        return [f"✗ {one.problem}"] if one.over else list(one.lines)

    def _show(self) -> None:
        one = self.estimating
        seconds = duration(self.app.monotonic() - self._began)
        keys = "   Enter launches · y copies · Esc back" if one.record else "   Esc ends it"
        state = (f"works, {seconds}", "$accent") if not one.over else ("done", "$success")
        if one.over and one.record is None:
            state, keys = ("no estimate", "bold $error"), "   Esc back"
        said = (state, keys, *self.words)
        if said != self._said:
            self._said = said
            title = line(("Estimate of ", "bold"), (self.recipe_name, "bold $primary"), "  ", state, (keys, "$muted"))
            self.query_one("#estimate-title", Words).say(title)
            self.query_one("#estimate-lines", Words).say(plain("\n".join(self.words)))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_launch(self) -> None:
        if self.estimating.record is not None:
            self.dismiss("launch")

    def action_copy(self) -> None:
        self.app.copy("\n".join(self.words))

    def on_unmount(self) -> None:
        if not self.estimating.over:  # whoever goes away does not wait for it
            self.estimating.stop()


def leaving_entries(shipped: bool) -> Sequence[Entry]:
    """Return what can be done with changes that are not saved."""
    return (
        Entry("save", "Save", "as a file of your own" if shipped else "over the file it came from"),
        Entry("drop", "Leave", "the changes are lost"),
        Entry("stay", "Go on editing", ""),
    )


def recipe_entries(found: int) -> Sequence[Entry]:
    """Return what can be done with a recipe that has so many problems."""
    wrong = f"{found} problem{'' if found == 1 else 's'}: Edit shows where" if found else ""
    return (
        Entry("launch", "Launch", wrong or "train it in the background and watch"),
        Entry("form", "Short form", "model, data, epochs, batch, rate"),
        Entry("edit", "Edit", "its text, judged as you type"),
        Entry("estimate", "Estimate", "time and memory: trains a few steps"),
        Entry("show", "Show", "all of its text"),
    )
