"""Small recipes and the runs that come of them."""

from tests.unit.inference.conftest import (  # noqa: F401 - fixtures
    language_recipe,
    reviews_recipe,
)
