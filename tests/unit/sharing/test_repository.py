"""What is published of a run: the model's files and the card, whatever else lies in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hftune.errors import UsageError
from hftune.inference.predictor import Predictor
from hftune.sharing.push import Wish, dry_run
from hftune.sharing.repository import Staged, choose_weights, is_allowed
from hftune.sharing.usage import Weights

TEXTS = ["the film was good", "a dull scene .", "we loved it and never a boring plot !"]


def quiet(_: str) -> None:
    return None


def staged(run: Path, folder: Path, weights: Weights | None = None, **wish: object) -> Staged:
    return dry_run(Wish(run, "anna/model", weights=weights, **wish), folder, quiet)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "README.md"])
def test_files_of_a_model_are_allowed(name: str) -> None:
    assert is_allowed(name)


@pytest.mark.parametrize(
    "name",
    [
        ".env", ".gitattributes", "optimizer.safetensors", "trainable.safetensors", "log.txt", "events.jsonl",
        "state.json", "recipe.yaml", "environment.json", "pytorch_model.bin", "training_args.bin", "model.py",
        "Config.json", "config.json.bak", "../config.json", "sub/config.json", "tokenizer.pkl", "run.lock",
    ],
)  # fmt: skip
def test_nothing_else_is(name: str) -> None:
    assert not is_allowed(name)


def test_what_lies_in_a_run_directory_is_never_published(
    full_run: Path, copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    run, secret = copied(full_run), tmp_path / "secret"
    secret.write_text("SECRET")
    for folder in (run, run / "model"):
        (folder / ".env").write_text("HF_TOKEN=SECRET")
        (folder / "optimizer.safetensors").write_bytes(b"SECRET")
        (folder / "notes.txt").write_text("SECRET")
        (folder / "link.json").symlink_to(secret)
    (run / "model" / "merges.txt").symlink_to(secret)  # the name of a file that may be published
    (run / "model" / "chat_template.json").symlink_to(secret)
    found = staged(run, tmp_path / "out")
    names = [file.name for file in found.files]
    assert names == ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert not any(b"SECRET" in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", ["full_run", "lstm_run", "language_run", "mask_run"])
def test_the_weights_are_those_of_the_run_to_the_byte(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(kind)
    staged(run, tmp_path / "out")
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (run / "model" / name).read_bytes()


def test_nothing_of_this_machine_is_in_it(full_run: Path, lora_run: Path, tmp_path: Path) -> None:
    for number, run in enumerate((full_run, lora_run)):
        folder = tmp_path / f"out-{number}"
        staged(run, folder)
        for path in folder.iterdir():
            content = path.read_bytes()
            assert str(run.parent).encode() not in content, path.name
            assert b"/pytest-of" not in content, path.name


def test_a_merged_model_answers_as_its_adapter_does(lora_run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    found = staged(lora_run, tmp_path / "out")
    assert found.weights == "merged", "its base is a folder of this machine"
    predictor = Predictor.load(lora_run)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.inference_mode():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    expected = [torch.tensor(prediction.logits) for prediction in predictor.classify(TEXTS)]
    torch.testing.assert_close(torch.stack(logits), torch.stack(expected), rtol=0, atol=1e-5)
    assert model.config.id2label == predictor.loaded.model.config.id2label
    assert not (tmp_path / "out" / "adapter_config.json").exists()


def test_an_adapter_alone_is_refused_where_nobody_finds_its_base(lora_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is on no Hub") as caught:
        staged(lora_run, tmp_path / "out", weights="adapter")
    assert "as one model" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_refused_where_there_is_none(full_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no adapter"):
        staged(full_run, tmp_path / "out", weights="adapter")


def test_an_adapter_whose_base_is_on_the_hub_goes_alone(lora_run: Path) -> None:
    loaded = Predictor.load(lora_run).loaded
    public = loaded.recipe.model.model_copy(update={"id": "acme/tiny-bert"})
    object.__setattr__(loaded, "recipe", loaded.recipe.model_copy(update={"model": public}))
    assert choose_weights(loaded, None) == "adapter"
    assert choose_weights(loaded, "merged") == "merged"


def test_a_starter_is_on_no_hub(lora_run: Path) -> None:
    loaded = Predictor.load(lora_run).loaded
    starter = loaded.recipe.model.model_copy(update={"id": "hftune:gpt2-mini"})
    object.__setattr__(loaded, "recipe", loaded.recipe.model_copy(update={"model": starter}))
    assert choose_weights(loaded, None) == "merged"
    with pytest.raises(UsageError, match="hftune:gpt2-mini is on no Hub"):
        choose_weights(loaded, "adapter")


def test_a_checkpoint_can_be_published(full_run: Path, tmp_path: Path) -> None:
    step = min(int(path.name.removeprefix("step-")) for path in (full_run / "checkpoints").iterdir())
    staged(full_run, tmp_path / "out", step=step)
    assert f"its checkpoint of step {step}" in (tmp_path / "out" / "README.md").read_text()


def test_a_dry_run_again_gives_the_same(full_run: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        staged(full_run, tmp_path / f"out-{number}")
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / f"out-{number}").iterdir()} for number in (1, 2)
    )
    assert first == second


@pytest.mark.parametrize("name", ["thesis.txt", "model.safetensors"])
def test_what_is_there_is_never_written_over(full_run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    for taken in ("out", "link", "file"):
        with pytest.raises(UsageError, match="is there already"):
            staged(full_run, tmp_path / taken)
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_an_empty_folder_will_do(full_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    staged(full_run, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").is_file()


def test_the_run_is_only_read(full_run: Path, tmp_path: Path) -> None:
    def state() -> dict[str, bytes]:
        return {str(path.relative_to(full_run)): path.read_bytes() for path in full_run.rglob("*") if path.is_file()}

    before = state()
    staged(full_run, tmp_path / "out")
    assert state() == before


def test_config_says_what_transformers_needs(full_run: Path, tmp_path: Path) -> None:
    staged(full_run, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "negative", "1": "positive"}
