"""Exports answer as the run does, in any batch, and one that does not is not kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hftune import cli
from hftune.errors import DataError, ModelError, UsageError
from hftune.inference.predictor import Predictor
from hftune.modeling import onnx_graph
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.sharing import export as export_module
from hftune.sharing import parity, parity_process
from hftune.sharing.export import export
from hftune.sharing.parity import Kind, Parity, ParityError, Questions, compare
from hftune.sharing.parity_process import onnx_run
from hftune.tasks._labels import MULTI, REGRESSION
from tests.conftest import CHATML
from tests.unit.inference.conftest import classifier_run, generator_run

TEXTS = ["good", "the film was good", "a dull scene .", "we loved it and never a boring plot !"]
MODEL = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def quiet(_: str) -> None:
    return None


def exported(run: Path, kind: Kind, folder: Path, rows: int = 30) -> Parity:
    return export(run, None, kind, folder, rows, quiet).parity


def the_lines_run(folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["lora_run", "lstm_run"])
def test_transformers_reads_an_export(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = request.getfixturevalue(kind)
    capfd.readouterr()
    found = exported(run, "transformers", tmp_path / "out")
    assert capfd.readouterr() == ("", ""), "no bar of transformers'"
    assert names(tmp_path / "out") == MODEL
    assert (found.split, found.agreed) == ("test", found.rows)
    assert found.difference < 1e-5


def test_peft_reads_an_adapter(lora_run: Path, tmp_path: Path) -> None:
    found = exported(lora_run, "adapter", tmp_path / "out")
    assert {"adapter_config.json", "adapter_model.safetensors"} < set(names(tmp_path / "out"))
    assert "model.safetensors" not in names(tmp_path / "out")
    assert found.difference < 1e-5


@pytest.mark.parametrize("kind", ["lora_run", "lstm_run"])
def test_a_graph_gives_a_classifiers_logits_in_any_batch(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(kind)
    found = exported(run, "onnx", tmp_path / "out")
    assert names(tmp_path / "out") == [
        "README.md",
        "config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert found.agreed == found.rows
    assert found.difference < 1e-5
    from transformers import AutoTokenizer

    predictor = Predictor.load(run)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ask = onnx_run(tmp_path / "out" / "model.onnx")
    limit = predictor.loaded.recipe.data.max_length
    padded = tokenizer(TEXTS, padding=True, truncation=True, max_length=limit, return_tensors="np")
    together = ask({name: np.asarray(values, np.int64) for name, values in padded.items()})
    expected = np.array([prediction.logits for prediction in predictor.classify(TEXTS)])
    np.testing.assert_allclose(together[:, -1], expected[:, -1], atol=1e-5)
    the_lines_run(tmp_path / "out")


@pytest.mark.parametrize("kind", ["language_run", "mask_run"])
def test_a_graph_gives_a_language_models_logits(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = request.getfixturevalue(kind)
    found = exported(run, "onnx", tmp_path / "out")
    assert found.agreed == found.rows
    assert found.difference < 1e-4
    if kind == "language_run":
        assert found.prompts == found.same_texts > 0
    loaded = Predictor.load(run).loaded
    import torch

    ids = loaded.tokenizer("good", add_special_tokens=False, return_tensors="pt")["input_ids"][:, :1]
    with torch.inference_mode():
        expected = loaded.model(input_ids=ids).logits.numpy()
    given = {
        "input_ids": ids.numpy(),
        "attention_mask": np.ones((1, 1), np.int64),
        "token_type_ids": np.zeros((1, 1), np.int64),
    }
    np.testing.assert_allclose(onnx_run(tmp_path / "out" / "model.onnx")(given), expected, atol=1e-4)


def test_an_export_that_answers_otherwise_is_refused_and_not_kept(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = export_module._write

    def spoiled(predictor: Predictor, kind: Kind, folder: Path) -> None:
        predictor.loaded.model.classifier.weight.data.mul_(-1)
        write(predictor, kind, folder)

    monkeypatch.setattr(export_module, "_write", spoiled)
    assert cli.run(["export", str(full_run), "--to", "transformers", "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "does not answer as the run does" in said
    assert "Nothing was kept" in said
    assert list(tmp_path.glob("*out*")) == []


def test_an_export_that_cannot_be_loaded_is_refused(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export_module._write

    def torn(predictor: Predictor, kind: Kind, folder: Path) -> None:
        write(predictor, kind, folder)
        (folder / "model.safetensors").write_bytes(b"torn")

    monkeypatch.setattr(export_module, "_write", torn)
    with pytest.raises(ParityError, match="cannot be loaded without hftune"):
        exported(full_run, "transformers", tmp_path / "out")
    assert not (tmp_path / "out").exists()


NOTHING: dict[str, Any] = {"texts": [], "prompts": []}


def both(
    ours: Any,
    theirs: Any,
    written: dict[str, Any] = NOTHING,
    found: dict[str, Any] = NOTHING,
    kind: str | None = None,
) -> Parity:
    asked = Questions("test", [], [], 8, kind=kind)
    sides = [np.array(one, np.float32) for one in (ours, theirs)]
    return compare(asked, {**written, "logits": sides[0]}, {**found, "logits": sides[1]})


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.0], [0.0, 1.0]], 2),
        ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]], 1),
        ([[0.5], [-0.5]], [[0.4], [0.4]], 1),
    ],
)
def test_answers_are_counted(ours: Any, theirs: Any, agreed: int) -> None:
    found = both(ours, theirs)
    assert found.agreed == agreed
    with pytest.raises(ParityError):
        found.require()


def test_the_gate_is_passed_by_the_same_answers_alone() -> None:
    both([[1.0, 0.0]], [[1.0002, 0.0]]).require()
    for spoiled in ([[1.002, 0.0]], [[np.nan, 0.0]], [[np.inf, 0.0]]):
        with pytest.raises(ParityError):
            both([[1.0, 0.0]], spoiled).require()
    same = {"texts": ["a b"], "prompts": [[1, 2]]}
    both([[1.0]], [[1.0]], same, same).require()
    for other in ({"texts": ["a c"], "prompts": [[1, 2]]}, {"texts": ["a b"], "prompts": [[1, 3]]}):
        with pytest.raises(ParityError):
            both([[1.0]], [[1.0]], same, other).require()


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ([[5.0, 0.0004], [5.0, -0.0003]], [[5.0, -0.0004], [5.0, 0.0003]], 0),
        ([[-5.0, -5.0], [0.1, 1.0]], [[-5.0001, -5.0], [0.1, 1.0]], 2),
    ],
)
def test_each_of_several_labels_counts(ours: Any, theirs: Any, agreed: int) -> None:
    assert both(ours, theirs, kind=MULTI).agreed == agreed


def test_a_number_agrees_by_its_difference_alone() -> None:
    found = both([[1e-7], [3.0]], [[-1e-7], [3.0]], kind=REGRESSION)
    found.require()
    assert found.agreed is None
    assert not any("same answer" in line for line in found.lines())
    with pytest.raises(ParityError):
        both([[1.0]], [[1.002]], kind=REGRESSION).require()


LONG = "the movie was good and the plot was awful but the ending was great and not dreadful at all , very fine !"


@pytest.mark.parametrize(
    ("columns", "config"),
    [({}, {}), ({"text_pair": "pair"}, {}), ({}, {"problem_type": MULTI, "negative_label": "bad"})],
)
def test_a_classifiers_reference_is_what_the_run_answers(
    columns: dict[str, str], config: dict[str, str], tmp_path: Path
) -> None:
    """Texts that it would read in windows are cut until they are none, those of a pair too."""
    labels = ["good"] if config else ["bad", "good"]
    rows = [{"text": text, "pair": "very good !", "label": "good"} for text in (*TEXTS, LONG, "", None)]
    windows = {"max_length": 12, "too_long": "window", "window": {"stride": 2}}
    data = {"rows": {"train": rows, "test": rows}, **windows, **columns}
    predictor = Predictor.load(classifier_run(tmp_path / "run", labels, data, **config))
    asked = parity.questions(predictor, 30, quiet)
    assert len(asked.items) == len(TEXTS) + 1, "rows without a text are not asked"
    assert asked.windows
    pairs = [item["pair"] for item in asked.items] if columns else None
    own = predictor.classify([item["text"] for item in asked.items], pairs=pairs)
    assert {prediction.windows for prediction in own} == {1}
    found = parity.reference(predictor, asked)["logits"]
    assert found.shape[1] == len(labels)
    np.testing.assert_allclose(found, np.array([one.logits for one in own])[:, -len(labels) :], atol=1e-6)
    run = parity_process.torch_run(predictor.loaded.model)
    theirs = parity_process.logits(run, predictor.loaded.tokenizer, predictor.task, asked.items, asked.limit)
    np.testing.assert_allclose(found, theirs, atol=1e-5)


def test_windows_are_said_to_need_hftune() -> None:
    assert "hftune alone reads them in windows" in Parity("test", 1, 0.0, 1, windows=True).lines()[-1]


def test_a_long_word_leaves_the_mask_in_its_text(mask_run: Path) -> None:
    tokenizer = Predictor.load(mask_run).loaded.tokenizer
    for text in ("good" * 100 + " film", "a good film", " ".join(["good"] * 100), "x", "坏电影"):
        masked = parity._masked(text, tokenizer, 12)
        ids = tokenizer(masked, truncation=True, max_length=12)["input_ids"]
        assert tokenizer.mask_token_id in ids, text
    assert parity._masked("a good film", tokenizer, 12) == "a [MASK] film"


@pytest.mark.parametrize("positions", [16, 32, 64])
def test_a_small_context_is_not_overrun(positions: int, tmp_path: Path) -> None:
    texts = ["The film was good. It was very good! naïve", "bad", "", None]
    rows = {"train": [{"text": "good"}], "test": [{"text": text} for text in texts]}
    run = generator_run(tmp_path / "run", {"rows": rows, "validation_share": 0}, positions=positions)
    predictor = Predictor.load(run)
    asked = parity.questions(predictor, 30, quiet)
    assert all(len(one["ids"]) + one["most"] <= positions for one in asked.prompts)
    assert len(parity.reference(predictor, asked)["texts"]) == 2


def test_conversations_are_asked_up_to_their_first_question(tmp_path: Path) -> None:
    said = [{"role": role, "content": f"{role} speaks"} for role in ("system", "assistant", "user")]
    system, assistant, user = said
    talks = [[user, assistant], [assistant, user, assistant, user], [system, user], [assistant], [system], None]
    rows = {"train": [{"messages": said}], "test": [{"messages": talk} for talk in talks]}
    data = {"rows": rows, "messages": "messages", "validation_share": 0}
    predictor = Predictor.load(generator_run(tmp_path / "run", data, CHATML, positions=256))
    found = [one["text"] for one in parity.questions(predictor, 30, quiet).prompts]
    assert [text.count("speaks") for text in found] == [1, 2, 2]
    assert all("user speaks" in text for text in found)


def test_rows_that_ask_nothing_are_told(tmp_path: Path) -> None:
    rows = {"train": [{"text": "good"}], "test": [{"text": ""}]}
    run = generator_run(tmp_path / "run", {"rows": rows, "validation_share": 0})
    with pytest.raises(DataError, match="no row of test can be asked"):
        parity.questions(Predictor.load(run), 30, quiet)


def ask_script(script: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script.write_text(code)
    monkeypatch.setattr(parity_process, "__file__", str(script))
    parity.ask(script.parent, "transformers", "fill-mask", Questions("test", [], [], 8), None, None)


def test_the_other_process_finds_no_module_beside_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").touch()
    with pytest.raises(ParityError, match="No module named 'beside'"):
        ask_script(tmp_path / "script.py", "import beside", monkeypatch)


def test_an_export_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "SECONDS", 0.5)
    with pytest.raises(ParityError, match="gave no answer within"):
        ask_script(tmp_path / "script.py", "import threading; threading.Event().wait()", monkeypatch)


def test_what_has_no_graph_says_what_has() -> None:
    with pytest.raises(
        ModelError, match="distilbert models cannot be exported to ONNX here; those that can: bert, gpt2"
    ) as caught:
        onnx_graph.check_architecture("distilbert")
    assert "--to transformers" in caught.value.hint


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model can be loaded."""
    monkeypatch.setattr(export_module, "Predictor", None)


def test_a_model_larger_than_a_graph_is_refused(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 1000)
    monkeypatch.setattr(parity, "questions", None)
    with pytest.raises(ModelError, match="an ONNX graph holds 1000 B of them at most") as caught:
        exported(full_run, "onnx", tmp_path / "out")
    assert "--to transformers" in caught.value.hint


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("folder", ["model", "model_init"])
def test_what_has_no_graph_is_told_before_the_model_is_loaded(
    full_run: Path, copied: Callable[[Path], Path], folder: str, tmp_path: Path
) -> None:
    run = copied(full_run)
    config = run / folder / "config.json"
    config.write_text(config.read_text().replace('"model_type": "bert"', '"model_type": "distilbert"'))
    with pytest.raises(ModelError, match="distilbert models cannot be exported"):
        exported(run, "onnx", tmp_path / "out")


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("kind", ["transformers", "adapter", "onnx"])
def test_a_model_with_its_own_code_is_refused(
    full_run: Path, copied: Callable[[Path], Path], kind: Kind, tmp_path: Path
) -> None:
    run = copied(full_run)
    recipe = load_recipe(run / "recipe.yaml")
    model = recipe.model.model_copy(update={"trust_remote_code": True})
    (run / "recipe.yaml").write_text(dump_recipe(recipe.model_copy(update={"model": model})))
    with pytest.raises(UsageError, match="code of its own") as caught:
        exported(run, kind, tmp_path / "out")
    assert "model/" in caught.value.hint


@pytest.mark.usefixtures("unloaded")
def test_a_missing_package_is_named_before_the_model_is_loaded(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ModelError, match="ONNX needs onnxscript") as caught:
        exported(full_run, "onnx", tmp_path / "out")
    assert "hftune[onnx]" in caught.value.hint


@pytest.mark.usefixtures("unloaded")
def test_only_an_adapter_is_exported_as_one(full_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no adapter"):
        exported(full_run, "adapter", tmp_path / "out")


@pytest.mark.usefixtures("unloaded")
def test_what_others_have_in_a_folder_is_spared(full_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        exported(full_run, "transformers", tmp_path / "out")
    assert names(tmp_path / "out") == ["thesis.txt"]


def test_merge_writes_one_model(lora_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["merge", str(lora_run), "--output", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in told["files"]] == names(tmp_path / "out") == MODEL
    assert told["parity"]["agreed"] == told["parity"]["rows"]


def test_merge_is_for_adapters(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["merge", str(full_run)]) == 2
    assert "has no adapter to merge" in capsys.readouterr().err


def test_rows_are_taken_evenly() -> None:
    assert parity._evenly(3, 10) == [0, 1, 2]
    assert parity._evenly(10, 4) == [0, 2, 5, 7]


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--to", "gguf"]])
def test_what_cannot_be_is_a_usage_error(full_run: Path, arguments: list[str]) -> None:
    try:
        code: int | str | None = cli.run(["export", str(full_run), *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2


def test_nothing_of_the_run_is_changed(lora_run: Path, copied: Callable[[Path], Path], tmp_path: Path) -> None:
    run = copied(lora_run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    exported(run, "transformers", tmp_path / "out")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
