"""What widgets tell their screens and the app."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.message import Message


@dataclass
class PromptSubmitted(Message):
    """A person sent what was written in the prompt."""

    text: str


class PromptLeft(Message):
    """A person left the prompt with Esc."""


@dataclass
class TranscriptScrolled(Message):
    """PgUp (-1) or PgDn (+1) was pressed in the prompt."""

    pages: int


@dataclass
class RunOpened(Message):
    """Enter on a run."""

    run: Path
