"""The n-gram baseline scores the tokens that hftune scores, and its table says what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hftune.errors import UsageError
from hftune.pipeline import train
from hftune.recipe.load import dump_recipe, parse_recipe
from hftune.runs import layout
from hftune.runs.writer import RunWriter

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NAMES = ("kneser_ney", "ngram_baseline")


@pytest.fixture
def baseline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import ngram_baseline

    return ngram_baseline


def a_run(folder: Path, **changes: object) -> Path:
    """A short run whose held-out documents are longer than the model's windows."""
    things = ["film", "movie", "plot", "story", "é"]
    texts = [f"the {one} was good and the {other} was very bad" for one in things for other in things]
    rows = {
        "train": [{"text": text, "source": "short"} for text in texts],
        "validation": [{"text": "we loved the film", "source": "short"}],
        "test": [
            {"text": ". ".join(texts[:5]), "source": "long"},
            {"text": "the ending was é", "source": "short"},
            {"text": " ".join(texts[7:9]), "source": "long"},
            {"text": "", "source": "short"},
        ],
    }
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "text-generation",
            "model": str(folder),
            "data": {"rows": rows, "max_length": 24, "too_long": "window", "window": {"stride": 5}, **changes},
            "training": {
                "num_train_epochs": 1,
                "per_device_train_batch_size": 8,
                "learning_rate": 1e-2,
                "precision": "fp32",
            },
        }
    )
    with RunWriter.create(Path("runs"), "tiny", dump_recipe(recipe)) as run:
        train(recipe, run)
    return run.path


def test_the_models_figure_is_that_of_the_run_and_the_ngrams_predict_the_same_tokens(tiny_gpt2_folder, baseline):
    run = a_run(tiny_gpt2_folder)
    texts, bits = baseline.compare(*baseline.find(str(run), None), "test", [2, 4], "source")
    figures = json.loads((run / layout.METRICS).read_text())["test"]
    assert list(bits) == ["2-gram", "4-gram", "model"]
    assert bits["model"].sum() / texts.bytes.sum() == pytest.approx(figures["bits_per_byte"], rel=1e-5)
    tokens = sum(len(one) - 1 for one in texts.ids)
    assert bits["model"].sum() * np.log(2) / tokens == pytest.approx(figures["loss"], rel=1e-5)
    assert texts.sources == ["long", "short", "long"], "the empty one has nothing to predict"
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / layout.MODEL)
    assert tokenizer.decode(texts.ids[1]) == "the ending was é" + tokenizer.eos_token
    assert max(map(len, texts.ids)) > 24


def test_documents_are_scored_to_their_end_where_the_run_truncates_them(tiny_gpt2_folder, baseline):
    windowed, cut = (a_run(tiny_gpt2_folder, too_long=choice) for choice in ("window", "truncate"))
    whole, _ = baseline.compare(*baseline.find(str(windowed), None), "test", [2], "source")
    same, bits = baseline.compare(*baseline.find(str(cut), None), "test", [2], "source")
    assert [one.tolist() for one in whole.ids] == [one.tolist() for one in same.ids]
    assert (bits["model"] > 0).all()


def test_the_table_gives_bits_per_byte_by_source_with_intervals(baseline):
    texts = baseline.Texts(["a", "b", "a"], [np.zeros(3, int)] * 3, np.array([10.0, 20.0, 30.0]), [], [])
    lines = baseline.table(texts, {"5-gram": np.array([20.0, 20, 60]), "model": np.array([15.0, 30, 45])}).splitlines()
    assert lines[0] == "| source | docs | bytes | 5-gram | model | 5-gram − model (95%) |"
    assert lines[2:] == [
        "| a | 2 | 40 | 2.000 | 1.500 | +0.500 (+0.500 to +0.500) |",
        "| b | 1 | 20 | 1.000 | 1.500 | -0.500 |",
        lines[4],
    ]
    assert lines[4].startswith("| all | 3 | 60 | 1.667 | 1.500 | +0.167 (-0.500 to +0.500)")


def test_other_tasks_and_data_are_refused(tiny_gpt2_folder, baseline):
    recipe = {"name": "x", "task": "text-generation", "model": str(tiny_gpt2_folder)}
    data = {"rows": [{"question": "a", "answer": "b"}], "prompt": "question", "completion": "answer"}
    run = Path("run")
    run.mkdir()
    (run / layout.RECIPE).write_text(dump_recipe(parse_recipe({**recipe, "data": data})))
    with pytest.raises(UsageError, match="plain texts"):
        baseline.compare(*baseline.find(str(run), None), "test", [5], "source")
