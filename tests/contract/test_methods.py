"""Every method keeps its protocol: what learns, what a checkpoint holds, what others can load without hftune."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoTokenizer

from hftune.errors import ModelError, RecipeError
from hftune.methods import registry
from hftune.modeling.loading import load_config
from hftune.modeling.tokenizer import ensure_pad_token
from hftune.recipe.schema import PluginConfig, Recipe
from hftune.tasks import Prepared
from hftune.tasks import registry as tasks

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "evaluate", "numpy")
TEXTS = ["the film was good", "the plot was bad and very boring", "we loved it", "a dull scene ."]
LABELS = ["positive", "negative", "neither", "negative"]
KINDS = [
    ("text-classification", "tiny_bert_folder"),
    ("text-classification", "tiny_gpt2_folder"),
    ("text-generation", "tiny_gpt2_folder"),
    ("fill-mask", "tiny_bert_folder"),
]
PLAIN_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}


@dataclass
class Bench:
    """A task's data and recipe on one base model, for one method."""

    recipe: Recipe
    folder: Path
    prepared: Prepared
    method: Any
    task: Any

    def model(self, seed: int, **options: Any) -> Any:
        torch.manual_seed(seed)
        plain = self.task.load_model(self.recipe, self.folder, self.prepared)
        config = self.method.Config(**options)
        return self.method.adapt(plain, config, self.recipe.model, self.recipe.task.name)

    def batch(self) -> dict[str, torch.Tensor]:
        return self.prepared.collate(list(self.prepared.splits["train"]))

    def logits(self, model: Any) -> torch.Tensor:
        names = ("input_ids", "attention_mask", "token_type_ids")
        found: torch.Tensor = model(**{name: tensor for name, tensor in self.batch().items() if name in names}).logits
        return found

    def loss(self, model: Any) -> torch.Tensor:
        found: torch.Tensor = self.task.loss(self.recipe, self.prepared, self.logits(model), self.batch())
        return found

    def trained(self, **options: Any) -> Any:
        model = self.model(seed=0, **options).train()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=1e-2)
        for _ in range(3):
            self.loss(model).backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.eval()


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1].split('_')[1]}")
def kind(request: pytest.FixtureRequest) -> tuple[str, Path]:
    return request.param[0], Path(request.getfixturevalue(request.param[1]))


@pytest.fixture(params=registry.names())
def bench(request: pytest.FixtureRequest, kind: tuple[str, Path]) -> Bench:
    task_name, folder = kind
    task, method = tasks.load(task_name), registry.load(request.param)
    recipe = Recipe.model_validate(
        {
            "name": "contract",
            "task": {"name": task_name, "options": {}, "config": task.Config()},
            "model": str(folder),
            "data": {"rows": [{"text": "a", "label": "b"}]},
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ensure_pad_token(tokenizer)
    train = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    base_config = load_config(recipe.model, folder)
    try:
        method.check(method.Config(), recipe.model, base_config, task_name)
    except RecipeError as refusal:
        assert task_name != "text-classification", refusal  # which every method can do
        pytest.skip(str(refusal))
    prepared = task.prepare(recipe, {"train": train}, tokenizer, base_config)
    return Bench(recipe, folder, prepared, method, task)


@pytest.mark.parametrize("name", registry.names())
def test_loading_a_method_imports_nothing_heavy(name: str) -> None:
    code = (
        f"import sys, json; from hftune.methods import registry; registry.load({name!r}).Config(); "
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", registry.names())
def test_names_of_the_protocol_are_there(name: str) -> None:
    method = registry.load(name)
    assert issubclass(method.Config, PluginConfig)
    assert 0 < method.DEFAULT_LEARNING_RATE < 1
    assert all(field.description for field in method.Config.model_fields.values())


def test_only_what_learns_gets_gradients_and_moves(bench: Bench) -> None:
    model = bench.model(seed=0).train()
    bench.loss(model).backward()
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            assert weight.grad is None, name
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert learning
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_state_rebuilds_the_model_on_a_fresh_base(bench: Bench) -> None:
    model = bench.trained()
    state = {name: tensor.detach().clone() for name, tensor in bench.method.trainable_state(model).items()}
    fresh = bench.model(seed=7).eval()
    with torch.no_grad():
        assert not torch.allclose(bench.logits(fresh), bench.logits(model), atol=1e-4)
        bench.method.load_state(fresh, state)
        assert torch.equal(bench.logits(fresh), bench.logits(model))
    assert list(bench.method.trainable_state(fresh)) == list(state)


def test_state_of_another_model_is_refused_and_changes_nothing(bench: Bench) -> None:
    model = bench.model(seed=0)
    state = {name: tensor.detach().clone() + 1 for name, tensor in bench.method.trainable_state(model).items()}
    before = {name: tensor.detach().clone() for name, tensor in bench.method.trainable_state(model).items()}
    last = list(state)[-1]
    with pytest.raises(ModelError, match="1 missing"):
        bench.method.load_state(model, {name: tensor for name, tensor in state.items() if name != last})
    with pytest.raises(ModelError, match="has shape"):
        bench.method.load_state(model, {**state, last: state[last].flatten()[:-1]})
    after = bench.method.trainable_state(model)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


# One process for all cases: importing torch and peft takes longer than everything else here.
PLAIN = """
import json, pathlib, sys
sys.modules["hftune"] = None  # importing it would raise
import peft, torch, transformers
from safetensors.torch import load_file, save_file
for line in sys.stdin:
    folder, base, kind, batch = json.loads(line)
    auto = getattr(transformers, kind)
    if (pathlib.Path(folder) / "adapter_config.json").exists():
        config = transformers.AutoConfig.from_pretrained(folder)
        model = peft.PeftModel.from_pretrained(auto.from_pretrained(base, config=config), folder)
    else:
        model = auto.from_pretrained(folder)
    with torch.no_grad():
        save_file({"logits": model.eval()(**load_file(batch)).logits.contiguous()}, batch + ".out")
    print(json.dumps(model.config.id2label), flush=True)
"""


@pytest.fixture(scope="module")
def plain_process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PLAIN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)


@pytest.mark.parametrize("options", [{}, {"bias": "all"}, {"bias": "lora_only", "target_modules": "all-linear"}])
def test_saved_model_answers_the_same_in_a_process_without_hftune(
    bench: Bench, options: dict[str, Any], tmp_path: Path, plain_process: subprocess.Popen[str]
) -> None:
    from safetensors.torch import save_file

    if not set(options) <= set(bench.method.Config.model_fields):
        pytest.skip("the method has no such options")
    model = bench.trained(**options)
    bench.method.save(model, tmp_path / "model")
    names = ("input_ids", "attention_mask", "token_type_ids")
    save_file({name: tensor for name, tensor in bench.batch().items() if name in names}, tmp_path / "batch")
    kind = PLAIN_CLASSES[bench.recipe.task.name]
    assert plain_process.stdin is not None
    assert plain_process.stdout is not None
    request = [str(tmp_path / "model"), str(bench.folder), kind, str(tmp_path / "batch")]
    plain_process.stdin.write(json.dumps(request) + "\n")
    plain_process.stdin.flush()
    labels = json.loads(plain_process.stdout.readline())
    with torch.no_grad():
        expected = bench.logits(model)
    torch.testing.assert_close(load_file(tmp_path / "batch.out")["logits"], expected, rtol=1e-5, atol=1e-5)
    if bench.recipe.task.name == "text-classification":
        assert list(labels.values()) == ["negative", "neither", "positive"]


def test_saved_files_tell_no_private_path_and_can_be_read(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir(mode=0o755)
    bench.method.save(bench.model(seed=0), folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == folder.stat().st_mode & 0o666
        assert str(bench.folder.parent).encode() not in path.read_bytes()


def test_saving_is_silent(bench: Bench, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = bench.model(seed=0)
    capfd.readouterr()
    bench.method.save(model, tmp_path / "model")
    assert capfd.readouterr() == ("", "")
