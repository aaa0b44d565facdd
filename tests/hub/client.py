"""How huggingface_hub is made to use a test server: it reads the environment once, when it is imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from .server import HubServer


def environment(hub: HubServer, token: str | None = None) -> dict[str, str]:
    """Return what a process needs in its environment, on top of the tests' own, to use the server."""
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    return {**settings, "HF_TOKEN": token} if token else settings


def use_here(hub: HubServer, monkeypatch: pytest.MonkeyPatch, cache: Path, token: str | None = None) -> None:
    """Let this process use the server until the end of the test, with a download cache of its own."""
    import huggingface_hub
    from huggingface_hub import constants, hf_api

    from hftune import hub as probe

    for name, value in environment(hub, token).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    huggingface_hub.close_session()  # it knows the proxies that were set when it was made
    probe.forget()


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the client's retries come at once; return the seconds that it would have waited, as they are added."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    waited: list[float] = []
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waited.append))
    return waited
