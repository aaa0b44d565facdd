"""Where a cursor stands in a recipe: in which section, at which key, in its name or in its value.

Read from the lines themselves, by indentation and brackets: while one writes, the text is seldom whole YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

KEY = re.compile(r"(?P<key>[\w.-]+|\"[^\"]*\"|'[^']*')[ ]*:(?=\s|$)")
WORD = re.compile(r"[\w./:+-]*")
ITEM = re.compile(r"(-[ ]+)+")


@dataclass(frozen=True)
class Spot:
    """What is being written. `start` and `end` are the columns of the word; `written` its part before the cursor."""

    section: tuple[str, ...]
    key: str
    in_value: bool
    written: str
    start: int
    end: int
    given: frozenset[str] = frozenset()  # keys that the section has already
    flow: bool = False  # within { } or [ ]

    @property
    def path(self) -> tuple[str, ...]:
        """The key that the cursor is at, with its sections."""
        return (*self.section, self.key) if self.key else self.section


def spot_at(lines: Sequence[str], row: int, column: int) -> Spot | None:
    """Return what stands at a cursor (both count from 0); None in a comment, or where no key can be."""
    text = lines[row] if row < len(lines) else ""
    column = min(column, len(text))
    if column > comment_start(text):
        return None
    indent = _indent(text) if text.strip() else column
    if column < indent:
        return None
    item = ITEM.match(text, indent)
    begin = item.end() if item else indent
    section = section_of(lines, row, indent)
    if section is None or column < begin:
        return None
    found = KEY.match(text, begin)
    if found is not None and column >= found.end():
        return _in_value(text, column, section, found)
    if text[begin : begin + 1] in ("{", "["):
        return _in_flow(text, column, begin, section)
    if found is None and not re.fullmatch(r"[\w-]*", text[begin:column]):
        return None
    key = unquoted(found["key"]) if found else _word(text, begin)
    end = found.end("key") if found else begin + len(_word(text, begin))
    return Spot(section, key, False, text[begin:column], begin, end, _siblings(lines, row, indent))


def section_of(lines: Sequence[str], row: int, indent: int) -> tuple[str, ...] | None:
    """Return the keys that a line with this indentation stands under; None when the one above it is no section."""
    path: list[str] = []
    for text in reversed(lines[:row]):
        if indent == 0:
            break
        here = _indent(text)
        bare = text[: comment_start(text)]
        if not bare.strip() or here >= indent:
            continue
        item = ITEM.match(bare, here)
        found = KEY.match(bare, item.end() if item else here)
        if found is None:
            return None
        if not item and bare[found.end() :].strip():
            return None  # it has a value already
        path.insert(0, unquoted(found["key"]))
        indent = here
    return tuple(path)


def comment_start(text: str) -> int:
    """Return the column where the comment of a line begins; its length when it has none."""
    quote = ""
    for column, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (column == 0 or text[column - 1] in " ,[{:"):
            quote = letter
        elif letter == "#" and (column == 0 or text[column - 1] in " \t"):
            return column
    return len(text)


def unquoted(word: str) -> str:
    """Return a key without its quotes."""
    return word[1:-1] if word[:1] in "\"'" and len(word) > 1 and word[0] == word[-1] else word


def _in_value(text: str, column: int, section: tuple[str, ...], found: re.Match[str]) -> Spot:
    key, begin = unquoted(found["key"]), found.end()
    while begin < column and text[begin] == " ":
        begin += 1
    if text[begin : begin + 1] in ("{", "[") and column > begin:
        inside = _in_flow(text, column, begin, (*section, key))
        if inside is not None:
            return inside
    end = max(column, begin + len(text[begin : comment_start(text)].rstrip()))
    return Spot(section, key, True, text[begin:column], begin, end)


@dataclass
class _Bracket:
    sign: str
    begin: int  # where the word that is being written begins
    key: str = ""
    keys: set[str] = field(default_factory=set)


def _in_flow(text: str, column: int, begin: int, section: tuple[str, ...]) -> Spot | None:
    """Read `{key: value, …}` and `[a, b` up to the cursor."""
    stack = _brackets(text, begin, column)
    if not stack:
        return None
    inner = stack[-1]
    path = (*section, *(one.key for one in stack[:-1] if one.sign == "{" and one.key))
    start = inner.begin
    while start < column and text[start] == " ":
        start += 1
    end = start + len(_word(text, start).rstrip(":"))
    written = text[start:column]
    given = frozenset(inner.keys)
    if inner.sign == "{" and not inner.key:
        return Spot(path, text[start:end], False, written, start, max(end, column), given, True)
    if inner.sign == "{":
        return Spot(path, inner.key, True, written, start, max(end, column), given, True)
    return Spot(path[:-1], path[-1], True, written, start, max(end, column), flow=True) if path else None


def _brackets(text: str, begin: int, column: int) -> list[_Bracket]:
    """Return the brackets that are open at the cursor, outermost first."""
    stack: list[_Bracket] = []
    quote = ""
    for place in range(begin, column):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "{[":
            stack.append(_Bracket(letter, place + 1))
        elif letter in "}]" and stack:
            stack.pop()
        elif letter == "," and stack:
            stack[-1].key, stack[-1].begin = "", place + 1
        elif letter == ":" and stack and stack[-1].sign == "{" and not stack[-1].key:
            inner = stack[-1]
            inner.key, inner.begin = unquoted(text[inner.begin : place].strip()), place + 1
            inner.keys.add(inner.key)
    return stack


def _siblings(lines: Sequence[str], row: int, indent: int) -> frozenset[str]:
    """Return the other keys of the section that a line is in."""
    return frozenset((*_keys_beside(reversed(lines[:row]), indent), *_keys_beside(lines[row + 1 :], indent)))


def _keys_beside(lines: Sequence[str] | Iterator[str], indent: int) -> Iterator[str]:
    for text in lines:
        here = _indent(text)
        if not text[: comment_start(text)].strip():
            continue
        if here < indent:
            return
        if here == indent and (found := KEY.match(text, here)):
            yield unquoted(found["key"])


def _word(text: str, start: int) -> str:
    found = WORD.match(text, start)
    return found[0] if found else ""


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
