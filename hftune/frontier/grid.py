"""The grid: in which ways a finished model is made smaller, and what of it a model or this machine cannot do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hftune.compressors._parent import check_parent
from hftune.compressors._recipes import compress_recipe
from hftune.errors import HftuneError, RecipeError, UsageError, closest
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.layout import LONGEST_NAME

# What is lost is what the frontier tells: no run of it fails by it.
NO_BOUND = "compress.max_loss=1000"
LSTM = {"architecture": "lstm", "config": {"embedding_size": 128, "hidden_size": 128, "dropout": 0.5}}
CLASSIFICATION = "text-classification"


@dataclass(frozen=True)
class Candidate:
    """A way to make a model smaller: a compressor with its options (`section.key=value`).

    `after`: the candidate whose result it is made of, empty for the parent itself. `only`: the one task that it is for.
    """

    name: str
    method: str
    options: tuple[str, ...] = ()
    after: str = ""
    only: str = ""


GRID = (
    Candidate("distill", "distill"),
    Candidate("distill-lstm", "distill", (f"compress.student={json.dumps(LSTM)}",), only=CLASSIFICATION),
    Candidate("prune-layers", "prune", ("compress.layers={layers}",)),
    Candidate("prune-neurons", "prune"),
    Candidate("onnx-int8", "quantize", ("compress.format=onnx-int8",)),
    Candidate("torchao-int8", "quantize", ("compress.format=torchao-int8",)),
    Candidate("bf16", "quantize", ("compress.format=bf16",)),
    Candidate("distill+onnx-int8", "quantize", ("compress.format=onnx-int8",), after="distill"),
)


@dataclass(frozen=True)
class LeftOut:
    """A candidate that is not made, and why."""

    name: str
    why: str


def choose(only: str | None) -> list[Candidate]:
    """Return the candidates to try, in their order: those named with commas between, and what they are made of.

    Raises UsageError for names that are none.
    """
    known = [candidate.name for candidate in GRID]
    names = known if only is None else [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--only: {name!r} is not in the grid", hint=closest(name, known))
    if not names:
        raise UsageError("--only: none is named", hint=closest("", known))
    needed = {candidate.after for candidate in GRID if candidate.name in names}
    return [candidate for candidate in GRID if candidate.name in names or candidate.name in needed]


def split_overrides(overrides: Sequence[str], candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return each candidate's overrides: those of all, then those that begin with its name (`distill.training.seed=1`).

    Raises UsageError for those of a candidate that is not tried.
    """
    names = {candidate.name for candidate in GRID}
    found: dict[str, list[str]] = {candidate.name: [] for candidate in candidates}
    own: list[tuple[str, str]] = []
    for override in overrides:
        name, _, rest = override.partition(".")
        if name not in names:
            for shared in found.values():
                shared.append(override)
        elif name in found:
            own.append((name, rest))
        else:
            raise UsageError(f"-s {override}: {name} is not tried", hint=f"There are: {', '.join(found)}.")
    for name, rest in own:
        found[name].append(rest)
    return found


def candidate_recipe(
    candidate: Candidate, parent: Path, name: str, layers: int | None, overrides: Sequence[str]
) -> Recipe | LeftOut:
    """Return the recipe of a candidate's run, or why it cannot be made.

    `parent`: what it is made of; `name`: the recipe's name of the model that all is compared with; `layers`: how many
    the model has, None for one that has no such number. Raises RecipeError for overrides that are wrong.
    """
    if candidate.only and load_recipe(parent / layout.RECIPE).task.name != candidate.only:
        return LeftOut(candidate.name, f"it is for {candidate.only}")
    options = list(candidate.options)
    if any("{layers}" in option for option in options):
        if layers is None or layers < 2:
            return LeftOut(candidate.name, "the model has no layers to spare")
        options = [option.replace("{layers}", str(max(1, layers * 2 // 3))) for option in options]
    suffix = candidate.name.replace("+", "-")
    named = f"name={json.dumps(f'{name[: LONGEST_NAME - len(suffix) - 1]}-{suffix}')}"
    recipe = compress_recipe(parent, candidate.method, [named, NO_BOUND, *options, *overrides])
    try:
        check_parent(recipe)
    except HftuneError as error:
        return LeftOut(candidate.name, _in_one_line(error))
    return recipe


def layers_of(run: Path) -> int | None:
    """Return how many layers a run's model has; None for one that has no such number."""
    for folder in (run / layout.MODEL, run / layout.MODEL_INIT):
        try:
            found = json.loads((folder / "config.json").read_bytes())
        except (OSError, ValueError):
            continue
        return _layers_in(found)
    return None


def _layers_in(config: Any) -> int | None:
    """Return the number of layers in a config, which GPT-2 calls n_layer; an LSTM's are none to cut."""
    if not isinstance(config, dict) or config.get("model_type") == "lstm":
        return None
    found = config.get("num_hidden_layers", config.get("n_layer", config.get("n_layers")))
    return found if isinstance(found, int) else None


def _in_one_line(error: HftuneError) -> str:
    if isinstance(error, RecipeError):
        return "; ".join(problem.message for problem in error.problems)
    hint = error.hint.splitlines()[0] if error.hint else ""
    return f"{error.message}: {hint}" if "install" in hint else error.message
