"""A run's model scored on labelled rows: figures with intervals, per class, calibration, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, closest
from hftune.inference.classification import length_batches, probabilities
from hftune.inference.predictor import CLASSIFIES, GENERATES, Predictor
from hftune.recipe.schema import Recipe
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from hftune.tasks import Prepared

GENERATION_BATCH = 8  # logits of a language model are large: tokens x vocabulary
SHOWN_TEXT = 200


@dataclass(frozen=True)
class Score:
    """What `hftune evaluate --json` prints; parts that the task does not have are None.

    `metrics`: name -> value, low, high (95%). `confusion`: labels, and counts [true][predicted]. `calibration`: error
    (expected calibration error, 15 bins) and bins. `worst`: mistakes, highest loss first. `energy`: what scoring used
    (hftune/energy/usage.py), None where no meter tells.
    """

    run: str
    step: int | None
    task: str
    split: str
    rows: int
    metrics: dict[str, dict[str, float | None]]
    per_class: dict[str, dict[str, float | int]] | None = None
    confusion: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    worst: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    energy: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the score as JSON holds it."""
        return asdict(self)


def load_rows(
    predictor: Predictor, split: str | None, file: Path | None, note: Callable[[str], None]
) -> tuple[str, Dataset]:
    """Return the name and rows of a split of the run's data, or of a labelled file; raises DataError."""
    from hftune.data.load import load_data_file, load_splits, split_name

    data = predictor.loaded.recipe.data
    if file is not None:
        return file.name, load_data_file(file, data)
    splits = load_splits(data, note)
    wanted = split_name(split or "test")
    if split is None and wanted not in splits and "validation" in splits:
        note("the data have no test split: validation is scored")
        wanted = "validation"
    if wanted not in splits:
        raise DataError(f"the run's data have no {wanted} split", hint=closest(wanted, splits))
    return wanted, splits[wanted]


def score(predictor: Predictor, split: str, rows: Dataset, worst: int = 10, batch_size: int = 32) -> Score:
    """Score the model on labelled rows; raises RecipeError for missing columns, DataError for unknown labels."""
    from hftune import tasks

    loaded = predictor.loaded
    task = tasks.registry.load(predictor.task)
    # Without a split called train the task takes the labels from the trained model.
    name = split if split != "train" else "train rows"
    prepared = task.prepare(loaded.recipe, {name: rows}, loaded.tokenizer, loaded.model.config)
    found: dict[str, Any]
    if predictor.task == CLASSIFIES:
        found = _score_labels(predictor, task, prepared, name, rows, worst, batch_size)
    else:
        found = _score_language(predictor, prepared, name, rows, worst)
    return Score(
        run=str(loaded.path),
        step=loaded.step,
        task=predictor.task,
        split=split,
        notices=[notice.message for notice in prepared.notices if notice.level != "info"],
        **found,
    )


def _score_labels(
    predictor: Predictor, task: Any, prepared: Prepared, name: str, rows: Dataset, worst: int, batch_size: int
) -> dict[str, Any]:
    import numpy as np

    data = predictor.loaded.recipe.data
    targets = dict(zip(prepared.splits[name]["row"], prepared.splits[name]["labels"], strict=True))
    numbers = sorted(targets)
    texts = rows.select(numbers)
    pairs = texts[data.text_pair][:] if data.text_pair else None
    predictions = predictor.classify(texts[data.text][:], batch_size, pairs)
    logits = np.array([prediction.logits for prediction in predictions])
    references = np.array([targets[number] for number in numbers])
    loss, weight = row_losses(task, predictor.loaded.recipe, prepared, predictor.problem_type, logits, references)
    kind, names = predictor.problem_type, predictor.labels
    found, wrong = _label_figures(kind, names, logits, references, loss, weight)
    order = [index for index in np.argsort(-loss, kind="stable").tolist() if wrong[index]][:worst]
    mistakes = [
        {
            "row": numbers[index],
            "text": shorten(texts[index][data.text]),
            "label": _named(references[index], names, kind),
            "predicted": predictions[index].answer,
            "loss": float(loss[index]),
        }
        for index in order
    ]
    return {**found, "rows": len(numbers), "worst": mistakes}


def _label_figures(
    kind: str | None, names: list[str], logits: Any, references: Any, loss: Any, weight: Any
) -> tuple[dict[str, Any], Any]:
    """Return the parts of a Score that a problem type has, and which rows were answered wrongly [rows] bool."""
    import numpy as np

    from hftune.inference import statistics

    if kind == REGRESSION:
        metrics = statistics.regression(references.astype(float), logits[:, 0], loss, weight)
        return {"metrics": statistics.plain(metrics)}, np.ones(len(logits), dtype=bool)
    shares = probabilities(logits, str(kind))
    found: dict[str, Any] = {}
    if kind == MULTI:
        true, answers = references.astype(int), (logits > 0).astype(int)
        wrong = (answers != true).any(axis=1)
        metrics = statistics.multi_label(true, answers, loss, weight)
        error, bins = statistics.calibration(shares.ravel(), true.ravel())
    else:
        chosen, one_hot = logits.argmax(axis=1), np.eye(len(names), dtype=int)
        wrong = chosen != references
        metrics = statistics.single_label(references, chosen, len(names), loss, weight)
        error, bins = statistics.calibration(shares.max(axis=1), ~wrong)
        matrix = statistics.confusion(references, chosen, len(names))
        found["confusion"] = {"labels": names, "matrix": matrix.tolist()}
        true, answers = one_hot[references], one_hot[chosen]
    found["metrics"] = statistics.plain(metrics)
    found["per_class"] = statistics.per_class(true, answers, names)
    found["calibration"] = {"error": error, "bins": bins}
    return found, wrong


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


def _named(reference: Any, names: Sequence[str], kind: str | None) -> Any:
    if kind == REGRESSION:
        return float(reference)
    if kind == MULTI:
        return [name for name, present in zip(names, reference, strict=True) if present]
    return names[int(reference)]


def _score_language(predictor: Predictor, prepared: Prepared, name: str, rows: Dataset, worst: int) -> dict[str, Any]:
    """Score a language model; a document's windows count as one document."""
    import numpy as np

    from hftune.inference import statistics

    examples = prepared.splits[name]
    sums: dict[int, list[float]] = {}
    has_bytes = "text_bytes" in examples.column_names
    for indices in length_batches(examples["length"], GENERATION_BATCH):
        some = [examples[index] for index in indices]
        for example, figures in zip(some, _token_sums(predictor, prepared.collate(some)), strict=True):
            text_bytes = float(example["text_bytes"]) if has_bytes else 0.0
            held = sums.setdefault(example["row"], [0.0, 0.0, 0.0, 0.0])
            for place, value in enumerate((*figures, text_bytes)):
                held[place] += value
    numbers = sorted(sums)
    nll, tokens, correct, text_bytes_all = np.array([sums[number] for number in numbers]).T
    order = np.argsort(-nll / np.maximum(tokens, 1), kind="stable")[:worst].tolist()
    return {
        "rows": len(numbers),
        "metrics": statistics.plain(statistics.language(nll, tokens, correct, text_bytes_all)),
        "worst": [
            {
                "row": numbers[index],
                "text": shorten(_document(predictor, rows[numbers[index]])),
                "tokens": int(tokens[index]),
                "loss": float(nll[index] / max(tokens[index], 1)),
            }
            for index in order
        ],
    }


def _token_sums(predictor: Predictor, batch: dict[str, torch.Tensor]) -> list[tuple[float, float, float]]:
    """Return (negative log likelihood, tokens, tokens guessed right) of each example; only learned tokens count."""
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
        table = torch.zeros(len(batch["labels"]), 3, dtype=torch.float64)
        table.index_add_(0, owners[scores.rows.cpu()], torch.stack([nll, torch.ones_like(nll), right], dim=1))
    return [(row[0], row[1], row[2]) for row in table.tolist()]


def _document(predictor: Predictor, row: dict[str, Any]) -> str:
    data = predictor.loaded.recipe.data
    if data.messages is not None:
        return " / ".join(str(message.get("content", "")) for message in row[data.messages])
    if data.prompt is not None and data.completion is not None:
        return f"{row[data.prompt]}{row[data.completion]}"
    return str(row[data.text])


def shorten(text: str, most: int = SHOWN_TEXT) -> str:
    """Return at most `most` characters of a text, on one line."""
    line = " ".join(text[: most * 4].split())
    return line if len(line) <= most else line[: most - 1] + "…"
