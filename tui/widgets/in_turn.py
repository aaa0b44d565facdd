"""Keys that act before the widget that has the focus sees them, and yet not before the letters typed before them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

from textual.dom import DOMNode

if TYPE_CHECKING:
    Beside = DOMNode
else:
    Beside = object  # a DOMNode first in the order of bases would hide what the widget inherits


class InTurn(Beside):
    """Gives a binding with priority its turn.

    The app carries out such a binding as the key arrives, while letters that came just before it (a paste without
    brackets, a slow line that delivers many keys at once) still wait in the queue of the widget that takes them.
    """

    def action_in_turn(self, name: str, *arguments: int) -> None:
        """Do the action of this name once the letters that came before are written."""
        act: Callable[..., object] = partial(getattr(self, f"action_{name}"), *arguments)
        writer: DOMNode | None = self.app.focused
        if writer is None or writer is self:
            self.call_later(act)
            return
        # What a letter changed is told from the writer upwards, through the queue of each: this goes behind it.
        way = [*takewhile(lambda node: node is not self, writer.ancestors_with_self), self]
        for pump in reversed([writer, *way]):
            act = partial(pump.call_later, act)
        act()
