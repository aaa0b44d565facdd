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
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.sharing.account import check_account, check_name, find_token
from hftune.sharing.base import name_on_hub
from hftune.sharing.errors import RETRY, PushError
from hftune.sharing.own_code import refuse_own_code
from hftune.sharing.patience import Patience, kept_to, within
from hftune.sharing.repository import Staged, choose_weights, files_of, fresh_folder, stage
from hftune.sharing.upload import (
    Changes,
    Place,
    Progress,
    Pushed,
    changes,
    look,
    require_own_card,
    settle_visibility,
    upload,
)
from hftune.sharing.usage import Weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT_SECONDS = 300.0
CHECK_SECONDS = 10.0  # before training: not more than a glance

Note = Callable[[str], None]
# (where it goes, whether that will be private, what goes, what that does to what is there) -> whether to go on
Agree = Callable[[Place, bool, Staged, Changes], bool]


@dataclass(frozen=True)
class Wish:
    """What is asked for: which run, under which name. None: what is right by itself (see `push`).

    `replace`: also a README that hftune did not write.
    """

    run: Path
    repo: str
    step: int | None = None
    private: bool | None = None
    weights: Weights | None = None
    licence: str | None = None
    replace: bool = False
    timeout: float = TIMEOUT_SECONDS


def dry_run(wish: Wish, folder: Path, note: Note) -> Staged:
    """Write the exact repository into a new `folder`, without asking the Hub for anything; raises UsageError, RunError.

    A base that has a name on the Hub is taken to be there.
    """
    check_name(wish.repo)
    predictor = _load(wish)
    weights = choose_weights(predictor.loaded, wish.weights)
    with fresh_folder(folder) as new:
        staged = stage(predictor, wish.repo, weights, wish.licence, new, note)
    return replace(staged, folder=folder, files=files_of(folder))


def push(wish: Wish, note: Note, progress: Progress, agree: Agree) -> Pushed | None:
    """Publish a run; None when `agree`, asked when all is ready and nothing is changed yet, says no.

    Private unless asked otherwise; an adapter alone where its base is on the Hub, else the whole model. Token, name
    and permission are checked before the model is loaded. The run directory is only read. Raises PushError, UsageError,
    RunError, ParityError.
    """
    note("asking the Hub")
    api = _sign_in(wish.repo)
    patience = Patience(wish.timeout)
    with kept_to(patience, note):
        place, private = _may(api, wish, patience)
        note("loading the model")
        predictor = _load(wish)
        base = _base(api, predictor, patience)
        weights = choose_weights(predictor.loaded, wish.weights, base is not None)
        if weights == "adapter" and base is not None and base.private and not private:
            hint = "Give --merged to publish the whole model, or --private."
            raise UsageError(f"the adapter's base {base.repo} is private: nobody could load what is public", hint)
    with tempfile.TemporaryDirectory(prefix="hftune-push-") as folder:
        staged = stage(predictor, wish.repo, weights, wish.licence, Path(folder), note)
        patience = Patience(wish.timeout)  # the first one did not know how long the model would take
        with kept_to(patience, note):
            planned = changes(api, place, staged, patience)
            if not wish.replace:
                require_own_card(api, place, planned, patience)
        if not agree(place, private, staged, planned):
            return None
        patience = Patience(wish.timeout)  # nor how long a person thinks
        with kept_to(patience, note):
            return upload(api, place, private, staged, _message(wish), patience, progress)


def check(repo: str, private: bool | None) -> None:
    """Raise what a push to `repo` would: for its name, the Hub, the token, its permission, who may see it.

    Sends nothing, and takes not more than a glance.
    """

    # The client stays as it is: in this process it is also what fetches models and data.
    wish = Wish(Path(), repo, private=private)
    within(CHECK_SECONDS, lambda: _may(_sign_in(repo), wish, Patience(CHECK_SECONDS)))


def _load(wish: Wish) -> Predictor:
    """Return the run's model; raises ModelError, before it is loaded, for one with code of its own."""
    recipe = wish.run / layout.RECIPE
    if recipe.is_file():
        refuse_own_code(load_recipe(recipe))
    return Predictor.load(wish.run, wish.step)


def _may(api: HfApi, wish: Wish, patience: Patience) -> tuple[Place, bool]:
    """Return the repository as it is and whether it will be private; raises what keeps a push from going there."""
    check_account(api, wish.repo, patience)
    place = look(api, wish.repo, patience)
    return place, settle_visibility(place, wish.private)


def _base(api: HfApi, predictor: Predictor, patience: Patience) -> Place | None:
    """Return the base model of an adapter as it is on the Hub, None where it is not there (or there is no adapter)."""
    name = name_on_hub(predictor.loaded.recipe.model)
    if name is None or not hasattr(predictor.loaded.model, "peft_config"):
        return None
    place = look(api, name, patience)
    return place if place.head is not None else None


def _sign_in(repo: str) -> HfApi:
    from huggingface_hub import HfApi

    check_name(repo)
    token = find_token()
    _require_hub(repo)
    return HfApi(endpoint=hub.endpoint(), token=token)


def _require_hub(repo: str) -> None:
    if hub.offline():
        raise PushError("HF_HUB_OFFLINE is set: nothing can be pushed", hint="Unset it, or look at it with --dry-run.")
    hub.forget()  # a process that trains for hours may have asked at a bad moment
    verdict = hub.reach("model", repo)
    if not verdict.ok:
        raise PushError(verdict.reason, hint=f"{RETRY} --dry-run writes what would be pushed to a folder.")


def _message(wish: Wish) -> str:
    from importlib.metadata import version

    at = "" if wish.step is None else f" at step {wish.step}"
    return f"{wish.run.name}{at}, by hftune {version('hftune')}"
