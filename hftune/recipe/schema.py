"""The shape of a recipe: frozen sections, each key with its type, default and reason.

Keys are the names that transformers and peft users know. What belongs to one task or one method is that plugin's own
`Config`; here `task` and `method` are only a name and its options, checked in the second pass (validate.py).
The `description` of each field is the reason that the recipe reference in README prints.
Over 400 lines, so that all that a recipe can say stands in one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from hftune.energy.meter import Grid
from hftune.runs.layout import SAFE_NAME


class Section(BaseModel):
    """A part of a recipe: frozen, strictly typed, and with no room for unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for the keys that do not go together; an empty key means the section.

        `given` holds keys as they were written, of whatever type: validate.py asks this of sections whose other keys
        are wrong too, so that no problem hides another.
        """
        yield from ()

    @model_validator(mode="after")
    def _agrees(self) -> Section:
        for _, message in self.conflicts({name: getattr(self, name) for name in self.model_fields_set}):
            raise PydanticCustomError("conflict", "{message}", {"message": message})
        return self


class PluginConfig(Section):
    """What a task or method plugin reads from the recipe; each plugin subclasses it."""


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple: what a frozen section holds must not change."""
    return tuple(value) if isinstance(value, list) else value


# The owner may be an account or an organisation; what else the Hub asks of names, `hftune push` says.
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$"
LICENCE = r"^[a-z0-9][a-z0-9.-]*$"

Own = TypeVar("Own", bound=PluginConfig)
Rows = Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every random generator in use takes


class Choice(Section):
    """A plugin by name with its options, written `lora` or `{name: lora, r: 8}`.

    `config` is the plugin's own validated section; the second pass fills it in.
    """

    name: str
    options: Mapping[str, Any] = Field(default_factory=dict)
    config: PluginConfig | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "name" in value and "options" not in value:
            options = {key: item for key, item in value.items() if key not in ("name", "config")}
            return {"name": value["name"], "options": options, "config": value.get("config")}
        return value

    def settings(self, kind: type[Own]) -> Own:
        """Return the plugin's own section; of a choice made in code, without the second pass, from its options."""
        return self.config if isinstance(self.config, kind) else kind(**self.options)


class FittedTokenizer(Section):
    """A tokenizer made from the texts of the train split, for a model made from scratch."""

    fit: Literal["characters", "byte-level-bpe"] = Field(
        description="what a token is; characters: each one, as in Chinese no spaces part the words; byte-level-bpe: "
        "frequent sequences of bytes as in GPT-2, so that no text is unknown"
    )
    vocab_size: Annotated[int, Field(ge=257)] | None = Field(
        None, description="byte-level-bpe: tokens in all, 256 bytes and end-of-text among them; left out: 8192"
    )

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Characters are as many as the texts have."""
        if given.get("fit") == "characters" and given.get("vocab_size") is not None:
            yield "vocab_size", "the characters of the texts are the vocabulary; a size is for byte-level-bpe"


def template_columns(words: str) -> list[str]:
    """Return the columns named in braces in a prompt or completion; none: it is the name of a column itself.

    Raises ValueError for braces that name none.
    """
    names = []
    for _, name, form, conversion in Formatter().parse(words):
        if name is None:
            continue
        if not name or form or conversion or any(sign in name for sign in ".[]"):
            raise ValueError(f"{words!r} has braces that name no column")
        names.append(name)
    return list(dict.fromkeys(names))


def _tokenizer_kind(value: Any) -> str:
    return "named" if isinstance(value, str) else "fitted"


Tokenizer = Annotated[
    Annotated[str, Tag("named")] | Annotated[FittedTokenizer, Tag("fitted")], Discriminator(_tokenizer_kind)
]


class ModelSection(Section):
    """Which weights to start from: `id` for pretrained ones, or `architecture` and `tokenizer` for new ones."""

    id: str | None = Field(
        None, description="Hub id, local folder, or starter `hftune:name`; the shorthand `model: ID` sets it"
    )
    revision: str | None = Field(
        None, description="branch, tag or commit on the Hub; left out: the catalogue's pinned one, else main"
    )
    architecture: str | None = Field(
        None, description="transformers `model_type` (bert, gpt2, lstm …) of a model made from scratch"
    )
    config: Mapping[str, Any] = Field(
        default_factory=dict, description="sizes of a model made from scratch (its transformers config)"
    )
    tokenizer: Tokenizer | None = Field(
        None,
        description="tokenizer of a model made from scratch (a Hub id, a folder, or `{fit: characters}`, "
        "`{fit: byte-level-bpe}`), or another one than the model's own",
    )
    trust_remote_code: bool = Field(
        False, description="running code from a model repository is a choice to make by hand"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"id": value} if isinstance(value, str) else value

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """One origin; what belongs to a new model only with `architecture`."""
        pretrained, fresh = given.get("id") is not None, given.get("architecture") is not None
        if pretrained == fresh:
            yield "", "give either `id` (pretrained) or `architecture` (from scratch)"
        if fresh and given.get("tokenizer") is None:
            yield "", "a model from scratch needs a `tokenizer`"
        if pretrained and isinstance(given.get("tokenizer"), Mapping | FittedTokenizer):
            yield "tokenizer", "a pretrained model knows its own tokens alone; fitting is for a model from scratch"
        if pretrained and given.get("config"):
            yield "config", "sizes belong to a model from scratch (`architecture`); those of a pretrained one are fixed"


class WindowSection(Section):
    """How a text longer than the model is cut into overlapping windows."""

    stride: Positive = Field(
        64, description="tokens that two neighbouring windows share, so that no sentence is only seen cut"
    )
    pooling: Literal["mean", "max", "first"] = Field(
        "mean", description="how the windows of a document become one answer"
    )


class DataSection(Section):
    """Where the examples come from and which columns matter."""

    source: str | None = Field(None, description="starter `hftune:name` or Hub data set id")
    subset: str | None = Field(None, description="configuration of a Hub data set (for example sst2 of nyu-mll/glue)")
    revision: str | None = Field(None, description="branch, tag or commit of a Hub data set")
    files: str | Mapping[str, str] | None = Field(
        None, description="local CSV, JSON Lines, Parquet or text files: one path, or one a split"
    )
    rows: Rows | Mapping[str, Rows] | None = Field(
        None, description="a few examples written in the recipe itself: one list, or one a split"
    )
    text: str = Field("text", description="column with the text")
    text_pair: str | None = Field(None, description="column with a second text, for tasks on pairs of sentences")
    label: str = Field("label", description="column with the label, the list of labels, or the number to predict")
    prompt: str | None = Field(
        None,
        description="generation: column with the prompt (no loss on it), or words with columns in braces: "
        "`{label} review:`",
    )
    completion: str | None = Field(
        None, description="generation: column with the answer (loss on it), or words with columns in braces"
    )
    messages: str | None = Field(
        None, description="generation: column with a list of {role, content}; loss on the assistant's turns"
    )
    label_names: Names | None = Field(
        None, description="the labels and their order; left out: those of the train split, sorted"
    )
    max_length: Positive = Field(
        128, description="tokens a text may have; short inputs are what makes small models fast"
    )
    too_long: Literal["truncate", "window", "error"] = Field(
        "truncate", description="what happens to longer texts; truncation is counted and warned about"
    )
    window: WindowSection = Field(default_factory=WindowSection, description="used with `too_long: window`")
    pack: bool = Field(
        False, description="plain texts for generation: train's fill whole blocks of max_length, no text sees another"
    )
    validation_share: Share = Field(0.1, description="share of train that becomes validation where there is none")
    test_share: Share = Field(0.1, description="share of train that becomes test where there is none")
    split_seed: Seed = Field(
        0, description="seed of that cut; apart from training.seed, so that seeds share their test split"
    )
    group: str | None = Field(
        None, description="column whose equal values stay in one split (author, document, address)"
    )
    max_train_samples: Positive | None = Field(
        None, description="use only so many train examples, drawn with split_seed"
    )
    max_eval_samples: Positive | None = Field(None, description="use only so many examples of each other split")

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """One origin of the data, known split names, labels that differ, one kind of generation data."""
        origins = [name for name in ("source", "files", "rows") if given.get(name) is not None]
        if len(origins) != 1:
            found = " and ".join(f"`{name}`" for name in origins) or "none"
            yield (origins or [""])[-1], f"give exactly one of `source`, `files`, `rows` (found {found})"
        prompt, completion = given.get("prompt"), given.get("completion")
        if (prompt is None) != (completion is None):
            yield "prompt" if completion is None else "completion", "`prompt` and `completion` go together"
        for key in ("prompt", "completion"):
            try:
                template_columns(str(given.get(key)))
            except ValueError as error:
                yield key, f"{error}; columns stand in braces, as in `{{label}} review:`, a brace itself is doubled"
        if prompt is not None and given.get("messages") is not None:
            yield "messages", "give either `messages` or `prompt` and `completion`"
        for key, what in (("files", "`train` file"), ("rows", "`train` list")):
            if isinstance(splits := given.get(key), Mapping) and splits and "train" not in splits:
                yield key, f"there is no {what}; the other splits can be cut from it, it cannot be cut from them"
        if given.get("files") in ({}, ""):
            yield "files", "no file is named"
        rows = given.get("rows")
        if rows in ([], (), {}) or (isinstance(rows, Mapping) and [] in rows.values()):
            yield "rows", "no row is given"
        names = given.get("label_names")
        if isinstance(names, list | tuple):
            if not names:
                yield "label_names", "the list is empty; leave it out to take the labels of the train split"
            twice = [name for name, count in Counter(map(str, names)).items() if count > 1]
            if twice:
                yield "label_names", f"given twice: {', '.join(map(repr, twice))}"
        if given.get("pack") and given.get("too_long") != "window":
            yield "pack", "blocks are filled with whole texts, so held-out ones are not cut either: `too_long: window`"
        window, length = given.get("window"), given.get("max_length", 128)
        stride = window.get("stride") if isinstance(window, Mapping) else getattr(window, "stride", None)
        if given.get("too_long") == "window" and isinstance(length, int):
            stride = stride if isinstance(stride, int) else 64
            if stride >= length:
                yield "window", f"windows that share {stride} of {length} tokens never move on; stride < max_length"


class TrainingSection(Section):
    """How the weights are trained. Defaults are the fast ones that lose no quality."""

    num_train_epochs: Annotated[float, Field(gt=0)] = Field(3.0, description="passes over the train split")
    max_steps: Positive | None = Field(
        None, description="stop after so many optimizer steps, whatever num_train_epochs says"
    )
    per_device_train_batch_size: Positive = Field(16, description="examples in one forward pass of one process")
    per_device_eval_batch_size: Positive = Field(32, description="no gradients are kept, so more fit")
    gradient_accumulation_steps: Positive = Field(
        1, description="forward passes an optimizer step; equals a larger batch, by test"
    )
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        None,
        description="left out: the method's own default (full 5e-5, lora 5e-4, head 2e-2); auto: found by a range test "
        "of 100 steps before training, and recorded in the run's recipe",
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "polynomial", "inverse_sqrt"] = Field(
        "linear", description="shape of the learning rate after warm-up"
    )
    warmup_steps: Annotated[float, Field(ge=0)] = Field(
        0.0, description="steps of linear warm-up; below 1: a share of all steps"
    )
    optim: Annotated[Literal["adamw", "adam", "sgd"], BeforeValidator(_lower)] = Field(
        "adamw", description="AdamW, Adam or SGD"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="on matrices only: not on biases and norms")
    adam_beta1: Share = Field(0.9, description="decay of Adam's mean")
    adam_beta2: Share = Field(0.999, description="decay of Adam's variance")
    adam_epsilon: Annotated[float, Field(gt=0)] = Field(1e-8, description="keeps Adam's quotient finite")
    momentum: Share = Field(0.0, description="of SGD")
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(1.0, description="clip the gradient's norm to this; 0: never")
    label_smoothing_factor: Share = Field(0.0, description="share of the target spread over the other classes")
    logging_steps: Positive = Field(10, description="optimizer steps between two points of the training curve")
    eval_steps: Positive | None = Field(None, description="steps between evaluations; left out: each epoch's end")
    save_steps: Positive | None = Field(None, description="steps between checkpoints; left out: each epoch's end")
    save_total_limit: Positive = Field(
        2, description="newest checkpoints kept, beside the best and the newest verified one"
    )
    metric_for_best_model: str | None = Field(None, description="left out: the loss")
    greater_is_better: bool | None = Field(None, description="left out: known from the metric")
    early_stopping_patience: Positive | None = Field(
        None, description="stop after so many evaluations without a better one"
    )
    early_stopping_threshold: Annotated[float, Field(ge=0)] = Field(0.0, description="how much better counts as better")
    target_loss: Annotated[float, Field(gt=0)] | None = Field(
        None, description="stop once the mean train loss between two logs is below it"
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="auto: bf16 where the processor computes it natively, else fp32"
    )
    gradient_checkpointing: bool = Field(False, description="less memory for about a third more time")
    group_by_length: bool = Field(True, description="texts of like length share a batch, so that little is padding")
    auto_find_batch_size: bool = Field(
        True, description="when memory runs out, halve the batch and accumulate twice as often"
    )
    deterministic: bool = Field(False, description="only algorithms that give the same bits on an accelerator too")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: the accelerator when there is one")
    threads: Positive | None = Field(None, description="CPU threads; left out: the cores this process may use")
    report_to: Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(as_tuple)] = Field(
        (), description="also log there; the package must be installed"
    )
    seed: Seed = Field(0, description="of initial weights, data order, dropout")

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Warm-up that makes sense, and early stopping that can happen."""
        warmup, steps = given.get("warmup_steps"), given.get("max_steps")
        if isinstance(warmup, float) and warmup >= 1 and not warmup.is_integer():
            yield "warmup_steps", f"{warmup} is no whole number of steps; below 1 it is a share of all steps"
        if isinstance(warmup, int | float) and isinstance(steps, int) and 1 <= steps < warmup:
            yield "warmup_steps", f"{warmup:g} steps of warm-up are more than max_steps ({steps})"
        patience, every = given.get("early_stopping_patience"), given.get("eval_steps")
        if patience is not None and isinstance(every, int) and isinstance(steps, int) and every >= steps:
            yield "early_stopping_patience", f"nothing is evaluated before max_steps ({steps}): eval_steps is {every}"


class HubSection(Section):
    """Where the best model is pushed to when training is done; the shorthand `hub: OWNER/NAME` sets `repo`."""

    repo: Annotated[str, Field(pattern=REPOSITORY)] = Field(description="OWNER/NAME of the repository on the Hub")
    private: bool | None = Field(
        None, description="who may see it; left out: a new one is private, and nothing is pushed to a public one"
    )
    weights: Literal["adapter", "merged"] | None = Field(
        None, description="how an adapter is pushed; left out: alone where its base is on the Hub, else merged into it"
    )
    license: Annotated[str, Field(pattern=LICENCE)] | None = Field(
        None, description="as the Hub writes it (apache-2.0, mit); left out: the base model's, where it is known"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"repo": value} if isinstance(value, str) else value


class EnergySection(Section):
    """What is known of the electricity that a run takes; the shorthand `energy: DEU` sets `country`."""

    meter: bool = Field(True, description="count, or estimate, what a run takes; false: nothing is metered")
    country: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = Field(
        None,
        description="where it runs (ISO 3166, three letters): what CO2 its power costs; left out: the world's mean",
    )
    grid_intensity: Annotated[float, Field(gt=0)] | None = Field(
        None, description="grams of CO2 equivalents a kWh; goes before country"
    )
    cpu_watts: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="of the processor at full load, where no counter tells; left out: by its name, else 4 a thread",
    )
    ram_watts: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of the memory; left out: as codecarbon assumes by its size"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"country": value} if isinstance(value, str) else value

    def grid(self) -> Grid:
        """Return it as the meter takes it."""
        return Grid(self.country, self.grid_intensity, self.cpu_watts, self.ram_watts)


class Recipe(Section):
    """A whole recipe: model, task, data, method, training, what is compressed, and where the result is pushed to."""

    name: Annotated[str, Field(pattern=SAFE_NAME)] = Field(description="becomes the run directory's prefix")
    description: str = Field("", description="one line for lists")
    task: Choice = Field(description="the Hub's pipeline tag: text-classification, text-generation, fill-mask")
    model: ModelSection = Field(description="the pretrained checkpoint to start from")
    data: DataSection = Field(description="where the examples come from")
    method: Choice = Field(
        Choice(name="full"), description="full, lora with its options, or head (the body stays as it is)"
    )
    training: TrainingSection = Field(default_factory=TrainingSection, description="how the weights are trained")
    compress: Choice | None = Field(
        None, description="make a smaller model from a finished run's: distill, prune or quantize, with its options"
    )
    hub: HubSection | None = Field(
        None, description="push the best model there when training is done; left out: nothing leaves this machine"
    )
    energy: EnergySection = Field(
        default_factory=EnergySection, description="what the meter of energy is told; it needs no network"
    )
