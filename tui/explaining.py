"""Why a classifier answered so: asked of the worker after an answer, once no text waits, and let go for the next one.

Of two models side by side the first one's answers are explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.asking.client import ENDS, WorkerClient, WorkerDied
from hftune.asking.conversation import Conversation, Event
from hftune.asking.protocol import Id
from hftune.errors import HftuneError

from .answers import Answer, Explanation
from .link import Link
from .methods import FIRST, NONE, TITLES, WITHOUT_GRADIENTS

if TYPE_CHECKING:
    from .asking import Session


NO_NUMBERS = "what the model answers are no numbers"


@dataclass(eq=False)
class _Making:
    """An explanation that is asked for, or will be; `request`: its id once the worker has begun with it.

    `before`: the method that was shown until then; `by_hand`: a person asked for it, and is told why there is none as
    often as they ask.
    """

    link: Link
    answer: Answer
    text: str
    explanation: Explanation
    before: str
    by_hand: bool
    request: Id = None
    dropped: bool = False


class Explaining:
    """The part of a session that explains; screens call `choose` and `cancel`, which return at once."""

    def __init__(self, session: Session, link: Callable[[], Link | None]) -> None:
        self.method = FIRST  # by which answers are explained, NONE for not at all
        self._chosen = False  # by a person, who is told what a model cannot; else it is one that the model can
        self._session, self._link, self._lock = session, link, session.lock
        self._making: _Making | None = None
        self._said: tuple[str, ...] = ()  # what could not be explained, and why: said once

    def choose(self, method: str) -> bool:
        """Explain answers by `method` from now on, NONE for not at all; tell whether the last one is as well."""
        self.method, self._chosen = method, True
        return self.explain_last(by_hand=True)

    def explain_last(self, *, by_hand: bool = False) -> bool:
        """Show why the last answer is what it is, unless a text waits; what is there already is not asked for again."""
        with self._lock:
            last, main, link = next(iter(reversed(self._session.exchanges)), None), self._session.main, self._link()
            if last is None or main is None or link is None or not all(one.over for one in self._session.exchanges):
                return False
            answer = last.answers[0]
            if answer.prediction is None or answer.model != main.target.name:
                return False
            self.cancel()
            method = self._method(link, answer)
            before, answer.method = answer.method, method
            known = answer.explanation
            if method != NONE and (known is None or (known.failed and by_hand)):
                explanation = answer.explanations[method] = Explanation(method, words=TITLES[method])
                self._making = making = _Making(link, answer, last.text, explanation, before, by_hand)
                link.put(lambda client: self._make(client, making))
            self._show(answer)
            return True

    def _method(self, link: Link, answer: Answer) -> str:
        conversation = link.conversations.get(answer.slot)
        lacks = conversation is not None and conversation.model.get("gradients") is False
        return WITHOUT_GRADIENTS if lacks and not self._chosen and self.method == FIRST else self.method

    def cancel(self) -> bool:
        """Let go of the explanation that is being made, and tell whether there was one."""
        with self._lock:
            making, self._making = self._making, None
            if making is None:
                return False
            making.dropped = True
            self._forget(making)
            if making.request is not None:
                making.link.cancel(making.request)
            return True

    def _forget(self, making: _Making) -> None:
        answer, method = making.answer, making.explanation.method
        if answer.explanations.get(method) is making.explanation:
            del answer.explanations[method]
            if answer.method == method:
                answer.method = making.before
        self._show(answer)

    def _show(self, answer: Answer) -> None:
        answer.version += 1
        self._session.version += 1

    # In the thread of a link.

    def _make(self, client: WorkerClient, making: _Making) -> None:
        with self._lock:
            conversation = making.link.conversations.get(making.answer.slot)
            if making.dropped:
                return
            if conversation is None or not conversation.model:
                if self._making is making:
                    self._making = None
                self._forget(making)
                return
        self._ask(client, conversation, making)
        with self._lock:
            if self._making is making:
                self._making = None
            self._show(making.answer)

    def _ask(self, client: WorkerClient, conversation: Conversation, making: _Making) -> None:
        explanation = making.explanation

        def show(event: Event) -> None:
            with self._lock:
                making.request = event["id"]
                if event["event"] == "progress":
                    explanation.words = str(event["message"])
                    self._show(making.answer)
                late = making.dropped and event["event"] not in ENDS
            if late:  # it was let go before the worker knew of it
                client.cancel(event["id"])

        try:
            record = conversation.explain(making.text, explanation.method, show)
        except WorkerDied:
            raise
        except HftuneError as error:
            with self._lock:
                self._fail(making, error)
        else:
            with self._lock:
                if record is None:  # it was let go
                    self._forget(making)
                elif not _is_sound(record):
                    self._fail(making, HftuneError(NO_NUMBERS))
                else:
                    explanation.record = record
                    making.answer.explanations[explanation.method] = explanation

    def _fail(self, making: _Making, error: HftuneError) -> None:
        """Say why there is none, but not again and again what is so for each text."""
        if making.dropped:  # nobody waits for it, and nobody has been told
            return
        said = (making.answer.model, making.explanation.method, error.message)
        if said == self._said and not making.by_hand:
            self._forget(making)
            return
        self._said = said
        making.explanation.words, making.explanation.hint, making.explanation.failed = error.message, error.hint, True


def _is_sound(record: Mapping[str, Any]) -> bool:
    """Tell whether a record can be drawn: of a model whose weights are not finite, numbers are null."""
    methods = record.get("methods", ())
    numbers = [number for one in methods for number in (*one["values"], *one["faithfulness"].values())]
    return None not in (*numbers, *(record.get("chance") or {}).values())
