"""What a smaller model may lose and take, as people write it: `1%`, `0.01`, `10MB`, `10 MiB`."""

from __future__ import annotations

import math
import re

from hftune.errors import UsageError

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.IGNORECASE)
_UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
    "k": 10**3, "m": 10**6, "g": 10**9,
}  # fmt: skip


def parse_share(text: str, option: str) -> float:
    """Return the share that `1%` or `0.01` means; raises UsageError naming the `option` it was given to."""
    hint = f"Write a share, as {option} 1% or {option} 0.01."
    found = _NUMBER.fullmatch(text)
    if found is None or found[2] not in ("", "%"):
        raise UsageError(f"{option}: {text!r} is no share", hint=hint)
    value = float(found[1]) / (100 if found[2] else 1)
    if not math.isfinite(value):
        raise UsageError(f"{option}: {text!r} is no share", hint=hint)
    if not found[2] and value >= 1:
        raise UsageError(
            f"{option} {text.strip()}: that would be {100 * value:g} in a hundred",
            hint=f"Write {option} {value:g}% if that is meant.",
        )
    return value


def parse_bytes(text: str, option: str) -> int:
    """Return the bytes that `10MB` (10,000,000) or `10 MiB` (10,485,760) means; raises UsageError naming `option`."""
    found = _NUMBER.fullmatch(text)
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in _UNITS):
        raise UsageError(f"{option}: {text!r} is no size", hint=f"Write {option} 10MB, or {option} 10MiB.")
    if not unit and float(found[1]) < 1024:
        raise UsageError(
            f"{option} {text.strip()}: of what? No model has so few bytes",
            hint=f"Write {option} {found[1]}MB if megabytes are meant.",
        )
    size = float(found[1]) * _UNITS.get(unit, 1)
    if not 1 <= size < math.inf:
        raise UsageError(f"{option}: {text!r} is no size", hint=f"Write {option} 10MB, or {option} 10MiB.")
    return int(size)
