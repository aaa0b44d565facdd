"""How the chat explains a classifier's answers: the keys of the chat for it, and /explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftune.asking.explanations import counterfactual_lines, explanation_lines

from .methods import COUNTERFACTUAL, FIRST, NONE, OFF, TITLES

if TYPE_CHECKING:
    from .answers import Explanation
    from .screens.chat import ChatScreen

CLASSIFIES, WRITES = "text-classification", "text-generation"
SINGLE = (None, "single_label_classification")


class ChatExplaining:
    """What a person asks of one chat about explanations."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen

    def obey(self, name: str) -> None:
        """Explain by what `/explain` names, which is empty for the method of before."""
        if name == OFF:
            self._choose(NONE)
        else:
            self._choose(name or self._screen.session.explaining.method or FIRST)

    def go_on(self) -> None:
        """Explain by the next of the methods, after the last one by none."""
        names = [name for name in TITLES if name != COUNTERFACTUAL or self._flips()] + [NONE]
        here = self._screen.session.explaining.method
        self._choose(names[(names.index(here) + 1) % len(names)] if here in names else NONE)

    def _flips(self) -> bool:
        """Tell whether the model gives one label of several: only then there is another answer to flip to."""
        main = self._screen.session.main
        return main is not None and main.about.get("problem_type") in SINGLE

    def _choose(self, method: str) -> None:
        now = self._screen.session.explaining.choose(method)
        if method == NONE:
            self._screen.say("answers are not explained: m or /explain explains them again")
        else:
            self._screen.say(f"explained by {TITLES[method]}" + ("" if now else " from the next answer on"))

    def open_table(self) -> None:
        """Show all words of the last answer with their numbers, and how far to believe them."""
        from .screens.dialogs import Reading

        screen = self._screen
        main = screen.session.main
        with screen.session.lock:
            last = next(iter(reversed(screen.session.exchanges)), None)
            found = last.answers[0].explanation if last is not None else None
        if found is not None and found.record is not None:
            screen.say("")
            screen.app.push_screen(Reading(TITLES[found.method], "\n".join(_lines(found)), wide=True))
        elif main is not None and main.about.get("task") == WRITES:
            screen.cannot('only labels are explained here: /explain "PROMPT" tells what in a prompt did most')
        elif main is not None and main.about.get("task") not in (None, CLASSIFIES):
            screen.cannot(f"{main.target.name} gives no labels: only answers of a classifier are explained")
        elif found is not None and not found.failed:
            screen.cannot("the explanation is being made")
        else:
            screen.cannot("there is no explanation: write a text; m chooses a method")


def _lines(found: Explanation) -> list[str]:
    record = found.record
    assert record is not None
    if "counterfactuals" in record:
        return list(counterfactual_lines(record["counterfactuals"], alone=True))
    return list(explanation_lines(record, most=None))
