"""What a model card says, gathered from a run directory and from scoring its model: nothing that is not known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hftune import starters
from hftune.compressors import learns
from hftune.errors import HftuneError
from hftune.inference.loading import parent_folder
from hftune.inference.predictor import CLASSIFIES
from hftune.modeling.loading import count_parameters
from hftune.recipe.load import load_recipe
from hftune.recipe.paths import public_name
from hftune.recipe.schema import Choice, DataSection, Recipe
from hftune.runs import layout
from hftune.runs.compression import Comparison, read_comparison
from hftune.runs.consumption import Consumed, consumed
from hftune.runs.events import Event
from hftune.runs.reader import read_events
from hftune.tasks._answers import negative_label

if TYPE_CHECKING:
    from hftune.inference.loading import LoadedRun
    from hftune.inference.predictor import Predictor
    from hftune.inference.scoring import Score

Note = Callable[[str], None]
Kept = Literal["float32", "bfloat16", "torchao-int8", "onnx-int8"]
NOT_PUBLISHED = "not published"


@dataclass(frozen=True)
class Facts:
    """A run as its card tells of it.

    `score` is None when the rows to score it on are not at hand. `figures`: metrics.json, of the finished model
    alone. `plan`: the run's plan event. `seconds`: of all attempts, from the first event of each to its last.
    `consumed`: the energy of all attempts, None where no meter told. `kept`: the format of the weights; `compared`: of
    a compressed run, how it does beside its parent. `from_scratch`: it has no weights of a pretrained model, also where
    its recipe, which is its parent's, names one. `learned`: it was trained, not merely cut or kept in another format.
    """

    run: str
    step: int | None
    recipe: Recipe
    environment: Mapping[str, Any]
    plan: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, float | None]]
    warnings: tuple[str, ...]
    seconds: float
    parameters: int
    labels: tuple[str, ...]
    one_output: bool  # two classes told apart by one sigmoid, which is the second one's probability
    problem_type: str | None
    model_type: str
    score: Score | None = None
    consumed: Consumed | None = None
    kept: Kept = "float32"
    compared: Comparison | None = None
    from_scratch: bool = False
    learned: bool = True

    @property
    def parent(self) -> str:
        """The name of the run that a compressed one was made of, empty for any other."""
        compress = self.recipe.compress
        return "" if compress is None else Path(str(compress.options.get("parent", ""))).name


def gather(predictor: Predictor, note: Note) -> Facts:
    """Return the facts of a loaded run; scores it on its test split (else validation), which takes a while."""
    loaded = predictor.loaded
    run, recipe = loaded.path, loaded.recipe
    environment = _read(run / layout.ENVIRONMENT)
    metrics = _read(run / layout.METRICS)
    events = read_events(run)
    warnings = metrics.get("warnings")
    return Facts(
        run=run.name,
        step=loaded.step,
        recipe=recipe,
        environment=environment,
        plan=next((event.data for event in reversed(events) if event.kind == "plan"), {}),
        figures={
            split: values for split, values in metrics.items() if isinstance(values, dict) and loaded.step is None
        },
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        seconds=_seconds(events),
        parameters=count_parameters(loaded.model),
        labels=tuple(predictor.labels),
        one_output=predictor.task == CLASSIFIES and negative_label(loaded.model.config) is not None,
        problem_type=predictor.problem_type,
        model_type=str(loaded.model.config.model_type),
        score=_score(predictor, environment.get("data"), note),
        consumed=consumed(events),
        kept=kept_as(loaded),
        compared=None if recipe.compress is None else read_comparison(run),
        from_scratch=_is_from_scratch(recipe, run),
        learned=recipe.compress is None or learns(recipe.compress),
    )


def _is_from_scratch(recipe: Recipe, run: Path) -> bool:
    """Whether a model began with random weights: a student of its own architecture did, and what was made of one."""
    if recipe.model.id is None:
        return True
    if recipe.compress is None:
        return False
    if recipe.compress.options.get("student") is not None:
        return True
    parent = parent_folder(recipe, run)
    try:
        return _is_from_scratch(load_recipe(parent / layout.RECIPE), parent)
    except HftuneError:
        return False


def kept_as(loaded: LoadedRun) -> Kept:
    """Return the format that a run's weights are kept in."""
    from hftune.modeling.loading import computes_in_int8
    from hftune.modeling.onnx_model import is_onnx

    if is_onnx(loaded.model):
        return "onnx-int8"
    if computes_in_int8(loaded.model):
        return "torchao-int8"
    kept = str(getattr(loaded.model.config, "dtype", "")).removeprefix("torch.")
    return "bfloat16" if loaded.recipe.compress is not None and kept == "bfloat16" else "float32"


def data_name(data: DataSection) -> str:
    """Return what others may know of where the data are from: an id, the last part of a path, or how many rows."""
    if data.source is not None:
        return data.source + (f" ({data.subset})" if data.subset else "")
    if data.files is not None:
        names = [data.files] if isinstance(data.files, str) else list(data.files.values())
        return ", ".join(dict.fromkeys(Path(name).name for name in names))
    return "rows in the recipe"


def hub_data(data: DataSection) -> str | None:
    """Return the Hub id of the data, None where they are not from there."""
    return data.source if data.source is not None and not starters.is_starter(data.source) else None


def public_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe without what is nobody else's: folders of this machine, rows of data."""
    model, data = recipe.model, recipe.data
    names = {key: public_name(value) for key in ("id", "tokenizer") if isinstance(value := getattr(model, key), str)}
    files: Any = data.files
    if isinstance(files, str):
        files = Path(files).name
    elif files is not None:
        files = {split: Path(name).name for split, name in files.items()}
    rows = None if data.rows is None else ({"text": NOT_PUBLISHED},)
    return recipe.model_copy(
        update={
            "model": model.model_copy(update=names),
            "data": data.model_copy(update={"files": files, "rows": rows}),
            "compress": _without_folders(recipe.compress),
            "hub": None,
        }
    )


def _without_folders(compress: Choice | None) -> Choice | None:
    """Return what a compressor is told with the last parts of paths alone: its parent, files of texts."""
    if compress is None:
        return None
    named = {
        key: Path(value).name for key, value in compress.options.items() if key in ("parent", "unlabelled") and value
    }
    return Choice(name=compress.name, options={**compress.options, **named})


def _score(predictor: Predictor, trained_on: str | None, note: Note) -> Score | None:
    """Score a model on the rows held out in its training; other data have others, which it may have learned."""
    from hftune.data.fingerprint import fingerprint
    from hftune.data.load import load_splits
    from hftune.inference.scoring import score

    try:
        splits = load_splits(predictor.loaded.recipe.data, note)
        if trained_on not in (None, fingerprint(splits)):
            note("the card has no intervals: the data are not those that the model was trained on")
            return None
        split = next((name for name in ("test", "validation") if name in splits), None)
        if split is None:
            note("the card has no intervals: the data have no test split")
            return None
        note(f"scoring the model on {len(splits[split]):,} rows of {split}")
        return score(predictor, split, splits[split], worst=0)
    except HftuneError as error:
        note(f"the card has no intervals: {error.message}")
        return None


def _seconds(events: list[Event]) -> float:
    attempts: dict[int, list[float]] = {}
    for event in events:
        attempts.setdefault(event.attempt, []).append(event.time)
    return sum(max(times) - min(times) for times in attempts.values())


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
