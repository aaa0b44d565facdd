"""The fields of a request's JSON, taken one by one and checked; errors name the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hftune.errors import closest
from hftune.serving.problems import ApiError, bad

SHOWN = 60  # characters of a wrong value in an error


class Fields:
    """An object of JSON whose fields are taken by name; null counts as left out. `place` is where it stands."""

    def __init__(self, body: Mapping[str, Any], place: str = "") -> None:
        self._body = body
        self._place = place
        self._taken: list[str] = []

    def take(self, name: str) -> Any:
        """Return a field as it is, None when it is left out."""
        self._taken.append(name)
        return self._body.get(name)

    def path(self, name: str) -> str:
        """Return what an error calls a field."""
        return f"{self._place}.{name}" if self._place else name

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self.take(name)
        return None if value is None else as_text(value, self.path(name))

    def texts(self, name: str, most: int) -> list[str]:
        """Return a list of texts, also of one that stands alone; none when it is left out."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            return [as_text(value, self.path(name), "a text or a list of texts")]
        check_count(value, most, self.path(name))
        return [as_text(item, f"{self.path(name)}[{index}]") for index, item in enumerate(value)]

    def flag(self, name: str) -> bool:
        """Return true or false; false when it is left out."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(value, self.path(name), "true or false")
        return bool(value)

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise wrong(value, self.path(name), "a whole number")
        return value

    def number(self, name: str) -> float | None:
        """Return a number."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or math.isnan(value):
            raise wrong(value, self.path(name), "a number")
        return float(value)

    def object(self, name: str) -> Fields:
        """Return an object's fields; those of an empty one when it is left out."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise wrong(value, self.path(name), "an object")
        return Fields(value or {}, self.path(name))

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse a field whose value asks for what is not done here; it may be left out, or one of `allowed`."""
        value = self.take(name)
        if value is None or any(type(value) is type(one) and value == one for one in allowed):
            return
        expected = f" but as {' or '.join(json.dumps(one) for one in allowed)}" if allowed else ""
        raise ApiError(400, f"{self.path(name)} is not supported{expected}", code="unsupported", param=self.path(name))

    def ignore(self, *names: str) -> None:
        """Pass over fields that change no answer."""
        self._taken += names

    def end(self) -> None:
        """Refuse a field that nobody took."""
        for name in self._body:
            if name not in self._taken:
                shown = shorten(name)
                message = f"there is no field {shown}. {closest(name[:SHOWN], self._taken)}"
                raise bad(message, self.path(name[:SHOWN]))


def as_text(value: Any, path: str, expected: str = "a text") -> str:
    """Return a value that must be a text, of whole characters."""
    if not isinstance(value, str):
        raise wrong(value, path, expected)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise bad(f"{path} holds half of a surrogate pair, which is no character", path)
    return value


def check_count(value: list[Any], most: int, path: str) -> None:
    """Refuse a list of nothing, and one of more than `most`."""
    if not value:
        raise bad(f"{path} is empty", path)
    if len(value) > most:
        raise bad(f"{path} has {len(value)} items, and {most} is the most", path)


def wrong(value: Any, path: str, expected: str) -> ApiError:
    """Return the error of a value that is something else than expected."""
    return bad(f"{path} is missing" if value is None else f"{path} is {shorten(value)}, not {expected}", path)


def shorten(value: Any) -> str:
    """Return what a wrong value is, in few characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "a very large number"
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
