"""hftune predict --output after a kill: the same command goes on, and the file is that of an uninterrupted one.

Answers here depend on all the texts that are asked together, so that a window which began elsewhere would show.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import resource
import signal
import time
import tracemalloc
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.commands.predict import _FileDisplay
from hftune.errors import EXIT_LOCKED, HftuneError, UsageError
from hftune.inference import partial_output, row_formats
from hftune.inference.classification import Prediction
from hftune.inference.file_labels import BATCHES_A_WINDOW, Job, Labelled, Listener, label_file
from hftune.inference.predictor import Predictor
from hftune.inference.row_files import lock_of, open_rows, partial_of, progress_of
from hftune.output import Output

ROWS = 40
WINDOW = BATCHES_A_WINDOW  # with one text a batch: three windows
FORMATS = [("csv", "csv"), ("jsonl", "jsonl"), ("parquet", "parquet"), ("txt", "csv"), ("jsonl", "parquet")]


class Asked:
    """Stands in for a model, and knows what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def __call__(self, texts: Sequence[str], *_: Any) -> list[Prediction]:
        self.before()
        self.texts += texts
        share = int(hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8], 16) / 2**32
        shares = {"negative": share, "neutral": 0.0, "positive": 1 - share}
        return [Prediction(f"{len(text)}", shares, (0.0, 0.0, 0.0), 1) for text in texts]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Every window is committed, and answered at once."""
    asked = Asked()
    monkeypatch.setattr(partial_output, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(Predictor, "classify", lambda self, *given: asked(*given))
    return asked


@pytest.fixture(scope="module")
def model(classifier: Path) -> Predictor:
    return Predictor.load(classifier)


def make_input(path: Path, count: int = ROWS) -> Path:
    """Write rows with texts of several bytes a character, line breaks in quotes, and some that have no text."""
    rows = [{"n": n, "text": "" if n % 7 == 3 else f"电影很好 {n}, naïve\n“{'好' * (n % 5)}”"} for n in range(count)]
    if path.suffix == ".txt":
        path.write_text("".join(row["text"].replace("\n", " ") + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join([*lines[:5], "", "{torn", *lines[5:]]) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=max(11, count // 4))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["n", "text"], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def label(model: Predictor, job: Job, **listener: Any) -> Labelled:
    return label_file(model, job, Listener(**listener))


def stopping_after(rows: int) -> dict[str, Any]:
    """Return a listener that ends the work when so many rows are done."""
    state = {"done": 0}
    return {
        "rows": lambda done, share: state.update(done=done.rows),
        "cancelled": lambda: state["done"] >= rows,
    }


def interrupted(model: Predictor, job: Job, rows: int = WINDOW) -> None:
    done = label(model, job, **stopping_after(rows))
    assert done.stopped and done.rows == rows


def in_child(work: Callable[[], None]) -> int:
    """Do work in a process of its own; return how it ended, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Deaths:
    """Counts what is done to files, and dies at the n-th: before it, after it, or halfway through a write."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.count = at, 0

    def hook(self) -> None:
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, self._counted(getattr(os, name)))
        deaths = self

        class Writing(FileIO):
            half = True

            def write(self, data: Any) -> int:
                deaths._step()
                written = super().write(data[: len(data) // 2] if self.half else data)
                self.half = not self.half
                deaths._step()
                return written

        partial_output.FileIO = Writing  # type: ignore[misc]

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self._step()
            found = function(*arguments, **options)
            self._step()
            return found

        return counted

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("source_kind", "sink_kind"), FORMATS)
def test_killed_anywhere_it_ends_with_the_bytes_of_an_uninterrupted_one(
    model: Predictor, asked: Asked, tmp_path: Path, source_kind: str, sink_kind: str
) -> None:
    source = make_input(tmp_path / f"in.{source_kind}")
    sink, whole, steps = tmp_path / f"out.{sink_kind}", tmp_path / f"whole.{sink_kind}", tmp_path / "steps"
    rows = label(model, Job(source, whole, 1)).rows
    assert rows == len(list(open_rows(whole))) >= ROWS
    job = Job(source, sink, 1)

    def work(at: int) -> None:
        deaths = Deaths(at)
        deaths.hook()
        label(model, job)
        steps.write_text(str(deaths.count))

    assert in_child(lambda: work(0)) == 0
    assert sink.read_bytes() == whole.read_bytes()
    saved = set()
    for at in range(1, int(steps.read_text()) + 1):
        sink.unlink(missing_ok=True)
        assert in_child(lambda at=at: work(at)) == -signal.SIGKILL
        asked.texts.clear()
        assert label(model, job).rows == rows
        assert sink.read_bytes() == whole.read_bytes(), f"killed at step {at}"
        assert sorted(tmp_path.iterdir()) == sorted([source, sink, whole, steps])
        saved.add(len(asked.texts))
    # Some began at the first row, some behind the first window, …, some had nothing left to ask.
    assert len(saved) == rows // WINDOW + 2 and 0 in saved


def test_killed_many_times_in_a_row_it_ends_all_the_same(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink, whole = make_input(tmp_path / "in.csv"), tmp_path / "out.csv", tmp_path / "whole.csv"
    label(model, Job(source, whole, 1))

    def work() -> None:
        Deaths(14).hook()  # in the window after the first one that it finishes
        label(model, Job(source, sink, 1))

    ends = [in_child(work) for _ in range(3)]
    label(model, Job(source, sink, 1))
    assert ends == [-signal.SIGKILL] * 3 and sink.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("torn", ["好".encode()[:2], b'"half a quoted', b"\n", b'{"text": "ab'])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_was_torn_is_cut_off(model: Predictor, asked: Asked, tmp_path: Path, kind: str, torn: bytes) -> None:
    source, sink, whole = make_input(tmp_path / "in.csv"), tmp_path / f"out.{kind}", tmp_path / f"whole.{kind}"
    label(model, Job(source, whole, 1))
    interrupted(model, Job(source, sink, 1))
    with partial_of(sink).open("ab") as file:
        file.write(torn)
    asked.texts.clear()
    label(model, Job(source, sink, 1))
    assert sink.read_bytes() == whole.read_bytes() and len(asked.texts) < ROWS - WINDOW


def test_the_old_output_stands_until_the_new_one_is_whole(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    sink.write_text("old")
    interrupted(model, Job(source, sink, 1))
    assert sink.read_text() == "old"
    label(model, Job(source, sink, 1))
    assert sink.read_text().count("电影") == 34


def test_bad_rows_are_counted_over_all_attempts(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    interrupted(model, Job(source, sink, 1))
    seen: list[int] = []
    done = label(model, Job(source, sink, 1), bad_row=lambda row: seen.append(row.number))
    # The rows have two lines each but for those without a text; the header is the first.
    assert done == Labelled(ROWS, bad=6) and len(seen) == 4 and seen[0] == 2 + 17 * 2 - 2


def refusal(model: Predictor, job: Job) -> str:
    """Return why a job is not gone on with; nothing that is there may have changed."""
    before = {path: path.read_bytes() for path in job.source.parent.iterdir()}
    with pytest.raises(UsageError) as caught:
        label(model, job)
    assert {path: path.read_bytes() for path in job.source.parent.iterdir()} == before
    return str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt", "parquet"])
def test_another_input_is_refused_and_begun_anew_when_asked(
    model: Predictor, asked: Asked, tmp_path: Path, kind: str
) -> None:
    source, sink = make_input(tmp_path / f"in.{kind}"), tmp_path / "out.jsonl"
    interrupted(model, Job(source, sink, 1))
    if kind == "parquet":
        make_input(source, ROWS + 1)
    else:
        source.write_bytes(source.read_bytes().replace("naïve".encode(), b"naive", 1))
    said = refusal(model, Job(source, sink, 1))
    assert f"16 rows that are not the beginning of this file:\n    input: what was read of {source}" in said
    assert "--restart" in said
    asked.texts.clear()
    label(model, Job(source, sink, 1, restart=True))
    assert len(asked.texts) > ROWS - WINDOW and not partial_of(sink).exists()


def test_an_input_that_has_grown_is_gone_on_with_and_said(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink, whole = make_input(tmp_path / "in.csv"), tmp_path / "out.csv", tmp_path / "whole.csv"
    interrupted(model, Job(source, sink, 1))
    with source.open("a") as file:
        file.write("40,one more\n")
    notes: list[str] = []
    assert label(model, Job(source, sink, 1), note=notes.append).rows == ROWS + 1
    assert "in.csv has changed" in notes[0] and "going on after 16 rows" in notes[1]
    label(model, Job(source, whole, 1))
    assert sink.read_bytes() == whole.read_bytes()


def test_another_model_is_refused_by_its_name(model: Predictor, asked: Asked, tmp_path: Path, runs: Any) -> None:
    other = Predictor.load(
        runs.classifier_run(tmp_path / "elsewhere" / "other-20260101-000000-b2b2", ["no", "so", "yes"])
    )
    folder = tmp_path / "here"
    folder.mkdir()
    job = Job(make_input(folder / "in.csv"), folder / "out.csv", 1)
    interrupted(model, job)
    said = refusal(other, job)
    assert f"model: {model.loaded.path.name} before, other-20260101-000000-b2b2 now" in said


def test_the_same_run_with_other_weights_is_another_model(asked: Asked, tmp_path: Path, classifier: Path) -> None:
    import torch

    model, job = Predictor.load(classifier), Job(make_input(tmp_path / "in.csv"), tmp_path / "out.csv", 1)
    interrupted(model, job)
    with torch.no_grad():
        model.loaded.model.classifier.bias[0] += 1e-6
    assert f"model: {classifier.name} is not the same any more" in refusal(model, job)


def test_other_ways_of_reading_are_refused(
    asked: Asked, tmp_path: Path, classifier: Path, copied: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    job = Job(make_input(folder / "in.csv"), folder / "out.csv", 1)
    run = copied(classifier)
    interrupted(Predictor.load(run), job)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("max_length: 16", "max_length: 12\n  text: n"))
    said = refusal(Predictor.load(run), job)
    assert "max_length: 16 before, 12 now" in said and "text: text before, n now" in said


def test_last_digits_are_refused_too_unless_accepted(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    interrupted(model, Job(source, sink, 1))
    said = refusal(model, Job(source, sink, 2))
    assert "batch size: 1 before, 2 now" in said and "--allow-inexact" in said
    asked.texts.clear()
    assert label(model, Job(source, sink, 2, allow_inexact=True)).rows == ROWS
    assert len(asked.texts) < ROWS - WINDOW


@pytest.mark.parametrize("spoil", [lambda text: text.replace("电", "申", 1), lambda text: text[:50]])
def test_rows_that_are_not_as_they_were_left_are_made_anew(
    model: Predictor, asked: Asked, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    source, sink, whole = make_input(tmp_path / "in.csv"), tmp_path / "out.csv", tmp_path / "whole.csv"
    label(model, Job(source, whole, 1))
    interrupted(model, Job(source, sink, 1))
    partial_of(sink).write_text(spoil(partial_of(sink).read_text()))
    notes: list[str] = []
    label(model, Job(source, sink, 1), note=notes.append)
    assert "not as it was left" in notes[0] and sink.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("record", ["", "{}", "[1]", "\ud800", '{"version": 1, "progress": {}}'])
def test_a_record_that_says_nothing_counts_for_nothing(
    model: Predictor, asked: Asked, tmp_path: Path, record: str
) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    interrupted(model, Job(source, sink, 1))
    progress_of(sink).write_text(record, errors="surrogatepass")
    assert label(model, Job(source, sink, 1)).rows == ROWS
    assert len(list(open_rows(sink))) == ROWS and sorted(tmp_path.iterdir()) == [source, sink]


def test_two_at_once_are_one_too_many(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    said: list[HftuneError] = []

    def second() -> None:
        with pytest.raises(HftuneError) as caught:
            label(model, Job(source, sink, 1))
        said.append(caught.value)
        asked.before = lambda: None

    asked.before = second
    label(model, Job(source, sink, 1))
    assert said[0].exit_code == EXIT_LOCKED and f"is being written by process {os.getpid()} on " in said[0].message
    assert len(list(open_rows(sink))) == ROWS and not lock_of(sink).exists()


def test_a_lock_that_is_just_being_let_go_is_no_lock(
    model: Predictor, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    flock = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        lock_of(sink).unlink()  # by the one who held it until now
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    assert label(model, Job(source, sink, 1)).rows == ROWS


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_full_disk_keeps_what_is_whole_and_then_goes_on(
    model: Predictor, asked: Asked, tmp_path: Path, kind: str
) -> None:
    source, sink, whole = make_input(tmp_path / "in.csv", 200), tmp_path / f"out.{kind}", tmp_path / f"whole.{kind}"
    label(model, Job(source, whole, 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole.stat().st_size // 2, hard))
    try:
        with pytest.raises(HftuneError, match=r"cannot be written: .*File too large") as caught:
            label(model, Job(source, sink, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the same command goes on" in caught.value.hint.lower() and not sink.exists()
    asked.texts.clear()
    label(model, Job(source, sink, 1))
    assert sink.read_bytes() == whole.read_bytes() and 0 < len(asked.texts) < 160


def test_a_disk_that_fills_up_while_parquet_is_put_together_costs_no_row(
    model: Predictor, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.parquet"

    def full(self: Any, pieces: Path, whole: Path) -> None:
        whole.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(row_formats.Parquet, "assemble", full)
        with pytest.raises(HftuneError, match="No space left"):
            label(model, Job(source, sink, 1))
    assert sorted(tmp_path.iterdir()) == sorted([source, partial_of(sink), progress_of(sink)])
    asked.texts.clear()
    assert label(model, Job(source, sink, 1)).rows == ROWS
    assert not asked.texts and len(list(open_rows(sink))) == ROWS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_ends_it_and_the_same_command_goes_on(
    classifier: Path, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    command = ["predict", str(classifier), "--input", str(source), "--output", str(sink), "--batch-size", "1", "--json"]
    asked.before = lambda: len(asked.texts) > 1 and os.kill(os.getpid(), number)
    code = cli.run(command)
    shown = capsys.readouterr()
    assert code == (130 if number == signal.SIGINT else 143)
    assert "hftune: interrupted after 32 rows\n  The same command goes on behind them." in shown.err
    assert json.loads(shown.out)["error"]["code"] == code and not sink.exists()
    asked.before = lambda: None
    assert cli.run(command) == 0
    shown = capsys.readouterr()
    assert "out.csv.partial: going on after 32 rows" in shown.err
    told = json.loads(shown.out)
    assert (told["output"], told["rows"], told["bad"]) == (str(sink), ROWS, 6)
    assert len(list(open_rows(sink))) == ROWS


def test_an_error_in_the_work_leaves_what_is_done(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"

    def fails() -> None:
        if asked.texts:
            raise HftuneError("memory ran out")

    asked.before = fails
    with pytest.raises(HftuneError, match="memory ran out"):
        label(model, Job(source, sink, 1))
    asked.before = lambda: None
    notes: list[str] = []
    assert label(model, Job(source, sink, 1), note=notes.append).rows == ROWS
    assert notes == ["out.csv.partial: going on after 16 rows"]


def test_an_error_before_the_first_row_leaves_nothing(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"

    def fails() -> None:
        raise HftuneError("memory ran out")

    asked.before = fails
    with pytest.raises(HftuneError, match="memory ran out"):
        label(model, Job(source, sink, 1))
    assert list(tmp_path.iterdir()) == [source]


def test_how_far_it_is_begins_where_it_goes_on(model: Predictor, asked: Asked, tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        source, sink = make_input(tmp_path / f"in.{kind}"), tmp_path / f"from_{kind}.csv"
        interrupted(model, Job(source, sink, 1))
        heard: list[tuple[int, float]] = []
        label(model, Job(source, sink, 1), rows=lambda done, share, heard=heard: heard.append((done.rows, share)))
        assert [rows for rows, _ in heard] == [16, 32, 40]
        assert heard[0][1] == pytest.approx(0.4, abs=0.05) and heard[-1][1] == 1.0


def test_without_an_output_there_is_nothing_to_go_on_with(
    model: Predictor, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_input(tmp_path / "in.csv")
    given: list[Any] = []
    done = label(model, Job(source, None, 1), record=given.append, **stopping_after(WINDOW))
    assert done.stopped and len(given) == WINDOW and list(tmp_path.iterdir()) == [source]
    assert cli.run(["predict", "any", "--input", str(source), "--restart"]) == 2
    assert "--restart without --output" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ten_times_the_rows_take_no_more_memory(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    answer = Prediction("positive", {"negative": 0.25, "neutral": 0.25, "positive": 0.5}, (0.0, 0.0, 0.0), 1)
    monkeypatch.setattr(Predictor, "classify", lambda self, texts, *_: [answer] * len(texts))
    peaks = []
    for count in (1_000, 10_000):
        source, sink = make_input(tmp_path / f"in{count}.{kind}", count), tmp_path / f"out{count}.{kind}"
        tracemalloc.start()
        label(model, Job(source, sink))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_a_record_counts_only_what_is_on_disk(
    model: Predictor, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = make_input(tmp_path / "in.csv"), tmp_path / "out.csv"
    fsync, replace = os.fsync, os.replace
    on_disk, counted = [0], []

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        if partial_of(sink).exists() and os.path.samestat(os.fstat(descriptor), partial_of(sink).stat()):
            on_disk.append(os.fstat(descriptor).st_size)

    def replaced(before: Any, after: Any) -> None:
        if Path(after) == progress_of(sink):
            counted.append((json.loads(Path(before).read_text())["output"]["bytes"], on_disk[-1]))
        replace(before, after)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    label(model, Job(source, sink, 1))
    assert len(counted) == 3 and all(count == there for count, there in counted)


def test_people_see_how_far_it_is_how_fast_and_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stderr = io.StringIO()
    display = _FileDisplay("in.csv", Output(stderr=stderr), ticking=True)
    display.rows(Labelled(1000), 0.5)  # there already
    now[0] += 0.5
    display.rows(Labelled(1200), 0.51)
    assert not stderr.getvalue()
    now[0] += 9.5
    display.rows(Labelled(2000), 0.75)
    assert stderr.getvalue() == "2,000 rows (75%)  100 rows/s  10s left\n"
    silent = io.StringIO()
    _FileDisplay("in.csv", Output(stderr=silent), ticking=False).rows(Labelled(5), 0.5)
    assert not silent.getvalue()
