"""A transcript: rows broken between words at any width, growing texts, the end kept in sight, finding, bounds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hftune_tui.answers import Answer, Exchange, Item, Notice
from hftune_tui.themes import DARK
from hftune_tui.widgets import rows, transcript, wrapped
from hftune_tui.widgets.rows import Block, answer_text, words_of
from hftune_tui.widgets.transcript import Transcript
from hftune_tui.widgets.wrapped import LONGEST, Wrapped, wrap
from rich.cells import cell_len
from textual.app import App, ComposeResult

SETTINGS = {"temperature": 0.8, "top_p": 0.95, "top_k": 50, "repetition_penalty": 1.1, "max_new_tokens": None,
            "stop": [], "ban": [], "seed": None}  # fmt: skip
TEXTS = (
    "the movie was not bad, but the ending is dreadful " * 4,
    "a" * 300,
    "这部电影的结尾非常糟糕，但是音乐很好听。👨‍👩‍👧 family and 🙂 more words come after it. " * 5,
    "e\u0301" * 200,
    "\u0301" * 900,
    "x\n\ny\n",
    "\ttab\tstop",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 after",
    "",
)


def written(text: str, state: str = "done", model: str = "gen-a1b2", **more: Any) -> Answer:
    answer = Answer("main", model, SETTINGS, tokens=3, tokens_per_second=12.5, first_token_seconds=0.25, text=text)
    answer.state = state  # type: ignore[assignment]
    answer.finish_reason = "length" if state == "done" else ""
    for name, value in more.items():
        setattr(answer, name, value)
    return answer


def labelled(shares: dict[str, float], label: Any = None, model: str = "bert", **more: Any) -> Answer:
    prediction = {"label": label or next(iter(shares)), "probabilities": shares, "tokens": 5, "truncated": False}
    return Answer("main", model, SETTINGS, "done", prediction={**prediction, **more})


def drawn(item: Item, columns: int = 76, side_by_side: bool = False) -> list[str]:
    block = Block(item)
    block.lay_out(columns, side_by_side)
    return [words_of(row).rstrip() for row in block.rows]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("columns", [2, 5, 20, 76])
def test_rows_fit_and_a_text_in_pieces_gives_the_same(text: str, columns: int) -> None:
    whole = wrap(text, columns)
    assert all(cell_len(row) <= columns for row in whole)
    pieces = random.Random(7)
    growing, at = Wrapped(), 0
    while at < len(text):
        at += pieces.randint(1, 7)
        growing.grow(text[:at], columns)
    assert growing.rows == (whole if text else [])


def test_rows_break_between_words_and_in_chinese_anywhere_but_before_a_full_stop() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("one  two", 4) == ["one ", "two"]
    assert wrap("好看的电影。真的", 10) == ["好看的电", "影。真的"]
    assert wrap("好看的 film", 8) == ["好看的", "film"]
    assert wrap("x\x1b[31my\tz", 20) == ["xy    z"]


def test_only_the_last_row_of_a_growing_text_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    real = wrapped.breaks

    def counted(line: str, columns: int) -> Iterator[tuple[int, int]]:
        nonlocal seen
        seen += len(line)
        yield from real(line, columns)

    monkeypatch.setattr(wrapped, "breaks", counted)
    growing, text = Wrapped(), ""
    for _ in range(2000):
        text += "word it "
        growing.grow(text, 76)
    assert len(growing.rows) > 200 and seen < 2000 * 90


def test_a_text_of_a_million_characters_is_cut_and_says_so() -> None:
    shown = drawn(Exchange("ask", [written("a" * 1_000_000)]))
    assert len(shown) < LONGEST / 70 + 10
    assert "… 900,000 characters more: y copies all of it" in "\n".join(shown)
    assert len(answer_text(written("a" * 1_000_000))) == 1_000_000


def test_a_question_of_many_rows_is_cut() -> None:
    shown = drawn(Exchange("word " * 1000, [written("b")]))
    assert len(shown) < 20 and "(5,000 characters in all)" in "\n".join(shown)
    assert len(drawn(Exchange("\n" * 100_000, [written("b")]))) < 20


def test_probabilities_are_bars_of_one_width_with_the_likeliest_first_and_the_margin() -> None:
    shown = drawn(Exchange("bad", [labelled({"好": 0.2, "negative": 0.7, "x": 0.1}, "negative")]))
    first, second, third = shown[1:4]
    assert first.startswith("  negative █") and first.endswith("0.700   margin 0.500")
    assert cell_len(second.split(" █")[0]) == cell_len("  negative") == cell_len(third.split(" █")[0])
    assert second.strip().startswith("好") and second.endswith("0.200")


def test_many_labels_several_labels_and_a_value() -> None:
    many = {f"label {number}": (0.5 if number == 0 else 0.05) for number in range(11)}
    assert "(3 more labels, 0.150 in all)" in "\n".join(drawn(Exchange("x", [labelled(many)])))
    several = drawn(Exchange("x", [labelled({"a": 0.9, "b": 0.6, "c": 0.1}, ["a", "b"])]))
    assert [line.strip()[0] for line in several[1:4]] == ["✓", "✓", "c"] and "margin" not in several[1]
    assert drawn(Exchange("x", [labelled({}, 3.25)]))[1].strip() == "3.25"
    assert "the text has 90 tokens" in "\n".join(
        drawn(Exchange("x", [labelled({"a": 1.0}, truncated=True, tokens=90)]))
    )


def test_guesses_of_masked_words_are_bars() -> None:
    guesses = [{"token": "good", "probability": 0.6}, {"token": "坏", "probability": 0.3}]
    answer = Answer("main", "mlm", SETTINGS, "done", filling={"masks": [guesses, guesses], "truncated": False})
    shown = drawn(Exchange("a [MASK] [MASK]", [answer]))
    assert [line.strip().split("█")[0] for line in shown[1:4]] == ["mask 1", "good ", "坏   "]


def test_what_was_written_ends_with_how_fast_and_with_which_settings() -> None:
    answer = written("it was", seed=7, notes=("the beginning did not fit",))
    shown = " ".join(line.strip() for line in drawn(Exchange("how", [answer])))
    assert "as long as it may be · 3 tokens · 12.5 tokens/s · first after 0.25 s" in shown
    assert "temperature 0.8 · top_p 0.95 · top_k 50 · repetition_penalty 1.1 · seed 7" in shown
    assert "! the beginning did not fit" in shown
    words = rows.settings_words({**SETTINGS, "temperature": 0, "stop": ["#"], "max_new_tokens": 9, "seed": 3})
    assert words == "greedy · repetition_penalty 1.1 · max_new_tokens 9 · stop '#' · seed 3"


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ("waiting", {}, "… waits for its turn"),
        ("asked", {}, "…"),
        ("stopped", {}, "stopped before anything was written"),
        ("failed", {"error": "it broke", "hint": "Mend it."}, "✗ it broke\n  Mend it."),
        ("done", {"finish_reason": "eos"}, "(nothing was written)\n  ended by itself"),
    ],
)
def test_an_answer_without_a_text_says_why(state: str, more: dict[str, Any], words: str) -> None:
    assert words in "\n".join(drawn(Exchange("x", [written("", state, **more)])))


def test_two_answers_stand_side_by_side_or_one_below_the_other() -> None:
    pair = Exchange("x", [written("left " * 20, model="tuned"), written("right", model="base", seed=3)])
    beside = drawn(pair, 116, side_by_side=True)
    assert "tuned" in beside[1] and "base" in beside[1] and "left" in beside[2] and "right" in beside[2]
    assert {line.index("│") for line in beside[1:-1]} == {beside[1].index("│")}
    below = drawn(pair)
    assert below.index("  tuned") < below.index("  base") and not any("│" in line for line in below)


def test_a_hostile_text_is_drawn_as_words() -> None:
    hostile = "\x1b]0;owned\x07\x1b[31mred[bold]x[/bold]\u202etxt"
    items = [Exchange(hostile, [written(hostile, model=hostile)] * 2), Notice(hostile),
             Exchange(hostile, [labelled({hostile: 0.9, "b": 0.1})])]  # fmt: skip
    for item in items:
        for side_by_side in (False, True):
            text = "\n".join(drawn(item, side_by_side=side_by_side))
            assert "red[bold]x[/bold]txt" in text and not set(text) & set("\x1b\x07\u202e")


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = "dark"

    def compose(self) -> ComposeResult:
        yield Transcript()


def on_screen(view: Transcript) -> list[str]:
    return [view.render_line(line).text.rstrip() for line in range(view.size.height)]


def talk(count: int) -> list[Item]:
    return [Exchange(f"text {number}", [written(f"answer {number}")]) for number in range(count)]


async def test_it_stays_at_the_end_until_the_reader_scrolls_up() -> None:
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.query_one(Transcript)
        items = talk(20)
        view.show(items)
        await pilot.pause()
        assert view.at_end and any("answer 19" in line for line in on_screen(view))
        view.focus()
        await pilot.press("pageup", "k")
        there = on_screen(view)
        assert not view.at_end
        items += talk(3)
        view.show(items)
        assert on_screen(view) == there
        await pilot.press("g")
        assert view.scroll_offset.y == 0
        await pilot.press("j", "j")
        assert view.scroll_offset.y == 2
        await pilot.press("G")
        items += talk(1)
        view.show(items)
        assert view.at_end and any("answer 0" in line for line in on_screen(view))
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert view.at_end and view.scroll_offset.y == view.max_scroll_y > 0


async def test_what_the_reader_looks_at_stays_when_older_items_go() -> None:
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.query_one(Transcript)
        items = talk(40)
        view.show(items)
        await pilot.pause()
        view.page(-1)
        there = on_screen(view)
        view.show([*items[10:], *talk(2)])
        assert on_screen(view) == there


async def test_only_what_changed_is_made_and_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.query_one(Transcript)
        last = written("one", "asked")
        items = [*talk(4), Exchange("x", [last])]
        view.show(items)
        await pilot.pause()
        made, painted = list[str](), list[Any]()
        real = rows.answer_rows
        monkeypatch.setattr(rows, "answer_rows", lambda answer, *rest: made.append(answer.text) or real(answer, *rest))
        monkeypatch.setattr(view, "refresh", lambda *regions, **_: painted.extend(regions))
        last.text, last.version = "one two", last.version + 1
        view.show(items)
        view.show(items)
        assert made == ["one two"]
        assert 1 <= len({region.y for region in painted}) <= 2


async def test_older_items_than_fit_in_the_bound_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "SHOWN_CHARACTERS", 1000)
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.query_one(Transcript)
        view.show(talk(100))
        await pilot.pause()
        texts = [words_of(row) for row in view.rows()]
        assert "not shown" in texts[0] and len(texts) < 30 and "answer 99" in "".join(texts)
        view.action_begin()
        assert "not shown" in on_screen(view)[0] and "text 9" in on_screen(view)[1]
        view.show([Exchange("x", [written("y" * 5000)])])  # the newest is always shown
        assert "not shown" not in on_screen(view)[0]


async def test_words_are_found_whatever_their_capitals_and_over_the_end_of_a_row() -> None:
    app = Shown()
    async with app.run_test(size=(80, 12)) as pilot:
        view = app.query_one(Transcript)
        items: list[Item] = [*talk(9), Exchange("x", [written("word " * 14 + "Broken Apart here")]), *talk(9)]
        view.show(items)
        await pilot.pause()
        assert view.look_for("broken apart") == 1 and view.next_match(-1) == (1, 1)
        assert any("Broken" in line for line in on_screen(view))
        assert view.look_for("ANSWER 3") == 2
        assert (view.next_match(-1), view.next_match(-1), view.next_match(-1)) == ((2, 2), (1, 2), (2, 2))
        assert view.next_match(1) == (1, 2) and any("answer 3" in line for line in on_screen(view))
        assert view.look_for("[x") == 0 and view.next_match(1) is None
        assert view.look_for("") == 0
        line = next(number for number in range(view.size.height) if "answer 3" in view.render_line(number).text)
        plain_segments = len(list(view.render_line(line)))
        view.look_for("answer")
        assert len(list(view.render_line(line))) > plain_segments  # the word is marked


async def test_what_the_mouse_selects_is_the_text() -> None:
    from textual.geometry import Offset
    from textual.selection import Selection

    app = Shown()
    async with app.run_test(size=(80, 12)) as pilot:
        view = app.query_one(Transcript)
        view.show(talk(2))
        await pilot.pause()
        selection = Selection(Offset(2, 0), Offset(8, 1))
        assert view.get_selection(selection) == ("text 0\n  answer"[:15], "\n")
        app.screen.selections = {view: selection}
        await pilot.pause()
        assert on_screen(view)[0] == "› text 0"


async def test_two_columns_from_110_columns_on() -> None:
    app = Shown()
    pair = Exchange("x", [written("left", model="tuned"), written("right", model="base")])
    async with app.run_test(size=(110, 20)) as pilot:
        view = app.query_one(Transcript)
        view.show([pair])
        await pilot.pause()
        assert any("left" in line and "right" in line for line in on_screen(view))
        await pilot.resize_terminal(100, 20)
        await pilot.pause()
        assert not any("left" in line and "right" in line for line in on_screen(view))
