"""Runs that tests of a real terminal ask: tiny, and trained by the real pipeline."""

from __future__ import annotations

from tests.unit.inference.conftest import full_run, reviews_recipe  # noqa: F401 - fixtures
