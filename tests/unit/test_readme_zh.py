"""README.zh-CN.md follows README: the same sections, and nothing to type that README does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"

pytestmark = pytest.mark.skipif(not ENGLISH.is_file(), reason="an installed package has no README to read")


def blocks(file: Path) -> list[str]:
    """The fenced blocks: what is typed, and what comes out."""
    return re.findall(r"^```.*?^```", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def sections(file: Path) -> int:
    return len(re.findall(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE))


def tour(file: Path) -> list[list[str]]:
    """The commands of each row of the tour."""
    part = file.read_text(encoding="utf-8").partition("<!-- tour -->")[2].partition("<!-- /tour -->")[0]
    return [re.findall(r"`hftune [^`]+`", line) for line in part.splitlines() if "`hftune" in line]


def test_every_block_is_one_of_readmes() -> None:
    assert blocks(CHINESE)
    assert [block for block in blocks(CHINESE) if block not in blocks(ENGLISH)] == []


def test_the_sections_are_the_same_but_for_dependencies_and_developers() -> None:
    assert sections(CHINESE) == sections(ENGLISH) - 2


def test_the_tour_has_the_same_commands() -> None:
    assert tour(CHINESE) == tour(ENGLISH) != []
