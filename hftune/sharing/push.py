"""Pushing a run: the checks that cost nothing first, then the repository, then the Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hftune import hub
from hftune.errors import UsageError
from hftune.inference.predictor import Predictor
from hftune.sharing.account import check_account, check_name, find_token
from hftune.sharing.base import name_on_hub
from hftune.sharing.errors import RETRY, PushError
from hftune.sharing.patience import Patience, kept_to
from hftune.sharing.repository import Staged, choose_weights, files_of, fresh_folder, is_allowed, stage
from hftune.sharing.upload import Place, Progress, Pushed, look, settle_visibility, upload
from hftune.sharing.usage import Weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT_SECONDS = 300.0
CHECK_SECONDS = 10.0  # before training: not more than a glance

Note = Callable[[str], None]
# (where it goes, whether that will be private, what goes) -> whether to go on
Agree = Callable[[Place, bool, Staged], bool]


@dataclass(frozen=True)
class Wish:
    """What is asked for: which run, under which name. None: what is right by itself (see `push`)."""

    run: Path
    repo: str
    step: int | None = None
    private: bool | None = None
    weights: Weights | None = None
    licence: str | None = None
    timeout: float = TIMEOUT_SECONDS


def dry_run(wish: Wish, folder: Path, note: Note) -> Staged:
    """Write the exact repository into `folder`, without asking the Hub for anything; raises UsageError, RunError."""
    check_name(wish.repo)
    note("loading the model")
    predictor = Predictor.load(wish.run, wish.step)
    weights = choose_weights(predictor.loaded, wish.weights)
    with fresh_folder(folder, is_allowed) as new:
        staged = stage(predictor, wish.repo, weights, wish.licence, new, note)
    return replace(staged, folder=folder, files=files_of(folder))


def push(wish: Wish, note: Note, progress: Progress, agree: Agree) -> Pushed | None:
    """Publish a run; None when `agree`, asked when all is ready and nothing is changed yet, says no.

    Private unless asked otherwise; an adapter alone where its base is on the Hub, else the whole model. Token, name
    and permission are checked before the model is loaded. The run directory is only read. Raises PushError, UsageError,
    RunError.
    """
    note("asking the Hub")
    api = _sign_in(wish.repo)
    patience = Patience(wish.timeout)
    with kept_to(patience, note):
        check_account(api, wish.repo)
        place = look(api, wish.repo)
        private = settle_visibility(place, wish.private)
    note("loading the model")
    predictor = Predictor.load(wish.run, wish.step)
    weights = choose_weights(predictor.loaded, wish.weights)
    if weights == "adapter":
        _require_base(api, name_on_hub(predictor.loaded.recipe.model) or "")
    with tempfile.TemporaryDirectory(prefix="hftune-push-") as folder:
        staged = stage(predictor, wish.repo, weights, wish.licence, Path(folder), note)
        if not agree(place, private, staged):
            return None
        patience = Patience(wish.timeout)  # the first one did not know how long the model would take
        with kept_to(patience, note):
            return upload(api, place, private, staged, _message(wish), patience, progress)


def check(repo: str) -> None:
    """Raise what a push to `repo` would for its name, the Hub, the token and its permission; sends nothing."""
    api = _sign_in(repo)
    with kept_to(Patience(CHECK_SECONDS), lambda _: None):
        check_account(api, repo)


def _sign_in(repo: str) -> HfApi:
    from huggingface_hub import HfApi

    check_name(repo)
    token = find_token()
    _require_hub(repo)
    return HfApi(endpoint=hub.endpoint(), token=token)


def _require_hub(repo: str) -> None:
    if hub.offline():
        raise PushError("HF_HUB_OFFLINE is set: nothing can be pushed", hint="Unset it, or look at it with --dry-run.")
    verdict = hub.reach("model", repo)
    if not verdict.ok:
        raise PushError(verdict.reason, hint=f"{RETRY} --dry-run writes what would be pushed to a folder.")


def _require_base(api: HfApi, base: str) -> None:
    if look(api, base).head is None:
        hint = "Give --merged: adapter and base are published as one model."
        raise UsageError(f"the adapter's base {base} is not on {hub.endpoint()}: nobody there could load it", hint)


def _message(wish: Wish) -> str:
    from importlib.metadata import version

    at = "" if wish.step is None else f" at step {wish.step}"
    return f"{wish.run.name}{at}, by hftune {version('hftune')}"
