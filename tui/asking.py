"""A session with a worker process: one model or two side by side, asked from a thread, so that no screen ever waits.

Screens call `open`, `ask`, `stop` and the like, which return at once, and read `phase`, `items` and the rest under
`lock` on timers of their own; `version` grows with every change. A worker that dies is a phase, not an exception.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from hftune.asking.client import ENDS, WorkerClient, WorkerDied
from hftune.asking.conversation import AskFailed, Conversation, Event
from hftune.asking.decoding import Decoding, decoding_from
from hftune.asking.protocol import IMPORT_SECONDS
from hftune.errors import HftuneError, UsageError

from .answers import Answer, Exchange, Item, Notice, Phase, Slot, Target
from .explaining import Explaining
from .link import Connect, Link

MAIN, BESIDE = "main", "beside"
MAX_ITEMS = 500  # of a transcript; older ones are let go
MAX_WAITING = 64  # texts that may wait for their answer


class Session:
    """Asks the models of runs through one worker process."""

    def __init__(self, connect: Connect = WorkerClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self.phase = Phase("closed")
        self.decoding = Decoding()
        self.items: list[Item] = []
        self.dropped = 0  # items that were let go
        self.main: Slot | None = None
        self.beside: Slot | None = None
        self._connect = connect
        self._clock = clock
        self._link: Link | None = None
        self.explaining = Explaining(self, lambda: self._link)

    # What screens call: all of it returns at once.

    def open(self, target: Target, messages: Sequence[Mapping[str, str]] = ()) -> None:
        """Ask `target` from now on. What another checkpoint of the same run was told, it is told as well."""
        with self.lock:
            there = self.main
            if there is not None and there.target == target and self._link is not None and not there.problem:
                return
            self.main = Slot(MAIN, target, messages=[dict(one) for one in messages])
            if there is not None and there.target != target:
                self._add(Notice(f"now {target.name}"))
            self._load(self.main, there if there is not None and there.target.run == target.run else None)

    def open_beside(self, target: Target) -> None:
        """Ask a second model as well, told the same so far. Raises UsageError where nothing is asked yet."""
        with self.lock:
            if self.main is None:
                raise UsageError("there is no model yet that another could stand beside")
            self.beside = Slot(BESIDE, target)
            self._load(self.beside, self.main)

    def close_beside(self) -> None:
        """Ask one model again."""
        with self.lock:
            if self.beside is None:
                return
            self._add(Notice(f"{self.beside.target.name} is not asked any more"))
            self.beside = None
            if self._link is not None:
                link = self._link
                link.put(lambda client: self._unload(link, client))

    def ask(self, text: str) -> Exchange:
        """Ask the models; the answers come into what is returned, after those to earlier texts.

        Begins anew with a worker that has died or could not load. Raises UsageError when too many texts wait.
        """
        with self.lock:
            return self._ask(text)

    def retry(self) -> Exchange:
        """Ask the last text again, with the settings of now, forgetting its answer. Raises UsageError without one."""
        with self.lock:
            last = next(iter(reversed(self.exchanges)), None)
            if last is None:
                raise UsageError("nothing has been asked yet")
            return self._ask(last.text, again=True)

    def goes_on(self) -> bool:
        """Tell whether an empty text makes sense: a text that the model may let go on by itself."""
        with self.lock:
            return self.main is not None and self.main.about.get("style") == "text" and bool(self.main.messages)

    def reset(self) -> None:
        """Forget the conversation, in its turn after the texts that wait."""
        with self.lock:
            self._add(Notice("the conversation before is forgotten"))
            if (link := self._link) is not None:
                link.put(lambda client: self._forget(link))
            else:
                for slot in filter(None, (self.main, self.beside)):
                    slot.messages, slot.before = [], []

    def set(self, settings: Mapping[str, Any]) -> None:
        """Change how answers are written from now on; raises UsageError and changes nothing when one is wrong."""
        with self.lock:
            self.decoding = decoding_from(settings, self.decoding)
            self.version += 1

    def stop(self) -> bool:
        """Stop the answer that is being written and withdraw the texts that wait; tell whether there was any."""
        with self.lock:
            answers = [answer for one in self.exchanges for answer in one.answers if not answer.over]
            for answer in answers:
                answer.stop_wanted = True
                if answer.state == "waiting":
                    answer.state = "stopped"
                answer.version += 1
            self.version += bool(answers)
            if self._link is not None and any(answer.state == "asked" for answer in answers):
                self._link.cancel()
            return bool(answers)

    def resume(self, main: Slot, beside: Slot | None, items: Sequence[Item], settings: Mapping[str, Any]) -> None:
        """Go on with a conversation from elsewhere in place of this one; raises UsageError for a wrong setting."""
        with self.lock:
            self.decoding = decoding_from(settings)
            self.stop()
            self.items, self.dropped, self.main, self.beside = list(items), 0, main, beside
            running = self._link is not None
            self._load(main)
            if beside is not None and running:
                self._load(beside)

    def restart(self) -> None:
        """End the worker, whatever it does, and begin anew with the same models and what they were told."""
        with self.lock:
            self._let_go("the worker was started again")
            if self.main is not None:
                self._load(self.main)

    def close(self) -> None:
        """End the worker. Returns at once; it may take a moment to go."""
        with self.lock:
            self._let_go("the conversation was closed")
            self._set_phase(Phase("closed"))

    def say(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        """Put something between the exchanges."""
        with self.lock:
            self._add(Notice(text, level))

    @property
    def exchanges(self) -> list[Exchange]:
        """The texts and their answers, oldest first."""
        return [item for item in self.items if isinstance(item, Exchange)]

    # Under the lock, from any thread.

    def _slots(self) -> list[Slot]:
        if self.main is None:
            raise UsageError("there is no model to ask", hint="Open a run first.")
        return [self.main] if self.beside is None else [self.main, self.beside]

    def _add(self, item: Item) -> None:
        self.items.append(item)
        extra = max(0, len(self.items) - MAX_ITEMS)
        del self.items[:extra]
        self.dropped += extra
        self.version += 1

    def _set_phase(self, phase: Phase) -> None:
        self.phase = phase
        self.version += 1

    def _ask(self, text: str, again: bool = False) -> Exchange:
        slots = self._slots()
        if sum(not one.over for one in self.exchanges) >= MAX_WAITING:
            raise UsageError(f"{MAX_WAITING} texts wait for their answer", hint="Esc withdraws them.")
        if self._link is None or slots[0].problem:
            self._load(slots[0])
        link, settings = self._link, self.decoding.to_dict()
        assert link is not None
        exchange = Exchange(text, [Answer(slot.name, slot.target.name, settings) for slot in slots], again)
        self._add(exchange)
        self.explaining.cancel()  # it would be waited for
        link.put(lambda client: self._answer_all(link, client, exchange, slots))
        return exchange

    def _load(self, slot: Slot, heir_of: Slot | None = None) -> None:
        """Have a slot's model loaded, to be told what `heir_of` was told by then; a new worker loads all of them."""
        slot.about, slot.problem, slot.hint = {}, "", ""
        self.explaining.cancel()
        if (link := self._link) is not None:
            link.put(lambda client: self._load_slot(link, client, slot, heir_of))
            return
        if heir_of is not None:
            slot.messages = list(heir_of.messages)
        main, beside = self.main, self.beside
        assert main is not None
        run, step = main.target.run.absolute(), main.target.step
        self._link = new = Link(self._connect, [str(run) if step is None else f"{run}@{step}"], self._died)
        self._set_phase(Phase("starting", "starting the worker", since=self._clock(), seconds=IMPORT_SECONDS))
        new.put(lambda client: self._begin(new, client, main, beside))
        new.start()

    def _let_go(self, why: str) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.end()
        self._give_up(why, "")

    def _give_up(self, message: str, hint: str) -> None:
        """End every answer that is still open."""
        self.explaining.cancel()
        for answer in (one for exchange in self.exchanges for one in exchange.answers if not one.over):
            answer.fail(message, hint)
            answer.version += 1
        self.version += 1

    # In the thread of a link.

    def _begin(self, link: Link, client: WorkerClient, main: Slot, beside: Slot | None) -> None:
        self._load_slot(link, client, main, first=True)
        if beside is not None:
            self._load_slot(link, client, beside)

    def _load_slot(
        self, link: Link, client: WorkerClient, slot: Slot, heir_of: Slot | None = None, first: bool = False
    ) -> None:
        with self.lock:
            if slot is not self.main and slot is not self.beside and not self._is_waited_for(slot):
                return  # something else was chosen meanwhile
            if heir_of is not None:
                slot.messages = list(heir_of.messages)
            conversation = Conversation(client, self.decoding, slot.name, two_lines=True)
            conversation.messages = list(slot.messages)
            link.conversations[slot.name] = conversation

        def show(event: Event) -> None:
            if event["event"] == "progress":
                name: Literal["starting", "loading"] = "starting" if event.get("phase") == "importing" else "loading"
                self._progress(link, Phase(name, event["message"], since=self._clock(), seconds=event.get("seconds")))

        target = slot.target
        try:
            if first:
                conversation.start(show)
            else:
                conversation.load(show, str(target.run.absolute()), target.step, base=target.base)
        except WorkerDied:
            raise
        except HftuneError as error:
            self._not_loaded(link, slot, error)
        else:
            self._loaded(link, slot, conversation.model)

    def _is_waited_for(self, slot: Slot) -> bool:
        answers = (answer for one in self.exchanges for answer in one.answers)
        return any(answer.model == slot.target.name and not answer.over for answer in answers)

    def _loaded(self, link: Link, slot: Slot, about: dict[str, Any]) -> None:
        with self.lock:
            slot.about = about
            if about.get("untrained_head"):
                self._add(
                    Notice(f"{slot.target.name}: a part of it was not trained, its answers are random", "warning")
                )
            self._settle(link)

    def _not_loaded(self, link: Link, slot: Slot, error: HftuneError) -> None:
        with self.lock:
            slot.problem, slot.hint = error.message, _hint(error, self.beside is not None)
            if slot is self.beside:
                self.beside = None
                self._add(Notice(f"{slot.target.name} cannot be asked: {slot.problem}\n{slot.hint}".rstrip(), "error"))
            self._settle(link)

    def _answer_all(self, link: Link, client: WorkerClient, exchange: Exchange, slots: Sequence[Slot]) -> None:
        for slot, answer in zip(slots, exchange.answers, strict=True):
            with self.lock:
                conversation = link.conversations.get(slot.name)
                if answer.over:
                    continue
                if conversation is None or not conversation.model:
                    answer.fail(slot.problem or f"{slot.target.name} is not loaded any more", slot.hint)
                    answer.version += 1
                    self.version += 1
                    continue
                if exchange.again:
                    conversation.messages = list(slot.before)
                slot.before = list(conversation.messages)
                conversation.decoding = decoding_from(answer.settings)
                answer.state, answer.sent = "asked", self._clock()
                self._progress(link, Phase("answering", since=answer.sent))
            self._answer(client, conversation, answer, exchange.text)
            with self.lock:
                slot.messages = list(conversation.messages)
                self._settle(link)
        self.explaining.explain_last()

    def _answer(self, client: WorkerClient, conversation: Conversation, answer: Answer, text: str) -> None:
        def show(event: Event) -> None:
            with self.lock:
                if event["event"] == "token":
                    answer.add_token(event, self._clock())
                elif event["event"] == "result":
                    answer.take(event["data"])
                answer.version += 1
                self.version += 1
                late = answer.stop_wanted and event["event"] not in ENDS
            if late:  # it was stopped before the worker knew of it
                client.cancel(event["id"])

        try:
            data = conversation.ask(text, show)
        except WorkerDied:
            raise
        except HftuneError as error:
            with self.lock:
                answer.fail(error.message, _hint(error, self.beside is not None))
        else:
            with self.lock:
                answer.state = "stopped" if data is None or data.get("finish_reason") == "cancelled" else "done"
        with self.lock:
            answer.version += 1
            self.version += 1

    def _unload(self, link: Link, client: WorkerClient) -> None:
        if self.beside is not None or link.conversations.pop(BESIDE, None) is None:
            return
        request = client.request("unload", model=BESIDE)
        while client.next_event(request)["event"] not in ENDS:
            pass

    def _forget(self, link: Link) -> None:
        with self.lock:
            for slot in filter(None, (self.main, self.beside)):
                slot.messages, slot.before = [], []
            for conversation in link.conversations.values():
                conversation.reset()

    def _progress(self, link: Link, phase: Phase) -> None:
        with self.lock:
            if link is self._link:
                self._set_phase(phase)

    def _settle(self, link: Link) -> None:
        """Say whether the next text can be answered."""
        main = self.main
        if main is not None and main.problem:
            self._progress(link, Phase("failed", main.problem, main.hint, self._clock()))
        elif main is not None and main.about:
            self._progress(link, Phase("ready", since=self._clock()))

    def _died(self, link: Link, message: str, hint: str) -> None:
        with self.lock:
            if link is not self._link:
                return
            self._link = None
            for slot in filter(None, (self.main, self.beside)):
                slot.about = {}
            self._give_up(message, "")
            self._set_phase(Phase("dead", message, hint, self._clock()))


def _hint(error: HftuneError, two: bool) -> str:
    """Return what to do about an error, in the words of the app rather than of the command line."""
    if isinstance(error, AskFailed) and error.code == "out-of-memory":
        also = ", and so does closing the model beside (b)" if two else ""
        return f"A shorter text or /set max_new_tokens=32 takes less{also}."
    return error.hint
