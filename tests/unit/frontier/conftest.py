"""Tiny finished runs that are made smaller or measured."""

from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    classifier,
    generator,
    language_recipe,
    language_run,
    lstm_run,
    mask_run,
    reviews_recipe,
)
