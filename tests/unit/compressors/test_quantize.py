"""Quantized runs: what is said before one is made, and a result that is asked like any other run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hftune import cli
from hftune.asking.decoding import Decoding
from hftune.asking.protocol import RequestError
from hftune.compressors import quantize
from hftune.compressors._linear_gpt2 import with_linear_layers
from hftune.compressors._parent import load_parent
from hftune.compressors._recipes import compress_recipe
from hftune.errors import ModelError, RecipeError, RunError, UsageError
from hftune.explainers._request import Explaining
from hftune.inference.predictor import Predictor
from hftune.inference.scoring import load_rows, score
from hftune.modeling import onnx_model, processor
from hftune.sharing import parity
from hftune.sharing.export import export
from tests.unit.compressors.quantized import make, write

FORMATS = ("onnx-int8", "torchao-int8", "bf16")
TEXTS = ["good", "the film was good", "a dull scene .", "we loved it and never a boring plot !"]
CPU = torch.device("cpu")


def quiet(_: str) -> None:
    return None


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """Return a function that makes a quantized run of a run, as the pipeline leaves it; once for each."""
    made: dict[tuple[Path, str], Path] = {}

    def once(run: Path, wanted: str) -> Path:
        if (run, wanted) not in made:
            folder = tmp_path_factory.mktemp("quantized") / f"{run.name}-{wanted}"
            write(run, wanted, folder)
            made[run, wanted] = folder
        return made[run, wanted]

    return once


def logits(run: Path, texts: list[str] = TEXTS) -> np.ndarray[Any, Any]:
    return np.array([one.logits for one in Predictor.load(run, device="cpu").classify(texts)])


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_quantized_classifier_answers_as_its_parent_does(quantized: Any, full_run: Path, wanted: str) -> None:
    run = quantized(full_run, wanted)
    ours, theirs = logits(run), logits(full_run)
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    assert not np.array_equal(ours, theirs), "it has fewer bits"
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())
    described = Predictor.load(run, device="cpu").describe()
    assert described["parameters"] == Predictor.load(full_run, device="cpu").describe()["parameters"]


@pytest.mark.parametrize("wanted", FORMATS)
def test_what_is_saved_answers_as_what_was_made(full_run: Path, quantized: Any, wanted: str) -> None:
    _, _, small = make(full_run, wanted)
    loaded = Predictor.load(quantized(full_run, wanted), device="cpu").loaded.model
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.inference_mode():
        assert torch.equal(small.model(input_ids=ids).logits, loaded(input_ids=ids).logits)
    assert not small.learns


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_lora_runs_adapter_is_in_the_quantized_weights(quantized: Any, lora_run: Path, wanted: str) -> None:
    ours, theirs = logits(quantized(lora_run, wanted)), logits(lora_run)
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("kind", ["full_run", "language_run", "mask_run"])
def test_a_quantized_model_answers_without_hftune(
    quantized: Any, kind: str, wanted: str, request: pytest.FixtureRequest
) -> None:
    predictor = Predictor.load(quantized(request.getfixturevalue(kind), wanted), device="cpu")
    asked = parity.questions(predictor, 10, quiet)
    expected = parity.reference(predictor, asked)
    how = "onnx" if wanted == "onnx-int8" else "transformers"
    found = parity.ask(predictor.loaded.path / "model", how, predictor.task, asked, None, None)
    compared = parity.compare(asked, expected, found)
    assert compared.agreed == compared.rows
    assert compared.same_texts == compared.prompts
    assert compared.difference < 1e-3


@pytest.mark.parametrize("wanted", ["onnx-int8", "torchao-int8"])
def test_a_text_has_the_same_answer_alone_and_in_a_batch(quantized: Any, full_run: Path, wanted: str) -> None:
    predictor = Predictor.load(quantized(full_run, wanted), device="cpu")
    together = [one.logits for one in predictor.classify(TEXTS, batch_size=4)]
    alone = [predictor.classify([text])[0].logits for text in TEXTS]
    # A figure beside the border of two steps may still be rounded to the other one.
    np.testing.assert_allclose(together, alone, atol=0.02 * np.abs(alone).max())


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_quantized_generator_writes_and_is_scored(quantized: Any, language_run: Path, wanted: str) -> None:
    predictor, parent = (Predictor.load(run, device="cpu") for run in (quantized(language_run, wanted), language_run))
    greedy = Decoding(temperature=0, max_new_tokens=6)
    assert predictor.generate("the film", greedy).text == parent.generate("the film", greedy).text
    split, rows = load_rows(predictor, None, None, quiet)
    ours, theirs = (score(one, split, rows).metrics["loss"]["value"] for one in (predictor, parent))
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_quantized_model_guesses_masked_words(quantized: Any, mask_run: Path, wanted: str) -> None:
    ours, theirs = (
        Predictor.load(run, device="cpu").fill(["the film was [MASK] ."])[0].masks[0]
        for run in (quantized(mask_run, wanted), mask_run)
    )
    assert ours[0][1] == pytest.approx(theirs[0][1], abs=0.1)
    assert {word for word, _ in ours} & {word for word, _ in theirs}


@pytest.mark.parametrize("wanted", ["onnx-int8", "bf16"])
def test_an_lstm_is_quantized(quantized: Any, lstm_run: Path, wanted: str) -> None:
    ours, theirs = logits(quantized(lstm_run, wanted)), logits(lstm_run)
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())


def test_an_lstms_gates_are_int8_in_the_graph(quantized: Any, lstm_run: Path) -> None:
    import onnx

    graph = onnx.load(quantized(lstm_run, "onnx-int8") / "model" / "model.onnx").graph
    assert "DynamicQuantizeLSTM" in {node.op_type for node in graph.node}


def test_a_graph_is_the_same_each_time(full_run: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        make(full_run, "onnx-int8")[2].save(tmp_path / name)
    first, second = ((tmp_path / name / "model.onnx").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(quantized: Any, full_run: Path) -> None:
    import sysconfig

    import hftune

    graph = (quantized(full_run, "onnx-int8") / "model" / "model.onnx").read_bytes()
    for place in (sysconfig.get_path("purelib"), str(Path(hftune.__file__).parent), "modeling_bert.py", str(full_run)):
        assert place.encode() not in graph


def test_a_generators_answer_ends_where_its_config_says(quantized: Any, language_run: Path) -> None:
    ours, theirs = (
        Predictor.load(run, device="cpu").loaded.model.generation_config.eos_token_id
        for run in (quantized(language_run, "onnx-int8"), language_run)
    )
    assert ours == theirs


def test_linear_layers_give_gpt2s_logits(models: Any) -> None:
    gpt2 = models.gpt2()
    other = with_linear_layers(gpt2)
    ids = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
    with torch.inference_mode():
        torch.testing.assert_close(other(input_ids=ids).logits, gpt2(input_ids=ids).logits, atol=1e-5, rtol=1e-5)
    assert other.lm_head.weight is other.transformer.wte.weight
    assert other.config.eos_token_id == gpt2.config.eos_token_id


def test_a_tied_output_layer_stays_one_with_the_embeddings(quantized: Any, language_run: Path) -> None:
    import safetensors

    with safetensors.safe_open(quantized(language_run, "torchao-int8") / "model" / "model.safetensors", "pt") as file:
        names = list(file.keys())
    assert not any("lm_head" in name for name in names)
    assert any(name.endswith("_weight_qdata") and "c_attn" in name for name in names)


def test_bf16_is_bf16_on_disk_and_computed_so_only_where_the_processor_does(
    quantized: Any, full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors

    run = quantized(full_run, "bf16")
    with safetensors.safe_open(run / "model" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    for native, computed in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(processor, "computes_bf16", lambda device, native=native: native)
        assert Predictor.load(run, device="cpu").loaded.model.dtype == computed


@pytest.mark.parametrize(("wanted", "said"), [("bf16", "no bf16"), ("onnx-int8", "VNNI"), ("torchao-int8", "VNNI")])
def test_what_the_processor_cannot_run_fast_is_said_first(
    full_run: Path, wanted: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "computes_bf16", lambda device: False)
    monkeypatch.setattr(processor, "computes_int8", lambda: False)
    notes: list[str] = []
    make(full_run, wanted, notes.append)
    assert said in notes[0]
    assert notes[-1] == f"quantizing to {wanted}"


@pytest.mark.parametrize(
    ("wanted", "kind", "said"),
    [("onnx-int8", "distilbert", "no tested ONNX graph"), ("torchao-int8", "lstm", "made of others")],
)
def test_a_format_that_does_not_hold_an_architecture_is_refused_early(
    classifier: Path, wanted: str, kind: str, said: str
) -> None:
    from transformers import PreTrainedConfig

    recipe = compress_recipe(classifier, "quantize", [f"compress.format={wanted}"])
    config = PreTrainedConfig()
    config.model_type = kind
    with pytest.raises(RecipeError, match=said) as caught:
        quantize.check(recipe.compress.config, recipe, config)
    assert "bf16" in str(caught.value)
    assert caught.value.problems[0].key == "compress.format"


def test_a_missing_torchao_is_said_with_the_command(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = compress_recipe(classifier, "quantize", ["compress.format=torchao-int8"])
    monkeypatch.setattr(quantize, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs torchao") as caught:
        quantize.check(recipe.compress.config, recipe, load_parent(recipe, CPU).model.config)
    assert caught.value.hint == "pip install 'hftune[torchao]'"


def test_a_missing_onnxruntime_is_said_with_the_command(
    quantized: Any, full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    run = quantized(full_run, "onnx-int8")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="ONNX Runtime, which is not installed") as caught:
        Predictor.load(run)
    assert caught.value.hint == "pip install 'hftune[onnx]'"


def test_a_broken_graph_is_an_error(quantized: Any, full_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(quantized(full_run, "onnx-int8"), tmp_path / "broken")
    (run / "model" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Predictor.load(run)


def test_a_graph_is_asked_on_the_cpu_and_runs_out_of_memory_as_others_do(
    quantized: Any, full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hftune.inference.predictor import OutOfMemoryError

    predictor = Predictor.load(quantized(full_run, "onnx-int8"))
    assert predictor.describe()["device"] == "cpu"

    class Full:
        def run(self, *_: Any) -> None:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    monkeypatch.setattr(predictor.loaded.model, "_session", Full())
    with pytest.raises(OutOfMemoryError):
        predictor.classify(TEXTS)


def test_a_graph_refuses_what_it_has_not(quantized: Any, full_run: Path) -> None:
    predictor = Predictor.load(quantized(full_run, "onnx-int8"))
    assert onnx_model.is_onnx(predictor.loaded.model)
    with pytest.raises(ModelError, match="gives no vectors") as caught:
        predictor.embed(TEXTS)
    assert "compress.parent" in caught.value.hint
    with pytest.raises(ModelError, match="no word vectors"):
        predictor.loaded.model.get_input_embeddings()


@pytest.mark.parametrize("wanted", ["onnx-int8", "torchao-int8"])
def test_what_cannot_be_made_of_int8_weights_is_refused(
    quantized: Any, full_run: Path, wanted: str, tmp_path: Path
) -> None:
    from hftune.inference.loading import auto_class, load_run
    from hftune.modeling.loading import load_model
    from hftune.recipe.schema import ModelSection

    run = quantized(full_run, wanted)
    with pytest.raises(RunError, match="nothing smaller can be made"):
        load_parent(compress_recipe(run, "quantize"), CPU)
    with pytest.raises(UsageError, match="cannot be exported to onnx") as caught:
        export(run, None, "onnx", tmp_path / "out", 10, quiet)
    assert "the run that it was made from" in caught.value.hint
    assert not (tmp_path / "out").exists()
    section = ModelSection(id=str(run / "model"))
    with pytest.raises(ModelError, match="which cannot learn"):
        load_model(auto_class("text-classification"), section, run / "model", load_run(run).tokenizer, {})


def test_bf16_weights_are_exported_as_they_are(
    quantized: Any, full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors

    run = quantized(full_run, "bf16")
    for native in (True, False):
        monkeypatch.setattr(processor, "computes_bf16", lambda device, native=native: native)
        found = export(run, None, "transformers", tmp_path / str(native), 10, quiet)
        assert found.parity.agreed == found.parity.rows
        with safetensors.safe_open(tmp_path / str(native) / "model.safetensors", "pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert export(run, None, "onnx", tmp_path / "onnx", 10, quiet).parity.difference < 1e-3


@pytest.mark.parametrize("wanted", ["onnx-int8", "torchao-int8"])
def test_a_model_without_gradients_is_explained_by_ablation_where_nobody_says(
    quantized: Any, full_run: Path, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(quantized(full_run, wanted))
    assert cli.run(["explain", run, "the film was good", "--json"]) == 0
    assert [one["method"] for one in json.loads(capsys.readouterr().out)["methods"]] == ["ablation"]
    assert cli.run(["explain", run, "the film was good", "--method", "integrated-gradients"]) == 2
    said = capsys.readouterr().err
    assert "integrated-gradients needs gradients" in said
    assert "ablation and lime and shap" in said
    assert cli.run(["explain", run, "the film was good", "--method", "counterfactual", "--json"]) == 0
    assert "counterfactuals" in json.loads(capsys.readouterr().out)


def test_the_worker_explains_a_model_without_gradients(quantized: Any, full_run: Path) -> None:
    predictor = Predictor.load(quantized(full_run, "onnx-int8"))
    asked = {"text": "the film was good"}
    found = Explaining().answer(predictor, asked, quiet, lambda: False)
    assert found is not None
    assert [one["method"] for one in found["methods"]] == ["ablation"]
    with pytest.raises(RequestError, match="needs gradients") as caught:
        Explaining().answer(predictor, {**asked, "methods": ["integrated-gradients"]}, quiet, lambda: False)
    assert caught.value.code == "not-available"
