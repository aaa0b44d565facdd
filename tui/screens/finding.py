"""A place with a transcript, in which words are found."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from ..widgets.finder import Finder
from ..widgets.transcript import Transcript
from .base import Place


class FindingPlace(Place):
    """Its body has a Transcript and a Finder."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "find", "find in the transcript", id="chat.find"),
        Binding("n", "match(-1)", "the place before with what was found", id="chat.next"),
        Binding("N", "match(1)", "the place after", id="chat.previous"),
    ]

    def action_find(self) -> None:
        if self.query_one(Transcript).display:
            self.query_one(Finder).open()
        else:
            self.cannot("words are found in answers as they are: m shows them so")

    @on(Finder.Typed)
    def _look_for(self, message: Finder.Typed) -> None:
        message.stop()
        transcript = self.query_one(Transcript)
        if not message.ended:
            found = transcript.look_for(message.text)
            self.say(f"{found} found · Enter goes there · Esc forgets it" if message.text else "")
            return
        transcript.focus()
        if message.text:
            self.action_match(-1)
        else:
            self.forget_found()

    def forget_found(self) -> None:
        """Look for nothing any more."""
        self.query_one(Transcript).look_for("")
        self.say("")

    def action_match(self, by: int) -> None:
        transcript = self.query_one(Transcript)
        if not transcript.looked_for:
            self.cannot("f first says what is to be found")
            return
        place = transcript.next_match(by)
        self.say(
            "found nowhere" if place is None else f"{place[0]} of {place[1]} · n before · N after · Esc forgets it"
        )
