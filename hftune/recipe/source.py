"""YAML 1.2 text -> plain values and the place of each, with every limit that hostile or broken text needs.

ruamel.yaml gives the node graph; the walk to plain values is ours, because the places of keys and
values, duplicate keys and the size after alias expansion are all known there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hftune.errors import Problem, RecipeError

Path = tuple[str | int, ...]

MAX_BYTES = 1 << 18  # a recipe is a page or two; a quarter of a megabyte is somebody's data
MAX_DEPTH = 32  # far more than any recipe needs, far less than Python's recursion limit
MAX_VALUES = 5_000  # values after alias expansion: nine nested aliases of nine would be 387 million

_TAG = "tag:yaml.org,2002:"
_BASES = {"0x": 16, "0o": 8, "0b": 2}


@dataclass(frozen=True)
class Place:
    """Where a key and its value stand; lines and columns count from 1."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass
class Source:
    """A recipe's plain values, and where each of them stands in which file.

    `origins` maps the paths that `-s` set to the text of that override: they stand in no line of the file.
    """

    file: str
    data: Any
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Path, str] = field(default_factory=dict)

    def problem(self, path: Path, message: str, hint: str = "", at_key: bool = False) -> Problem:
        """Return a problem at `path`, or at the nearest of its parents that has a place."""
        key = dotted(path)
        for size in range(len(path), -1, -1):
            known = path[:size]
            if known in self.origins:
                return Problem(key, message, hint, file=f"-s {self.origins[known]}")
            if known in self.places:
                # A problem of something that is not there belongs to the section that lacks it: to its key.
                line, column = self.places[known].key if at_key or size < len(path) else self.places[known].value
                return Problem(key, message, hint, self.file, line, column)
        return Problem(key, message, hint, self.file, 1 if self.places else 0, 1 if self.places else 0)


def read_source(content: bytes, file: str) -> Source:
    """Return the values and places in the YAML file `content`; duplicate keys and the like are in its `problems`.

    Raises RecipeError when there is nothing to go on with: not text, not YAML, nested too deeply, an alias bomb.
    """
    text = _decode(content, file)
    node = _compose(text, file)
    if node is None:
        raise RecipeError([Problem("", "the recipe is empty", "hftune recipes show bert_cls prints one.", file, 1, 1)])
    walk = _Walk(Source(file, None))
    walk.source.data = walk.value(node, (), _mark(node))
    return walk.source


def read_value(text: str, origin: str) -> Any:
    """Return the value that the YAML `text` after `key=` in `-s key=value` stands for; an empty one is None."""
    if not text.strip():
        return None
    source = read_source(text.encode(), f"-s {origin}")
    if source.problems:
        raise RecipeError(source.problems)
    return source.data


def _decode(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        found = f"{len(content):,} bytes are no recipe (at most {MAX_BYTES:,})"
        raise RecipeError([Problem("", found, "Is this a data file?", file)])
    if b"\x00" in content:
        raise RecipeError([Problem("", "not a text file", "A recipe is YAML text in UTF-8.", file)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        before = content[content.rfind(b"\n", 0, error.start) + 1 : error.start]
        column = len(before.decode("utf-8", "replace")) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise RecipeError([Problem("", message, "Save the file as UTF-8.", file, line, column)]) from None


class _TooMuchError(Exception):
    """Nested too deeply or simply too many values; holds the message and the mark."""


class _Composer(Composer):
    """ruamel's composer with a bound on its recursion (its own `max_depth` came with 0.19) and its patience."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.warn_double_anchors = False  # YAML allows it: the later one counts
        self.level = self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.level += 1
        self.count += 1
        if self.level > MAX_DEPTH:
            raise _TooMuchError(f"nested more than {MAX_DEPTH} levels deep", self.parser.peek_event().start_mark)
        if self.count > 2 * MAX_VALUES:  # keys and values
            raise _TooMuchError(f"more than {MAX_VALUES:,} values", self.parser.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


def _compose(text: str, file: str) -> Node | None:
    """Return the node graph of the one document in `text`; raises RecipeError for what is no YAML 1.2."""
    line = next((number for number, words in enumerate(text.splitlines(), 1) if words.startswith("%YAML")), 0)
    if line and not text.splitlines()[line - 1].startswith("%YAML 1.2"):
        raise RecipeError([Problem("", "recipes are YAML 1.2", "Take the %YAML line out.", file, line, 1)])
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    try:
        return cast("Node | None", yaml.compose(text))
    except _TooMuchError as error:
        message, mark = error.args
        hint = "Data belong in a file of their own: `data: {files: …}`."
        raise RecipeError([Problem("", message, hint, file, mark.line + 1, mark.column + 1)]) from None
    except MarkedYAMLError as error:
        raise RecipeError([_syntax_problem(error, file)]) from None
    except YAMLError as error:
        raise RecipeError([Problem("", f"not YAML: {' '.join(str(error).split())}", file=file)]) from None


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    message = f"not YAML: {error.problem or error.context}"
    if error.context and error.problem:
        message += f" ({error.context})"
    hint = ""
    if "'\\t'" in message:
        hint = "Indent with spaces: YAML takes no tabs."
    elif "mapping values are not allowed" in message:
        hint = "Quote a value that holds a colon and a space, and check the indentation."
    elif "expected <block end>" in message:
        hint = "Check the indentation: a list, or a key that stands further left or right, breaks a section off."
    elif "cannot start any token" in message:
        hint = "Quote the value."
    elif "another document" in message:
        hint = "One recipe a file: take the second `---` out."
    return Problem("", message, hint, file, line, column)


class _Walk:
    """One walk over the node graph: plain values out, places and problems into the source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0

    def value(self, node: Node, path: Path, key: tuple[int, int]) -> Any:
        """Return the plain value of `node`, whose key stands at `key`."""
        self.count += 1
        if self.count > MAX_VALUES:
            self.stop(path, f"more than {MAX_VALUES:,} values once its aliases are written out")
        if len(path) > MAX_DEPTH:
            self.stop(path, f"nested more than {MAX_DEPTH} levels deep once its aliases are written out")
        # Nothing at all stands after a key that is left empty: its mark is where the next thing begins.
        empty = node.start_mark.index == node.end_mark.index
        self.source.places[path] = Place(key, key if empty else _mark(node))
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index), _mark(item)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode), "YAML has three kinds of node"
        return self.scalar(node, path)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        """Return a dict with the keys as written; a key given twice is a problem that names both places."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.add(key_node, path, "a key must be a word", "Is a quote or a colon missing?")
                continue
            if str(key_node.tag) == _TAG + "merge":
                self.add(key_node, path, "YAML 1.2 has no merge key `<<`", "Write the keys out.")
                continue
            name, here = str(key_node.value), (*path, str(key_node.value))
            if name in result:
                first = self.source.places[here].key
                message = f"given twice, first on line {first[0]}, column {first[1]}"
                self.add(key_node, here, message, "Keep one of the two.")
                continue
            result[name] = self.value(value_node, here, _mark(key_node))
        return result

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        """Return the text, number, truth value or null that YAML 1.2 reads; dates and `=` stay the text they are."""
        kind, text = str(node.tag).removeprefix(_TAG), str(node.value)
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return _integer(text)
            if kind == "float":
                return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            self.add(node, path, f"{text!r} is not the {kind} that its tag says")
            return None
        if kind not in ("str", "timestamp", "value"):
            self.add(node, path, f"tags such as {node.tag} are not read", "Write the plain value.")
        return text

    def add(self, node: Node, path: Path, message: str, hint: str = "") -> None:
        """Note a problem that stands at `node` itself."""
        self.source.problems.append(Problem(dotted(path), message, hint, self.source.file, *_mark(node)))

    def stop(self, path: Path, message: str) -> None:
        """Give up, naming the key at the top under which `path` grew: what comes after would be as endless."""
        raise RecipeError([self.source.problem(path[:1], message, "Write the values out.", at_key=True)])


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    return sign * int(digits[2:] if digits[:2] in _BASES else digits, _BASES.get(digits[:2], 10))


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def dotted(path: Path) -> str:
    """Return `path` as people write it; a key that could move a terminal's cursor is shown escaped."""
    return ".".join(part if (part := str(step)).isprintable() else ascii(part) for step in path)


def keys_only(location: Iterable[str | int], data: Any) -> Path:
    """Return the parts of pydantic's `location` that lead into `data`: among them stand names of union branches."""
    known: list[str | int] = []
    for part in location:
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        known.append(part)
    return tuple(known)
