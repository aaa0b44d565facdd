"""The folder of a ladder: results and what each answered, kept as they come, found again when it goes on.

Layout: see the package. Files are replaced in one step, so that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hftune.inference.statistics import Array
from hftune.ladder.rows import Rows
from hftune.ladder.rungs import Trial
from hftune.output import finite
from hftune.recipe.load import dump_recipe
from hftune.recipe.schema import Recipe
from hftune.runs.files import write_atomic

FOLDER, SUMMARY, TABLE, OUTPUTS, MODELS = "ladders", "ladder.json", "ladder.csv", "outputs", "models"
SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """What came of a trial. `run`: the run's directory name, empty where nothing was trained.

    `seconds` of fitting, choosing and saving included; `parameters_trained` of `parameters`; `bytes` on disk of what is
    needed to use it, `base_bytes` of the pretrained model that it also needs; `metrics` name -> figure on test.
    """

    rung: str
    seed: int | None
    run: str
    seconds: float
    parameters_trained: int
    parameters: int
    bytes: int
    base_bytes: int
    metrics: dict[str, float | None]
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the file with its outputs."""
        return self.run or self.rung


class Folder:
    """The files of one ladder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, runs_dir: Path, recipe: Recipe, rows: Rows) -> Folder:
        """Return the folder that belongs to a recipe and its data, made if need be."""
        identity = hashlib.sha256(f"{dump_recipe(recipe)}{rows.fingerprint}".encode()).hexdigest()[:8]
        path = runs_dir / FOLDER / f"{recipe.name}-{identity}"
        for part in (path, path / OUTPUTS, path / MODELS):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    @property
    def models(self) -> Path:
        """Where fitted baselines are kept."""
        return self.path / MODELS

    def results(self) -> list[Result]:
        """Return the results of earlier calls, none where there are none or they cannot be read."""
        try:
            record = json.loads((self.path / SUMMARY).read_bytes())
            return [Result(**one) for one in record["results"]] if record["schema"] == SCHEMA else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def keep_outputs(self, key: str, logits: Array) -> None:
        """Keep logits [test rows, outputs] under the key of a result."""
        data = io.BytesIO()
        np.save(data, logits.astype(np.float64))
        write_atomic(self._outputs(key), data.getvalue())

    def outputs(self, key: str, rows: Rows) -> Array | None:
        """Return logits [test rows, outputs] that were kept, None when there are none for these rows."""
        try:
            found: Array = np.load(self._outputs(key), allow_pickle=False)
        except (OSError, ValueError):
            return None
        return found if found.shape == (rows.count("test"), rows.outputs) else None

    def write(self, record: Mapping[str, Any], results: Sequence[Result]) -> None:
        """Replace ladder.json and ladder.csv."""
        text = json.dumps(finite(record), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / SUMMARY, text + "\n")
        write_atomic(self.path / TABLE, _as_csv(results))

    def _outputs(self, key: str) -> Path:
        return self.path / OUTPUTS / f"{key}.npy"


def find_result(trial: Trial, results: Sequence[Result]) -> Result | None:
    """Return the kept result of a baseline's trial; those of runs are found by their run."""
    return next((one for one in results if (one.rung, one.seed) == (trial.rung, trial.seed)), None)


def as_record(result: Result) -> dict[str, Any]:
    """Return a result as JSON holds it."""
    return asdict(result)


def _as_csv(results: Sequence[Result]) -> str:
    costs = ("seconds", "parameters_trained", "parameters", "bytes", "base_bytes")
    metrics = list(dict.fromkeys(name for result in results for name in result.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rung", "seed", "run", *costs, *metrics])
    for result in results:
        figures = [result.metrics.get(name) for name in metrics]
        writer.writerow([result.rung, result.seed, result.run, *(getattr(result, name) for name in costs), *figures])
    return text.getvalue()
