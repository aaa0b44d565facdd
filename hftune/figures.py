"""Numbers as people read them: durations, sizes, metrics, ages. None (an unknown or a NaN) has a form as well."""

from __future__ import annotations

from typing import Any


def figure(value: Any) -> str:
    """Return a metric with four digits that count: `0.861`, `12.4`, `1,234`; `nan` for none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "nan" if value is None else str(value)
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def duration(seconds: Any) -> str:
    """Return seconds as `3.1s`, `42s`, `1m12s`, `2h03m`, `3d04h`, `182d`."""
    if not isinstance(seconds, int | float) or seconds != seconds or seconds in (float("inf"), float("-inf")):
        return "?"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h" if days < 100 else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def ago(seconds: float) -> str:
    """Return how long ago something was, in what changes once a minute at most: `just now`, `3m ago`, `2h03m ago`."""
    if seconds < 60:
        return "just now"
    return f"{int(seconds // 60)}m ago" if seconds < 3600 else f"{duration(seconds)} ago"


def size(count: Any) -> str:
    """Return bytes as `512 B`, `45.5 MiB`, `1.92 GiB`."""
    if not isinstance(count, int | float):
        return "?"
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} TiB"


def count(number: Any) -> str:
    """Return a large count as `950`, `22.7K`, `22.7M`, `1.3B`."""
    if not isinstance(number, int | float):
        return "?"
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "K")):
        if abs(number) >= limit:
            return f"{number / (1e3 if unit == 'K' else limit):.3g}{unit}"
    return f"{number:,.0f}"


def many(number: Any, noun: str) -> str:
    """Return a number of things: `1 epoch`, `2.5 epochs`, `8,400 examples`."""
    return f"{figure(number)} {noun}" + ("" if number == 1 else "s")
