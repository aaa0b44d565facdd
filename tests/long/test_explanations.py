"""Explanations of the starter BERT on 200 real reviews can be believed, by the functions of the benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hftune.inference.predictor import Predictor
from tests.benchmarks.faithfulness import faithfulness, flip_counts, interval, texts_of

TEXTS, FLIPS = 200, 40
LONGEST = 24  # words: as three quarters of the reviews; the benchmark asks longer ones too, which take most of the time
STEPS = 250  # half an epoch: enough for a model that knows what it says

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    folder = tmp_path_factory.mktemp("explained")
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "COLUMNS")}
    command = [sys.executable, "-m", "hftune", "run", "bert_cls", "-s", f"training.max_steps={STEPS}", "--skip-check"]
    done = subprocess.run([*command, "--runs-dir", str(folder)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = folder.iterdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield Predictor.load(Path(run), device="cpu")
    torch.set_num_threads(threads)


def test_every_method_is_better_than_chance_and_gradients_are_complete(reviews: Predictor) -> None:
    texts = texts_of(reviews, TEXTS, LONGEST)
    assert len(texts) == TEXTS
    tallies = faithfulness(reviews, texts, insertion=False)
    for name, tally in tallies.items():
        low, _ = interval(tally.gained)
        assert low > 0, name
    assert max(tallies["integrated-gradients"].errors) < 0.01


def test_few_changed_words_flip_what_the_model_is_sure_of(reviews: Predictor) -> None:
    counts = flip_counts(reviews, texts_of(reviews, None), FLIPS)
    assert len(counts) == FLIPS
    assert sum(map(bool, counts)) >= 0.8 * FLIPS
