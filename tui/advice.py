"""What a person should know about a run and can do about it, in one or two lines with the key to do it. No Textual."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hftune.runs.state import ACTIVE, RESUMABLE

from .followed import FollowedRun
from .plotted import rises
from .standing import is_elsewhere, status_of

OVERFIT_RISES = 2
SHOWN_STEPS = 3
TERMINATED = 143
NEWER = "a newer version of hftune wrote this run: what is known of it is shown"
_EXAMPLES = re.compile(r"out of memory with (?:(\d+) examples|one example) in a batch")
_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
_BATCH, _ACCUMULATE = "training.per_device_train_batch_size", "training.gradient_accumulation_steps"
Level = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Advice:
    """What to know (`text`), what to do (`keys`: words that name keys), and the command that Enter carries out."""

    text: str
    level: Level
    keys: str = ""
    command: str = ""
    step: int | None = None  # the checkpoint that c should ask


def advice_of(
    run: FollowedRun, log: Sequence[str] = (), facts: Mapping[str, str] | None = None, doubts: Sequence[str] = ()
) -> Advice | None:
    """Return what matters most about a run now, None when nothing does; called with its lock held.

    `log`: the end of its log. `facts`: the keys of its recipe. `doubts`: what makes its final figures doubtful.
    """
    status = status_of(run)
    if run.state is None:
        return None if run.loading else _unreadable(run)
    if status in RESUMABLE:
        return _ended(run, status, log, facts or {})
    if status in ACTIVE and (told := _working(run)) is not None:
        return told
    if status == "done" and doubts:
        more = f" (and {len(doubts) - 1} more in metrics.json)" if len(doubts) > 1 else ""
        return Advice(f"! {doubts[0]}{more}", "warning")
    if status == "done" and run.nan_steps:
        return _not_finite(run, "")
    return Advice(NEWER, "info") if run.newer else None


def needs_log(run: FollowedRun) -> bool:
    """Tell whether the last lines of the log are what explains how a run ended."""
    return status_of(run) in ("failed", "lost") or _signalled(run)


def goes_on(run: FollowedRun) -> str:
    """Return from where a run that is resumed goes on."""
    return f"goes on from step {run.checkpoints[-1]:,}" if run.checkpoints else "begins again: no checkpoint was saved"


def hint_in(log: Sequence[str], reason: str) -> str:
    """Return the hint that follows an error's message in the log; empty when there is none."""
    first = reason.split("\n")[0].strip()
    for place in range(len(log) - 1, -1, -1):
        if first and log[place].rstrip().endswith(first):
            hint = []
            for line in log[place + 1 :]:
                if not line.startswith("  ") or not line.strip():
                    break
                hint.append(line.strip())
            return " ".join(hint)
    return ""


def _unreadable(run: FollowedRun) -> Advice:
    return Advice(
        run.problem, "error", f"its events are shown all the same   r {goes_on(run)} and writes its state anew"
    )


def _ended(run: FollowedRun, status: str, log: Sequence[str], facts: Mapping[str, str]) -> Advice:
    reason = run.state.reason if run.state is not None else ""
    if status == "failed":
        return _out_of_memory(run, reason, facts) or Advice(
            f"failed: {reason}",
            "error",
            " ".join(part for part in (hint_in(log, reason), f" r {goes_on(run)}") if part),
        )
    if status == "lost":
        return _lost(run)
    if _signalled(run):
        return Advice(f"ended by a signal (exit code {TERMINATED}): {reason}", "warning", f"r {goes_on(run)}")
    return Advice(f"{status}: {reason}" if reason else status, "info", f"r {goes_on(run)}")


def _signalled(run: FollowedRun) -> bool:
    return run.state is not None and run.state.status == "stopped" and run.state.exit_code == TERMINATED


def _lost(run: FollowedRun) -> Advice:
    assert run.state is not None
    if is_elsewhere(run):
        text = f"its process was on another machine ({run.state.host}) and has said nothing for a minute"
        return Advice(text, "error", f"if it has ended there: r {goes_on(run)} here")
    text = "its process is gone without a word: killed (kill -9, or the machine ran out of memory), or the power failed"
    return Advice(text, "error", f"r {goes_on(run)}   its last log lines are below")


def _out_of_memory(run: FollowedRun, reason: str, facts: Mapping[str, str]) -> Advice | None:
    """Return how to go on with less memory and the same examples a step; None when memory was not the reason."""
    if not any(words in reason.lower() for words in _MEMORY):
        return None
    found = _EXAMPLES.search(reason)
    size = int(found[1] or 1) if found else _whole(facts.get(_BATCH), 0)
    accumulate = _whole(facts.get(_ACCUMULATE), 1)
    if size > 1 and size % 2 == 0:
        words = f"batch {size} → {size // 2} × accumulate {accumulate * 2}"
        settings = [f"{_BATCH}={size // 2}", f"{_ACCUMULATE}={accumulate * 2}"]
    elif size > 1:
        words, settings = "batches that shrink until they fit", ["training.auto_find_batch_size=true"]
    else:
        words, settings = "gradient checkpointing (slower, less memory)", ["training.gradient_checkpointing=true"]
    options = " ".join(f"-s {setting}" for setting in settings)
    command = f"/resume {shlex.quote(str(run.path))} --allow-inexact {options}"
    resumes = f"resumes from step {run.checkpoints[-1]:,}" if run.checkpoints else "begins again (no checkpoint)"
    return Advice(f"failed: {reason}", "error", f"{words}, Enter {resumes}", command)


def _working(run: FollowedRun) -> Advice | None:
    """Return what is wrong with a run that works."""
    if run.nan_steps:
        return _not_finite(run, "   x stop")
    count, step = rises(run.series.get("validation/loss"))
    if count >= OVERFIT_RISES:
        ask = f" · c asks step {step:,}" if step in run.checkpoints else ""
        return Advice(
            f"▲ eval loss rose {count} times since {step:,}: overfitting?",
            "warning",
            f"x stop{ask}",
            step=step if ask else None,
        )
    loud = [line for line in run.alerts if line.level in ("warning", "error")]
    if loud:
        level: Level = "error" if loud[-1].level == "error" else "warning"
        return Advice(loud[-1].text.lstrip("!✗ "), level)
    return None


def _not_finite(run: FollowedRun, keys: str) -> Advice:
    steps = run.nan_steps
    shown = ", ".join(f"{step:,}" for step in steps[-SHOWN_STEPS:])
    more = f" and {len(steps) - SHOWN_STEPS} before" if len(steps) > SHOWN_STEPS else ""
    text = (
        f"loss or gradient not finite at step{'s' if len(steps) > 1 else ''} {shown}{more} (✗): nothing learned there"
    )
    return Advice(text, "error", f"lower training.learning_rate, or training.precision: fp32{keys}")


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise
