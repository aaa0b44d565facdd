"""How a compressed run's model does beside its parent's: compression.json, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hftune.figures import figure, many
from hftune.runs import layout

Ends = Mapping[str, float | None]  # value, low, high (95%; None where they cannot be told)


@dataclass(frozen=True)
class Comparison:
    """A model and its parent over the same `rows` rows of `split`.

    `loss`: how much worse `metric` is than the parent's, with its paired interval, negative where it is better; of
    metrics that are shares (`relative` False) a difference, of losses and errors a share of the parent's. `agreement`:
    share of the same answers (of a language model: of the same likeliest tokens), None for numbers. `p_value`:
    McNemar's exact test of rows that one answers rightly and the other does not, None where an answer is no right or
    wrong. `bytes` of `model/`, `parameters` as the model has them.
    """

    method: str
    parent: str
    split: str
    rows: int
    metric: str
    value: Ends
    parent_value: Ends
    loss: Ends
    relative: bool
    agreement: Ends | None
    p_value: float | None
    bytes: int
    parent_bytes: int
    parameters: int
    parent_parameters: int

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Comparison:
        """Return what `to_dict` made; raises KeyError for what is missing, TypeError for what is no such record."""
        return cls(**{one.name: record[one.name] for one in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON holds it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return what was found, as lines for people of at most 80 columns."""
        value, theirs = figure(self.value["value"]), figure(self.parent_value["value"])
        said = [
            f"beside its parent, over {many(self.rows, 'row')} of {self.split}",
            f"  {self.metric:<11} {value}, its parent's {theirs}: {self.tell_loss()}",
        ]
        if self.agreement is not None:
            said.append(f"  same answer {_share(self.agreement['value'])} ({_ends(self.agreement, _share)})")
        if self.p_value is not None:
            said.append(f"  chance      p = {self.p_value:.2g}, were both equally good (McNemar's exact test)")
        size = _share(self.bytes / self.parent_bytes) if self.parent_bytes else "?"
        weights = _share(self.parameters / self.parent_parameters) if self.parent_parameters else "?"
        return [*said, f"  size        {size} of the bytes, {weights} of the weights"]

    def tell_loss(self) -> str:
        """Return the loss in words: `0.8 points less (-0.4 to 2.0)`; a gain: `0.3 points more (-0.9 to 1.5)`."""
        unit, (worse, better) = ("%", ("more", "less")) if self.relative else (" points", ("less", "more"))
        loss = self.loss
        if loss["value"] is None or round(100 * loss["value"], 1) >= 0:
            return f"{_hundredths(loss['value'])}{unit} {worse} ({_ends(loss, _hundredths)})"
        gain = {"value": -loss["value"], "low": _negative(loss["high"]), "high": _negative(loss["low"])}
        return f"{_hundredths(gain['value'])}{unit} {better} ({_ends(gain, _hundredths)})"


def read_comparison(run: Path) -> Comparison | None:
    """Return what compression.json of a run says, None where there is none or it cannot be read."""
    try:
        return Comparison.from_dict(json.loads((run / layout.COMPRESSION).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _hundredths(value: float | None) -> str:
    # + 0.0: no minus sign before a zero.
    return "?" if value is None else f"{round(100 * value, 1) + 0.0:.1f}"


def _share(value: float | None) -> str:
    return f"{_hundredths(value)}%"


def _ends(interval: Ends, tell: Callable[[float | None], str]) -> str:
    if interval["low"] is None or interval["high"] is None:
        return "no interval"
    return f"{tell(interval['low'])} to {tell(interval['high'])}"
