"""Keys take turns: each has had its effect before the next is given to the app, however fast they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode

Typed = events.Key | events.Paste


class Turns:
    """Holds back what is typed until what was typed before it is done.

    Textual gives a key to the widget that has the focus and goes on: it waits in that widget's queue, then in the queue
    of each widget above. Of many keys at once (text sent by a script, a paste without brackets, a slow line) a later
    one could overtake an earlier one there: a binding with priority, or a key of a place that has only just arrived.
    """

    def __init__(self, app: App[Any], give: Callable[[Typed], Awaitable[None]]) -> None:
        """`give` lets the app have an event."""
        self._app, self._give = app, give
        self._waiting: deque[Typed] = deque()
        self._now: Typed | None = None  # the one that has its turn
        self._held = False

    async def take(self, event: Typed) -> None:
        """Give the app this event, once those before it have had their turn."""
        self._waiting.append(event)
        await self._next()

    def hold(self) -> None:
        """Keep what is typed from now on: it is meant for a place that is on its way."""
        self._held = True

    async def release(self) -> None:
        """Give what was kept to the place, which is there now."""
        self._held, self._now = False, None
        await self._next()

    async def _next(self) -> None:
        if self._waiting and self._now is None and not self._held:
            self._now = event = self._waiting.popleft()
            taker = self._taker
            await self._give(event)
            await self._go_round(event, taker, again=True)

    @property
    def _taker(self) -> DOMNode:
        return self._app.focused or self._app.screen

    async def _go_round(self, event: Typed, taker: DOMNode, again: bool) -> None:
        """Come back behind all that waits in the queues of the widget that took the event and of those above it."""
        way = deque(taker.ancestors_with_self)  # the last is the app

        async def onwards() -> None:
            while way:
                if way.popleft().call_later(onwards):  # one that closes takes no more calls
                    return
            await self._back(event, taker, again)

        await onwards()

    async def _back(self, event: Typed, taker: DOMNode, again: bool) -> None:
        """Go round twice, for what a key changes is told from the widget upwards; anew when the focus is elsewhere."""
        if event is not self._now:
            return
        if again or self._taker is not taker:
            await self._go_round(event, self._taker, again=self._taker is not taker)
        else:
            self._now = None
            await self._next()
