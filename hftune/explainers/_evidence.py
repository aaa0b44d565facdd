"""Words that are suspicious evidence by their looks: marks, numbers, names, single letters, the label's own name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hftune.explainers._words import Word

PUNCTUATION, NUMBER, NAME, LETTER, LABEL = "punctuation", "numbers", "names", "letters, tags", "label's name"
KINDS = (PUNCTUATION, NUMBER, NAME, LETTER, LABEL)

_ENDS = ".!?:;…\"'“”‘’«»()[]{}-–—*/|•"  # what a sentence, a title or a quotation may begin after
_ENTITIES = {"br", "nbsp", "amp", "quot", "http", "https", "www", "href", "html"}
_GENERIC = {"label", "class", "category", "none", "other", "the", "and", "not"}
_LEAST_STEM = 6  # letters of a label's word whose last one may differ: negativ-e, negativ-ity
_LETTERED_WORDS = {"a", "i", "o"}


def label_words(label: str) -> tuple[str, ...]:
    """Return the words of a label's name that would give it away, in lower case: `sci/tech_news` has three."""
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label))
    return tuple(part.lower() for part in parts if len(part) > 2 and part.lower() not in _GENERIC)


def names_label(word: str, parts: Sequence[str]) -> bool:
    """Tell whether a word in lower case is one of a label's words, longer (`sport`: sports), or of its stem."""
    return any(
        word == part
        or (len(part) > 3 and word.startswith(part))
        or (len(part) >= _LEAST_STEM and word.startswith(part[:-1]))
        for part in parts
    )


def kinds_of(text: str, words: Sequence[Word], label: Sequence[str] = ()) -> list[frozenset[str]]:
    """Return for each word the kinds of suspicious evidence that it is; `label`: the words of its label's name."""
    # In a title or a headline each word is capitalised: there that says nothing.
    alphabetic = [word.text for word in words if len(word.text) > 1 and word.text[0].isalpha()]
    headline = 2 * sum(word[0].isupper() for word in alphabetic) > len(alphabetic)
    found = []
    for place, word in enumerate(words):
        kinds = set()
        if not any(map(str.isalnum, word.text)):
            kinds.add(PUNCTUATION)
        elif any(map(str.isdigit, word.text)):
            kinds.add(NUMBER)
        elif _is_letter(word.text) or _is_markup(text, word):
            kinds.add(LETTER)
        elif not headline and place and _is_name(text, words[place - 1], word):
            kinds.add(NAME)
        if names_label(word.text.lower(), label):
            kinds.add(LABEL)
        found.append(frozenset(kinds))
    return found


def _is_letter(word: str) -> bool:
    # A letter of a script without spaces is a word: Latin, Greek and Cyrillic end before U+0530.
    return len(word) == 1 and ord(word) < 0x530 and word.lower() not in _LETTERED_WORDS


def _is_markup(text: str, word: Word) -> bool:
    before, after = text[max(0, word.start - 2) : word.start], text[word.end : word.end + 1]
    tag = before.endswith("<") or before == "</"
    return tag or (before.endswith("&") and after == ";") or word.text.lower() in _ENTITIES


def _is_name(text: str, before: Word, word: Word) -> bool:
    if not word.text[0].isupper() or word.text.split("'")[0].split("’")[0] == "I":
        return False
    return before.text not in _ENDS and "\n" not in text[before.end : word.start]
