"""Who pushes: the token from the environment or the Hub's own login, and whether it may write where it is to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hftune.errors import UsageError, closest
from hftune.hub import endpoint
from hftune.sharing.errors import PushError
from hftune.sharing.patience import Patience

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_WRITES = ("repo.write",)
_TOKEN = re.compile(r"[!-~]+")


def check_name(repo: str) -> None:
    """Raise UsageError for what is no OWNER/NAME of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{repo!r} cannot be a repository's name: {reason}", hint=_NAMES) from None
    if repo.count("/") != 1:
        raise UsageError(f"{repo!r} has no owner", hint=_NAMES)


_NAMES = "Write OWNER/NAME: OWNER is your account or an organisation, NAME has letters, digits, -, _ and dots."


def find_token() -> str:
    """Return the Hub token of $HF_TOKEN or of `hf auth login`; raises PushError where there is none."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise PushError("there is no token for the Hub", _token_hint())
    if not _TOKEN.fullmatch(str(token)):  # said here without it: the client would quote it
        raise PushError("the token for the Hub has a character that no token has", _token_hint())
    return str(token)


def check_account(api: HfApi, repo: str, patience: Patience) -> str:
    """Return the account's name; raises PushError when its token is unknown or may not write to `repo`."""
    account = patience.ask("asking whose token this is", repo, api.whoami)
    name, owner = str(account.get("name")), repo.partition("/")[0]
    organisations = {str(one.get("name")): one for one in account.get("orgs") or ()}
    if owner != name and owner not in organisations:
        hint = closest(owner, [name, *organisations])
        raise PushError(f"the token is of {name}, who cannot write to {owner}", hint)
    if organisations.get(owner, {}).get("roleInOrg") == "read":
        raise PushError(f"{name} may only read in {owner}", hint="Ask an admin of it for the role `write`.")
    _check_token(account.get("auth", {}).get("accessToken") or {}, repo, owner)
    return name


def _check_token(token: Mapping[str, Any], repo: str, owner: str) -> None:
    if token.get("role") == "read":
        raise PushError("the token can only read", _token_hint())
    scopes = (token.get("fineGrained") or {}).get("scoped")
    if token.get("role") != "fineGrained" or not isinstance(scopes, list):
        return
    writable = [
        str(scope.get("entity", {}).get("name"))
        for scope in scopes
        if set(scope.get("permissions") or ()) & set(_WRITES)
    ]
    if owner not in writable and repo not in writable:
        raise PushError(f"the token may not write to {repo}", _token_hint())


def _token_hint() -> str:
    return f"Make one that can write at {endpoint()}/settings/tokens, then `hf auth login`, or set HF_TOKEN."
