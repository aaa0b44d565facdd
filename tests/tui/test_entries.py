"""A short list of things to do."""

import pytest
from hftune_tui import themes
from hftune_tui.widgets.entries import Entries, Entry
from textual.app import App

FIRST = Entry("a", "Sentiment classifier", "MiniLM BERT · movie reviews", "works without the Hub")
SECOND = Entry("b", "My file", "CSV / JSON Lines / Parquet → pick the columns")
THIRD = Entry("c", "A recipe", "recipes/*.yaml")


class Host(App):
    """An app that shows nothing but entries, and remembers which were chosen."""

    def __init__(self, entries=(FIRST, SECOND, THIRD)):
        super().__init__()
        self.first_entries, self.chosen = entries, []

    def get_theme_variable_defaults(self):
        return dict(themes.DARK.variables)

    def compose(self):
        yield Entries(self.first_entries)

    def on_mount(self):
        self.entries = self.query_one(Entries)
        self.entries.focus()

    def on_entries_chosen(self, message):
        self.chosen.append(message.entry.name)

    def lines(self):
        return [self.entries.render_line(y).text.rstrip() for y in range(self.entries.size.height)]


async def test_each_is_a_line_with_what_it_takes_and_a_word_beside():
    app = Host()
    async with app.run_test(size=(80, 24)):
        assert app.lines() == [
            " ▸ Sentiment classifier   MiniLM BERT · movie reviews      works without the Hub",
            "   My file                CSV / JSON Lines / Parquet → pick the columns",
            "   A recipe               recipes/*.yaml",
        ]


async def test_arrows_letters_and_enter_choose():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("up", "enter", "down", "enter", "j", "j", "enter", "k", "enter", "g", "enter", "G", "enter")
        await pilot.pause()
        assert app.chosen == ["a", "b", "c", "b", "a", "c"]


async def test_a_click_chooses():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(Entries, offset=(5, 1))
        await pilot.click(Entries, offset=(5, 2))
        await pilot.pause()
        assert app.chosen == ["b", "c"] and app.entries.current is THIRD


async def test_other_words_keep_the_cursor_in_its_place_and_fewer_keep_it_inside():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("G")
        app.entries.show((FIRST, SECOND, Entry("c", "A recipe", "recipes/*.yaml  (9 found)")))
        await pilot.pause()
        assert app.lines()[2] == " ▸ A recipe               recipes/*.yaml  (9 found)"
        app.entries.show((FIRST, SECOND))
        await pilot.pause()
        assert app.entries.current is SECOND and len(app.lines()) == 2


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
async def test_every_entry_takes_one_line(width):
    app = Host((Entry("a", "评论写作器 [bold]", "x" * 50, "y" * 50), Entry("b", "\x1b[31mred", "a\nb", "\x07")))
    async with app.run_test(size=(width, 24)):
        first, second = app.lines()
        assert first.startswith(" ▸ 评论写作器 [b") and second[:6] == "   red" and "\x1b" not in first + second


async def test_the_cursor_is_seen_without_focus_and_without_colour():
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_focus(None)
        await pilot.press("j")
        assert app.lines()[0].startswith(" ▸ ")
