"""`hftune compress RUN --frontier`: several smaller models, measured beside the run's. Which one is worth using?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hftune.commands.display import Display, QuietDisplay
from hftune.commands.job import carry_out_here
from hftune.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, HftuneError, RunError, RunLockedError, UsageError
from hftune.figures import duration, many, size
from hftune.output import Output
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.recipe.prepare import prepare
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.devices import devices_of
from hftune.runs.launch import Launch
from hftune.runs.lock import device_lock
from hftune.runs.made import MadeRuns, active_seconds, data_of, is_made, was_compared
from hftune.runs.reader import RunSummary, default_runs_dir, lasting_name, read_events, read_state
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from hftune.frontier.folder import Folder, Result
    from hftune.frontier.grid import Candidate, LeftOut
    from hftune.frontier.held_out import Questions
    from hftune.frontier.quality import Judge
    from hftune.frontier.verdict import Bounds, Verdict

WIDTH = 80
LEARNS = ("distill", "prune")
SAME_AGAIN = "the same command goes on with what is finished"


def frontier(parent: Path, arguments: argparse.Namespace, output: Output) -> int:
    """Make and measure the candidates, print tables, plot and the sentence; with --json one object."""
    bounds = _bounds(arguments)
    from hftune.frontier.grid import choose, split_overrides
    from hftune.frontier.plot import require_matplotlib, require_writable

    if arguments.detach or arguments.name:
        given = "--detach" if arguments.detach else "--name"
        raise UsageError(f"{given} and --frontier at once", hint="It is for a single --method.")
    if arguments.png is not None:
        require_matplotlib()
        require_writable(Path(arguments.png))
    candidates = choose(arguments.only)
    overrides = split_overrides(arguments.set, candidates)
    search: _Search | None = None
    try:
        search = _Search.begin(parent, candidates, overrides, bounds, arguments, output)
        if not search.make_all():
            return search.give_up()
        search.measure()
        return search.finish(Path(arguments.png) if arguments.png is not None else None)
    except KeyboardInterrupt:
        if search is not None:
            output.emit(search.write(None))
        output.say(f"interrupted: {SAME_AGAIN}")
        return EXIT_INTERRUPTED


def _bounds(arguments: argparse.Namespace) -> Bounds:
    from hftune.frontier.bounds import parse_bytes, parse_share
    from hftune.frontier.verdict import DEFAULT_LOSS, Bounds

    most = None if arguments.max_size is None else parse_bytes(arguments.max_size, "--max-size")
    if arguments.max_loss is not None:
        return Bounds(parse_share(arguments.max_loss, "--max-loss"), most)
    return Bounds(DEFAULT_LOSS if most is None else None, most)


@dataclass
class _Search:
    """One call of the command. `runs`: of each candidate that is made, its run; `results` by name, the parent's too."""

    parent: Path
    recipe: Recipe
    candidates: Sequence[Candidate]
    overrides: dict[str, list[str]]
    bounds: Bounds
    runs_dir: Path
    output: Output
    people: Output
    folder: Folder
    made: MadeRuns
    kept: list[Result]
    again: bool
    judge: Judge
    questions: Questions
    rows: dict[str, int]
    layers: int | None
    runs: dict[str, Path] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    exit_code: int = EXIT_FAILED

    @classmethod
    def begin(
        cls,
        parent: Path,
        candidates: Sequence[Candidate],
        overrides: dict[str, list[str]],
        bounds: Bounds,
        arguments: argparse.Namespace,
        output: Output,
    ) -> _Search:
        """Return the search with what earlier calls have left; raises HftuneError when there is nothing to compare."""
        from hftune.compressors._recipes import require_finished
        from hftune.frontier.folder import Folder
        from hftune.frontier.grid import candidate_recipe, layers_of
        from hftune.frontier.held_out import held_out_splits, questions
        from hftune.frontier.quality import Judge

        require_finished(parent)
        recipe = load_recipe(parent / layout.RECIPE)
        # Programs get one object in the end; what is said on the way goes where people look.
        people = Output(stdout=output.stderr if output.json else output.stdout, stderr=output.stderr)
        layers = layers_of(parent)
        for candidate in candidates:  # a mistake in the overrides shows before anything is made
            candidate_recipe(candidate, parent, recipe.name, layers, overrides[candidate.name])
        splits = held_out_splits(recipe, _quiet)
        asked = questions(recipe, list(splits)[-1], splits[list(splits)[-1]])
        runs_dir = Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir()
        folder = Folder.of(runs_dir, parent)
        search = cls(
            parent, recipe, candidates, overrides, bounds, runs_dir, output, people, folder,
            MadeRuns(runs_dir, data_of(parent)), folder.results(), arguments.again, Judge(parent, splits), asked,
            {name: len(rows) for name, rows in splits.items()}, layers,
        )  # fmt: skip
        search._announce()
        return search

    def make_all(self) -> bool:
        """Make every candidate that can be and tell how good it is; False when one was stopped."""
        for number, candidate in enumerate(self.candidates, start=1):
            recipe = self._recipe(candidate)
            if recipe is None:
                continue
            run = self._make(candidate, recipe, f"[{number}/{len(self.candidates)}] {candidate.name}")
            if run is None and self.exit_code != EXIT_FAILED:
                return False
            if run is not None:
                self.runs[candidate.name] = run
                self._judge(candidate.name, run)
        if not self.results:
            # People have read why, one by one.
            why = "\n  ".join(f"{one.name}: {one.why}" for one in self.left_out) if self.output.json else ""
            raise RunError(f"nothing smaller could be made of {self.parent.name}", hint=why)
        return True

    def measure(self) -> None:
        """Measure side by side what was not measured before."""
        from hftune.frontier.folder import PARENT
        from hftune.frontier.side_by_side import groups, measure, told_group

        todo = {name: run for name, run in self.runs.items() if name in self.results and not self.results[name].cost}
        names = {run.name: name for name, run in todo.items()}
        weights = {run.name: 4 * self.results[name].parameters for name, run in todo.items()}
        parent = self.parent.resolve()
        apart = groups({parent.name: 4 * self.results[PARENT].parameters, **weights}, parent.name)
        for group in apart:
            if len(apart) > 1:
                self._say(told_group(group))
            with ExitStack() as held:
                self._wait_for_devices(held)
                found = measure(parent, [todo[names[run]] for run in group], self.questions, self._say)
            for run, problem in found.failed.items():
                self._leave_out(names[run], f"it could not be measured: {problem.message}")
                del self.results[names[run]]
            for run, cost in found.costs.items():
                name = PARENT if run == parent.name else names[run]
                self.results[name] = replace(self.results[name], cost=replace(cost, in_groups=len(apart) > 1))
            self.write(None)

    def finish(self, png: Path | None) -> int:
        """Say what came of it, and return the exit code."""
        from hftune.frontier.plot import HINT, has_matplotlib, plot_lines
        from hftune.frontier.report import report
        from hftune.frontier.verdict import judge

        results = self._in_order()
        verdict = judge(results, self.bounds)
        record = self.write(verdict)
        self.output.emit(record)
        if not self.output.json:
            plot = plot_lines(results, verdict, self.output.stdout)
            hint = [] if has_matplotlib() else [HINT]
            for line in ["", *report(self.recipe.name, results, self.left_out, verdict, plot), *hint]:
                self.output.say(line)
            self._say_next(verdict)
        return self._draw(results, verdict, png) if has_matplotlib() else EXIT_DONE

    def give_up(self) -> int:
        """Say how to go on, and return the exit code of the run that ended the search."""
        self.output.emit(self.write(None))
        self.output.say(f"{many(len(self.runs), 'model')} of {len(self.candidates)} are there: {SAME_AGAIN}")
        return self.exit_code

    def write(self, verdict: Verdict | None) -> dict[str, Any]:
        """Keep what is known; return it as --json prints it. `verdict` None: it is not all there yet."""
        from hftune.frontier.report import as_object

        results = self._in_order()
        mine = {result.run for result in results}
        others = [one for one in self.kept if one.run not in mine]
        record = as_object(
            self.parent.resolve().name, self.recipe.task.name, self.rows, self.bounds, results, others, self.left_out,
            verdict,
        )  # fmt: skip
        self.folder.write(record, results)
        return {"frontier": str(self.folder.path), **record}

    def _draw(self, results: Sequence[Result], verdict: Verdict, png: Path | None) -> int:
        """Draw what was told, and return the exit code: failed where that was asked for and cannot be."""
        from hftune.frontier.folder import PICTURE
        from hftune.frontier.plot import draw_png, save_png

        try:
            picture = draw_png(sanitize(self.parent.name), results, verdict)
            save_png(self.folder.path / PICTURE, picture)
            if png is not None:
                save_png(png, picture)
        except Exception as error:  # of whatever kind: the figures are there all the same
            why = error.message if isinstance(error, HftuneError) else f"{type(error).__name__}: {error}"
            self.output.note(f"hftune: there is no picture: {why}")
            return EXIT_DONE if png is None else EXIT_FAILED
        return EXIT_DONE

    def _recipe(self, candidate: Candidate) -> Recipe | None:
        """Return the recipe of a candidate's run; None where it cannot be made, which is said."""
        from hftune.frontier.grid import LeftOut, candidate_recipe

        if candidate.after and candidate.after not in self.runs:
            self._leave_out(candidate.name, f"it is made of {candidate.after}, which is not there")
            return None
        base = self.runs.get(candidate.after, self.parent)
        found = candidate_recipe(candidate, base, self.recipe.name, self.layers, self.overrides[candidate.name])
        if isinstance(found, LeftOut):
            self._leave_out(found.name, found.why)
            return None
        return found

    def _make(self, candidate: Candidate, recipe: Recipe, place: str) -> Path | None:
        """Return a candidate's finished run, made now if need be; None when that was stopped or failed."""
        begun = self._begun(recipe, place)
        if begun is not None and is_made(begun):
            self._say(f"{place}  there already: {sanitize(begun.name)}")
            return begun.path
        self._say(f"{place} …")
        # The data were looked at when the parent was trained on them.
        run = begun.path if begun is not None else prepare(recipe, self.runs_dir, Launch(check=False))
        try:
            outcome = carry_out_here(run, self.people, self._show)
        except RunLockedError as error:
            self._leave_out(candidate.name, error.message)
            return None
        if outcome.status == "done" or (outcome.error is not None and was_compared(run)):
            return run  # one made by hand has a bound of its own; what it lost is told here as of all
        if outcome.error is not None:
            self.exit_code = EXIT_FAILED
            self._leave_out(candidate.name, f"it failed: {outcome.error.message} ({run.name})")
            return None
        self.exit_code = outcome.exit_code
        self._say(f"{outcome.status}: {read_state(run).reason}")
        self.people.say(f"  run   {sanitize(run)}")
        return None

    def _begun(self, recipe: Recipe, place: str) -> RunSummary | None:
        """Return the run that a recipe has already, made of the model that its parent has now; or None."""
        from hftune.frontier.folder import model_fingerprint
        from hftune.inference.loading import parent_folder

        text, base = dump_recipe(recipe), parent_folder(recipe)
        if (before := self.made.find(text)) is None:
            return None
        found = self.made.find(text, model_fingerprint(base))
        if found is None:
            self._say(f"{place}  made anew: the model of {base.name} has changed since {before.name} was made of it")
        return found

    def _judge(self, name: str, run: Path) -> None:
        """Get how good a run's model is, from an earlier call where its files are the same."""
        from hftune.frontier.folder import PARENT, Result, model_state

        state, parent_state = model_state(run), model_state(self.parent)
        kept = [] if self.again else self.kept
        found = next((one for one in kept if (one.run, one.state) == (run.name, state)), None)
        base = next((one for one in kept if (one.name, one.state) == (PARENT, parent_state)), None)
        if found is not None and base is not None and list(found.quality) == list(self.rows):
            self.results[name], self.results[PARENT] = replace(found, name=name), self.results.get(PARENT, base)
            return
        try:
            judged = self.judge.judge(run)
        except HftuneError as error:
            self._leave_out(name, f"it could not be asked: {error.message}")
            return
        seconds = active_seconds(read_events(run))
        self.results[name] = Result(name, run.name, state, judged.bytes, judged.parameters, seconds, judged.by_split)
        if PARENT not in self.results:
            quality = {split: one.of_parent() for split, one in judged.by_split.items()}
            self.results[PARENT] = Result(
                PARENT, self.parent.resolve().name, parent_state, judged.parent_bytes, judged.parent_parameters,
                active_seconds(read_events(self.parent)), quality, base.cost if base is not None else None,
            )  # fmt: skip
        split, one = list(judged.by_split.items())[-1]
        self._say(f"  {one.metric} on {split} {one.value.value:.3f}, {size(judged.bytes)}, made in {duration(seconds)}")
        self.write(None)

    def _announce(self) -> None:
        names = ", ".join(candidate.name for candidate in self.candidates)
        self._say(f"frontier of {self.parent.resolve().name}: {names}")
        if any(candidate.method in LEARNS for candidate in self.candidates):
            trained = duration(active_seconds(read_events(self.parent)))
            self._say(f"the run itself took {trained} to train; {' and '.join(LEARNS)} train, too")

    def _say_next(self, verdict: Verdict) -> None:
        say = self.output.say
        if verdict.recommended is not None:
            run = self.runs[verdict.recommended.name]
            ask = "generate" if self.recipe.task.name == "text-generation" else "predict"
            say(f'  next  hftune {ask} {lasting_name(run)} "…"')
        say(f"  kept  {sanitize(self.folder.path)}")

    def _wait_for_devices(self, held: ExitStack) -> None:
        """Hold the devices: what trains beside a measurement spoils it."""
        for device in devices_of(self.recipe.training.device):
            held.enter_context(
                device_lock(
                    device,
                    f"frontier of {self.parent.name}",
                    waiting=lambda owner, device=device: self._say(  # type: ignore[misc]
                        f"waiting for {device}, in use by {owner}"
                    ),
                )
            )

    def _leave_out(self, name: str, why: str) -> None:
        from hftune.frontier.grid import LeftOut

        self.left_out.append(LeftOut(name, why))
        self._say(f"left out: {name}: {why}")

    def _show(self, people: Output, run: Path) -> Display:
        return QuietDisplay(people.stdout, run.name, None if not self.output.json else False, self.told)

    def _say(self, text: str) -> None:
        self.people.say(
            fill(sanitize(text), WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        )

    def _in_order(self) -> list[Result]:
        from hftune.frontier.folder import PARENT

        names = [PARENT, *(candidate.name for candidate in self.candidates)]
        return [self.results[name] for name in names if name in self.results]


def _quiet(_: str) -> None:
    return None
