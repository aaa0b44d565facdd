"""Distillation: a smaller network learns to answer as its parent does (Hinton, Vinyals and Dean 2015).

The student begins with some of its parent's layers (Sanh et al., DistilBERT, 2019), or is a network of another
architecture made from scratch, an LSTM for one (Tang et al., Distilling Task-Specific Knowledge from BERT into Simple
Neural Networks, 2019). It keeps its parent's tokenizer: both read the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hftune.compressors import Layers, LearningOptions, Note, Parent, Small
from hftune.errors import Problem, RecipeError
from hftune.recipe.schema import ModelSection, PluginConfig, Positive, Recipe

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hftune.tasks import Prepared, Task

PASSES = 3  # of the student for each of its parent


class Student(PluginConfig):
    """A network from scratch that learns from the parent."""

    architecture: str = Field(description="transformers `model_type` (lstm, bert, gpt2 …)")
    config: Mapping[str, Any] = Field(default_factory=dict, description="its sizes (its transformers config)")


class Config(LearningOptions):
    """What the student is, and what it learns from."""

    layers: Positive | Layers | None = Field(
        None,
        description="how many of the parent's layers the student begins with, evenly chosen, or which, counted from 0; "
        "left out: half of them",
    )
    student: Student | None = Field(
        None, description="a network made from scratch instead: `{architecture: lstm, config: {hidden_size: 128}}`"
    )
    unlabelled: str | None = Field(
        None, description="file of more texts, without labels, to learn the parent's answers to"
    )

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Layers of the parent, or a network of its own."""
        if given.get("layers") is not None and given.get("student") is not None:
            yield "student", "a student begins with layers of its parent, or is made from scratch: give either"


def learns(config: Config) -> bool:
    """Return that a student does."""
    return True


def training(config: Config, parent: Recipe) -> Mapping[str, Any]:
    """Return a longer training, three times the parent's: soft targets are hard to learn by heart.

    The loss that the parent ended at may stay away.
    """
    before = parent.training
    return {
        "num_train_epochs": before.num_train_epochs * PASSES,
        "max_steps": None if before.max_steps is None else before.max_steps * PASSES,
        "target_loss": None,
    }


def check(config: Config, recipe: Recipe, parent_config: PretrainedConfig) -> None:
    """Raise RecipeError for layers that the parent does not have, and for a student of an architecture there is not."""
    if config.student is not None:
        from hftune.modeling.loading import load_config

        _require_task(config.student.architecture, recipe)
        try:
            student = load_config(_section(config.student), None)
        except RecipeError as error:
            raise RecipeError([_as_students(problem) for problem in error.problems]) from None
        _require_room(student, recipe, parent_config)
        _require_file(config)
        return
    from hftune.compressors._surgery import check_fewer

    _require_file(config)
    places = chosen_layers(config, parent_config)
    check_fewer(places if config.layers is None else config.layers, parent_config.num_hidden_layers)


def chosen_layers(config: Config, parent_config: PretrainedConfig) -> list[int]:
    """Return which of the parent's layers the student begins with; raises RecipeError for a parent without layers."""
    total = getattr(parent_config, "num_hidden_layers", None)
    if not isinstance(total, int) or parent_config.model_type == "lstm":
        message = f"a {parent_config.model_type} has no layers to choose from"
        raise RecipeError([Problem("compress.layers", message, "Name a network from scratch: compress.student.")])
    if isinstance(config.layers, tuple):
        return list(config.layers)
    kept = config.layers or max(1, total // 2)
    # Of each few layers the last. Of MiniLM's six these learned the movie reviews best (validation loss after two
    # epochs): 1, 3, 5: 0.331; 0, 2, 4: 0.344; 0, 2, 5: 0.349; 0, 1, 2: 0.361.
    return [(place + 1) * total // kept - 1 for place in range(kept)]


def make(recipe: Recipe, parent: Parent, task: Task, prepared: Prepared, note: Note) -> Small:
    """Return the student, and the task of learning from its parent."""
    from hftune.compressors._soft_targets import SoftTargets
    from hftune.compressors._surgery import keep_layers

    assert recipe.compress is not None
    config = recipe.compress.settings(Config)
    model: PreTrainedModel
    if config.student is not None:
        section = _section(config.student, parent.model.config)
        model = task.load_model(recipe.model_copy(update={"model": section}), None, prepared)
    else:
        layers = chosen_layers(config, parent.model.config)
        note(f"the student begins with the layers {', '.join(map(str, layers))} of its parent (from 0)")
        model = keep_layers(parent.model, layers)
    model.requires_grad_(True)
    if config.unlabelled is not None:
        from hftune.compressors._unlabelled import with_unlabelled

        prepared = with_unlabelled(prepared, recipe, task, parent, Path(config.unlabelled), note)
    return Small(model, SoftTargets(task, parent.model, config), prepared)


def _section(student: Student, parent_config: PretrainedConfig | None = None) -> ModelSection:
    """Return the student as a recipe's model section; its tokenizer is the parent's, which the recipe need not name.

    It knows as many tokens as its parent: a table may have rows that the tokenizer does not use.
    """
    sizes = dict(student.config)
    if (vocabulary := getattr(parent_config, "vocab_size", None)) is not None:
        sizes.setdefault("vocab_size", vocabulary)
    return ModelSection.model_construct(
        **{
            **ModelSection(architecture="lstm", tokenizer="-").model_dump(),
            "architecture": student.architecture,
            "config": sizes,
        }
    )


def _require_file(config: Config) -> None:
    if config.unlabelled is not None and not Path(config.unlabelled).is_file():
        raise RecipeError([Problem("compress.unlabelled", f"there is no file {config.unlabelled}")])


def _require_room(student: PretrainedConfig, recipe: Recipe, parent_config: PretrainedConfig) -> None:
    """Raise RecipeError for a student with fewer positions than the texts that its parent reads have."""
    places = [getattr(one, "max_position_embeddings", None) for one in (student, parent_config)]
    own, theirs = (place if isinstance(place, int) else recipe.data.max_length for place in places)
    needed = min(recipe.data.max_length, theirs)
    if own < needed:
        message = f"it reads {own} tokens, and its parent's texts have up to {needed}"
        hint = "Raise its max_position_embeddings, or lower data.max_length."
        raise RecipeError([Problem("compress.student.config.max_position_embeddings", message, hint)])


def _require_task(architecture: str, recipe: Recipe) -> None:
    if architecture == "lstm" and recipe.task.name != "text-classification":
        message = f"an LSTM classifies texts; this is {recipe.task.name}"
        raise RecipeError([Problem("compress.student.architecture", message)])


def _as_students(problem: Problem) -> Problem:
    """Return a problem of the model section as one of the student's."""
    return replace(problem, key=problem.key.replace("model.", "compress.student.", 1))
