"""The worker's `explain`: from the fields of a request to the data of its result, as inference/worker.py tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hftune.asking.protocol import RequestError, asked_field, text_field, texts_field, whole_field
from hftune.errors import closest
from hftune.explainers import CHANCE, methods

if TYPE_CHECKING:
    from hftune.explainers._counterfactual import Neighbourhood
    from hftune.explainers._question import Question
    from hftune.inference.predictor import Predictor

    Note = Callable[[str], None]

CLASSIFIES, GENERATES, COUNTERFACTUAL = "text-classification", "text-generation", "counterfactual"


class Explaining:
    """Answers what a worker is asked to explain; the words near each word are looked up once for each loaded model."""

    def __init__(self) -> None:
        self._hoods: WeakKeyDictionary[Predictor, Neighbourhood] = WeakKeyDictionary()

    def answer(
        self, predictor: Predictor, body: Mapping[str, Any], note: Note, cancelled: Callable[[], bool]
    ) -> dict[str, Any] | None:
        """Return the explanation that a request's `body` asks for as JSON holds it, None when it was cancelled.

        Raises RequestError for a wrong field and a missing package, UsageError for what cannot be explained.
        """
        from hftune.explainers._asked import Stopped
        from hftune.explainers._captum import MissingPackage

        by_task = {CLASSIFIES: self._classification, GENERATES: _generation}
        if predictor.task not in by_task:
            predictor.require(CLASSIFIES)
        try:
            return by_task[predictor.task](predictor, body, note, cancelled)
        except Stopped:
            return None
        except MissingPackage as error:
            raise RequestError("not-available", error.message, error.hint) from None

    def _classification(
        self, predictor: Predictor, body: Mapping[str, Any], note: Note, cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        from hftune.explainers._explanation import explain
        from hftune.explainers._question import Question

        names = _methods(body, predictor, COUNTERFACTUAL)
        attributing = [name for name in names if name != COUNTERFACTUAL]
        text, pair, target = text_field(body, "text"), _optional(body, "pair"), _optional(body, "target")
        if target is not None and not attributing:
            raise RequestError("bad-request", "target is for attributions", "A counterfactual is any other answer.")
        record: dict[str, Any] = {}
        if attributing:
            question = Question(predictor, text, target, pair, cancelled)
            record = explain(question, attributing, whole_field(body, "seed", 0, 0), note).to_dict()
        if COUNTERFACTUAL in names:
            # Of the answer, whatever label the attributions were asked for.
            question = Question(predictor, text, None, pair, cancelled)
            record["counterfactuals"] = self._flip(predictor, question, note)
        return record

    def _flip(self, predictor: Predictor, question: Question, note: Note) -> dict[str, Any]:
        from hftune.explainers._counterfactual import Neighbourhood, find, require_labels

        require_labels(question)  # before what takes long
        if predictor not in self._hoods:
            note("counterfactuals: the words near each word")
            self._hoods[predictor] = Neighbourhood(predictor, note, cancelled=question.cancelled)
            question.go_on()
        return asdict(find(predictor, question, self._hoods[predictor], note))


def _generation(
    predictor: Predictor, body: Mapping[str, Any], note: Note, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    from hftune.explainers._continuation import Continuation
    from hftune.explainers._explanation import explain_answer

    names, answer = _methods(body, predictor), _optional(body, "answer")
    most = None if body.get("max_new_tokens") is None else whole_field(body, "max_new_tokens", 1)
    if answer is not None and most is not None:
        raise RequestError("bad-request", "max_new_tokens is for the model's own answer", "Leave it or answer out.")
    question = Continuation(predictor, asked_field(body), answer, most, cancelled)
    return explain_answer(question, names, whole_field(body, "seed", 0, 0), note).to_dict()


def _methods(body: Mapping[str, Any], predictor: Predictor, *others: str) -> Sequence[str]:
    from hftune.modeling.loading import computes_in_int8

    has_gradients = not computes_in_int8(predictor.loaded.model)
    known = [*(name for name in methods(predictor.task, has_gradients) if name != CHANCE), *others]  # the default first
    if body.get("methods") is None:
        return known[:1]
    names = list(dict.fromkeys(texts_field(body, "methods")))
    if lacking := [name for name in names if name not in known and name in methods(predictor.task)[:-1]]:
        hint = f"There are {', '.join(known)}."
        raise RequestError("not-available", f"{lacking[0]} needs gradients, which int8 weights do not have", hint)
    if wrong := [name for name in names if name not in known]:
        raise RequestError("bad-request", f"no method named {wrong[0]!r}", closest(wrong[0], known))
    if not names:
        raise RequestError("bad-request", "methods is empty", f"There are {', '.join(known)}.")
    return names


def _optional(body: Mapping[str, Any], key: str) -> str | None:
    return None if body.get(key) is None else text_field(body, key)
