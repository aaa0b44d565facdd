"""A run's model scored on labelled rows: figures with intervals, per class, calibration, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, closest
from hftune.inference import statistics
from hftune.inference.classification import probabilities
from hftune.inference.predictor import CLASSIFIES, Predictor
from hftune.inference.row_answers import DocumentAnswers, LabelAnswers, answer_documents, answer_labels, prepare_rows
from hftune.tasks._labels import MULTI, REGRESSION

if TYPE_CHECKING:
    from datasets import Dataset

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
    loaded = predictor.loaded
    name, prepared = prepare_rows(predictor, split, rows)
    found: dict[str, Any]
    if predictor.task == CLASSIFIES:
        answers = answer_labels(predictor, prepared, name, rows, batch_size)
        found = _score_labels(answers, rows[loaded.recipe.data.text], worst)
    else:
        found = _score_language(predictor, answer_documents(predictor, prepared, name), rows, worst)
    return Score(
        run=str(loaded.path),
        step=loaded.step,
        task=predictor.task,
        split=split,
        notices=[notice.message for notice in prepared.notices if notice.level != "info"],
        **found,
    )


def _score_labels(answers: LabelAnswers, texts: Sequence[str], worst: int) -> dict[str, Any]:
    import numpy as np

    wrong = np.ones(len(answers.numbers), dtype=bool) if answers.right is None else ~answers.right
    order = [index for index in np.argsort(-answers.loss, kind="stable").tolist() if wrong[index]][:worst]
    mistakes = [
        {
            "row": answers.numbers[index],
            "text": shorten(texts[answers.numbers[index]]),
            "label": _named(answers.references[index], answers.names, answers.kind),
            "predicted": answers.predictions[index].answer,
            "loss": float(answers.loss[index]),
        }
        for index in order
    ]
    return {**_label_figures(answers, wrong), "rows": len(answers.numbers), "worst": mistakes}


def _label_figures(found: LabelAnswers, wrong: Any) -> dict[str, Any]:
    """Return the parts of a Score that a problem type has; `wrong` [rows] bool."""
    import numpy as np

    references, loss, weight = found.references, found.loss, found.weight
    if found.kind == REGRESSION:
        metrics = statistics.regression(references.astype(float), found.chosen, loss, weight)
        return {"metrics": statistics.plain(metrics)}
    names = list(found.names)
    shares = probabilities(found.logits, str(found.kind))
    parts: dict[str, Any] = {}
    if found.kind == MULTI:
        true, answers = references.astype(int), found.chosen
        metrics = statistics.multi_label(true, answers, loss, weight)
        error, bins = statistics.calibration(shares.ravel(), true.ravel())
    else:
        one_hot = np.eye(len(names), dtype=int)
        metrics = statistics.single_label(references, found.chosen, len(names), loss, weight)
        error, bins = statistics.calibration(shares.max(axis=1), ~wrong)
        matrix = statistics.confusion(references, found.chosen, len(names))
        parts["confusion"] = {"labels": names, "matrix": matrix.tolist()}
        true, answers = one_hot[references], one_hot[found.chosen]
    parts["metrics"] = statistics.plain(metrics)
    parts["per_class"] = statistics.per_class(true, answers, names)
    parts["calibration"] = {"error": error, "bins": bins}
    return parts


def _named(reference: Any, names: Sequence[str], kind: str | None) -> Any:
    if kind == REGRESSION:
        return float(reference)
    if kind == MULTI:
        return [name for name, present in zip(names, reference, strict=True) if present]
    return names[int(reference)]


def _score_language(predictor: Predictor, found: DocumentAnswers, rows: Dataset, worst: int) -> dict[str, Any]:
    """Score a language model; a document's windows count as one document."""
    import numpy as np

    loss = found.nll / np.maximum(found.tokens, 1)
    return {
        "rows": len(found.numbers),
        "metrics": statistics.plain(statistics.language(found.nll, found.tokens, found.correct, found.text_bytes)),
        "worst": [
            {
                "row": found.numbers[index],
                "text": shorten(_document(predictor, rows[found.numbers[index]])),
                "tokens": int(found.tokens[index]),
                "loss": float(loss[index]),
            }
            for index in np.argsort(-loss, kind="stable")[:worst].tolist()
        ],
    }


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
