"""Values in a card are text: read by a Markdown parser, they are what they were and nothing more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hftune.sanitize import sanitize
from hftune.sharing.markdown import block, table, text

HOSTILE = [
    "{{7*7}}", "{% raw %}", "---", "<script>alert(1)</script>", "</td></tr>", "![x](javascript:alert(1))",
    "[link](https://a.example)", "https://a.example/x", "www.a.example", "someone@a.example", "@someone",
    "*bold* _it_", "`code`", "```", "| a | b |", "a|b", "\\", "\\|", "\\`", "&lt;b&gt;", "&amp;", "~~gone~~", "$x$",
    "# head", "- item", "+ item", "1. one", "12) one", "-", "1.", "#", "===", "- - -", "-0.5", "0.5",
    "> quote", "a\nb\n\n# c", "\x1b[31mred", "\u202eevil", "", " ", "坏 电影",
    "naïve 🙂", "<!-- note -->", "[^1]", "[x]: y",
]  # fmt: skip


def parsed(markdown: str) -> list[Token]:
    return MarkdownIt("gfm-like").parse(markdown)


def flat(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or [token])]


def shown(value: str) -> str:
    return " ".join(sanitize(value).split())


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_in_a_paragraph_is_text(value: str) -> None:
    tokens = parsed(f"It is called {text(value)} here.")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {token.type for token in children} <= {"text", "text_special"}
    assert "".join(token.content for token in children) == f"It is called {shown(value)} here."


def begins_as_text(value: str) -> None:
    paragraph, item = parsed(text(value)), parsed(f"- {text(value)}")
    assert [token.type for token in paragraph] == ["paragraph_open", "inline", "paragraph_close"]
    assert [token.type for token in item[2:-2]] == [token.type for token in paragraph]
    for tokens in (paragraph, item[2:-2]):
        assert "".join(token.content for token in tokens[1].children or []) == shown(value)


@pytest.mark.parametrize("value", [value for value in HOSTILE if shown(value)])
def test_a_value_at_the_beginning_of_a_paragraph_and_of_a_lists_item_is_text(value: str) -> None:
    begins_as_text(value)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_in_a_table_is_one_cell(value: str) -> None:
    tokens = parsed(table(["name", "n"], [[value, "1"]], numbers=1))
    cells = [tokens[index + 1] for index, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 2
    assert "".join(token.content for token in cells[0].children or []) == shown(value)
    assert {token.type for token in cells[0].children or []} <= {"text", "text_special"}


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_in_a_heading_is_text(value: str) -> None:
    tokens = parsed(f"# {text(value)}")
    assert tokens[0].type == "heading_open"
    assert len(tokens) == 3
    assert "".join(token.content for token in tokens[1].children or []) == shown(value)


@pytest.mark.parametrize("value", [*HOSTILE, "````\n```\n`````", "a: b\n---\nc: d"])
def test_a_block_ends_where_it_ends(value: str) -> None:
    tokens = parsed(block(value, "yaml") + "\n\nAfter.")
    assert tokens[0].type == "fence"
    assert tokens[0].content.rstrip("\n") == sanitize(value, lines=True).rstrip("\n")
    assert tokens[1].type == "paragraph_open"


@given(st.text(max_size=40))
def test_any_text_is_text(value: str) -> None:
    tokens = parsed(f"It is {text(value)} here.")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(token.content for token in tokens[1].children or []) == f"It is {shown(value)} here."
    if shown(value):
        begins_as_text(value)
