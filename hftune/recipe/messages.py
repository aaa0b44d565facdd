"""pydantic's findings in people's words: what was found, what was expected, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from hftune.errors import closest
from hftune.recipe.schema import LICENCE, REPOSITORY
from hftune.sanitize import hide_tokens

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "mapping_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than": ("a number above", "gt"),
    "greater_than_equal": ("a number of at least", "ge"),
    "less_than": ("a number below", "lt"),
    "less_than_equal": ("a number of at most", "le"),
}
# Words that other tools take where ours take another one.
_OTHER_WORDS = {
    "gpu": "cuda",
    "adamw_torch": "adamw",
    "adamw_hf": "adamw",
    "adamw_torch_fused": "adamw",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "constant_with_warmup": "constant",
    "sentiment-analysis": "text-classification",
    "sequence-classification": "text-classification",
    "causal-lm": "text-generation",
    "language-modeling": "text-generation",
    "masked-lm": "fill-mask",
    "mlm": "fill-mask",
}
_PATTERNS = {REPOSITORY: "OWNER/NAME", LICENCE: "a licence as the Hub writes it, such as apache-2.0 or mit"}
LONGEST_VALUE = 60


def found(value: Any) -> str:
    """Return what stands in the recipe, with its kind where that is the point."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value = hide_tokens(value)
        shown = value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
        return f"the text {shown!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return str(value)[:LONGEST_VALUE]


def expected(error: ErrorDetails, key: Sequence[str | int] = ()) -> str:
    """Return what would be right, as the end of `found …, expected …`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{words} {context[bound]:g}"
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        if context["pattern"] in _PATTERNS:
            return _PATTERNS[context["pattern"]]
        return (
            f"a {'.'.join(map(str, key))} of letters, digits, `.`, `_` and `-` (up to 64, the first a letter or digit)"
        )
    return error["msg"].removeprefix("Value error, ")


def remark(value: Any, errors: Sequence[ErrorDetails]) -> str:
    """Return how to write `value` so that it is read as meant, or the nearest choice; empty when nothing is known."""
    kinds = {error["type"] for error in errors}
    if isinstance(value, str):
        if kinds & {"bool_type"} and value.lower() in _TRUTH:
            return f"YAML 1.2 has only true and false: write {_TRUTH[value.lower()]}."
        if kinds & {"int_type", "float_type"} and _NUMBER.fullmatch(value.strip()):
            return f"Take the quotes off: {value.strip()}."
        if kinds & {"bool_type"} and value.lower() in ("true", "false"):
            return f"Take the quotes off: {value.lower()}."
        for error in errors:
            if error["type"] == "literal_error":
                words = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
                near = nearest_word(value, words)
                return near if near.startswith("Did") or len(words) > 1 else ""  # the one word was said already
    if isinstance(value, str) and kinds & {"tuple_type", "list_type"}:
        return f"Write a list: [{value}]."
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return "Put it in quotes to make it text."
    if "int_type" in kinds and isinstance(value, float) and value.is_integer():
        return f"Write {int(value)}."
    return ""


def nearest_word(word: str, words: Sequence[str]) -> str:
    """Return a hint with the word of `words` that is meant by `word`."""
    meant = _OTHER_WORDS.get(word.lower(), "")
    return f"Did you mean {meant!r}?" if meant in words else closest(word, words)
