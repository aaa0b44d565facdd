"""Tables and plot fit 80 columns, whatever the figures; nothing of them needs colour or more than a plain terminal."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from hftune.errors import UsageError
from hftune.frontier import plot
from hftune.frontier.folder import Folder, Result, as_csv
from hftune.frontier.grid import GRID, LeftOut
from hftune.frontier.plot import draw_png, plot_lines, require_writable, save_png
from hftune.frontier.report import as_object, report
from hftune.frontier.speed import Spread
from hftune.frontier.verdict import Bounds, judge
from hftune.inference.statistics import Interval
from tests.unit.frontier.made_up import parent, result


def ascii_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def grid(relative: bool = False) -> list[Result]:
    made = [
        result(candidate.name, 0.01 * number, 0.012 * number, 10_000_000 * (9 - number), relative=relative)
        for number, candidate in enumerate(GRID, start=1)
    ]
    return [parent(size=120_000_000, relative=relative), *made]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_tables_plot_and_sentence_fit_80_columns(relative: bool, factor: float) -> None:
    results = [
        replace(one, bytes=int(one.bytes * factor), parameters=int(one.parameters * factor)) for one in grid(relative)
    ]
    verdict = judge(results, Bounds(0.01, int(50_000_000 * factor)))
    left_out = [LeftOut("torchao-int8", "torchao quantizes linear layers, and an lstm is made of others; " * 3)]
    lines = report("a-name-that-is-long-" * 3, results, left_out, verdict, plot_lines(results, verdict, ascii_stream()))
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    text = "\n".join(lines)
    for candidate in GRID:
        assert f" {candidate.name} " in text
    assert "left out: torchao-int8: torchao quantizes" in text
    assert "(estimate)" in text and "guessed" in text


@pytest.mark.parametrize("loss", [12.3456, 123.456, 4321.0, 1e7, 1e12])
@pytest.mark.parametrize("seconds", [0.00012, 0.9996, 4.2, 99.0])
def test_a_ruined_or_slow_model_breaks_no_column(loss: float, seconds: float) -> None:
    results = [
        parent(relative=True),
        result("distill+onnx-int8", loss, loss, seconds=seconds, half=0.4 * loss, relative=True),
    ]
    for number, one in enumerate(results):
        figures = one.quality["test"]
        value = replace(figures.value, low=0.8 * figures.value.value, high=1.2 * figures.value.value)
        results[number] = replace(one, quality={**one.quality, "test": replace(figures, value=value)})
    verdict = judge(results, Bounds())
    lines = report("tiny", results, [], verdict)
    assert max(map(len, lines)) <= 80
    quality, speed = (next(i for i, line in enumerate(lines) if heading in line) for heading in ("same", "p50"))
    assert len(lines[quality]) == len(lines[quality + 2]) and lines[quality + 2].endswith("97.0%")
    assert len(lines[speed]) == len(lines[speed + 2]) and lines[speed + 2].endswith(")")


def test_a_row_has_what_was_measured() -> None:
    results = [parent(), result("bf16", 0.001, 0.002, size=40_000_000)]
    text = "\n".join(report("tiny", results, [], judge(results, Bounds())))
    assert "1* bf16                   0.898  0.878 0.918            0.2  -0.8 1.2      97.0%" in text
    assert "1  bf16                  10     10 0.50 (0.50-0.50)         100 2.00 (2.00-2.00)" in text
    assert "1  bf16               38.1 MiB      10M  95.4 MiB   0.312   0.50 (0.50-0.50)" in text


def test_what_was_measured_at_another_time_is_named() -> None:
    results = [parent(), result("bf16", 0.001, 0.002), result("distill", 0.001, 0.002)]
    verdict = judge(results, Bounds())
    assert "another time" not in "\n".join(report("tiny", results, [], verdict))
    assert results[1].cost is not None
    results[1] = replace(results[1], cost=replace(results[1].cost, when=7.0))
    assert "measured at another time than the rest: bf16; --again" in "\n".join(report("tiny", results, [], verdict))


def test_what_memory_kept_apart_is_not_said_to_be_cured_by_measuring_again() -> None:
    results = [parent(), result("bf16", 0.001, 0.002), result("distill", 0.001, 0.002), result("prune", 0.1, 0.1)]
    verdict = judge(results, Bounds())
    for number, in_groups in ((1, True), (2, True), (3, False)):
        cost = results[number].cost
        assert cost is not None
        results[number] = replace(results[number], cost=replace(cost, when=7.0, in_groups=in_groups))
    text = " ".join("\n".join(report("tiny", results, [], verdict)).split())
    assert "before the rest, since memory did not hold all at once: bf16, distill measured at another time" in text
    assert "measured at another time than the rest: prune; --again measures all anew" in text


def test_a_busy_machine_is_told() -> None:
    results = [parent(), result("bf16", 0.001, 0.002)]
    verdict = judge(results, Bounds())
    assert "busy" not in "\n".join(report("tiny", results, [], verdict))
    assert results[0].cost is not None
    results[0] = replace(results[0], cost=replace(results[0].cost, p50=Spread(0.02, 0.01, 0.025)))
    assert "the machine was busy: the parent took 2.5 times as long" in "\n".join(report("tiny", results, [], verdict))


def test_the_plot_is_plain_characters_with_each_model_once() -> None:
    results = [*grid()[:5], result("beside", 0.01, 0.012, 79_000_001)]
    verdict = judge(results, Bounds())
    lines = plot_lines(results, verdict, ascii_stream())
    drawn = "\n".join(line[10:] for line in lines[1:-2])
    assert all(line.isascii() for line in lines)
    for number, one in enumerate(results):
        assert (f"({number})" in drawn) is (one.name in verdict.front)
        assert drawn.count(str(number)) == 1
    # The parent, the best and largest, is in the upper right.
    places = {number: next(row for row, line in enumerate(lines) if f"({number})" in line) for number in (0, 4)}
    assert places[0] < places[4]
    assert lines[places[0]].rstrip().endswith("(0)")
    assert "│" in "".join(plot_lines(results, verdict, io.TextIOWrapper(io.BytesIO(), encoding="utf-8")))


def test_a_perplexity_is_drawn_upside_down_since_less_is_better() -> None:
    results = grid(relative=True)
    lines = plot_lines(results, judge(results, Bounds()), ascii_stream())
    rows = {number: next(row for row, line in enumerate(lines[1:]) if str(number) in line[10:]) for number in (0, 7)}
    assert rows[0] < rows[7]


def test_a_figure_that_is_no_number_is_left_out_of_the_plot() -> None:
    nan = Interval(float("nan"), None, None)
    broken = result("broken", 0.1, 0.1)
    broken.quality["test"] = replace(broken.quality["test"], value=nan, loss=nan)
    results = [parent(), broken]
    verdict = judge(results, Bounds())
    assert plot_lines(results, verdict, ascii_stream()) == []
    assert report("tiny", results, [], verdict)


def test_a_png_is_drawn_where_matplotlib_is_and_asked_for_in_words_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        plot.require_matplotlib()
    assert "hftune[plot]" in str(caught.value)
    monkeypatch.undo()
    pytest.importorskip("matplotlib", reason="matplotlib, an extra, draws the PNG")
    results = grid()
    png = draw_png("tiny", results, judge(results, Bounds()))
    save_png(tmp_path / "f.png", png)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot be written"):
        save_png(tmp_path / "no" / "f.png", png)


def test_where_a_picture_can_be_written_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable(tmp_path / "f.png")
    with pytest.raises(UsageError, match="there is no folder"):
        require_writable(tmp_path / "no" / "f.png")
    with pytest.raises(UsageError, match="is a folder"):
        require_writable(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # whoever runs the tests may write everywhere
    with pytest.raises(UsageError, match="nothing can be written in"):
        require_writable(tmp_path / "f.png")


def test_the_folder_gives_back_what_it_was_given_and_nothing_where_it_is_broken(tmp_path: Path) -> None:
    results = grid()
    folder = Folder.of(tmp_path / "runs", tmp_path / "runs" / "tiny-1")
    assert folder.results() == []
    verdict = judge(results[:3], Bounds())
    rows = {"validation": 900, "test": 1000}
    record = as_object("tiny-1", "text-classification", rows, Bounds(), results[:3], results[3:], [], verdict)
    folder.write(record, results[:3])
    assert folder.results() == results
    assert record["complete"] is True and [one["front"] for one in record["models"]] == [True, True, True]
    table = list(csv.DictReader(io.StringIO((folder.path / "frontier.csv").read_text())))
    assert [line["name"] for line in table] == ["parent", "distill", "distill-lstm"]
    assert float(table[1]["test_loss_high"]) == pytest.approx(0.022)
    assert float(table[2]["p50_ratio"]) == pytest.approx(0.5)
    for broken in ("{", "[]", '{"schema": 0}', '{"schema": 1, "models": [{"name": "a"}], "others": []}'):
        (folder.path / "frontier.json").write_text(broken)
        assert folder.results() == []


def test_the_table_of_a_model_that_was_not_measured_has_empty_cells() -> None:
    (line,) = csv.DictReader(io.StringIO(as_csv([replace(result("a", 0.1), cost=None)])))
    assert (line["p50"], line["unit"], line["validation_loss"]) == ("", "", "0.1")
