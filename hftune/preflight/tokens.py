"""Tokens: how much of the texts is cut off, class by class, and how much of them the vocabulary does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hftune.preflight.labels import class_names, labels_by_row
from hftune.recipe.schema import Recipe
from hftune.tasks import Notice, Prepared

if TYPE_CHECKING:
    from datasets import Dataset

UNKNOWN = 0.01  # share of unknown tokens from which on meaning is lost
CROWDED = 0.8  # tokens a character from which on a script was not what the vocabulary was made for
CROWDED_IDEOGRAPHS = 1.5  # one token a character is what a vocabulary made for Chinese has
SAMPLE = 20_000  # rows of a split looked at for unknown tokens
UNEVEN = 2.0  # a class is cut that many times as often as another


def truncated_rows(recipe: Recipe, prepared: Prepared, texts: Mapping[str, Sequence[str]]) -> dict[str, set[int]]:
    """Return split -> rows that lose their end; tokenizes again only those that fill the limit."""
    data = recipe.data
    if data.too_long != "truncate" or data.messages or data.prompt or data.text_pair:
        return {}  # of two texts that share a limit, which one is cut has no simple answer
    found: dict[str, set[int]] = {}
    for split, dataset in prepared.splits.items():
        lengths, rows = dataset["length"][:], dataset["row"][:]
        longest = max(lengths, default=0)
        full = [row for row, length in zip(rows, lengths, strict=True) if length == longest]
        whole = [len(ids) for ids in _ids(prepared, [texts[split][row] for row in full])]
        found[split] = {row for row, length in zip(full, whole, strict=True) if length > longest}
    return found


def truncation_by_class(prepared: Prepared, cut: Mapping[str, set[int]]) -> dict[str, float]:
    """Return class -> share of its train texts that are cut off."""
    names, rows = class_names(prepared), cut.get("train", set())
    totals, lost = [0] * len(names), [0] * len(names)
    if not rows or not names:
        return {}
    for row, labels in labels_by_row(prepared.splits["train"]):
        for label in labels:
            totals[label] += 1
            lost[label] += row in rows
    return {name: lost[i] / totals[i] for i, name in enumerate(names) if totals[i]}


def truncation_findings(shares: Mapping[str, float]) -> list[Notice]:
    """Return a warning when some classes lose their end more often than others; prepare tells of the rest."""
    if len(shares) < 2:
        return []
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    if shares[most] < 0.01 or shares[most] < UNEVEN * shares[least]:
        return []
    message = f"{shares[most]:.1%} of the {most!r} texts lose their end, but {shares[least]:.1%} of {least!r}"
    hint = "Length may then give the class away: raise data.max_length, or set data.too_long: window."
    return [Notice("warning", "truncated-by-class", message, hint)]


def vocabulary_findings(prepared: Prepared, texts: Mapping[str, Sequence[str]]) -> list[Notice]:
    """Return a warning when the vocabulary does not know the texts, or only letter by letter."""
    rows = train_sample(prepared)
    if not len(rows):
        return []
    share, worst = unknown_share(rows, prepared.tokenizer)
    if share >= UNKNOWN:
        text = texts["train"][rows[worst]["row"]]
        message = f"{share:.1%} of the tokens are unknown to the model's vocabulary, as in {_shorten(text)!r}"
        hint = "Use a model of the texts' language (bert-base-chinese for Chinese, a multilingual one, …)."
        return [Notice("warning", "unknown-tokens", message, hint)]
    # Each row once, though windows of a document may be several examples.
    some = [texts["train"][row] for row in dict.fromkeys(rows["row"][:1000])]
    characters = sum(len(text) for text in some)
    crowded = sum(len(ids) for ids in _ids(prepared, some, special=False)) / max(1, characters)
    usual = CROWDED_IDEOGRAPHS if _ideographs(some) else CROWDED
    if crowded >= usual and characters > 100:
        message = f"the vocabulary needs {crowded:.1f} tokens a character: it was not made for this script"
        hint = "Texts get long and meaning is spread thin: use a model of the texts' language."
        return [Notice("warning", "foreign-script", message, hint)]
    return []


def train_sample(prepared: Prepared) -> Dataset:
    """Return the examples of train that are looked at for unknown tokens."""
    train = prepared.splits["train"]
    return train.select(range(min(SAMPLE, len(train))))


def unknown_share(dataset: Dataset, tokenizer: Any) -> tuple[float, int]:
    """Return the share of unknown among all tokens but special ones, and the index of the example with most of them.

    A tokenizer that cannot meet unknown text (bytes) or whose unknown token is also another special one (gpt2) has 0.
    """
    unknown = tokenizer.unk_token_id
    others = {getattr(tokenizer, f"{name}_token_id", None) for name in ("pad", "eos", "bos", "cls", "sep", "mask")}
    if unknown is None or unknown in others:
        return 0.0, 0
    special = {token for token in others if token is not None}
    total, count, worst, most = 0, 0, 0, -1
    for index, ids in enumerate(dataset["input_ids"]):
        unknowns = sum(token == unknown for token in ids)
        total += sum(token not in special for token in ids)
        count += unknowns
        if unknowns > most:
            worst, most = index, unknowns
    return count / max(1, total), worst


def _ideographs(texts: Sequence[str]) -> bool:
    """Whether the texts are of a script whose characters are words or syllables (Chinese, Japanese)."""
    characters = [character for text in texts for character in text[:200]]
    return sum("\u3040" <= character <= "\u9fff" for character in characters) > 0.3 * len(characters)


def _ids(prepared: Prepared, texts: Sequence[str], special: bool = True) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = prepared.tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)[
        "input_ids"
    ]
    return ids


def _shorten(text: str, longest: int = 50) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
