"""The methods that explain a classifier's answers, as people name them, and the words of /explain."""

from __future__ import annotations

from collections.abc import Sequence

from hftune.errors import UsageError, closest

EXPLAIN = "explain"
COUNTERFACTUAL, NONE = "counterfactual", ""
# What they are called, in the order in which a key goes through them.
TITLES = {
    "integrated-gradients": "integrated gradients", "lime": "LIME", "shap": "SHAP", "ablation": "ablation",
    COUNTERFACTUAL: "counterfactuals",
}  # fmt: skip
FIRST = next(iter(TITLES))
WITHOUT_GRADIENTS = "ablation"  # the first of a model that has none: its weights are int8
OFF = "off"
WORDS = (*TITLES, OFF)


def method_named(words: Sequence[str]) -> str | None:
    """Return which of WORDS follows `/explain`, empty where nothing does; None: it is the verb of the command line.

    Raises UsageError for a word that can only be one of them misspelled.
    """
    if len(words) > 1 or (words and words[0].startswith("-")):
        return None
    word = words[0].casefold() if words else ""
    if not word or word in WORDS:
        return word
    if (hint := closest(word, WORDS)).startswith("Did you"):
        raise UsageError(f"no method {words[0]!r}", hint=hint)
    return None
