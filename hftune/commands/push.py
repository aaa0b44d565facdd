"""`hftune push RUN OWNER/NAME`: a run's model and its card onto the Hub, or with --dry-run into a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.commands.signals import unwinding
from hftune.commands.ticker import Ticker
from hftune.errors import EXIT_DONE, EXIT_FAILED, HftuneError, UsageError
from hftune.figures import size
from hftune.output import Output, describe
from hftune.recipe.schema import HubSection
from hftune.runs import layout
from hftune.runs.reader import find_run, lasting_name, split_step
from hftune.sanitize import pad, sanitize
from hftune.threads import wait_politely_when_busy

if TYPE_CHECKING:
    from hftune.sharing.push import Wish
    from hftune.sharing.repository import File, Staged
    from hftune.sharing.upload import Changes, Place, Pushed

NAME = 28


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Push a run, or with --dry-run write what would be pushed; with --json a line a phase, the result last."""
    _check(arguments)
    wait_politely_when_busy()
    wish = _wish(arguments)
    telling = Telling(output)
    with unwinding():  # on its way the model is in a folder of the system
        if arguments.dry_run:
            return _dry_run(wish, arguments.output, telling, output)
        return _push(wish, arguments.ask, telling, output)


def _dry_run(wish: Wish, where: str | None, telling: Telling, output: Output) -> int:
    from hftune.sharing.push import dry_run

    folder = Path(where or f"{wish.repo.rpartition('/')[2]}-dry-run")
    staged = dry_run(wish, folder, telling.phase)
    telling.end()
    output.emit({"repo": wish.repo, "folder": str(folder), **_content(staged)})
    for line in content_lines(staged):
        output.say(line)
    output.say(f"in {sanitize(folder)}; nothing was sent")
    return EXIT_DONE


def _push(wish: Wish, ask: bool, telling: Telling, output: Output) -> int:
    from hftune.sharing.push import push

    def agree(place: Place, private: bool, staged: Staged, planned: Changes) -> bool:
        telling.end()
        visibility, new = "private" if private else "public", place.head is None
        ready = {"repo": place.repo, "url": place.url, "private": private, "was_private": place.private, "new": new}
        touched = {"replaces": list(planned.replaced), "removes": list(planned.removed)}
        output.emit({"ready": {**ready, **_content(staged), **touched}})
        output.say(f"{place.url}  {visibility}, {'new' if new else 'there already'}")
        for line in [*content_lines(staged), *_touched_lines(planned)]:
            output.say(line)
        if not ask:
            return True
        output.say("Push? [y/N]")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    pushed = push(wish, telling.phase, telling.progress, agree)
    telling.end()
    if pushed is None:
        output.emit({"pushed": False})
        output.say("nothing was sent")
        return EXIT_FAILED
    output.emit({"pushed": True, **vars(pushed)})
    output.say(pushed_line(pushed))
    return EXIT_DONE


def pushed_line(pushed: Pushed) -> str:
    """Return what a push came to."""
    what = "was there already, file for file" if pushed.unchanged else "pushed"
    return f"{what}: {pushed.url}  {'private' if pushed.private else 'public'}, commit {pushed.commit[:8]}"


def push_when_done(path: Path, section: HubSection, output: Output) -> dict[str, Any]:
    """Push a run that has just ended as its recipe asks, and return what came of it as --json has it.

    What goes wrong becomes an alert and `error`; the run stays done, and `hftune push RUN` does it again.
    """
    from hftune.runs.writer import RunWriter
    from hftune.sharing.push import Wish, push

    wish = Wish(path, section.repo, private=section.private, weights=section.weights, licence=section.license)
    telling = Telling(Output(stdout=output.stderr, stderr=output.stderr))
    with RunWriter.open(path, new_attempt=False) as run:
        run.set_state(phase="pushing", exit_code=EXIT_DONE)
        try:
            pushed = push(wish, telling.phase, telling.progress, lambda *_: True)
        except Exception as caught:  # whatever it is (a full disk, too little memory), the run is done and stays so
            error = caught if isinstance(caught, HftuneError) else HftuneError(f"{type(caught).__name__}: {caught}")
            again = f"`hftune push {lasting_name(path)}` does it again."
            hint = f"{error.hint}\n  {again}" if error.hint else again
            run.alert("error", "not-pushed", f"not pushed to {section.repo}: {error.message}", hint)
            return {"repo": section.repo, "error": describe(HftuneError(error.message, hint, error.exit_code))}
        finally:
            telling.end()
            run.set_state(phase="")
        assert pushed is not None
        run.alert("info", "pushed", pushed_line(pushed))
        return vars(pushed)


def say_pushed(result: Mapping[str, Any], output: Output) -> None:
    """Say what `push_when_done` returned."""
    if "error" in result:
        output.say(sanitize(f"  ! not pushed to {result['repo']}: {result['error']['message']}"))
        for line in str(result["error"]["hint"]).splitlines():
            output.say(f"    {sanitize(line).strip()}")
    else:
        output.say(f"  hub   {sanitize(result['url'])}  {'private' if result['private'] else 'public'}")


def warn_early(section: HubSection, output: Output) -> None:
    """Say before training what would keep its result from being pushed."""
    from hftune.sharing.push import check

    try:
        check(section.repo, section.private)
    except HftuneError as error:
        output.note(f"! the result could not be pushed to {section.repo} now: {error}")


class Telling:
    """Says how far a push is: one line painted over for people, JSON lines for programs."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._ticker = Ticker(output.stderr)
        self._shown = -1

    def phase(self, text: str) -> None:
        """Say what is done now, or a thing to know about it."""
        self._output.emit({"phase": sanitize(text)})
        self._ticker.clear()
        self._ticker.show(text)

    def progress(self, done: int, total: int) -> None:
        """Say how many bytes went out; a program is told each percent."""
        percent = 100 * done // max(total, 1)
        if percent != self._shown:
            self._shown = percent
            self._output.emit({"uploaded": done, "of": total})
        self._ticker.show(f"uploading  {size(done)} of {size(total)}  {percent}%")

    def end(self) -> None:
        """Leave the line to what stays."""
        self._ticker.clear()


def content_lines(staged: Staged) -> list[str]:
    """Return what a repository holds as lines: a file and its size each, and all of it."""
    what = {"whole": "the whole model", "adapter": "the adapter alone", "merged": "the model, its adapter merged"}
    return [*file_lines(staged.files), _size_line(what[staged.weights], staged.size)]


def file_lines(files: Iterable[File]) -> list[str]:
    """Return a line for each file: its name and size."""
    return [_size_line(file.name, file.size) for file in files]


def file_records(files: Iterable[File]) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [{"name": file.name, "bytes": file.size} for file in files]


def _size_line(name: str, count: int) -> str:
    return f"  {pad(name, NAME)} {size(count):>10}"


def _touched_lines(planned: Changes) -> Iterator[str]:
    """Yield what happens to files that are there."""
    for what, names in (("replaces", planned.replaced), ("removes", planned.removed)):
        if names:
            yield f"  {what} {sanitize(', '.join(names))}"


def _content(staged: Staged) -> dict[str, Any]:
    return {"weights": staged.weights, "files": file_records(staged.files), "bytes": staged.size}


def _check(arguments: argparse.Namespace) -> None:
    for one, other in (("private", "public"), ("adapter", "merged")):
        if getattr(arguments, one) and getattr(arguments, other):
            raise UsageError(f"--{one} and --{other} at once", hint="Give either.")
    if arguments.output and not arguments.dry_run:
        raise UsageError("--output is for --dry-run", hint="Give both, or neither.")
    if arguments.timeout is not None and arguments.timeout <= 0:
        raise UsageError(f"--timeout {arguments.timeout:g} leaves no time", hint="It is in seconds.")


def _wish(arguments: argparse.Namespace) -> Wish:
    """Return what is asked for: by the flags, else by the recipe's `hub` section."""
    from hftune.recipe.load import load_recipe
    from hftune.sharing.push import TIMEOUT_SECONDS, Wish

    name, step = split_step(arguments.run)
    run = find_run(name, arguments.runs_dir)
    section = load_recipe(run / layout.RECIPE).hub
    repo = arguments.repo or (section.repo if section else None)
    if repo is None:
        hint = f"`hftune push {lasting_name(run)} OWNER/NAME`; or `hub: OWNER/NAME` in the recipe."
        raise UsageError(f"{run.name} does not say where to", hint)
    private = True if arguments.private else False if arguments.public else section.private if section else None
    weights = "adapter" if arguments.adapter else "merged" if arguments.merged else section.weights if section else None
    return Wish(
        run,
        repo,
        step=step,
        private=private,
        weights=weights,
        licence=arguments.license or (section.license if section else None),
        replace=arguments.replace,
        timeout=arguments.timeout or TIMEOUT_SECONDS,
    )
