"""The first line: where one is on the left; what runs, and how busy the machine is, on the right."""

from __future__ import annotations

from textual.app import RenderResult
from textual.widget import Widget

from ..drawing import Part, columns_of, spread


class Header(Widget):
    """One line, drawn anew only when what it says changes."""

    def __init__(self) -> None:
        super().__init__()
        self._said = ("", "", "")

    def show(self, where: str, counts: str, machine: str) -> None:
        """Say where one is, how many runs do what, and how busy the machine is."""
        if (where, counts, machine) != self._said:
            self._said = (where, counts, machine)
            self.refresh()

    def render(self) -> RenderResult:
        where, counts, machine = self._said
        columns = self.size.width - 1
        left: list[Part] = [(" hftune", "bold $primary"), f"  {where}"]
        right = [part for part in (counts, machine) if part]
        # What runs matters more than how busy the machine is, and both less than where one is.
        while right and columns_of("    ".join(right)) + columns_of(where) + 11 > columns:
            right.pop()
        return spread(left, [("    ".join(right), "$muted")], columns)
