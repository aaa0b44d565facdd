"""What stands beside the curves on a wide screen: what a run was made of, and its figures so far. No Textual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from hftune.figures import count, figure, many
from hftune.runs.following import mapping, whole

from .drawing import Part, clip, sanitize
from .followed import FollowedRun
from .standing import best_words, main_metric

LABEL_COLUMNS = 11
SHOWN_CHECKPOINTS = 4
# key of the recipe -> what it is called here, in the order they are shown
SHOWN = (
    ("task.name", "task"), ("task", "task"), ("model.id", "model"), ("model", "model"),
    ("model.architecture", "model"), ("data.source", "data"), ("data.files", "data"), ("data.files.train", "data"),
    ("data.max_length", "max length"), ("method.name", "method"), ("method", "method"), ("method.r", "r"),
    ("training.learning_rate", "lr"), ("training.per_device_train_batch_size", "batch"),
    ("training.gradient_accumulation_steps", "accumulate"), ("training.num_train_epochs", "epochs"),
    ("training.max_steps", "max steps"), ("training.lr_scheduler_type", "schedule"), ("training.seed", "seed"),
)  # fmt: skip


def side_lines(run: FollowedRun, facts: Mapping[str, str], problem: str, columns: int) -> list[list[Part]]:
    """Return lines of at most `columns`; called with the run's lock held."""
    lines: list[list[Part]] = [[("recipe", "bold")]]
    if problem:
        lines.append([(clip(sanitize(problem), columns), "$error")])
    pairs = [(label, _short(facts[key])) for key, label in SHOWN if facts.get(key) not in (None, "null", "")]
    lines += [_pair(label, value, columns) for label, value in dict(reversed(pairs)).items()][::-1]
    for title, found in (("plan", _plan(run)), ("so far", _so_far(run))):
        if found:
            lines += [[""], [(title, "bold")], *(_pair(label, value, columns) for label, value in found)]
    return lines


def _plan(run: FollowedRun) -> list[tuple[str, str]]:
    plan = run.following.plan
    if not plan:
        return []
    trained, parameters = plan.get("trainable_parameters"), plan.get("parameters")
    share = f", {count(trained)} trained" if trained != parameters and trained is not None else ""
    device = " ".join(str(plan[key]) for key in ("device", "precision") if plan.get(key) is not None)
    found = [
        ("examples", f"{whole(plan.get('train_examples')):,}"),
        ("weights", f"{count(parameters)}{share}" if parameters is not None else ""),
        ("device", device),
        ("threads", figure(plan["threads"]) if plan.get("threads") is not None else ""),
    ]
    return [(label, value) for label, value in found if value and value != "0"]


def _so_far(run: FollowedRun) -> list[tuple[str, str]]:
    found = [(f"best {main_metric(run)}".strip(), best_words(run))]
    metrics = mapping(run.following.evaluation.get("metrics"))
    found += [(str(name), figure(value)) for name, value in metrics.items()]
    if run.checkpoints:
        shown = ", ".join(f"{step:,}" for step in run.checkpoints[-SHOWN_CHECKPOINTS:])
        found.append((many(len(run.checkpoints), "checkpoint"), shown))
    return [(label, value) for label, value in found if value]


def _pair(label: str, value: str, columns: int) -> list[Part]:
    head = f"{clip(sanitize(label), max(LABEL_COLUMNS, columns // 2)):<{LABEL_COLUMNS}} "
    return [(head, "$muted"), clip(sanitize(value), max(4, columns - len(head)))]


def _short(value: str) -> str:
    """Return a path by its last name, anything else as it is."""
    return PurePath(value).name if value.startswith("/") else value
