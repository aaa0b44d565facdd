"""LoRA: where the matrices go, what learns beside them, and what is said of modules that are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from hftune.errors import ModelError, RecipeError
from hftune.methods import lora
from hftune.modeling.loading import load_config
from hftune.recipe.paths import public_name
from hftune.recipe.schema import ModelSection

TINY = {"vocab_size": 60, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SIZES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    "albert": {
        "hidden_size": 16,
        "embedding_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "opt": {
        "word_embed_proj_dim": 16,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 32,
    },
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
}


def classifier(kind: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **{**TINY, **SIZES[kind]}))


def adapted(model: Any, task: str = "text-classification", **options: Any) -> Any:
    return lora.adapt(model, lora.Config(**options), ModelSection(id="someone/model", revision="abc"), task)


def learning(model: Any) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bert", {"query", "value"}),
        ("roberta", {"query", "value"}),
        ("distilbert", {"q_lin", "v_lin"}),
        ("albert", {"query", "value"}),
        ("gpt2", {"c_attn"}),
        ("opt", {"q_proj", "v_proj"}),
    ],
)
def test_each_architecture_has_its_usual_targets(kind: str, expected: set[str]) -> None:
    model = adapted(classifier(kind))
    targets = {name.split(".lora_A")[0].rsplit(".", 1)[-1] for name in learning(model) if "lora_A" in name}
    assert targets == expected


def test_an_unlisted_architecture_gets_all_linear_layers_but_the_head() -> None:
    model = adapted(classifier("xlnet"))
    names = [name for name in learning(model) if "lora_A" in name]
    assert names
    assert not any("logits_proj" in name for name in names)


@pytest.mark.parametrize(
    ("kind", "heads"),
    [
        ("bert", ["classifier"]),
        ("roberta", ["classifier.dense", "classifier.out_proj"]),
        ("distilbert", ["pre_classifier", "classifier"]),
        ("gpt2", ["score"]),
        ("xlnet", ["sequence_summary", "logits_proj"]),
    ],
)
def test_the_whole_head_learns_and_is_saved(kind: str, heads: list[str]) -> None:
    model = adapted(classifier(kind))
    whole = {name for name in learning(model) if "lora_" not in name}
    assert all("modules_to_save" in name for name in whole)
    for head in heads:
        assert any(f".{head.split('.')[0]}." in name for name in whole), head
        assert any(f".{head}." in f".{name}" for name in lora.trainable_state(model)), head


def test_only_adapter_and_head_are_in_the_state() -> None:
    model = adapted(classifier("bert"))
    names = set(lora.trainable_state(model))
    assert len(names) == len(learning(model))
    assert all("lora_" in name or "classifier" in name for name in names)


def test_weights_that_the_checkpoint_lacks_learn_and_are_saved(tiny_bert_folder: Path) -> None:
    """A masked language model has no pooler: a new one, frozen and not saved, could never be rebuilt."""
    from transformers import AutoTokenizer

    from hftune.modeling.loading import load_model

    section = ModelSection(id=str(tiny_bert_folder))
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert_folder)
    model = load_model(AutoModelForSequenceClassification, section, tiny_bert_folder, tokenizer, {"num_labels": 2})
    state = lora.trainable_state(lora.adapt(model, lora.Config(), section, "text-classification"))
    assert any("pooler.dense.weight" in name for name in state)


def test_a_tied_language_head_is_not_new(tiny_gpt2_folder: Path) -> None:
    from transformers import AutoTokenizer

    from hftune.modeling.loading import load_model

    section = ModelSection(id=str(tiny_gpt2_folder))
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    model = load_model(AutoModelForCausalLM, section, tiny_gpt2_folder, tokenizer, {})
    state = lora.trainable_state(lora.adapt(model, lora.Config(), section, "text-generation"))
    assert all("lora_" in name for name in state)


@pytest.mark.parametrize("build", ["check", "adapt"])
def test_modules_that_do_not_exist_are_answered_by_those_that_do(build: str) -> None:
    config = lora.Config(target_modules=["quary", "value"], modules_to_save=["poolr"])
    section = ModelSection(id="someone/model")
    with pytest.raises(RecipeError) as caught:
        if build == "check":
            base = AutoConfig.for_model("bert", **{**TINY, **SIZES["bert"]})
            lora.check(config, section, base, "text-classification")
        else:
            lora.adapt(classifier("bert"), config, section, "text-classification")
    first, second = caught.value.problems
    assert (first.key, first.hint) == ("method.target_modules", "Did you mean 'query'?")
    assert "'quary'" in first.message
    assert "dense, key, " in first.message
    assert "value" in first.message
    assert (second.key, second.hint) == ("method.modules_to_save", "Did you mean 'pooler'?")
    assert caught.value.exit_code == 2


def test_gpt2_names_its_own_modules() -> None:
    base = AutoConfig.for_model("gpt2", **{**TINY, **SIZES["gpt2"]})
    with pytest.raises(RecipeError, match="c_attn, c_fc, c_proj"):
        lora.check(lora.Config(target_modules="query"), ModelSection(id="gpt2"), base, "text-generation")
    lora.check(lora.Config(target_modules="c_attn"), ModelSection(id="gpt2"), base, "text-generation")


OWN_CODE = """
from transformers import BertConfig, BertForSequenceClassification

class OwnConfig(BertConfig):
    model_type = "of-its-own"

class OwnModel(BertForSequenceClassification):
    config_class = OwnConfig
"""


def test_a_model_that_brings_its_own_code_is_checked_when_that_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "own_model.py").write_text(OWN_CODE)
    names = {"AutoConfig": "own_model.OwnConfig", "AutoModelForSequenceClassification": "own_model.OwnModel"}
    fields = {"model_type": "of-its-own", "auto_map": names, **TINY, **SIZES["bert"]}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    section = ModelSection(id=str(tmp_path), trust_remote_code=True)
    base = load_config(section, tmp_path)
    lora.check(lora.Config(target_modules=["query"]), section, base, "text-classification")
    with pytest.raises(RecipeError, match="quary"):
        lora.check(lora.Config(target_modules=["quary"]), section, base, "text-classification")


def test_an_architecture_without_such_a_head_is_named() -> None:
    base = AutoConfig.for_model("vit")
    with pytest.raises(ModelError, match="some/vit: the model cannot be built"):
        lora.check(lora.Config(target_modules=["query"]), ModelSection(id="some/vit"), base, "text-generation")


def test_an_adapter_needs_a_base() -> None:
    section = ModelSection(architecture="bert", tokenizer="x")
    with pytest.raises(RecipeError, match="pretrained weights"):
        lora.adapt(classifier("bert"), lora.Config(), section, "text-classification")


def test_transposed_layers_are_adapted_as_such(recwarn: pytest.WarningsRecorder) -> None:
    model = adapted(classifier("gpt2"))
    assert model.peft_config["default"].fan_in_fan_out is True
    assert not [str(warning.message) for warning in recwarn if "Conv1D" in str(warning.message)]


def test_biases_learn_when_asked() -> None:
    assert not any("bias" in name for name in learning(adapted(classifier("bert"))) if "classifier" not in name)
    assert any("LayerNorm.bias" in name for name in learning(adapted(classifier("bert"), bias="all")))
    only = {name for name in learning(adapted(classifier("bert"), bias="lora_only")) if "classifier" not in name}
    assert {name.rsplit(".", 3)[-3] for name in only if name.endswith("bias")} == {"query", "value"}


def test_config_names_hub_id_and_revision(tmp_path: Path) -> None:
    lora.save(adapted(classifier("bert"), r=4, lora_alpha=8), tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["base_model_name_or_path"], saved["revision"]) == ("someone/model", "abc")
    assert (saved["r"], saved["lora_alpha"], saved["task_type"]) == (4, 8, "SEQ_CLS")
    assert saved["modules_to_save"] == ["classifier", "score"]


def test_a_folder_is_named_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for reference in (str(tmp_path / "mine" / "bert"), "mine/bert", "./mine/bert", "/not/there/bert"):
        assert public_name(reference) == "bert"
    assert public_name("~nobody-is-called-so/bert") == "bert"
    assert public_name("google-bert/bert-base-uncased") == "google-bert/bert-base-uncased"
    assert public_name("hftune:tiny") == "hftune:tiny"


@pytest.mark.parametrize("wrong", [{"r": 0}, {"lora_alpha": 0}, {"lora_dropout": 1.0}, {"bias": "some"}, {"rank": 8}])
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        lora.Config(**wrong)


def test_masked_language_models_can_be_adapted_too() -> None:
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model("bert", **{**TINY, **SIZES["bert"]}))
    assert learning(adapted(model, task="fill-mask"))
