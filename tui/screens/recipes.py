"""Recipes: the list, each at a glance beside it, and the editor; from here they are launched."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input

from hftune.errors import HftuneError
from hftune.figures import many

from ..drawing import Words, line, plain, sanitize
from ..recipe_file import open_recipe
from ..recipe_list import KnownRecipe
from ..recipe_look import Look, look_at
from ..recipe_text import said
from ..widgets.entries import Entry
from ..widgets.recipe_editing import RecipeEditing, estimate
from ..widgets.recipe_list import RecipeList
from .base import Place
from .dialogs import Reading
from .recipe_dialogs import Choose, recipe_entries

LIST_HINTS = (("Enter", "Open"), ("e", "Edit"), ("s", "Short form"), ("t", "Estimate"), ("f", "Find"))
EDIT_HINTS = (("^R", "Launch"), ("^S", "Save"), ("F1", "Help"), ("Esc", "List"))
OF_THE_LIST = frozenset({"filter", "edit", "form", "estimate", "launch", "show", "back"})
SHOWN_PROBLEMS = 5
AFTER_FORM = (
    Entry("launch", "Launch", "train it like this; no file is saved"),
    Entry("save", "Save", "as a file"),
    Entry("edit", "Go on", "in the text"),
)


class RecipesScreen(Place):
    """Either the list with a recipe at a glance, or the editor with one."""

    NAME: ClassVar[str] = "recipes"
    TITLE: ClassVar[str] = "recipes"
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = LIST_HINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "edit its text", id="recipes.edit"),
        Binding("l", "launch", "train it in the background", id="recipes.launch"),
        Binding("s", "form", "the common keys in a short form", id="recipes.form"),
        Binding("t", "estimate", "time and memory: trains a few steps", id="recipes.estimate"),
        Binding("v", "show", "show all of its text", id="recipes.show"),
        Binding("y", "copy", "copy its text", id="recipes.copy"),
        Binding("f", "filter", "find a recipe by its letters", id="recipes.filter"),
        Binding("escape", "back", "show all recipes again", id="recipes.back"),
    ]
    DEFAULT_CSS = """
    RecipesScreen #recipes-left { width: 34; }
    RecipesScreen.-wide #recipes-left { width: 46; }
    RecipesScreen RecipeList { height: 1fr; }
    RecipesScreen #recipes-filter { display: none; height: 1; border: none; background: $surface; }
    RecipesScreen #recipes-right { width: 1fr; border-left: solid $panel; padding: 0 1; }
    RecipesScreen RecipeEditing { display: none; }
    RecipesScreen.-editing RecipeEditing { display: block; }
    RecipesScreen.-editing #recipes-both { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.look: Look | None = None  # of the recipe that the cursor is on, once it is there
        self._looks_at: KnownRecipe | None = None

    def compose_body(self) -> ComposeResult:
        """Lay both out, of which one is shown."""
        with Horizontal(id="recipes-both"):
            with Vertical(id="recipes-left"):
                yield Input(placeholder="letters of a recipe", id="recipes-filter", compact=True)
                yield RecipeList()
            with VerticalScroll(id="recipes-right", can_focus=False):
                yield Words(id="recipe-look")
        yield RecipeEditing()

    @property
    def editing(self) -> RecipeEditing:
        """The editor, whether it is shown or not."""
        return self.query_one(RecipeEditing)

    @property
    def edits(self) -> bool:
        """Whether the editor is shown."""
        return self.has_class("-editing")

    @property
    def _list(self) -> RecipeList:
        return self.query_one(RecipeList)

    # What a place says of itself.

    def arrive(self, recipe: str = "", **what: Any) -> None:
        """Show the list as it is now (or the editor, where it was left); `recipe` is put under the cursor."""
        self.read_list(lambda: self._list.go_to(recipe))

    def breadcrumb(self) -> str:
        file = self.editing.file
        return f"recipes › {sanitize(file.path.name)}" if self.edits and file else self.TITLE

    def unsaved(self) -> str:
        if not self.is_mounted:
            return ""
        file = self.editing.file
        return f"{file.path.name} has changes that are not saved" if file and self.editing.changed else ""

    def copied(self) -> str:
        return self.editing.editor.text if self.edits else self.look.text if self.look else ""

    def focus_body(self) -> None:
        self.set_focus(self.editing.editor if self.edits else self._list)

    def scroll_transcript(self, pages: int) -> None:
        if self.edits:
            editor = self.editing.editor
            editor.action_cursor_page_up() if pages < 0 else editor.action_cursor_page_down()
        else:
            right = self.query_one("#recipes-right", VerticalScroll)
            right.scroll_page_up(animate=False) if pages < 0 else right.scroll_page_down(animate=False)

    def refresh_place(self) -> None:
        if self.edits:
            self.editing.look_at_disk()
        elif self.look is not None and self.look.file is not None and self.look.file.on_disk() == "changed":
            self._look(self.look.recipe)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the list do nothing while the editor is there."""
        return not (self.edits and action in OF_THE_LIST)

    # The list and what is beside it.

    def read_list(self, then: Callable[[], None] = lambda: None) -> None:
        """Look at the files again, in a thread."""

        def read(found: list[KnownRecipe]) -> None:
            self._list.show(found)
            if self._list.current is None:
                self._show_look()
            then()

        self.app.in_background(lambda: self.app.recipes(anew=True), read)

    @on(RecipeList.Moved)
    def _moved(self, event: RecipeList.Moved) -> None:
        event.stop()
        recipe = self._list.current
        if recipe is None:
            self.look = self._looks_at = None
            self._show_look()
        elif recipe != self._looks_at:
            self._look(recipe)

    def _look(self, recipe: KnownRecipe) -> None:
        self._looks_at = recipe

        def seen(look: Look) -> None:
            if self._looks_at != look.recipe:
                return
            another = self.look is None or self.look.recipe != look.recipe
            self.look = look
            self._show_look()
            if another:
                self.query_one("#recipes-right", VerticalScroll).scroll_home(animate=False)

        self.app.in_background(lambda: look_at(recipe), seen)

    def _show_look(self) -> None:
        look = self.look
        words = self.query_one("#recipe-look", Words)
        if look is None:
            words.say("")
            return
        lines = [line((look.recipe.name, "bold $primary"))]
        if look.recipe.description:
            lines.append(line(look.recipe.description))
        lines += [line((f"{name:<7} ", "$muted"), value) for name, value in look.facts]
        lines += [line(("✗ ", "bold $error"), said(one)) for one in look.problems[:SHOWN_PROBLEMS]]
        if len(look.problems) > SHOWN_PROBLEMS:
            lines.append(line((f"  and {len(look.problems) - SHOWN_PROBLEMS} more: e edits it", "$muted")))
        words.say(Content("\n").join([*lines, line(""), plain(look.shown, "$muted")]))

    @on(RecipeList.Chosen)
    def _chosen(self, event: RecipeList.Chosen) -> None:
        event.stop()
        look = self.look
        found = len(look.problems) if look is not None and look.recipe == event.recipe else 0
        actions = {
            "launch": self.action_launch, "form": self.action_form, "edit": self.action_edit,
            "estimate": self.action_estimate, "show": self.action_show,
        }  # fmt: skip
        self.app.push_screen(
            Choose(event.recipe.name, event.recipe.description, recipe_entries(found)),
            lambda answer: actions[answer]() if answer else None,
        )

    # Finding.

    def action_filter(self) -> None:
        field = self.query_one("#recipes-filter", Input)
        field.display = True
        field.focus()

    def action_back(self) -> None:
        field = self.query_one("#recipes-filter", Input)
        field.value, field.display = "", False
        self._list.look_for("")
        self._list.focus()

    @on(Input.Changed, "#recipes-filter")
    def _looked_for(self, event: Input.Changed) -> None:
        event.stop()
        self._list.look_for(event.value)

    @on(Input.Submitted, "#recipes-filter")
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value:
            self.action_back()
        self._list.focus()
        self.say(f"{self._list.matches} of {many(self._list.total, 'recipe')}" if event.value else "")

    # What can be done with the recipe under the cursor.

    def _recipe(self) -> KnownRecipe | None:
        recipe = self._list.current
        if recipe is None:
            self.cannot("there is no recipe under the cursor")
        return recipe

    def _known_wrong(self) -> bool:
        """Tell whether the recipe is known to be wrong; say what is."""
        look = self.look
        if look is None or look.recipe != self._list.current or not look.problems:
            return False
        self.cannot(f"{many(len(look.problems), 'problem')} first: {said(look.problems[0])}")
        return True

    def action_launch(self) -> None:
        recipe = self._recipe()
        if recipe is not None and not self._known_wrong():
            self.app.execute(f"/run {shlex.quote(str(recipe.path))}")

    def action_estimate(self) -> None:
        recipe = self._recipe()
        if recipe is None or self._known_wrong():
            return
        try:
            text = open_recipe(recipe.path).text
        except HftuneError as error:
            self.fail(error)
        else:
            estimate(self, text, recipe.path, self.action_launch)

    def action_show(self) -> None:
        recipe, look = self._recipe(), self.look
        if recipe is None:
            return
        if look is None or look.recipe != recipe:
            look = look_at(recipe)
        text = look.shown if look.file is not None else "\n".join(map(said, look.problems))
        self.app.push_screen(Reading(recipe.name, text))

    def action_copy(self) -> None:
        self.app.copy(self.copied())

    def action_edit(self) -> None:
        self._open()

    def action_form(self) -> None:
        if self._open():
            self.editing.action_form(then=self._after_form)

    def _after_form(self) -> None:
        name = self.editing.file.path.name if self.editing.file else ""
        actions = {"launch": self.editing.action_launch, "save": self.editing.action_save}
        self.app.push_screen(
            Choose(f"{name} has other values now", "", AFTER_FORM),
            lambda answer: actions[answer]() if answer in actions else None,
        )

    def _open(self) -> bool:
        """Edit the recipe under the cursor; tell whether that can be."""
        recipe = self._recipe()
        if recipe is None:
            return False
        try:
            file = open_recipe(recipe.path)
        except HftuneError as error:
            self.fail(error)
            return False
        self.say("")
        self.set_class(True, "-editing")
        self.prompt.set_hints(EDIT_HINTS)
        self.editing.load(file)
        self.editing.editor.focus()
        self.update_now()
        return True

    @on(RecipeEditing.Closed)
    def _editing_closed(self, event: RecipeEditing.Closed) -> None:
        event.stop()
        self.set_class(False, "-editing")
        self.prompt.set_hints(LIST_HINTS)
        self._list.focus()
        self._looks_at = None
        self.read_list(lambda: self._look(self._list.current) if self._list.current else None)
        self.update_now()

    @on(RecipeEditing.Saved)
    def _saved(self, event: RecipeEditing.Saved) -> None:
        event.stop()
        self.read_list()
