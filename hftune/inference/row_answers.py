"""What a model answers to labelled rows, row by row: what figures are made of, and what two models are compared by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftune.inference import statistics
from hftune.inference.classification import Prediction, length_batches
from hftune.inference.predictor import CLASSIFIES, GENERATES, Predictor
from hftune.recipe.schema import Recipe
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset

    from hftune.tasks import Prepared

    Array = np.ndarray[Any, Any]

GENERATION_BATCH = 8  # logits of a language model are large: tokens x vocabulary


@dataclass(frozen=True)
class LabelAnswers:
    """A classifier's answers. `numbers`: the rows of the split that have a label, in order.

    `references`: class numbers [rows], 0/1 [rows, labels], or numbers [rows]; `logits` [rows, outputs] float64; `loss`
    and `weight` [rows] as the task has them in training.
    """

    kind: str | None
    names: tuple[str, ...]
    numbers: list[int]
    predictions: list[Prediction]
    logits: Array
    references: Array
    loss: Array
    weight: Array

    @property
    def chosen(self) -> Array:
        """The answers: class numbers [rows], 0/1 [rows, labels], or numbers [rows]."""
        if self.kind == REGRESSION:
            return self.logits[:, 0]
        return (self.logits > 0).astype(int) if self.kind == MULTI else self.logits.argmax(axis=1)

    @property
    def right(self) -> Array | None:
        """Which rows are answered as their label says [rows] bool; None for numbers."""
        if self.kind == REGRESSION:
            return None
        import numpy as np

        same: Array = np.atleast_2d((self.chosen == self.references).T)  # [labels or 1, rows]
        return np.asarray(same.all(axis=0))

    def sums(self) -> statistics.Sums:
        """Return what `statistics.resample` takes."""
        if self.kind == REGRESSION:
            return statistics.regression_sums(self.references.astype(float), self.chosen, self.loss, self.weight)
        if self.kind == MULTI:
            return statistics.multi_label_sums(self.references.astype(int), self.chosen, self.loss, self.weight)
        return statistics.single_label_sums(self.references, self.chosen, len(self.names), self.loss, self.weight)


@dataclass(frozen=True)
class DocumentAnswers:
    """A language model's guesses at the learned tokens of documents; a document's windows count as one.

    All float64 [documents]: negative log likelihood, tokens, those guessed right, bytes they stand for (0: unknown).
    `guesses`: the likeliest token in each place, document by document.
    """

    numbers: list[int]
    nll: Array
    tokens: Array
    correct: Array
    text_bytes: Array
    guesses: list[list[int]]

    def sums(self) -> statistics.Sums:
        """Return what `statistics.resample` takes."""
        return statistics.language_sums(self.nll, self.tokens, self.correct, self.text_bytes)


def prepare_rows(predictor: Predictor, split: str, rows: Dataset) -> tuple[str, Prepared]:
    """Return rows made ready for a run's model as its task does in training, and the name they stand under there.

    Raises RecipeError for missing columns, DataError for unknown labels.
    """
    from hftune import tasks

    loaded = predictor.loaded
    # Without a split called train the task takes the labels from the trained model.
    name = split if split != "train" else "train rows"
    task = tasks.registry.load(predictor.task)
    return name, task.prepare(loaded.recipe, {name: rows}, loaded.tokenizer, loaded.model.config)


def answer_rows(predictor: Predictor, split: str, rows: Dataset) -> LabelAnswers | DocumentAnswers:
    """Return the model's answers to the rows of a split; raises what `prepare_rows` does."""
    name, prepared = prepare_rows(predictor, split, rows)
    if predictor.task == CLASSIFIES:
        return answer_labels(predictor, prepared, name, rows)
    return answer_documents(predictor, prepared, name)


def answer_labels(
    predictor: Predictor, prepared: Prepared, name: str, rows: Dataset, batch_size: int = 32
) -> LabelAnswers:
    """Return a classifier's answers to the rows of a split, which `prepared` holds made ready under `name`."""
    import numpy as np

    from hftune import tasks

    data = predictor.loaded.recipe.data
    targets = dict(zip(prepared.splits[name]["row"], prepared.splits[name]["labels"], strict=True))
    numbers = sorted(targets)
    texts = rows.select(numbers)
    pairs = texts[data.text_pair][:] if data.text_pair else None
    predictions = predictor.classify(texts[data.text][:], batch_size, pairs)
    logits = np.array([prediction.logits for prediction in predictions])
    references = np.array([targets[number] for number in numbers])
    task, kind = tasks.registry.load(predictor.task), predictor.problem_type
    loss, weight = row_losses(task, predictor.loaded.recipe, prepared, kind, logits, references)
    return LabelAnswers(kind, tuple(predictor.labels), numbers, predictions, logits, references, loss, weight)


def row_losses(
    task: Any, recipe: Recipe, prepared: Prepared, kind: str | None, logits: Any, references: Any
) -> tuple[Any, Any]:
    """Return each row's loss and weight [rows] as the task has them in training; their sums' quotient is the loss."""
    import numpy as np
    import torch

    whole = torch.int64 if kind not in (MULTI, REGRESSION) else torch.float32
    table, labels = torch.tensor(logits, dtype=torch.float32), torch.tensor(references, dtype=whole)
    found = []
    for index in range(len(table)):
        batch = {"labels": labels[index : index + 1]}
        loss = task.loss(recipe, prepared, table[index : index + 1], batch)
        found.append((float(loss), float(task.weight(recipe, prepared, batch))))
    losses, weights = np.array(found).T
    return losses, weights


def answer_documents(predictor: Predictor, prepared: Prepared, name: str) -> DocumentAnswers:
    """Return a language model's answers to what `prepared` holds under `name`."""
    import numpy as np

    examples = prepared.splits[name]
    sums: dict[int, list[float]] = {}
    guesses: dict[int, dict[int, list[int]]] = {}
    has_bytes = "text_bytes" in examples.column_names
    for indices in length_batches(examples["length"], GENERATION_BATCH):
        some = [examples[index] for index in indices]
        for example, (figures, guess) in zip(some, _guesses(predictor, prepared.collate(some)), strict=True):
            text_bytes = float(example["text_bytes"]) if has_bytes else 0.0
            held = sums.setdefault(example["row"], [0.0, 0.0, 0.0, 0.0])
            for place, value in enumerate((*figures, text_bytes)):
                held[place] += value
            guesses.setdefault(example["row"], {})[example["window"]] = guess
    numbers = sorted(sums)
    nll, tokens, correct, text_bytes_all = np.array([sums[number] for number in numbers]).T
    in_order = [[one for _, guess in sorted(guesses[number].items()) for one in guess] for number in numbers]
    return DocumentAnswers(numbers, nll, tokens, correct, text_bytes_all, in_order)


def _guesses(predictor: Predictor, batch: dict[str, torch.Tensor]) -> Iterator[tuple[list[float], list[int]]]:
    """Yield of each example (negative log likelihood, tokens, tokens guessed right), and the likeliest tokens.

    Only learned tokens count.
    """
    import torch

    from hftune.modeling.loading import without_cache
    from hftune.modeling.output_layer import only_at
    from hftune.tasks._streams import next_tokens, token_scores

    model, guessed = predictor.loaded.model, batch.get("guessed")
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {name: batch[name].to(model.device) for name in names if name in batch}
    with torch.inference_mode(), only_at(model, guessed):
        logits, targets = model(**inputs, **without_cache(model)).logits, batch["labels"].to(model.device)
        if predictor.task == GENERATES:
            logits, targets = next_tokens(logits, targets)
        owners = torch.arange(len(targets))
        if guessed is not None and logits.dim() == 2:
            owners, targets = guessed.nonzero(as_tuple=True)[0], targets[guessed]
        scores = token_scores(logits, targets)
        nll, right = scores.nll.cpu().double(), scores.right.cpu().double()
        rows, choices = owners[scores.rows.cpu()], scores.guess.cpu()
        table = torch.zeros(len(batch["labels"]), 3, dtype=torch.float64)
        table.index_add_(0, rows, torch.stack([nll, torch.ones_like(nll), right], dim=1))
    for row, figures in enumerate(table.tolist()):
        yield figures, choices[rows == row].tolist()
