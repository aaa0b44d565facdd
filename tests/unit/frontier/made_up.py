"""Results of a frontier with figures that are made up."""

from __future__ import annotations

from hftune.frontier.folder import PARENT, Result
from hftune.frontier.quality import Quality
from hftune.frontier.speed import Asked, Turn, cost
from hftune.inference.statistics import Interval


def quality(split: str, loss: float, half: float = 0.01, relative: bool = False) -> Quality:
    """Return the quality of a model that loses so much against a parent of 0.9 (a perplexity of 20)."""
    value = 20 * (1 + loss) if relative else 0.9 - loss
    parent = 20.0 if relative else 0.9
    return Quality(
        split, 1000, "perplexity" if relative else "accuracy", Interval(value, value - 0.02, value + 0.02),
        Interval(parent, parent - 0.02, parent + 0.02), Interval(loss, loss - half, loss + half), relative,
        Interval(0.97, 0.96, 0.98),
    )  # fmt: skip


def result(
    name: str,
    validation: float,
    test: float | None = None,
    size: int = 10_000_000,
    seconds: float = 0.01,
    half: float = 0.01,
    relative: bool = False,
) -> Result:
    """Return a model that loses so much on each split (`test` None: there is none) and takes so long for a text."""
    found = {"validation": quality("validation", validation, half, relative)}
    if test is not None:
        found["test"] = quality("test", test, half, relative)
    own, parent = (Turn((each,) * 4, 32, 32 * each, 1e-3 * each) for each in (seconds, 0.02))
    paid = cost(Asked((own,) * 3, 10**8, False, "guessed"), Asked((parent,) * 3, 2 * 10**8), "text")
    return Result(name, f"run-{name}", "same", size, size // 4, 60.0, found, paid)


def parent(test: bool = True, size: int = 80_000_000, relative: bool = False) -> Result:
    """Return the model that all others are compared with."""
    return result(PARENT, 0.0, 0.0 if test else None, size, 0.02, 0.0, relative)
