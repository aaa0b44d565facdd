"""What a model wrote, read as Markdown, while it is written. Links are shown and never followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownStream

from ..answers import Answer, Exchange, Item
from ..drawing import Words, line, sanitize
from .rows import answer_text, pace_words
from .wrapped import LONGEST

SHOWN = 12  # exchanges: each paragraph is a widget


class _Written:
    """One answer and the widget that shows it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.document = Markdown(open_links=False)
        self.footer = Words(classes="pace")
        self._version = -1
        self._fed = ""
        self._stream: MarkdownStream | None = None

    async def update(self) -> None:
        """Show what came since; a text that is not only longer is shown anew."""
        answer = self.answer
        if answer.version == self._version or not self.document.is_mounted:
            return
        self._version = answer.version
        if answer.prediction is not None or answer.filling is not None or answer.error:  # never Markdown
            self.footer.say("\n".join([answer_text(answer), answer.error]).strip())
            return
        text = sanitize(answer.text[:LONGEST], lines=True)
        if not text.startswith(self._fed):
            await self.stop()
            await self.document.update(text)
        elif text != self._fed:
            if self._stream is None:
                self._stream = Markdown.get_stream(self.document)
            await self._stream.write(text[len(self._fed) :])
        self._fed = text
        if answer.over:
            await self.stop()
            self.footer.say(line((pace_words(answer) if answer.tokens else answer.state, "$muted")))

    async def stop(self) -> None:
        """End the stream; what it still holds is shown."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.stop()


class MarkdownView(VerticalScroll, can_focus=True):
    """The newest exchanges as Markdown."""

    DEFAULT_CSS = """
    MarkdownView { height: 1fr; scrollbar-size-vertical: 1; }
    MarkdownView Markdown { padding: 0 2; margin: 0; }
    MarkdownView .asked { text-style: bold; }
    MarkdownView .pace { padding: 0 2; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "down", id="markdown.down", show=False),
        Binding("k", "scroll_up", "up", id="markdown.up", show=False),
        Binding("g", "scroll_home", "to the beginning", id="markdown.begin", show=False),
        Binding("G", "scroll_end", "to the end", id="markdown.end", show=False),
    ]

    def __init__(self, **options: str | None) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._shown: list[Exchange] = []
        self._written: list[_Written] = []
        self._busy = False

    def on_mount(self) -> None:
        self.anchor()

    async def show(self, items: Sequence[Item]) -> None:
        """Show the newest exchanges as they are now."""
        if self._busy:  # the next call brings what is missed
            return
        self._busy = True
        try:
            newest = [item for item in items if isinstance(item, Exchange)][-SHOWN:]
            if newest != self._shown:
                await self._mount(newest)
            for one in self._written:
                await one.update()
        finally:
            self._busy = False

    async def clear(self) -> None:
        """Show nothing: another view does."""
        for one in self._written:
            await one.stop()
        self._shown, self._written = [], []
        await self.remove_children()

    async def _mount(self, newest: list[Exchange]) -> None:
        if newest[: len(self._shown)] != self._shown:
            await self.clear()
        for exchange in newest[len(self._shown) :]:
            await self.mount(Words(f"› {exchange.text[:2000]}", classes="asked"))
            for answer in exchange.answers:
                one = _Written(answer)
                self._written.append(one)
                if len(exchange.answers) > 1:
                    await self.mount(Words(line((f"  {answer.model}", "$primary"))))
                await self.mount(one.document, one.footer)
        self._shown = newest
