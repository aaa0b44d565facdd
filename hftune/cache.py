"""Where hftune keeps what it fetched: models from the package index, prepared data sets. Safe to delete."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "HFTUNE_CACHE_DIR"


def cache_folder() -> Path:
    """Return $HFTUNE_CACHE_DIR, or hftune's folder in the user's cache directory; it need not exist yet."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        # Path.expanduser raises RuntimeError for the home of nobody.
        return Path(os.path.expanduser(chosen)).absolute()  # noqa: PTH111
    from platformdirs import user_cache_path

    return user_cache_path("hftune", appauthor=False)
