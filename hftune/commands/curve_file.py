"""The curve of a range test as a PNG, drawn by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError

if TYPE_CHECKING:
    from hftune.training.lr_curve import Curve


def require_matplotlib() -> None:
    """Raise UsageError when there is nothing to draw with; to be asked before anything is computed."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--png needs matplotlib, which is not installed",
            hint="pip install 'hftune[plot]'; without --png the curve is in the terminal, with --json its numbers.",
        )


def save_png(path: Path, title: str, curve: Curve, marks: Mapping[str, float]) -> None:
    """Write losses and averaged losses over the rate (logarithmic), with a line at each of `marks` (name -> rate)."""
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, ".", color="0.75", label="each step")
    axes.plot(curve.average_rates, curve.averages, color="black", label="averaged over a tenth of the test")
    styles = ("--", "-.", ":", (0, (1, 4)))
    for number, (name, rate) in enumerate(marks.items()):
        axes.axvline(rate, color=f"C{number}", linestyle=styles[number % len(styles)], label=f"{name} {rate:.2g}")
    start, lowest = curve.averages[curve.start], curve.averages[curve.lowest]
    axes.set_ylim(top=start + 1.5 * max(start - lowest, 0.05 * abs(start)))
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title)
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"--png: {path} cannot be written: {error.strerror}") from error
