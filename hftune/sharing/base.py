"""What a run's model was made from, as others may know it: its name on the Hub, and its licence."""

from __future__ import annotations

import re

from hftune import starters
from hftune.modeling import catalogue
from hftune.recipe.paths import hub_id, public_name
from hftune.recipe.schema import ModelSection

_CARD_LICENCE = re.compile(r"^\| licence \| ([A-Za-z0-9.-]+)", re.MULTILINE)


def name_on_hub(section: ModelSection) -> str | None:
    """Return the Hub id of a pretrained model; None for a folder, a starter, and a model made from scratch."""
    return hub_id(section.id)


def public_base(section: ModelSection) -> str | None:
    """Return what others may read of where the weights come from, None for a model made from scratch."""
    return None if section.id is None else public_name(section.id)


def known_licence(section: ModelSection) -> str | None:
    """Return the licence of a pretrained model where hftune knows it, as the Hub writes it (`apache-2.0`)."""
    if section.id is None:
        return None
    entry = catalogue.find(section.id)
    if entry is not None:
        return entry.licence.lower()
    if starters.is_starter(section.id):
        stated = _CARD_LICENCE.search(starters.card(section.id))
        return stated[1].lower() if stated else None
    return None
