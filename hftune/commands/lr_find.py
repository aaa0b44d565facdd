"""`hftune lr-find RECIPE`: a learning rate, from a range test and short trials that confirm or refute it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.commands.curve import curve_lines
from hftune.commands.curve_file import require_matplotlib, save_png
from hftune.commands.lr_report import Report, closing_lines, verdict_lines, wrapped
from hftune.commands.lr_trials import Trials
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, EXIT_INTERRUPTED, Problem, RecipeError, UsageError
from hftune.figures import duration, many
from hftune.output import Output
from hftune.preflight.trials import MORE, Trial, capped, choose_trials, trial_recipe
from hftune.recipe.load import find_recipe, load_recipe, naming_lines, shipped_note
from hftune.recipe.schema import Recipe
from hftune.runs.devices import devices_of
from hftune.runs.lock import device_lock
from hftune.runs.reader import default_runs_dir
from hftune.threads import wait_politely_when_busy
from hftune.training.lr_curve import STEP_COST, candidates, rate_name
from hftune.training.silent import SilentRun

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hftune.training.lr_curve import Curve
    from hftune.training.step import Setup

# About so many seconds of steps, thrown away, tell how long all will take.
_MEASURE_SECONDS = 4.0
_FEWEST_STEPS = 20


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Look for a learning rate; 130 when interrupted, after saying what is known by then."""
    _check_arguments(arguments)
    path, shipped = find_recipe(arguments.recipe)
    if shipped:
        output.note(f"hftune: {shipped_note(arguments.recipe, path)}")
    recipe = load_recipe(path, arguments.set)
    with naming_lines(path, arguments.set):
        _require_learning(recipe)
    wait_politely_when_busy()
    # What is said on the way is not the answer: with --json the answer is one object, alone on stdout.
    people = Output(stdout=output.stderr if output.json else output.stdout, stderr=output.stderr)
    search = _Search(recipe, arguments, people)
    try:
        with naming_lines(path, arguments.set):
            search.prepare_and_test()
    except KeyboardInterrupt:
        search.ticker.clear()
        output.note("hftune: interrupted before the range test was done: nothing is known yet, nothing was written")
        output.emit({"recipe": recipe.name, "interrupted": True, "suggestion": None})
        return EXIT_INTERRUPTED
    search.try_rates()
    report = search.report()
    for line in [*verdict_lines(report), "", *closing_lines(report)]:
        people.say(line)
    output.emit(report.to_dict())
    if search.trials.failure is not None:
        raise search.trials.failure
    return EXIT_INTERRUPTED if report.interrupted else EXIT_DONE


def _check_arguments(arguments: argparse.Namespace) -> None:
    low, high = arguments.min_rate, arguments.max_rate
    if arguments.steps < _FEWEST_STEPS:
        raise UsageError(f"--steps must be at least {_FEWEST_STEPS}", hint="Fewer say nothing about so many rates.")
    if arguments.trial_steps < 0 or arguments.rows < 1:
        raise UsageError("--trial-steps must be at least 0, --rows at least 1")
    if (low is not None and not low > 0) or (high is not None and not high > (low or 0)):
        raise UsageError("--min-rate and --max-rate must be above 0, the second above the first")
    if arguments.png is not None:
        require_matplotlib()


def _require_learning(recipe: Recipe) -> None:
    """Raise RecipeError for a recipe that compresses without training."""
    if recipe.compress is None:
        return
    from hftune.compressors import learns

    if not learns(recipe.compress):
        without = "`recover: false`" if "recover" in recipe.compress.options else recipe.compress.name
        message = f"{without} trains nothing, so there is no learning rate to find"
        hint = "`hftune compress` makes it as it is. The compressors distill, and prune with recover, do train."
        raise RecipeError([Problem("compress", message, hint)])


class _Search:
    """What is known so far, and the two steps that find out more: `prepare_and_test`, then `try_rates`."""

    def __init__(self, recipe: Recipe, arguments: argparse.Namespace, people: Output) -> None:
        self.recipe, self.arguments, self.people = capped(recipe, arguments.rows), arguments, people
        self.ticker = Ticker(people.stdout)
        self.began = time.monotonic()
        self.setup: Setup
        self.curve: Curve
        self.trials: Trials

    def prepare_and_test(self) -> None:
        """Make data and model ready, say how long all will take, make the range test and show its curve."""
        import datasets  # noqa: F401 - it and the next are slow, and trials will find them imported
        from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401

        from hftune.pipeline import make_setup
        from hftune.training.row_losses import row_losses

        with _devices_held(self.recipe, self.people):
            began = time.monotonic()
            self.setup, model = make_setup(self.recipe, Preparing(self.people, self.ticker))
            ready = time.monotonic() - began
            self.ticker.show("measuring a few steps")
            range_seconds, trial_seconds = self._measure(model, ready)
            self.ticker.clear()
            self._introduce(range_seconds, trial_seconds)
            self._test(model)
            self.ticker.show("the held-out loss before training")
            before = row_losses(self.setup, model, "validation") if self.trial_steps else None
        self.ticker.clear()
        self.trials = Trials(self.setup, before, self.trial_steps, self.arguments.rows, trial_seconds)
        self._show_curve()

    def try_rates(self) -> None:
        """Make the trials."""
        if self.trial_steps:
            self.people.say()
            runs_dir = Path(self.arguments.runs_dir) if self.arguments.runs_dir else default_runs_dir()
            self.trials.make(choose_trials(self.candidates, self._own_rate()), runs_dir, self.people)

    def report(self) -> Report:
        """Return all that was found."""
        from hftune.training.lr_find import outside_the_usual, usual_rates

        report = Report(
            recipe=self.recipe.name,
            reference=self.arguments.recipe,
            overrides=tuple(self.arguments.set),
            method=self.recipe.method.name,
            curve=self.curve,
            candidates=self.candidates,
            fallback=self._own_rate() or float(self.setup.method.DEFAULT_LEARNING_RATE),
            judgement=self.trials.judgement,
            missing=tuple(self.trials.missing),
            rows=len(self.trials.before) if self.trials.before is not None else 0,
            trial_steps=self.trial_steps,
            usual=usual_rates(self.setup),
            warnings=(),
            interrupted=self.trials.interrupted,
            seconds=time.monotonic() - self.began,
            png=Path(self.arguments.png) if self.arguments.png else None,
        )
        rate, _ = report.suggestion
        warning = outside_the_usual(self.setup, rate) if rate is not None else ""
        return replace(report, warnings=(warning,)) if warning else report

    @property
    def candidates(self) -> dict[str, float]:
        """The rates that the rules read off the curve."""
        return candidates(self.curve)

    @property
    def trial_steps(self) -> int:
        """Steps of a trial, 0 for none: there must be held-out rows to judge by."""
        held_out = "validation" in self.setup.prepared.splits
        return min(self.arguments.trial_steps, self.setup.plan.total_steps) if held_out else 0

    def _own_rate(self) -> float | None:
        """Return the recipe's rate; where it has none and the range test found none, the method's default."""
        rate = self.recipe.training.learning_rate
        if isinstance(rate, float):
            return rate
        return None if self.candidates else float(self.setup.method.DEFAULT_LEARNING_RATE)

    def _measure(self, model: PreTrainedModel, ready: float) -> tuple[float, float]:
        """Return the seconds of the range test and of one trial; `ready`: those of making data and model ready."""
        from hftune.preflight.estimate import measure
        from hftune.training.lr_find import untouched

        setup, steps = self.setup, self.trial_steps or _FEWEST_STEPS
        short = trial_recipe(self.recipe, Trial(1e-5, ()), setup.plan, steps, self.arguments.rows)
        with untouched(model):
            estimate = measure(short, setup.prepared, model, _MEASURE_SECONDS)
        step = estimate.train_seconds / estimate.total_steps
        # A trial's validation split is scored once more, row by row.
        trial_seconds = ready + estimate.seconds + estimate.evaluation_seconds / 2
        return self.arguments.steps * step * (1 + 1 / STEP_COST), trial_seconds

    def _introduce(self, range_seconds: float, trial_seconds: float) -> None:
        recipe, setup, training = self.recipe, self.setup, self.recipe.training
        own = f", its own rate {rate_name(training.learning_rate)}" if isinstance(training.learning_rate, float) else ""
        examples = many(setup.plan.examples, "example")
        self._say(f"{recipe.name}: method {recipe.method.name}, {examples} in batches of {setup.plan.batch_size}{own}")
        range_test = f"a range test of {many(self.arguments.steps, 'step')} ({duration(range_seconds)})"
        if not self.trial_steps:
            why = "" if "validation" in setup.prepared.splits else ": there is no validation split to judge by"
            self._say(f"about {duration(range_seconds)}, measured: {range_test}, no trials{why}")
            return
        count = len(choose_trials({}, 1.0))
        trials = f"{count} trials of {many(self.trial_steps, 'step')} ({duration(trial_seconds)} each)"
        whole = duration(range_seconds + count * trial_seconds)
        self._say(f"about {whole}, measured: {range_test}, {trials}; up to {MORE} more if the best is the last")

    def _test(self, model: PreTrainedModel) -> None:
        from hftune.training.lr_find import range_test, rates_to_try

        arguments, began = self.arguments, time.monotonic()
        rates = rates_to_try(self.setup, arguments.steps, arguments.min_rate, arguments.max_rate)
        what = f"range test from {rates[0]:.2g} to {rates[-1]:.2g}"

        def told(share: float) -> None:
            left = duration((time.monotonic() - began) * (1 - share) / share)
            self.ticker.show(f"{what}  {share:.0%}  {left} left")

        self.curve = range_test(self.setup, model, rates, told)
        self.ticker.clear()
        self._say(f"{what}: {many(len(self.curve.losses), 'step')} in {duration(time.monotonic() - began)}")

    def _show_curve(self) -> None:
        curve = self.curve
        marks = {**self.candidates, **({"diverged": curve.diverged_at} if curve.diverged_at is not None else {})}
        for line in curve_lines(curve, marks, self.people.stdout):
            self.people.say(line)
        if not self.candidates:
            self._say("! no rate lowered the loss by more than its noise, so the rules name none")
        if self.arguments.png:
            save_png(Path(self.arguments.png), f"{self.recipe.name}: range test", curve, marks)
            self._say(f"the curve is in {self.arguments.png}")

    def _say(self, text: str) -> None:
        for line in wrapped(text, "  "):
            self.people.say(line)


class Preparing(SilentRun):
    """Stands for a run directory while data and model are made ready: warnings go to people, nothing is written."""

    def __init__(self, people: Output, ticker: Ticker) -> None:
        super().__init__(Path())
        self._people, self._ticker = people, ticker

    def emit(self, kind: str, **data: Any) -> None:
        """Show what is being done; say what is wrong."""
        if kind == "phase":
            self._ticker.show(str(data.get("detail") or ""))
        elif kind == "alert" and data["level"] != "info":
            self._people.note(f"hftune: {data['message']}\n  {data['hint']}".rstrip())


@contextmanager
def _devices_held(recipe: Recipe, people: Output) -> Iterator[None]:
    """Hold the devices that the recipe trains on, as a run does; says whom it waits for."""
    with ExitStack() as held:
        for device in devices_of(recipe.training.device, 1):
            held.enter_context(
                device_lock(
                    device,
                    f"lr-find {recipe.name}",
                    waiting=lambda owner, device=device: people.note(  # type: ignore[misc]
                        f"hftune: waiting, {device} is in use by {owner}"
                    ),
                )
            )
        yield
