"""A run directory answers: finished or at a checkpoint, full or LoRA, alone or in a batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hftune.errors import RunError, UsageError
from hftune.inference.predictor import OutOfMemoryError, Predictor
from hftune.runs import layout

TEXTS = ["the film was good", "the plot was dull and i found it very boring ! ! !", "bad", "", "a lovely warm story"]

PLAIN = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, base, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
if base:
    from peft import PeftModel
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    model = PeftModel.from_pretrained(plain, folder)
else:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
assert not any(name.startswith("hftune") for name in sys.modules)
with torch.no_grad():
    print(json.dumps([model.eval()(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in texts]))
"""


def plain_logits(run: Path, base: str, texts: list[str]) -> list[list[float]]:
    command = [sys.executable, "-P", "-c", PLAIN, str(run / layout.MODEL), base, json.dumps(texts)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def difference(left: Any, right: Any) -> float:
    return max(abs(a - b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True))


def last_step(run: Path) -> int:
    step = layout.checkpoint_step(layout.checkpoints(run)[-1])
    assert step is not None
    return step


def test_a_trained_run_gives_the_labels_it_learned(full_run: Path) -> None:
    predictions = Predictor.load(full_run).classify(["the film was lovely", "the film was awful"])
    assert [prediction.label for prediction in predictions] == ["positive", "negative"]
    assert all(sum(prediction.probabilities.values()) == pytest.approx(1) for prediction in predictions)


@pytest.mark.parametrize("kind", ["full_run", "lora_run"])
def test_logits_equal_those_of_plain_transformers_and_peft(
    kind: str, request: pytest.FixtureRequest, tiny_bert_folder: Path
) -> None:
    run = request.getfixturevalue(kind)
    ours = [prediction.logits for prediction in Predictor.load(run).classify(TEXTS)]
    base = str(tiny_bert_folder) if kind == "lora_run" else ""
    assert difference(ours, plain_logits(run, base, TEXTS)) < 1e-5


@pytest.mark.parametrize("kind", ["full_run", "lora_run"])
def test_a_text_alone_and_in_a_padded_batch_gets_the_same_answer(kind: str, request: pytest.FixtureRequest) -> None:
    predictor = Predictor.load(request.getfixturevalue(kind))
    together = predictor.classify(TEXTS, batch_size=len(TEXTS))
    alone = [predictor.classify([text])[0] for text in TEXTS]
    assert difference([one.logits for one in together], [one.logits for one in alone]) < 1e-5


def test_answers_come_in_the_order_of_the_texts_whatever_the_batch_size(full_run: Path) -> None:
    predictor = Predictor.load(full_run)
    texts = [("very " * (number % 7)) + ("good" if number % 2 else "bad") for number in range(50)]
    assert [one.label for one in predictor.classify(texts, 3)] == [one.label for one in predictor.classify(texts, 50)]


@pytest.mark.parametrize("kind", ["full_run", "lora_run"])
def test_a_checkpoint_answers_while_there_is_no_finished_model(
    kind: str, request: pytest.FixtureRequest, copied: Any
) -> None:
    import shutil

    run = copied(request.getfixturevalue(kind))
    finished = Predictor.load(run)
    step = last_step(run)
    shutil.rmtree(run / layout.MODEL)
    predictor = Predictor.load(run, step)
    assert predictor.labels == finished.labels
    assert len(predictor.classify(TEXTS)) == len(TEXTS)
    with pytest.raises(RunError, match="no finished model") as caught:
        Predictor.load(run)
    assert f"{run.name}@{step}" in caught.value.hint


def test_a_missing_step_names_those_that_are_there(full_run: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint of step 3") as caught:
        Predictor.load(full_run, 3)
    assert f"{full_run.name}@{last_step(full_run)}" in caught.value.hint


def test_loading_and_asking_writes_nothing(full_run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(full_run.rglob("*"))}
    Predictor.load(full_run).classify(TEXTS)
    assert {path: path.stat().st_mtime_ns for path in sorted(full_run.rglob("*"))} == before


def test_a_generator_has_no_labels_and_a_classifier_writes_no_text(classifier: Path, generator: Path) -> None:
    with pytest.raises(UsageError, match="no labels") as caught:
        Predictor.load(generator).classify(["a"])
    assert "hftune generate" in caught.value.hint
    with pytest.raises(UsageError, match="no text") as caught:
        Predictor.load(classifier).generate("a")
    assert "hftune predict" in caught.value.hint


def test_a_multi_label_model_gives_every_label_above_one_half(tmp_path: Path, runs: Any) -> None:
    run = runs.classifier_run(tmp_path / "multi", problem_type="multi_label_classification")
    prediction = Predictor.load(run).classify(["the movie was bad"])[0]
    assert prediction.label == tuple(name for name, share in prediction.probabilities.items() if share > 0.5)
    expected = [1 / (1 + 2.718281828459045**-logit) for logit in prediction.logits]
    assert list(prediction.probabilities.values()) == pytest.approx(expected)


def test_a_regression_model_gives_its_number(tmp_path: Path, runs: Any) -> None:
    run = runs.classifier_run(tmp_path / "number", ["score"], problem_type="regression")
    prediction = Predictor.load(run).classify(["the movie was bad"])[0]
    assert (prediction.label, prediction.probabilities) == (None, {})
    assert prediction.answer == prediction.value == prediction.logits[0]


def test_pairs_are_read_together_and_asked_for(tmp_path: Path, runs: Any) -> None:
    data = {"text_pair": "other", "rows": [{"text": "a", "other": "b", "label": "negative"}]}
    predictor = Predictor.load(runs.classifier_run(tmp_path / "pairs", data=data))
    one, other = predictor.classify(["the film", "the film"], pairs=["good", "bad"])
    assert one.logits != other.logits
    with pytest.raises(UsageError, match="two texts each"):
        predictor.classify(["the film"])


def test_windows_of_a_long_text_are_pooled_as_the_recipe_says(tmp_path: Path, runs: Any) -> None:
    data = {"max_length": 8, "too_long": "window", "window": {"stride": 2, "pooling": "mean"}}
    predictor = Predictor.load(runs.classifier_run(tmp_path / "windows", data=data))
    # Six tokens of text a window, two shared: 0-6, 4-10.
    words = ["the", "movie", "was", "bad", "good", "great", "awful", "not", "very", "plot"]
    prediction = predictor.classify([" ".join(words)])[0]
    parts = predictor.classify([" ".join(words[:6]), " ".join(words[4:])])
    assert (prediction.windows, prediction.truncated, prediction.tokens) == (2, False, 12)
    mean = [sum(pair) / 2 for pair in zip(parts[0].logits, parts[1].logits, strict=True)]
    assert prediction.logits == pytest.approx(mean, abs=1e-5)


def test_a_text_that_is_cut_says_so(classifier: Path) -> None:
    short, long = Predictor.load(classifier).classify(["the film", "the " * 40])
    assert (short.truncated, short.tokens) == (False, 4)
    assert (long.truncated, long.tokens) == (True, 42)


def test_half_a_surrogate_pair_is_read_as_a_replacement(classifier: Path) -> None:
    assert Predictor.load(classifier).classify(["good \ud83d film"])[0].label


def test_gpt2_without_pad_token_classifies_padded_batches(tmp_path: Path, runs: Any) -> None:
    import torch
    from transformers import GPT2ForSequenceClassification

    tokenizer = runs.byte_tokenizer()
    names = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    config = runs.gpt2_config(len(tokenizer), pad_token_id=0, problem_type="single_label_classification", **names)
    torch.manual_seed(0)
    data = {"rows": [{"text": "a", "label": "no"}]}
    run = runs.make_run(
        tmp_path / "gpt2", GPT2ForSequenceClassification(config), tokenizer, "text-classification", data
    )
    predictor = Predictor.load(run)
    texts = ["The film was good.", "bad", "The plot is bad, the ending dreadful."]
    together = [one.logits for one in predictor.classify(texts)]
    assert difference(together, [predictor.classify([text])[0].logits for text in texts]) < 1e-5


def test_memory_that_runs_out_is_one_clear_error(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(classifier)

    def refuse(**batch: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(predictor.loaded.model, "forward", refuse)
    with pytest.raises(OutOfMemoryError, match="memory ran out") as caught:
        predictor.classify(["a"])
    assert "--batch-size" in caught.value.hint


def test_a_cancelled_list_ends_early(classifier: Path) -> None:
    answers = iter([False, False, True])
    predictor = Predictor.load(classifier)
    assert len(predictor.classify(["a"] * 64 * 3, 2, cancelled=lambda: next(answers))) == 0
