"""The trials of `lr-find`: ordinary runs one after the other, each scored on the same held-out rows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.commands.job import carry_out_here
from hftune.commands.ticker import RunTicker
from hftune.errors import DivergedError, HftuneError
from hftune.figures import duration, figure
from hftune.output import Output
from hftune.preflight.trials import MORE, Trial, one_more, trial_recipe
from hftune.preflight.verdicts import Judgement, Scored, judge
from hftune.recipe.prepare import prepare
from hftune.runs import layout
from hftune.runs.launch import Launch
from hftune.runs.reader import load_state
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from hftune.training.row_losses import RowLosses
    from hftune.training.step import Setup


class Trials:
    """What became of the trials so far.

    `missing`: those that were to be made and are not. `interrupted`: somebody asked to stop. `failure`: why they ended
    before their time. Data and plan are those of `setup`; `before` is what its weights lose on each validation row
    before training.
    """

    def __init__(self, setup: Setup, before: RowLosses | None, steps: int, rows: int, seconds: float) -> None:
        """`steps` of each trial, at most so many `rows` of each held-out split, about so many `seconds`."""
        self.setup, self.before, self.steps, self.rows, self.seconds = setup, before, steps, rows, seconds
        self.scored: list[Scored] = []
        self.missing: list[Trial] = []
        self.interrupted = False
        self.failure: HftuneError | None = None

    def make(self, trials: Sequence[Trial], runs_dir: Path, people: Output) -> None:
        """Make `trials` in their order, and a few more where the best one is at an end of the candidates.

        An interruption or an error ends them; what was finished by then stays.
        """
        self.missing = list(trials)
        more = MORE
        try:
            while self.missing:
                if not self._make_one(self.missing[0], runs_dir, people):
                    return
                self.missing.pop(0)
                extra = self._one_more() if more and not self.missing else None
                if extra is not None:
                    more -= 1
                    self.missing.append(extra)
        except KeyboardInterrupt:
            self.interrupted = True

    @property
    def judgement(self) -> Judgement | None:
        """The verdicts on what is finished, None before anything is."""
        return judge(self.scored, self.before) if self.scored and self.before is not None else None

    def _make_one(self, trial: Trial, runs_dir: Path, people: Output) -> bool:
        """Carry out a trial and score it; return whether it came to its end."""
        recipe = trial_recipe(self.setup.recipe, trial, self.setup.plan, self.steps, self.rows)
        run, began = prepare(recipe, runs_dir, Launch(check=False)), time.monotonic()
        number, count = len(self.scored) + 1, len(self.scored) + len(self.missing)
        what = f"trial {number}/{count} at {trial.name}"
        left = f"{duration(self.seconds * len(self.missing))} left"
        try:
            outcome = carry_out_here(run, people, lambda words, path: RunTicker(words, f"{what}  {left}"))
        except KeyboardInterrupt:  # before the run began, or after it ended: within it, it is the run that is asked
            if load_state(run).status == "queued":
                shutil.rmtree(run)
            raise
        diverged = outcome.error is not None and isinstance(outcome.error.__cause__, DivergedError)
        if not diverged and outcome.status != "done":
            self.interrupted, self.failure = outcome.error is None, outcome.error
            return False
        losses = None if diverged else self._held_out(run)
        self.scored.append(Scored(trial, run.name, losses))
        # Nobody goes on from so short a run, and a checkpoint is three times its model.
        shutil.rmtree(run / layout.CHECKPOINTS, ignore_errors=True)
        self.seconds = time.monotonic() - began
        loss = "diverged" if losses is None else f"loss {figure(float(losses[:, 0].sum() / losses[:, 1].sum()))}"
        people.say(sanitize(f"{what}  {loss}  {duration(self.seconds)}  {run.name}"))
        return True

    def _held_out(self, run: Path) -> RowLosses:
        """Return the loss of the run's model on each validation row."""
        from hftune.inference.loading import load_run
        from hftune.training.row_losses import row_losses

        model = load_run(run, device=str(self.setup.accelerator.device)).model
        return row_losses(self.setup, model, "validation")

    def _one_more(self) -> Trial | None:
        judgement = self.judgement
        if judgement is None or judgement.best is None:
            return None
        return one_more([one.trial for one in self.scored], judgement.best)
