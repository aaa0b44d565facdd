"""The rungs and their recipes: what of the one recipe each takes over, and what it needs otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hftune.errors import Problem, RecipeError, UsageError, closest
from hftune.recipe.load import as_mapping, parse_recipe
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import METHODS
from hftune.runs.layout import LONGEST_NAME

BASELINES = ("majority", "tfidf")  # fitted here: no seed, no run
TRAINED = ("lstm", "head", "lora", "full")  # ordinary runs, one a seed
RUNGS = (*BASELINES, *TRAINED)  # from the bottom
TASK = "text-classification"

# A pass of a cheaper method costs less and moves less, so it gets more of them: as bert_cls, bert_cls_lora and
# bert_cls_head have it, where each number was chosen on validation. The best epoch on validation is kept in any case.
PASSES = {"full": 1.0, "lora": 2.0, "head": 4.0}

# Of a dozen sizes and rates tried on the movie reviews all came to 0.74 to 0.77 on validation; this one is within 0.01
# of the lowest validation loss (0.490) with half the weights, and knows the texts by heart after an epoch or two.
LSTM_MODEL: Mapping[str, Any] = {
    "architecture": "lstm",
    "config": {"embedding_size": 128, "hidden_size": 128, "dropout": 0.5},
    "tokenizer": {"fit": "byte-level-bpe", "vocab_size": 8192},
}
# Byte-level BPE joins what stands between two spaces: where words have none, whole sentences would become tokens.
CHARACTERS: Mapping[str, Any] = {"fit": "characters"}
LSTM_TRAINING: Mapping[str, Any] = {
    "num_train_epochs": 8,
    "per_device_train_batch_size": 32,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "early_stopping_patience": 2,
    "precision": "fp32",
}
# What a network from scratch takes over from the recipe's training section: where it trains, and how it is judged.
LSTM_KEEPS = (
    "max_steps", "per_device_eval_batch_size", "label_smoothing_factor", "metric_for_best_model", "greater_is_better",
    "deterministic", "device", "threads", "report_to", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One result to be had: a rung, and for a rung that is trained the seed and the whole recipe of its run."""

    rung: str
    seed: int | None = None
    recipe: Recipe | None = None

    @property
    def key(self) -> tuple[str, int | None]:
        """What tells it from the others."""
        return self.rung, self.seed

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.rung if self.seed is None else f"{self.rung}, seed {self.seed}"


def choose_rungs(wanted: str | None, recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return the rungs to climb, from the bottom, and why others are left out.

    `wanted`: names with commas between; None for all that the recipe's model can take part in. Raises UsageError for
    names that are none, RecipeError for a recipe that no ladder can be made of.
    """
    if recipe.task.name != TASK:
        message = f"a ladder compares classifiers and regressors ({TASK}); this is {recipe.task.name}"
        raise RecipeError([Problem("task", message)])
    if recipe.data.text_pair is not None:
        message = "a ladder compares models of one text; its LSTM and its TF-IDF read no pairs"
        raise RecipeError([Problem("data.text_pair", message)])
    if recipe.compress is not None:
        message = "a ladder trains models on the recipe's labels; this recipe makes a finished run's model smaller"
        hint = (
            "Climb with the parent's recipe; `hftune compress RUN --frontier` compares ways to make its model smaller."
        )
        raise RecipeError([Problem("compress", message, hint)])
    names = list(RUNGS) if wanted is None else [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in RUNGS:
            raise UsageError(f"--rungs: no rung {name!r}", hint=closest(name, RUNGS))
    if not names:
        raise UsageError("--rungs: none is named", hint=closest("", RUNGS))
    left_out: list[str] = []
    if recipe.model.id is None:
        scratch = [name for name in ("head", "lora") if name in names]
        if scratch and wanted is not None:
            raise UsageError(f"--rungs: {scratch[0]} needs pretrained weights", hint="The recipe's model has none.")
        left_out = [f"{name} is left out: the recipe's model has no pretrained weights" for name in scratch]
        names = [name for name in names if name not in scratch]
    return [name for name in RUNGS if name in names], left_out


def choose_seeds(wanted: str) -> list[int]:
    """Return the seeds named with commas between; raises UsageError for what is none."""
    try:
        seeds = [int(word) for word in wanted.split(",") if word.strip()]
    except ValueError:
        seeds = []
    if not seeds or any(not 0 <= seed < 2**32 for seed in seeds):
        raise UsageError(f"--seeds: {wanted!r} are no seeds", hint="Whole numbers with commas between: 0,1,2.")
    return list(dict.fromkeys(seeds))


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the overrides of the recipe, and by rung those that begin with its name (`lora.training.max_steps=9`).

    Raises UsageError for a rung that has no recipe.
    """
    shared: list[str] = []
    own: dict[str, list[str]] = {}
    for override in overrides:
        rung, _, rest = override.partition(".")
        if rung in BASELINES:
            raise UsageError(f"-s {override}: {rung} has no recipe", hint=f"These have: {', '.join(TRAINED)}.")
        if rung in TRAINED:
            own.setdefault(rung, []).append(rest)
        else:
            shared.append(override)
    return shared, own


def make_trials(
    recipe: Recipe, rungs: Sequence[str], seeds: Sequence[int], own: Mapping[str, Sequence[str]], words: bool = True
) -> list[Trial]:
    """Return what there is to do, rung by rung.

    `own`: overrides by rung; `words`: whether spaces part the words of the texts. Raises UsageError for overrides of a
    rung that is not climbed, RecipeError for wrong ones.
    """
    for rung in own:
        if rung not in rungs:
            raise UsageError(f"-s {rung}.{own[rung][0]}: {rung} is not climbed", hint=f"There are: {', '.join(rungs)}.")
    trials = []
    for rung in rungs:
        if rung in BASELINES:
            trials.append(Trial(rung))
        else:
            trials += [Trial(rung, seed, rung_recipe(recipe, rung, seed, own.get(rung, ()), words)) for seed in seeds]
    return trials


def rung_recipe(recipe: Recipe, rung: str, seed: int, overrides: Sequence[str] = (), words: bool = True) -> Recipe:
    """Return the recipe of a rung's run: the recipe's data and model, the rung's method, with settings that suit it.

    The recipe's own method keeps its settings. Another gets its rate times the quotient of the two methods' defaults,
    and PASSES in the same way. `words`: whether spaces part the words of the texts.
    """
    mapping = as_mapping(recipe)
    mapping["name"] = f"{recipe.name[: LONGEST_NAME - len(rung) - 1]}-{rung}"
    mapping["description"] = f"The rung {rung} of the ladder of {recipe.name}"
    if rung == "lstm":
        kept = {key: mapping["training"][key] for key in LSTM_KEEPS}
        model = dict(LSTM_MODEL) if words else {**LSTM_MODEL, "tokenizer": dict(CHARACTERS)}
        mapping |= {"model": model, "method": "full", "training": {**kept, **LSTM_TRAINING}}
    elif rung != recipe.method.name:
        mapping |= {"method": rung, "training": _scaled(recipe, rung, mapping["training"])}
    mapping["training"]["seed"] = seed
    return parse_recipe(mapping, overrides)


def _scaled(recipe: Recipe, rung: str, training: Mapping[str, Any]) -> dict[str, Any]:
    own = recipe.method.name
    rates = [float(METHODS.load(name).DEFAULT_LEARNING_RATE) for name in (rung, own)]
    passes = PASSES[rung] / PASSES.get(own, 1.0)
    scaled = {**training, "num_train_epochs": training["num_train_epochs"] * passes}
    if isinstance(training["learning_rate"], float):  # `auto` finds one for each
        scaled["learning_rate"] = float(f"{training['learning_rate'] * rates[0] / rates[1]:.6g}")
    if training["max_steps"] is not None:
        scaled["max_steps"] = max(1, round(training["max_steps"] * passes))
    if training["warmup_steps"] >= 1:  # below, it is a share already
        scaled["warmup_steps"] = max(1, round(training["warmup_steps"] * passes))
    return scaled
