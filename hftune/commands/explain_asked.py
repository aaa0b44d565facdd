"""What `hftune explain` is asked, of texts and of data alike: the model, the methods, the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.commands.page import require_folder, write_page
from hftune.errors import UsageError, closest
from hftune.output import Output
from hftune.runs.reader import find_run, split_step

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor

ALL, COUNTERFACTUAL = "all", "counterfactual"


def load(reference: str, runs_dir: Path) -> Predictor:
    """Return the model that a reference to a run means."""
    from hftune.inference.predictor import Predictor

    run, step = split_step(reference)
    return Predictor.load(find_run(run, runs_dir), step)


def asked_methods(asked: str | None, task: str | None = None, model: Any = None) -> list[str]:
    """Return the methods of attribution that are asked for, None for the default, of the `task` and of the `model`.

    Raises UsageError for a name that there is not, and for one of another task or of models with gradients.
    """
    from hftune.explainers import CHANCE, methods
    from hftune.modeling.loading import computes_in_int8

    gradients = model is None or not computes_in_int8(model)
    known, of_task, own = (
        [name for name in methods(*given) if name != CHANCE] for given in ((), (task,), (task, gradients))
    )
    if asked is None:
        return own[:1]
    if asked not in (*known, COUNTERFACTUAL, ALL):
        raise UsageError(f"no method named {asked!r}", hint=closest(asked, [*known, COUNTERFACTUAL, ALL]))
    if asked in of_task and asked not in own:
        hint = f"There are {' and '.join(own)}; or explain the run that it was made from."
        raise UsageError(f"{asked} needs gradients, which a model with int8 weights does not have", hint=hint)
    if asked in known and asked not in own:
        raise UsageError(f"{asked} does not explain {task}", hint=f"For these models there are {' and '.join(own)}.")
    return own if asked == ALL else [name for name in own if name == asked]


def asked_page(asked: str | None) -> Path | None:
    """Return where a page is to be written, if anywhere; raises UsageError where it could not be."""
    if asked is None:
        return None
    require_folder(Path(asked))
    return Path(asked)


def say_page(path: Path, page: str, output: Output) -> None:
    """Write the page and tell where it is."""
    write_page(path, page)
    output.note(f"written: {path}")
