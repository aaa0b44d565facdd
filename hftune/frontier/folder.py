"""The folder of a frontier: what each model is and takes, kept as it comes, found again when it goes on.

Layout: see the package. Files are replaced in one step, so that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hftune.frontier.quality import Quality
from hftune.frontier.speed import Cost
from hftune.output import finite
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.files import write_atomic

FOLDER, SUMMARY, TABLE, PICTURE = "frontiers", "frontier.json", "frontier.csv", "frontier.png"
SCHEMA = 1
PARENT = "parent"  # the name of the model that all are compared with


@dataclass(frozen=True)
class Result:
    """A model of the frontier: its name in the grid, its `run` and what that made it of.

    `state` tells whether the run's model is still the one that was looked at. `seconds` it took to make (of the parent:
    to train). `quality` by split; `cost` None where it was not measured.
    """

    name: str
    run: str
    state: str
    bytes: int
    parameters: int
    seconds: float
    quality: dict[str, Quality]
    cost: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Result:
        """Return it from JSON, other keys left out; raises TypeError or KeyError for what is none."""
        names = ("name", "run", "state", "bytes", "parameters", "seconds")
        quality = {split: Quality.from_dict(one) for split, one in record["quality"].items()}
        cost = Cost.from_dict(record["cost"]) if record["cost"] is not None else None
        return cls(**{name: record[name] for name in names}, quality=quality, cost=cost)


class Folder:
    """The files of one frontier."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, runs_dir: Path, parent: Path) -> Folder:
        """Return the folder that belongs to a run, made if need be."""
        path = runs_dir / FOLDER / parent.resolve().name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    def results(self) -> list[Result]:
        """Return the results of earlier calls, none where there are none or they cannot be read."""
        try:
            record = json.loads((self.path / SUMMARY).read_bytes())
            if record["schema"] != SCHEMA:
                return []
            return [Result.from_dict(one) for one in (*record["models"], *record["others"])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def write(self, record: Mapping[str, Any], results: Sequence[Result]) -> None:
        """Replace frontier.json and frontier.csv."""
        text = json.dumps(finite(record), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / SUMMARY, text + "\n")
        write_atomic(self.path / TABLE, as_csv(results))


def model_state(run: Path) -> str:
    """Return what changes when a run's model does: its files' names, sizes and times."""
    files = sorted(path for path in (run / layout.MODEL).rglob("*") if path.is_file())
    return " ".join(
        f"{path.relative_to(run / layout.MODEL)}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files
    )


def model_fingerprint(run: Path) -> str:
    """Return what environment.json of a run that is made of this one has as `model`; raises ModelError."""
    from hftune.modeling.tokenizer import load_tokenizer
    from hftune.training.environment import fingerprint_model

    section, folder = load_recipe(run / layout.RECIPE).model, run / layout.MODEL
    return fingerprint_model(folder, load_tokenizer(section.model_copy(update={"tokenizer": None}), folder))


def as_csv(results: Sequence[Result]) -> str:
    """Return a line a model: what it is, its quality on each split, what it takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    splits = list(dict.fromkeys(split for result in results for split in result.quality))
    figures = ("value", "value_low", "value_high", "loss", "loss_low", "loss_high", "agreement")
    spreads = ("p50", "p95", "rate", "p50_ratio", "p95_ratio", "rate_ratio", "energy", "energy_ratio")
    ends = ("median", "low", "high")
    writer.writerow(
        ["name", "run", "bytes", "parameters", "seconds", "metric"]
        + [f"{split}_{name}" for split in splits for name in figures]
        + [name if end == "median" else f"{name}_{end}" for name in spreads for end in ends]
        + ["unit", "peak_bytes", "peak_ratio", "energy_counted"]
    )
    for result in results:
        metric = next((one.metric for one in result.quality.values()), "")
        row: list[Any] = [result.name, result.run, result.bytes, result.parameters, result.seconds, metric]
        for split in splits:
            row += _quality_cells(result.quality.get(split), len(figures))
        for name in spreads:
            spread = getattr(result.cost, name, None)
            row += [getattr(spread, end, None) for end in ends]
        cost = result.cost
        row += [None] * 4 if cost is None else [cost.unit, cost.peak_bytes, cost.peak_ratio, cost.counted]
        writer.writerow(row)
    return text.getvalue()


def _quality_cells(one: Quality | None, cells: int) -> list[Any]:
    if one is None:
        return [None] * cells
    intervals = [end for each in (one.value, one.loss) for end in (each.value, each.low, each.high)]
    return [*intervals, one.agreement.value if one.agreement is not None else None]
