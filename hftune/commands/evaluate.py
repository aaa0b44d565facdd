"""`hftune evaluate RUN [--split S | --data FILE]`: how good a run's model is, how sure that is, and where it fails."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.energy.usage import Usage
from hftune.errors import EXIT_DONE, UsageError
from hftune.figures import figure, many
from hftune.output import Output
from hftune.sanitize import clip, pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.inference.scoring import Score

WIDTH = 80
NAME = 16  # columns of a label's name in tables
CELL = 5  # narrowest column of the confusion matrix that still says something
CONFUSIONS = 10  # pairs listed when there are too many classes for a matrix


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Score a run and print the report; with --json one object."""
    if arguments.split and arguments.data:
        raise UsageError("--split and --data at once", hint="Give either.")
    from hftune.runs.reader import find_run, split_step

    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    wait_politely_when_busy()
    from hftune.inference.predictor import Predictor
    from hftune.inference.scoring import load_rows, score

    predictor = Predictor.load(run, step)
    split, rows = load_rows(predictor, arguments.split, Path(arguments.data) if arguments.data else None, output.note)
    with predictor.metered() as spent:
        found = score(predictor, split, rows, max(0, arguments.worst))
        used = spent()
    found = replace(found, energy=None if used is None else used.to_dict())
    output.emit(found.to_dict())
    if not output.json:
        for line in report(found):
            output.say(line)
    return EXIT_DONE


def report(found: Score) -> list[str]:
    """Return the report as lines of at most 80 columns."""
    at = "" if found.step is None else f"@{found.step}"
    lines = [f"{sanitize(Path(found.run).name)}{at} on {sanitize(found.split)}: {many(found.rows, 'row')}", ""]
    lines += [f"! {sanitize(notice)}" for notice in found.notices]
    lines.append(f"{'':22} {'value':>10}   95% interval")
    for name, value in found.metrics.items():
        ends = "" if value["low"] is None else f"   {figure(value['low'])} to {figure(value['high'])}"
        lines.append(f"{name:22} {figure(value['value']):>10}{ends}")
    if found.calibration is not None:
        lines.append(f"{'calibration error':22} {figure(found.calibration['error']):>10}   (15 bins; 0 is best)")
    if found.energy is not None:
        lines.append(f"{'energy':22} {Usage.from_dict(found.energy).tell()}")
    if found.per_class is not None:
        lines += ["", f"{'label':{NAME}} {'precision':>10} {'recall':>10} {'f1':>10} {'support':>10}"]
        for name, figures in found.per_class.items():
            shares = " ".join(f"{figures[key]:>10.3f}" for key in ("precision", "recall", "f1"))
            lines.append(f"{pad(sanitize(name), NAME)} {shares} {figures['support']:>10,}")
    if found.confusion is not None:
        lines += ["", *confusion_lines(found.confusion["labels"], found.confusion["matrix"])]
    if found.worst:
        lines += ["", "worst mistakes" if found.task == "text-classification" else "hardest texts"]
        for mistake in found.worst:
            lines += _mistake(mistake)
    return lines


def confusion_lines(labels: list[str], matrix: list[list[int]]) -> list[str]:
    """Return the confusion matrix where it fits 80 columns, else the pairs most often taken for each other."""
    digits = len(f"{max(max(row) for row in matrix):,}")
    cell = max(CELL, digits, min(12, (WIDTH - NAME - 1) // len(labels) - 1))
    if NAME + 1 + (cell + 1) * len(labels) <= WIDTH:
        head = " ".join(pad(sanitize(label), cell, right=True) for label in labels)
        lines = [f"{'true ↓  predicted →':{NAME}}", f"{'':{NAME}} {head}"]
        for label, row in zip(labels, matrix, strict=True):
            lines.append(f"{pad(sanitize(label), NAME)} " + " ".join(f"{count:>{cell},}" for count in row))
        return lines
    pairs = [
        (count, labels[true], labels[predicted])
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    lines = ["most often taken for another (true → predicted)"]
    for count, true, predicted in sorted(pairs, key=lambda pair: -pair[0])[:CONFUSIONS]:
        lines.append(f"{count:>8,}  {clip(sanitize(true), 30)} → {clip(sanitize(predicted), 30)}")
    return lines


def _mistake(mistake: dict[str, Any]) -> list[str]:
    if "predicted" in mistake:
        labels = f"{_answer(mistake['label'])} taken for {_answer(mistake['predicted'])}"
    else:
        labels = many(mistake["tokens"], "token")
    head = f"  loss {mistake['loss']:.2f}  row {mistake['row']}  {labels}"
    return [clip(head, WIDTH), clip("    " + sanitize(mistake["text"]), WIDTH)]


def _answer(value: Any) -> str:
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, list):
        return sanitize(" + ".join(value)) or "(none)"
    return sanitize(value)
