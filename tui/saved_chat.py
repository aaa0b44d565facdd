"""A conversation as one JSON file: the models, the settings, what the models were told, and the transcript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hftune.asking.decoding import decoding_from
from hftune.errors import UsageError, closest
from hftune.runs.files import write_atomic

from .answers import Answer, Exchange, Item, Slot, Target
from .asking import BESIDE, MAIN, Session

FORMAT, VERSION = "hftune conversation", 1
ROLES = ("system", "user", "assistant")
LARGEST = 64 << 20  # bytes of a file that is read
# What is kept of an answer; the rest is how it came about.
KEPT = ("text", "tokens", "finish_reason", "seed", "tokens_per_second", "first_token_seconds", "prediction", "filling")


@dataclass(frozen=True)
class SavedChat:
    """A conversation that was read from a file."""

    main: Slot
    beside: Slot | None
    settings: dict[str, Any]
    items: list[Item]


def write_chat(path: Path, session: Session, saved: str) -> None:
    """Write the session's conversation, whole or not at all; `saved` says when. Raises UsageError when it cannot be."""
    with session.lock:
        main = session.main
        if main is None:
            raise UsageError("there is no conversation to save")
        record = {
            "format": FORMAT,
            "version": VERSION,
            "saved": saved,
            **_slot_record(main),
            "settings": session.decoding.to_dict(),
            "beside": None if session.beside is None else _slot_record(session.beside),
            "transcript": [_exchange_record(one) for one in session.exchanges if one.over],
        }
    # ASCII: half of a surrogate pair that a text may hold survives.
    text = json.dumps(record, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def read_chat(path: Path) -> SavedChat:
    """Return the conversation in a file; raises UsageError that says what is wrong with it."""
    record = _record(path)
    if record.get("format") != FORMAT:
        raise UsageError(f"{path.name} holds no conversation", hint="/save writes files that can be loaded.")
    if record.get("version") != VERSION:
        found = record.get("version")
        raise UsageError(f"{path.name} is of version {found!r}, and {VERSION} is read here", hint="Update hftune.")
    try:
        beside = record.get("beside")
        settings = _typed(record, "settings", dict)
        decoding_from(settings)
        return SavedChat(
            _slot(MAIN, record),
            None if beside is None else _slot(BESIDE, _typed(record, "beside", dict)),
            settings,
            [_exchange(one, settings) for one in _typed(record, "transcript", list)],
        )
    except UsageError as error:
        raise UsageError(f"{path.name} cannot be loaded: {error.message}", error.hint) from error


def _record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path.name} has more than {LARGEST >> 20} MiB", hint="No conversation is that long.")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} is not JSON: {error}") from error
    return record if isinstance(record, dict) else {}


def _slot_record(slot: Slot) -> dict[str, Any]:
    target = slot.target
    return {"run": str(target.run.absolute()), "step": target.step, "base": target.base, "messages": slot.messages}


def _slot(name: str, record: Mapping[str, Any]) -> Slot:
    step = record.get("step")
    if isinstance(step, bool) or not isinstance(step, int | None):
        raise UsageError(f"step: {step!r} is not a whole number")
    messages = [_message(one) for one in _typed(record, "messages", list)]
    return Slot(name, Target(Path(_typed(record, "run", str)), step, record.get("base") is True), messages=messages)


def _message(record: Any) -> dict[str, str]:
    role = _typed(record, "role", str)
    if role not in ROLES:
        raise UsageError(f"role: {role!r} cannot be used", closest(role, ROLES))
    return {"role": role, "content": _typed(record, "content", str)}


def _exchange_record(exchange: Exchange) -> dict[str, Any]:
    return {
        "text": exchange.text,
        "again": exchange.again,
        "answers": [_answer_record(one) for one in exchange.answers],
    }


def _answer_record(answer: Answer) -> dict[str, Any]:
    kept = {key: value for key in KEPT if (value := getattr(answer, key)) not in (None, "", 0)}
    error = {"error": answer.error, "hint": answer.hint} if answer.error else {}
    said = {"slot": answer.slot, "model": answer.model, "state": answer.state, "settings": answer.settings}
    return {**said, **kept, **error, "notes": list(answer.notes)}


def _exchange(record: Any, settings: dict[str, Any]) -> Exchange:
    answers = [_answer(one, settings) for one in _typed(record, "answers", list)]
    return Exchange(_typed(record, "text", str), answers, record.get("again") is True)


def _answer(record: Any, settings: dict[str, Any]) -> Answer:
    model = _typed(record, "model", str)
    slot = BESIDE if record.get("slot") == BESIDE else MAIN
    answer = Answer(slot, model, decoding_from(_typed({"settings": settings, **record}, "settings", dict)).to_dict())
    state = record.get("state")
    answer.state = state if state in ("stopped", "failed") else "done"
    answer.text, answer.finish_reason = (str(record.get(key, "")) for key in ("text", "finish_reason"))
    answer.error, answer.hint = (str(record.get(key, "")) for key in ("error", "hint"))
    answer.notes = tuple(map(str, record.get("notes") or ()))
    answer.tokens = record["tokens"] if isinstance(record.get("tokens"), int) else 0
    answer.seed = record["seed"] if isinstance(record.get("seed"), int) else None
    for key in ("tokens_per_second", "first_token_seconds"):
        setattr(answer, key, float(record[key]) if isinstance(record.get(key), int | float) else None)
    answer.prediction, answer.filling = _prediction(record.get("prediction")), _filling(record.get("filling"))
    return answer


def _prediction(record: Any) -> dict[str, Any] | None:
    """Return a prediction that can be drawn, None for anything else."""
    shares = record.get("probabilities") if isinstance(record, dict) else None
    if not isinstance(shares, dict) or not all(_is_share(share) for share in shares.values()):
        return None
    label = record.get("label")
    names = label if isinstance(label, list) else [label]
    sound = all(isinstance(one, str) for one in names) if shares else isinstance(label, int | float | None)
    return record if sound else None


def _filling(record: Any) -> dict[str, Any] | None:
    masks = record.get("masks") if isinstance(record, dict) else None
    if not isinstance(masks, list):
        return None
    guesses = [guess for mask in masks if isinstance(mask, list) and mask for guess in mask]
    sound = all(
        isinstance(one, dict) and isinstance(one.get("token"), str) and _is_share(one.get("probability"))
        for one in guesses
    )
    return record if guesses and sound and all(isinstance(mask, list) and mask for mask in masks) else None


def _is_share(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


def _typed(record: Any, key: str, kind: type) -> Any:
    if not isinstance(record, dict):
        raise UsageError(f"{record!r:.60} is no object of JSON")
    if not isinstance(record.get(key), kind):
        raise UsageError(f"{key} is {'missing' if key not in record else 'not what it must be'}")
    return record[key]
