"""What pretrained weights take: those that are loaded, once, in whichever form they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hftune.inference import sizes
from hftune.inference.sizes import base_bytes
from hftune.modeling.resolve import ResolvedModel
from hftune.recipe.load import load_recipe
from tests.unit.compressors.runs import write_recipe


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"model.safetensors": 100, "pytorch_model.bin": 110, "onnx/model.bin": 7, "old/model.safetensors": 9}, 100),
        ({"pytorch_model-1.bin": 50, "pytorch_model-2.bin": 60, "config.json": 5, "old/model.safetensors": 9}, 110),
        ({"model-1.safetensors": 50, "model-2.safetensors": 60}, 110),
        ({"config.json": 5}, 0),
    ],
)
def test_only_the_form_that_is_loaded_counts(
    files: dict[str, int], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, run = tmp_path / "base", tmp_path / "run"
    for name, size in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(b"x" * size)
    (run / "model").mkdir(parents=True)
    recipe = load_recipe(write_recipe(tmp_path, "adapter", str(base), {"rows": [{"text": "a", "label": "b"}]}))
    monkeypatch.setattr(sizes, "resolve_model", lambda *_, **__: ResolvedModel(base, str(base), None, "a folder"))
    assert base_bytes(recipe, run) == 0  # the model is whole
    (run / "model" / "adapter_config.json").write_text("{}")
    assert base_bytes(recipe, run) == expected
