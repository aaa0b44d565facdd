"""`hftune ladder RECIPE`: majority class, TF-IDF, LSTM, frozen head, LoRA, full: is the large model worth it?"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hftune.commands.display import Display, QuietDisplay
from hftune.commands.job import carry_out_here
from hftune.errors import EXIT_DONE, EXIT_INTERRUPTED, RunError, UsageError
from hftune.figures import duration, figure, many, size
from hftune.ladder.rungs import BASELINES, Trial, choose_rungs, choose_seeds, make_trials, split_overrides
from hftune.output import Output
from hftune.recipe.load import dump_recipe, find_recipe, load_recipe, naming_lines, shipped_note
from hftune.recipe.prepare import prepare
from hftune.recipe.schema import Recipe
from hftune.runs.made import MadeRuns
from hftune.runs.reader import RUN_NAME, default_runs_dir, read_state
from hftune.sanitize import sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.ladder.folder import Folder, Result
    from hftune.ladder.rows import Rows
    from hftune.ladder.timing import Duration
    from hftune.ladder.verdict import Verdict

WIDTH = 80
SAME_AGAIN = "the same command goes on with what is finished"


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Climb the ladder and print the table and the verdict; with --json one object."""
    path, shipped = find_recipe(arguments.recipe)
    if shipped:
        output.note(f"hftune: {shipped_note(arguments.recipe, path)}")
    if arguments.within is not None and not arguments.within >= 0:
        raise UsageError(f"--within {arguments.within:g}: a distance is 0 or more")
    shared, own = split_overrides(arguments.set)
    recipe = load_recipe(path, shared)
    with naming_lines(path, shared):
        rungs, left_out = choose_rungs(arguments.rungs, recipe)
    seeds = choose_seeds(arguments.seeds)
    trials = make_trials(recipe, rungs, seeds, own)  # a mistake in them shows before data are read
    for reason in left_out:
        output.note(f"hftune: {reason}")
    wait_politely_when_busy()
    if "tfidf" in rungs:
        from hftune.ladder.baselines import require_scikit_learn

        require_scikit_learn()
    from hftune.ladder.rows import choose_metric, load_rows

    try:
        with naming_lines(path, shared):
            rows = load_rows(recipe, output.note)
            metric, greater = choose_metric(arguments.metric, rows)
        if not rows.has_words:
            trials = make_trials(recipe, rungs, seeds, own, words=False)
        runs_dir = Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir()
        climb = _Climb.begin(recipe, rows, trials, seeds, metric, greater, runs_dir, output)
        return climb.finish(arguments.within) if climb.to_the_top() else climb.give_up()
    except KeyboardInterrupt:
        output.say(f"interrupted: {SAME_AGAIN}")
        return EXIT_INTERRUPTED


@dataclass
class _Climb:
    """One call of the command; `results` are those of `trials`, in their order, as far as there are."""

    recipe: Recipe
    rows: Rows
    trials: Sequence[Trial]
    seeds: Sequence[int]
    metric: str
    greater: bool
    runs_dir: Path
    output: Output
    folder: Folder
    made: MadeRuns
    kept: list[Result]
    results: dict[tuple[str, int | None], Result] = field(default_factory=dict)
    durations: dict[str, Duration] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    exit_code: int = EXIT_DONE

    @classmethod
    def begin(
        cls,
        recipe: Recipe,
        rows: Rows,
        trials: Sequence[Trial],
        seeds: Sequence[int],
        metric: str,
        greater: bool,
        runs_dir: Path,
        output: Output,
    ) -> _Climb:
        """Return the climb with the results that earlier calls or runs made by hand have left."""
        from hftune.ladder.folder import Folder

        folder = Folder.of(runs_dir, recipe, rows)
        climb = cls(
            recipe, rows, trials, seeds, metric, greater, runs_dir, output, folder,
            MadeRuns(runs_dir, rows.fingerprint), folder.results(),
        )  # fmt: skip
        for trial in trials:
            if (result := climb._known(trial)) is not None:
                climb.results[trial.key] = result
        climb._announce()
        return climb

    def to_the_top(self) -> bool:
        """Get every result that there is not yet; False when a run was stopped or failed."""
        for number, trial in enumerate(self.trials, start=1):
            if trial.key in self.results:
                continue
            place = f"[{number}/{len(self.trials)}] {trial.title}"
            result = self._fit(trial) if trial.rung in BASELINES else self._train(trial, place)
            if result is None:
                return False
            self.results[trial.key] = result
            self._write(None)
            if trial.rung in self.durations:  # what one took says more of the next than a few steps did
                self.durations[trial.rung] = replace(self.durations[trial.rung], seconds=result.seconds)
            value = f"{self.metric} {figure(result.metrics[self.metric])}"
            self.output.say("  ".join([place, value, duration(result.seconds), _short(result.run)]).rstrip())
        return True

    def finish(self, within: float | None) -> int:
        """Compare the rungs, say what came of it, and return the exit code."""
        from hftune.ladder.report import report
        from hftune.ladder.verdict import judge

        rungs = list(dict.fromkeys(trial.rung for trial in self.trials))
        by_rung = {rung: [self.results[trial.key] for trial in self.trials if trial.rung == rung] for rung in rungs}
        scores = {rung: self.rows.scores(self.metric, self._outputs(results)) for rung, results in by_rung.items()}
        verdict = judge(scores, by_rung, self.metric, self.greater, self.rows.count("test"), within)
        record = self._write(verdict)
        self.output.emit(record)
        if not self.output.json:
            self.output.say()
            for line in report(record, verdict):
                self.output.say(line)
            self.output.say(f"  kept  {sanitize(self.folder.path)}")
        return EXIT_DONE

    def give_up(self) -> int:
        """Say how to go on, and return the exit code of the run that ended the climb."""
        self.output.emit(self._write(None))
        self.output.say(f"{len(self.results)} of {many(len(self.trials), 'result')} are there: {SAME_AGAIN}")
        return self.exit_code

    def _known(self, trial: Trial) -> Result | None:
        """Return the result of a trial that needs no training: fitted before, or a run that is done."""
        if trial.recipe is None:
            found = next((one for one in self.kept if one.rung == trial.rung), None)
            return found if found is not None and self.folder.outputs(found.key, self.rows) is not None else None
        run = self.made.find(dump_recipe(trial.recipe))
        if run is None or run.state is None or run.state.status != "done":
            return None
        return self._result_of(trial, run.path)

    def _result_of(self, trial: Trial, run: Path) -> Result:
        """Return what came of a finished run; its answers to test are computed once and kept."""
        from hftune.ladder.runs import answers, result_of

        logits = self.folder.outputs(run.name, self.rows)
        if logits is None:
            logits = answers(run, self.rows)
            self.folder.keep_outputs(run.name, logits)
        return result_of(trial, run, self.rows, logits)

    def _fit(self, trial: Trial) -> Result:
        from hftune.ladder.baselines import fit_majority, fit_tfidf, save_fitted
        from hftune.ladder.folder import Result
        from hftune.ladder.rows import choose_metric

        if trial.rung == "majority":
            fitted = fit_majority(self.rows)
        else:
            # What picks the best epoch of a run picks the strength of the penalty.
            picks = self.recipe.training.metric_for_best_model or "loss"
            fitted = fit_tfidf(self.rows, *choose_metric(picks, self.rows))
        self.folder.keep_outputs(trial.rung, fitted.logits)
        return Result(
            rung=trial.rung,
            seed=None,
            run="",
            seconds=fitted.seconds,
            parameters_trained=fitted.parameters,
            parameters=fitted.parameters,
            bytes=save_fitted(fitted, trial.rung, self.folder.models),
            base_bytes=0,
            metrics=dict(self.rows.figures("test", fitted.logits)),
            detail=fitted.detail,
        )

    def _train(self, trial: Trial, place: str) -> Result | None:
        """Train a trial's run, or go on with the one that was begun; None when it was stopped or failed."""
        assert trial.recipe is not None
        self.output.say(f"{place}{self._left(trial)}")
        begun = self.made.find(dump_recipe(trial.recipe))
        run = begun.path if begun is not None else prepare(trial.recipe, self.runs_dir)
        # Programs get one object in the end; what is said on the way goes where people look.
        people = Output(stdout=self.output.stderr, stderr=self.output.stderr) if self.output.json else self.output
        outcome = carry_out_here(run, people, self._show)
        if outcome.status == "done":
            return self._result_of(trial, run)
        self.exit_code = outcome.exit_code
        if outcome.error is not None:
            Output(stdout=people.stdout, stderr=people.stderr).report(outcome.error)
        else:
            people.say(sanitize(f"{outcome.status}: {read_state(run).reason}"))
        people.say(f"  run   {sanitize(run)}")
        return None

    def _show(self, people: Output, run: Path) -> Display:
        return QuietDisplay(people.stdout, run.name, None if not self.output.json else False, self.told)

    def _announce(self) -> None:
        """Say what there is to do and how long it will take; raises RunError when the disk has no room for it."""
        say, todo = self.output.say, [trial for trial in self.trials if trial.key not in self.results]
        rungs = list(dict.fromkeys(trial.rung for trial in self.trials))
        say(f"ladder of {sanitize(self.recipe.name)}: {', '.join(rungs)}; seeds {', '.join(map(str, self.seeds))}")
        if self.results:
            say(f"{len(self.results)} of {many(len(self.trials), 'result')} are there already")
        runs = [trial for trial in todo if trial.recipe is not None]
        if not runs:
            return
        from hftune.ladder.timing import left, measure_rungs

        say("measuring a few steps of each rung that is trained …")
        self.durations = measure_rungs(runs, self.rows, self._note)
        for rung, found in self.durations.items():
            runs_of_it = many(sum(trial.rung == rung for trial in runs), "run")
            say(f"  {rung:9}{runs_of_it:>7} of about {duration(found.seconds)} ± {duration(max(1, found.error))}")
        seconds, error = left(runs, self.durations)
        disk = sum(self.durations[trial.rung].disk_bytes for trial in runs)
        say(f"  together about {duration(seconds)} ± {duration(max(1, error))}, and {size(disk)} on the disk")
        free = shutil.disk_usage(self.folder.path).free
        if free < disk:
            hint = "Free some, lower training.save_total_limit, or give another --runs-dir."
            raise RunError(f"{self.runs_dir} has {size(free)} free, and the runs need about {size(disk)}", hint)

    def _note(self, text: str) -> None:
        """Say once, within 80 columns, what several rungs note (where the model came from)."""
        if text not in self.told:
            self.told.add(text)
            self.output.note(fill(sanitize(text), WIDTH, break_long_words=False, break_on_hyphens=False))

    def _left(self, trial: Trial) -> str:
        """Return how long this run and those after it will take, by measured steps and by finished runs of the rung."""
        from hftune.ladder.timing import left

        todo = [one for one in self.trials if one.key not in self.results and one.recipe is not None]
        now, _ = left([trial], self.durations)
        more, _ = left(todo[1:], self.durations)
        rest = f"; then {len(todo) - 1} more, about {duration(more)}" if len(todo) > 1 else ""
        return f": about {duration(now)}{rest}"

    def _outputs(self, results: Sequence[Result]) -> list[Any]:
        return [self.folder.outputs(result.key, self.rows) for result in results]

    def _write(self, verdict: Verdict | None) -> dict[str, Any]:
        from hftune.ladder.report import as_object

        results = [self.results[trial.key] for trial in self.trials if trial.key in self.results]
        record = as_object(self.recipe, self.rows, self.metric, self.greater, self.seeds, results, verdict)
        self.folder.write(record, results)
        return {"ladder": str(self.folder.path), **record}


def _short(run: str) -> str:
    """Return a run's name without its time, as commands take it too: `bert-cls-lora-a1d3`."""
    match = RUN_NAME.fullmatch(run)
    return f"{match['name']}-{match['hex']}" if match else sanitize(run)
