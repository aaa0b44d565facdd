"""From the columns of a file and a few choices to a recipe as a person would write it, and what is worth a word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hftune.errors import RecipeError
from hftune.figures import many
from hftune.recipe.load import load_recipe
from hftune.recipe.paths import make_absolute
from hftune.recipe.schema import Recipe, template_columns
from hftune.recipe.source import read_source
from hftune.recipe.validate import validate

from .columns import Column, FileColumns

Aim = Literal["classes", "number", "texts"]

FEW_ROWS = 50
EXAMPLES_WANTED = 8_000  # examples read in all: a small file is read more often
MOST_EPOCHS = 10
LENGTHS = (32, 64, 128, 256)
LONGEST_NAME = 40
MANY_CLASSES = 50
SCARCE, LOPSIDED, GAPS = 10, 0.9, 0.2
# Plain words of YAML; others stand in quotes. `true`, `null` and the like would be read as something else.
_PLAIN = re.compile(r"[^\W\d](?:[\w./-]|[ ](?=[\w-]))*")
_NOT_PLAIN = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True)
class Start:
    """A model to start from and how it is adapted: as in the shipped recipe `recipe` (`rating`: for numbers)."""

    name: str
    title: str
    about: str
    recipe: str
    rating: str = ""


STARTS = {
    "classes": (
        Start("bert", "MiniLM BERT", "all weights learn; minutes on a processor", "bert_cls", "bert_rating"),
        Start("bert-lora", "MiniLM BERT, LoRA", "1% of the weights learn; a small file", "bert_cls_lora"),
        Start("lstm", "LSTM from scratch", "knows nothing yet; seconds; a baseline", "lstm_zh"),
    ),
    "texts": (
        Start("gpt2", "GPT-2 mini", "all weights learn; minutes on a processor", "gpt2_gen"),
        Start("gpt2-lora", "GPT-2 mini, LoRA", "few weights learn; a small file", "gpt2_gen_lora"),
    ),
}


@dataclass(frozen=True)
class Choices:
    """What was chosen. `second`: a second text, or what texts are written after; `target`: None for `texts`."""

    text: Column
    second: Column | None
    aim: Aim
    target: Column | None
    start: Start


def starts(aim: Aim) -> tuple[Start, ...]:
    """Return the models that can learn that."""
    return STARTS["texts" if aim == "texts" else "classes"]


def cannot_start(start: Start, second: Column | None) -> str:
    """Return why a model cannot take what was chosen; empty when it can."""
    return "it takes one text, and two are chosen" if start.name == "lstm" and second is not None else ""


def cannot_be_second(column: Column, aim: Aim) -> str:
    """Return why texts cannot be written after this column: a name that a recipe's templates cannot say."""
    try:
        template_columns(column.name)
    except ValueError:
        return "its name has braces that a recipe cannot take" if aim == "texts" else ""
    return ""


def recipe_name(file: Path) -> str:
    """Return a name for the recipe of a file, as run directories may have it."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")[:LONGEST_NAME].rstrip("-._")
    return words or "my-file"


def recipe_text(found: FileColumns, choices: Choices, file: Path, folder: Path) -> str:
    """Return a recipe that stands in `folder` and learns from `file`; figures are those of the shipped recipe."""
    rating = choices.aim == "number" and choices.start.rating
    base_name = rating or choices.start.recipe
    base = load_recipe(base_name)
    return "\n".join(
        [
            f"name: {recipe_name(file)}",
            f"description: {quoted(_description(choices, file))}",
            f"task: {_task(choices)}",
            *_model(base, choices),
            "data:",
            f"  files: {quoted(_path(file, folder))}",
            *(f"  {line}" for line in _columns(choices)),
            f"  max_length: {_length(choices)}",
            "  " + _noted("validation_share: 0.1", "of the rows: to choose the best model by"),
            "  " + _noted("test_share: 0.1", "and to test it; neither is trained on"),
            *_method(base),
            "training:",
            *(f"  {line}" for line in _training(base, base_name, found)),
            "  seed: 0",
            "",
        ]
    )


def problems(text: str, name: str, folder: Path) -> str:
    """Return what hftune's own validation says against a recipe's text, empty when nothing."""
    try:
        source = read_source(text.encode("utf-8"), name)
        make_absolute(source, folder)
        validate(source)
    except RecipeError as error:
        return str(error)
    return ""


def quoted(text: str) -> str:
    """Return a text as a YAML value: plain where it can be, else in double quotes with escapes."""
    if _PLAIN.fullmatch(text) and text.isprintable() and text.lower() not in _NOT_PLAIN:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _description(choices: Choices, file: Path) -> str:
    if choices.target is None:
        return f"Writes texts like those of {file.name}"
    return f"{choices.target.name} of {choices.text.name}, learned from {file.name}"


def _task(choices: Choices) -> str:
    if choices.aim == "texts":
        return "text-generation"
    assert choices.target is not None
    if choices.aim == "number":
        return "{name: text-classification, problem_type: regression}"
    if choices.target.type == "number":  # 1.0 and 2.0 would be taken for numbers to predict
        return "{name: text-classification, problem_type: single_label_classification}"
    return "text-classification"


def _model(base: Recipe, choices: Choices) -> Iterator[str]:
    if base.model.id is not None:
        yield f"model: {base.model.id}"
        return
    sizes = ", ".join(f"{key}: {value}" for key, value in base.model.config.items())
    fit = "characters" if choices.text.wide else "byte-level-bpe"
    yield "model:"
    yield f"  architecture: {base.model.architecture}"
    yield f"  config: {{{sizes}}}"
    yield f"  tokenizer: {{fit: {fit}}}"


def _path(file: Path, folder: Path) -> str:
    """Return the file as the recipe names it: relative where it lies in the recipe's folder."""
    whole = Path(os.path.abspath(file))  # noqa: PTH100 - a link is kept as the name that people gave
    home = Path(os.path.abspath(folder))  # noqa: PTH100
    if not whole.is_relative_to(home):
        return str(whole)
    inside = str(whole.relative_to(home))
    return f"./{inside}" if inside.startswith("~") else inside


def _columns(choices: Choices) -> Iterator[str]:
    text, second, target = choices.text, choices.second, choices.target
    if text.type == "messages":
        yield f"messages: {quoted(text.name)}"
    elif choices.aim == "texts" and second is not None:
        yield _noted(f"prompt: {quoted(second.name)}", "what you ask")
        answer = f'" {{{text.name}}}"' if re.fullmatch(r"\w+", text.name) else quoted(text.name)
        yield _noted(f"completion: {answer}", "what it learns to answer")
    else:
        yield f"text: {quoted(text.name)}"
        if second is not None:
            yield f"text_pair: {quoted(second.name)}"
        if target is not None:
            yield f"label: {quoted(target.name)}"


def _noted(line: str, note: str) -> str:
    """Return a line with a remark: those of one recipe stand below each other, within 80 columns."""
    return f"{line:<27}# {note}" if note else line


def _length(choices: Choices) -> int:
    """Return tokens enough for most texts: of a text that is far longer than the others the end is cut."""
    wanted = 2.0
    for column in (choices.text, choices.second):
        if column is not None and column.length is not None and column.longest is not None:
            letters = min(float(column.longest), 3 * column.length)
            wanted += letters * 1.2 if column.wide else letters / 3.5
    return next((length for length in LENGTHS if length >= wanted), LENGTHS[-1])


def _method(base: Recipe) -> Iterator[str]:
    if base.method.name != "lora":
        return
    options = base.method.options
    yield "method:"
    yield "  name: lora"
    yield f"  r: {options['r']}"
    yield f"  lora_alpha: {options['lora_alpha']:g}"
    yield f"  target_modules: [{', '.join(options['target_modules'])}]"


def _training(base: Recipe, base_name: str, found: FileColumns) -> Iterator[str]:
    training = base.training
    rows = max(1, round(found.rows_in_file * 0.8))
    least = min(training.num_train_epochs, 3.0)
    epochs = max(least, min(MOST_EPOCHS, round(EXAMPLES_WANTED / rows)))
    more = "few rows, so each is read more often" if epochs > training.num_train_epochs else ""
    yield _noted(f"num_train_epochs: {epochs:g}", more)
    yield f"per_device_train_batch_size: {training.per_device_train_batch_size}"
    yield _noted(f"learning_rate: {_rate(training.learning_rate)}", f"as in {base_name}; or auto: by a test")
    if training.lr_scheduler_type != "linear":
        yield f"lr_scheduler_type: {training.lr_scheduler_type}"
    if training.warmup_steps:
        yield _noted(f"warmup_steps: {training.warmup_steps:g}", "below 1: a share of all steps")
    if training.early_stopping_patience is not None:
        yield f"early_stopping_patience: {training.early_stopping_patience}"
    if training.precision != "auto":
        yield f"precision: {training.precision}"


def _rate(rate: float | str | None) -> str:
    """Return 0.0001 as `1.0e-4`: what YAML reads as a number and people read at once."""
    assert isinstance(rate, float)
    mantissa, _, exponent = f"{rate:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def remarks(found: FileColumns, choices: Choices) -> list[str]:
    """Return what is worth a word before training, the most serious first; `hftune check` says more."""
    said = []
    if found.rows_in_file < FEW_ROWS:
        said.append(f"only {many(found.rows_in_file, 'row')}: what is held out is a handful, figures say little")
    if choices.target is not None:
        said += _of_target(found, choices)
    for column in (choices.text, choices.second, choices.target):
        if column is not None and column.missing:
            share = column.missing / found.rows
            told = f"{column.missing:,} of {found.rows:,} rows ({share:.0%}) have no {column.name}: they are left out"
            said.insert(0, told) if share >= GAPS else said.append(told)
    present = found.rows - choices.text.missing
    if choices.text.type == "text" and choices.text.distinct < present:
        twice = present - choices.text.distinct
        said.append(f"{many(twice, 'text')} repeat{'s' if twice == 1 else ''} another; equal ones stay in one split")
    if not found.whole:
        said.append(f"figures are those of the first {found.rows:,} rows, of about {found.rows_in_file:,}")
    return said


def _of_target(found: FileColumns, choices: Choices) -> Iterator[str]:
    target = choices.target
    assert target is not None
    present = found.rows - target.missing
    if target.distinct < 2:
        what = "value" if choices.aim == "number" else "class"
        yield f"{target.name} has one {what} only: there is nothing to learn"
        return
    if choices.aim == "number":
        return
    if target.distinct == present:
        yield f"every row has a {target.name} of its own: nothing can be learned about a new text"
    elif target.distinct > MANY_CLASSES:
        yield f"{target.distinct:,} classes are many for {found.rows:,} rows"
    elif target.rarest < SCARCE:
        yield f"the rarest of {target.distinct} classes has {many(target.rarest, 'row')}: figures about it are chance"
    if target.counts and target.counts[0][1] >= LOPSIDED * present:
        name, rows = target.counts[0]
        yield f"{rows / present:.0%} of the rows are {name!r}: always answering that would look as good"
