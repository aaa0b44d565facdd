"""The plot widget: drawn only when there is something else to draw, in the colours of the theme, readable without."""

from hftune_tui import themes
from hftune_tui.curves import Curve, Mark, Picture
from hftune_tui.widgets.plot import ROLES, Plot
from textual.app import App

XS = list(range(50))
PICTURE = Picture(
    tuple(Curve(f"run {n}", XS, [n + x / 50 for x in XS], letter="ABC"[n], look=n) for n in range(3)),
    "loss", (Mark(20, "✗", "not finite", "bad", on_curve=True),),
)  # fmt: skip


class PlotApp(App):
    def compose(self):
        yield Plot()

    def on_mount(self):
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = "dark"

    def get_theme_variable_defaults(self):
        return dict(themes.DARK.variables)


def shown(app):
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_a_picture_is_made_and_drawn_once_for_each_key():
    app, made = PlotApp(), []

    def make(picture=PICTURE):
        made.append(1)
        return picture

    async with app.run_test(size=(78, 12)) as pilot:
        plot = app.query_one(Plot)
        plot.show(1, make)
        await pilot.pause()
        drawn = plot.drawn
        for _ in range(5):
            plot.show(1, make)
            await pilot.pause()
        assert len(made) == 1 and plot.drawn == drawn and "━A run 0" in shown(app)
        plot.show(2, make)  # another key, the same picture
        await pilot.pause()
        assert len(made) == 2 and plot.drawn == drawn
        plot.show(3, lambda: make(Picture(PICTURE.curves[:1])))
        await pilot.pause()
        assert plot.drawn == drawn + 1 and "run 1" not in shown(app)


async def test_it_is_drawn_anew_for_another_size_and_another_theme():
    app = PlotApp()
    async with app.run_test(size=(78, 12)) as pilot:
        plot = app.query_one(Plot)
        plot.show(1, lambda: PICTURE)
        await pilot.pause()
        await pilot.resize_terminal(40, 20)
        await pilot.pause()
        assert all(len(row) == 40 for row in shown(app).split("\n")[:20])
        before = plot.render_line(0)
        app.theme = "light"
        await pilot.pause()
        assert plot.render_line(0) != before and plot.render_line(0).text == before.text


async def test_each_curve_has_a_colour_of_its_own_in_every_theme():
    app = PlotApp()
    async with app.run_test(size=(78, 12)) as pilot:
        plot = app.query_one(Plot)
        for theme in themes.NAMES:
            app.theme = theme
            await pilot.pause()
            colours = [plot.get_component_rich_style(f"plot--curve-{n}", partial=True).color for n in range(7)]
            assert len({colour.get_truecolor() for colour in colours}) == 7, theme
            assert all(plot.get_component_rich_style(f"plot--{role}", partial=True) for role in ROLES)


async def test_without_colours_curves_differ_by_letter_and_pattern(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlotApp()
    async with app.run_test(size=(78, 12)) as pilot:
        app.query_one(Plot).show(1, lambda: PICTURE)
        await pilot.pause()
        text = shown(app)
        assert "━A run 0  ╍B run 1  ┅C run 2  ✗ not finite" in text
        rows = "\n".join(text.split("\n")[1:10])
        assert all(letter in rows for letter in "ABC") and "✗" in rows
