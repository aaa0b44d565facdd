"""Very long texts are cut before they are tokenized, and get the answers of the whole text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hftune.inference import file_labels, long_texts
from hftune.inference.file_labels import Job, Labelled, Listener, label_file
from hftune.inference.long_texts import LongTexts
from hftune.inference.predictor import Predictor

TEXTS = [
    "the film was good . " * 5_000,
    "电影很好" * 25_000,
    "goodnotverybad" * 10_000,
    " " * 100_000 + "the film was dreadful",
    "x " * 100 + "y" * 99_000,
    "naïve café 🙂 " * 8_000,
]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LEAST", 100)


@pytest.mark.parametrize("text", TEXTS)
def test_the_answer_is_that_of_the_whole_text(classifier: Path, lstm_run: Path, text: str) -> None:
    for run in (classifier, lstm_run):
        predictor = Predictor.load(run)
        (whole,), (cut,) = predictor.classify([text]), predictor.classify([LongTexts(predictor.loaded).cut(text)])
        assert cut.logits == whole.logits


def test_much_is_left_out_where_words_come_early_and_nothing_where_they_come_late(classifier: Path) -> None:
    texts = LongTexts(Predictor.load(classifier).loaded)
    assert len(texts.cut(TEXTS[0])) == long_texts.CHARACTERS_A_TOKEN * 16 < len(TEXTS[0])
    assert texts.cut(TEXTS[3]) == TEXTS[3] and texts.cut("good") == "good"


@pytest.mark.parametrize("data", [{"too_long": "window", "window": {"stride": 4}}, {"text_pair": "other"}])
def test_what_is_read_to_its_end_is_not_cut(tmp_path: Path, runs: Any, data: dict[str, Any]) -> None:
    run = runs.classifier_run(tmp_path / "run", data=data)
    assert LongTexts(Predictor.load(run).loaded).cut(TEXTS[0]) == TEXTS[0]


def test_a_model_that_reads_the_end_gets_it(classifier: Path) -> None:
    loaded = Predictor.load(classifier).loaded
    loaded.tokenizer.truncation_side = "left"
    assert LongTexts(loaded).cut(TEXTS[0]) == TEXTS[0]


def test_long_rows_make_windows_of_few(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_labels, "WINDOW_CHARACTERS", 1000)
    source = tmp_path / "in.csv"
    source.write_text("text,more\n" + "".join(f"good,{'x' * 300}\n" for _ in range(10)) + "bad,\n" * 40)
    heard: list[int] = []
    listener = Listener(rows=lambda done, share: heard.append(done.rows))
    assert label_file(Predictor.load(classifier), Job(source), listener) == Labelled(50)
    assert heard == [0, 4, 8, 50]
