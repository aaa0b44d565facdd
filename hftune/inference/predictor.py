"""A run directory becomes something to ask: `Predictor.load(run).classify([...])`, `.generate("…")`, `.fill([...])`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.asking.decoding import Decoding, longest_answer
from hftune.energy.meter import Meter
from hftune.energy.usage import Usage
from hftune.errors import HftuneError, ModelError, UsageError
from hftune.inference.classification import Prediction, classify
from hftune.inference.embedding import Pooling, TextVectors, embed_texts
from hftune.inference.filling import BATCH_SIZE as FILL_BATCH
from hftune.inference.filling import TOP, Filling, fill
from hftune.inference.generation import Generation, write_answer
from hftune.inference.prompts import Message, Style, check_messages, make_prompt, make_whole_prompt, style_of
from hftune.tasks._answers import label_names, problem_type

if TYPE_CHECKING:
    from hftune.inference.loading import LoadedRun

CLASSIFIES = "text-classification"
GENERATES = "text-generation"
FILLS = "fill-mask"
BATCH_SIZE = 32
# Task -> what its models do, what others lack, and the command that asks them.
_DOES = {
    CLASSIFIES: ("gives labels", "it has no labels", "Use `hftune predict`."),
    GENERATES: ("writes text", "it writes no text", "Use `hftune generate`."),
    FILLS: ("guesses masked words", "it guesses no masked words", 'Use `hftune predict RUN "… [MASK] …"`.'),
}


def _never() -> bool:
    return False


def _quiet(_: str) -> None:
    return None


def _nothing(piece: str, tokens: int) -> None:
    return None


class OutOfMemoryError(HftuneError):
    """Host or accelerator memory did not suffice; the model is still loaded and can be asked again."""


class TaskError(UsageError):
    """The run's model cannot do this; the hint names the command that asks it what it can."""


class Predictor:
    """A run's model in memory. It never writes to the run directory."""

    def __init__(self, loaded: LoadedRun, load_seconds: float = 0.0) -> None:
        self.loaded = loaded
        self.load_seconds = load_seconds

    @classmethod
    def load(cls, run: Path, step: int | None = None, device: str = "auto") -> Predictor:
        """Load a finished run, or its checkpoint of `step`; raises RunError or ModelError saying what there is."""
        from hftune.inference.loading import load_run

        started = time.monotonic()
        with enough_memory("load the model"):
            loaded = load_run(run, step, device)
        return cls(loaded, time.monotonic() - started)

    @classmethod
    def load_base(cls, run: Path, device: str = "auto", note: Callable[[str], None] = _quiet) -> Predictor:
        """Load the pretrained model that a run began from; raises RunError where there is none or it is gone."""
        from hftune.inference.loading import load_run_base

        started = time.monotonic()
        with enough_memory("load the model"):
            loaded = load_run_base(run, device, note)
        return cls(loaded, time.monotonic() - started)

    @property
    def task(self) -> str:
        """The run's task: text-classification, text-generation or fill-mask."""
        return self.loaded.recipe.task.name

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the model's classes; empty for a language model."""
        return label_names(self.loaded.model.config) if self.task == CLASSIFIES else []

    @property
    def problem_type(self) -> str | None:
        """What kind of classifier it is; None for a language model."""
        return problem_type(self.loaded.model.config) if self.task == CLASSIFIES else None

    @property
    def untrained_head(self) -> bool:
        """Whether a part of the model is random: a base without the head that its run's training gives it."""
        from hftune.methods._weights import new_weights

        return self.loaded.is_base and bool(new_weights(self.loaded.model))

    @property
    def style(self) -> Style | None:
        """What prompts look like: chat, completion or text; None for what writes none."""
        return style_of(self.loaded.recipe.data) if self.task == GENERATES else None

    @property
    def mask(self) -> str | None:
        """What stands in a text for a word to be guessed; None for what guesses none."""
        return self.loaded.tokenizer.mask_token if self.task == FILLS else None

    @property
    def context(self) -> int | None:
        """Tokens that the model takes at once, None when there is no limit."""
        from hftune.modeling.loading import max_tokens

        return max_tokens(self.loaded.model.config, self.loaded.tokenizer)

    def describe(self) -> dict[str, Any]:
        """Return what a program wants to know of the model, as JSON holds it."""
        from hftune.modeling.loading import computes_in_int8, count_parameters

        model, recipe = self.loaded.model, self.loaded.recipe
        return {
            "run": str(self.loaded.path),
            "step": self.loaded.step,
            "is_base": self.loaded.is_base,
            "untrained_head": self.untrained_head,
            "task": self.task,
            "labels": self.labels,
            "problem_type": self.problem_type,
            "style": self.style,
            "mask": self.mask,
            "pairs": recipe.data.text_pair is not None,
            "base": recipe.model.id or recipe.model.architecture,
            "method": recipe.method.name,
            "parameters": count_parameters(model),
            "gradients": not computes_in_int8(model),
            "device": str(model.device),
            "max_length": recipe.data.max_length,
            "context": self.context,
            "load_seconds": round(self.load_seconds, 3),
        }

    @contextmanager
    def metered(self) -> Iterator[Callable[[], Usage | None]]:
        """Yield a function that tells what was used since; None where the recipe has no meter, or it does not work."""
        energy = self.loaded.recipe.energy
        if not energy.meter:
            yield lambda: None
            return
        with Meter(energy.grid(), 0 if self.loaded.model.device.type == "cpu" else 1) as meter:
            before = meter.read()

            def spent() -> Usage | None:
                used = meter.read()
                return used.since(before) if used is not None and before is not None else None

            yield spent

    def require(self, task: str) -> None:
        """Raise TaskError, naming the command to use instead, when the model is not of `task`."""
        if self.task != task:
            does, _, hint = _DOES[self.task]
            raise TaskError(f"{self.loaded.path.name} {does} ({self.task}), {_DOES[task][1]}", hint=hint)

    def classify(
        self,
        texts: Sequence[str],
        batch_size: int = BATCH_SIZE,
        pairs: Sequence[str] | None = None,
        cancelled: Callable[[], bool] = _never,
    ) -> list[Prediction]:
        """Return one prediction a text, in order; `pairs` are the second texts of a model trained on pairs.

        When `cancelled` turns true the list ends early. Raises UsageError for a generator, for pairs that are missing
        or too many, OutOfMemoryError.
        """
        self.require(CLASSIFIES)
        wants_pairs = self.loaded.recipe.data.text_pair is not None
        if wants_pairs != (pairs is not None) or (pairs is not None and len(pairs) != len(texts)):
            expected = "two texts each" if wants_pairs else "one text each"
            raise UsageError(f"{self.loaded.path.name} takes {expected}")
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size} cannot be used", hint="It must be 1 or more.")
        sound = [well_formed(text) for text in texts]
        sound_pairs = None if pairs is None else [well_formed(text) for text in pairs]
        with enough_memory("classify", "Use a smaller --batch-size."):
            return classify(self.loaded, sound, sound_pairs, batch_size, cancelled)

    def fill(
        self,
        texts: Sequence[str],
        top: int = TOP,
        batch_size: int = FILL_BATCH,
        cancelled: Callable[[], bool] = _never,
    ) -> list[Filling]:
        """Return for each text the `top` likeliest tokens of each of its masks, in order; none when cancelled.

        Raises UsageError for a model of another task and a text without a mask, OutOfMemoryError.
        """
        self.require(FILLS)
        for name, value in (("top", top), ("batch size", batch_size)):
            if value < 1:
                raise UsageError(f"{name} {value} cannot be used", hint="It must be 1 or more.")
        with enough_memory("guess words", "Use a smaller --batch-size."):
            return fill(self.loaded, [well_formed(text) for text in texts], top, batch_size, cancelled)

    def embed(
        self,
        texts: Sequence[str],
        pooling: Pooling | None = None,
        normalize: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> TextVectors:
        """Return one vector a text as `embedding.embed_texts` does, of any task's model; raises OutOfMemoryError."""
        with enough_memory("embed", "Use a smaller --batch-size."):
            return embed_texts(self.loaded, [well_formed(text) for text in texts], pooling, normalize, batch_size)

    def generate(
        self,
        prompt: str | Sequence[Message],
        decoding: Decoding | None = None,
        on_text: Callable[[str, int], None] = _nothing,
        cancelled: Callable[[], bool] = _never,
        most_tokens: int | None = None,
    ) -> Generation:
        """Answer a prompt or a conversation; `on_text(piece, tokens so far)` gets text once it is certain.

        `cancelled` is asked between two tokens. A prompt that is too long loses its beginning; with `most_tokens` (of
        prompt and answer) nothing is left out, and one that does not fit, here or in the model, is a
        TooManyTokensError. Raises UsageError for a classifier, OutOfMemoryError.
        """
        self.require(GENERATES)
        settings = decoding or Decoding()
        asked: str | list[dict[str, str]]
        if isinstance(prompt, str):
            asked = well_formed(prompt)
        else:
            asked = [{**one, "content": well_formed(one["content"])} for one in check_messages(prompt)]
        loaded, style = self.loaded, self.style
        assert style is not None
        default = longest_answer(style, self.context)
        if most_tokens is None:
            most = settings.max_new_tokens or default
            ready = make_prompt(loaded.tokenizer, style, asked, most, self.context)
        else:
            most = min(most_tokens, self.context or most_tokens)
            ready = make_whole_prompt(loaded.tokenizer, style, asked, settings.max_new_tokens, most, default)
        with enough_memory("write an answer", "Use a shorter prompt or fewer --max-new-tokens."):
            return write_answer(
                loaded.model, loaded.tokenizer, ready, settings, on_text, cancelled, trim=style == "chat"
            )


def well_formed(text: str) -> str:
    """Return the text with what is no character (half of a surrogate pair) replaced: tokenizers refuse those."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


class enough_memory:  # noqa: N801 - used as a statement
    """Turn each way in which memory runs out into one error: OutOfMemoryError, which says what was tried."""

    def __init__(self, doing: str, hint: str = "Close other programs, or use a smaller model.") -> None:
        self._doing, self._hint = doing, hint

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_out_of_memory(error):
            raise OutOfMemoryError(f"memory ran out trying to {self._doing}", hint=self._hint) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that host or accelerator memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # The CPU allocator has no error of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


__all__ = ["Decoding", "Filling", "Generation", "ModelError", "OutOfMemoryError", "Prediction", "Predictor"]
