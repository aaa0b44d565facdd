"""The pretrained model that a run began from can be asked beside the tuned one."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hftune.asking.decoding import Decoding
from hftune.asking.protocol import Events
from hftune.errors import RunError
from hftune.inference.predictor import Predictor
from hftune.inference.worker import Worker
from hftune.runs import layout

GREEDY = Decoding(temperature=0, max_new_tokens=8)
TEXTS = ["the film was good", "the plot was dull"]


@pytest.fixture
def moved(copied: Any, full_run: Path, tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """A run whose base is in a folder that is gone."""
    run = copied(full_run)
    recipe = run / layout.RECIPE
    text = recipe.read_text(encoding="utf-8")
    assert str(tiny_bert_folder) in text
    recipe.write_text(text.replace(str(tiny_bert_folder), str(tmp_path / "gone" / "bert")), encoding="utf-8")
    return Path(run)


def serve(run: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    out, lines = io.BytesIO(), b"".join(json.dumps(one).encode() + b"\n" for one in requests)
    Worker(io.BytesIO(lines), Events(out), lambda reference: (Path(reference), None), (run, None)).serve()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_base_has_the_pretrained_weights(language_run: Path, tiny_gpt2_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, tuned = Predictor.load_base(language_run), Predictor.load(language_run)
    plain = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder).eval()
    tokens = AutoTokenizer.from_pretrained(tiny_gpt2_folder)("the film", return_tensors="pt")
    with torch.no_grad():
        expected, found, learned = (model(**tokens).logits for model in (plain, base.loaded.model, tuned.loaded.model))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(learned, expected, atol=1e-2)
    assert "good" in tuned.generate("the film", GREEDY).text and "good" not in base.generate("the film", GREEDY).text
    assert (base.describe()["is_base"], base.describe()["untrained_head"]) == (True, False)


@pytest.mark.parametrize("kind", ["full_run", "lora_run"])
def test_the_base_of_a_classifier_has_the_labels_and_says_that_its_head_is_random(
    kind: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(kind)
    base = Predictor.load_base(run)
    said = base.describe()
    assert said["is_base"] and said["untrained_head"] and said["labels"] == ["negative", "positive"]
    assert not any("lora" in name for name, _ in base.loaded.model.named_parameters())
    again = Predictor.load_base(run).classify(TEXTS)
    assert [one.logits for one in base.classify(TEXTS)] == [one.logits for one in again]
    tuned = Predictor.load(run)
    assert not tuned.describe()["untrained_head"] and not tuned.describe()["is_base"]
    assert [one.logits for one in tuned.classify(TEXTS)] != [one.logits for one in again]


def test_a_base_that_knows_masked_words_already_is_whole(mask_run: Path) -> None:
    said = Predictor.load_base(mask_run).describe()
    assert said["is_base"] and not said["untrained_head"] and said["mask"] == "[MASK]"


def test_the_base_can_be_asked_while_the_run_has_no_checkpoint(full_run: Path, copied: Any) -> None:
    run = copied(full_run)
    shutil.rmtree(run / layout.MODEL)
    shutil.rmtree(run / layout.CHECKPOINTS)
    assert len(Predictor.load_base(run).classify(TEXTS)) == 2
    shutil.rmtree(run / layout.MODEL_INIT)
    with pytest.raises(RunError, match=r"model_init/config\.json yet") as caught:
        Predictor.load_base(run)
    assert "hftune watch" in caught.value.hint


def test_a_worker_holds_a_run_and_its_base(full_run: Path) -> None:
    ask = {"op": "classify", "texts": TEXTS}
    load = {"id": 1, "op": "load", "base": True, "model": "beside"}
    events = serve(full_run, load, {"id": 2, **ask, "model": "beside"}, {"id": 3, **ask})
    results = {one["id"]: one["data"] for one in events if one["event"] == "result"}
    assert results["start"]["is_base"] is False and results[1]["is_base"] is True
    assert results[1]["run"] == results["start"]["run"]
    assert results[2] != results[3]
    assert any(one.get("message") == f"loading the base of {full_run.name}" for one in events)


def test_a_base_that_is_gone_is_an_error_that_says_so_and_the_run_still_answers(moved: Path) -> None:
    events = serve(
        moved,
        {"id": 1, "op": "load", "base": True, "model": "beside"},
        {"id": 2, "op": "load", "base": "yes"},
        {"id": 3, "op": "classify", "texts": TEXTS},
    )
    errors = {one["id"]: one for one in events if one["event"] == "error"}
    assert errors[1]["code"] == "run"
    assert "the model that the run began from cannot be found any more" in errors[1]["message"]
    assert "gone/bert" in errors[1]["message"] and errors[1]["hint"]
    assert errors[2]["code"] == "bad-request"


def test_a_model_from_scratch_has_no_base(lstm_run: Path) -> None:
    (error,) = [one for one in serve(lstm_run, {"id": 1, "op": "load", "base": True}) if one["event"] == "error"]
    assert error["code"] == "run" and "made from scratch" in error["message"]
