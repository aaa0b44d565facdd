"""The list of recipes: name and what there is to know at once; a window over it moves with the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from ..completion import Candidate, best
from ..drawing import pad, plain, sanitize, spread
from ..recipe_list import KnownRecipe

MOST = 100_000
NONE = "No recipes here. hftune comes with some:\nis it installed whole?"
NONE_FOUND = "No recipe has these letters in this\norder. Esc shows all of them again."


def tag(recipe: KnownRecipe) -> str:
    """Return the word beside a recipe: what it needs, or whose it is."""
    if recipe.problem:
        return "✗ mistake"
    return "needs Hub" if recipe.needs_hub else "" if recipe.shipped else "yours"


class RecipeList(Widget, can_focus=True):
    """Recipes chosen with arrows and Enter, or by a click; `show` keeps the cursor on the recipe it was on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next recipe", id="recipes.down", show=False),
        Binding("up,k", "move(-1)", "previous recipe", id="recipes.up", show=False),
        Binding("pagedown", "page(1)", "a page down", id="recipes.page_down", show=False),
        Binding("pageup", "page(-1)", "a page up", id="recipes.page_up", show=False),
        Binding("g,home", f"move(-{MOST})", "first recipe", id="recipes.first", show=False),
        Binding("G,end", f"move({MOST})", "last recipe", id="recipes.last", show=False),
        Binding("enter", "choose", "what can be done with the recipe", id="recipes.open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another recipe, or on none."""

    @dataclass
    class Chosen(Message):
        """Enter on a recipe."""

        recipe: KnownRecipe

    def __init__(self) -> None:
        super().__init__()
        self.looked_for = ""
        self._all: tuple[KnownRecipe, ...] = ()
        self._shown: tuple[KnownRecipe, ...] = ()
        self._place = self._first = 0

    @property
    def current(self) -> KnownRecipe | None:
        """The recipe that the cursor is on."""
        return self._shown[self._place] if self._shown else None

    @property
    def total(self) -> int:
        """How many recipes there are, found or not."""
        return len(self._all)

    @property
    def matches(self) -> int:
        """How many of them have the letters looked for."""
        return len(self._shown)

    def show(self, recipes: Sequence[KnownRecipe]) -> None:
        """Show other recipes."""
        if tuple(recipes) != self._all:
            self._all = tuple(recipes)
            self._narrow()

    def look_for(self, letters: str) -> None:
        """Show only the recipes with these letters in their name or description."""
        self.looked_for = letters
        self._narrow()

    def go_to(self, name: str) -> None:
        """Put the cursor on a recipe, if it is shown."""
        names = [one.name for one in self._shown]
        if name in names:
            self._move_to(names.index(name))

    def _narrow(self) -> None:
        before = self.current
        if self.looked_for:
            texts = {f"{one.name} {one.description}": one for one in self._all}
            found = best(self.looked_for, [Candidate(text) for text in texts], MOST)
            self._shown = tuple(texts[one.text] for one in found)
        else:
            self._shown = self._all
        self._place = self._first = 0
        if before is not None and not self.looked_for:
            self.go_to(before.name)
        self.post_message(self.Moved())
        self.refresh()

    def render(self) -> RenderResult:
        if not self._shown:
            return plain(NONE_FOUND if self._all else NONE, "$muted")
        rows = max(1, self.size.height)
        self._first = max(min(self._first, self._place), self._place - rows + 1, 0)
        shown = self._shown[self._first : self._first + rows]
        return Content("\n").join(self._row(number, one) for number, one in enumerate(shown, self._first))

    def _row(self, number: int, recipe: KnownRecipe) -> Content:
        under = number == self._place
        style = "bold $primary" if under and self.has_focus else "bold" if under else ""
        mark, columns, beside = "▸" if under else " ", self.size.width, tag(recipe)
        name = pad(sanitize(recipe.name), max(8, columns - len(beside) - 4))
        return spread([(f"{mark} {name}", style)], [(beside, "$error" if recipe.problem else "$muted")], columns - 1)

    def _move_to(self, place: int) -> None:
        place = max(0, min(place, len(self._shown) - 1))
        if place != self._place:
            self._place = place
            self.post_message(self.Moved())
            self.refresh()

    def action_move(self, by: int) -> None:
        self._move_to(self._place + by)

    def action_page(self, pages: int) -> None:
        self._move_to(self._place + pages * max(1, self.size.height - 1))

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Chosen(self.current))

    def on_click(self, event: events.Click) -> None:
        place = self._first + event.y
        if place < len(self._shown):
            again = place == self._place
            self._move_to(place)
            if again:
                self.action_choose()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self.refresh()
