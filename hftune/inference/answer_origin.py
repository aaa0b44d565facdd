"""What the answers in a file depend on: the model that gave them, how it read the texts, and where it computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hftune.tasks._answers import label_names, problem_type

if TYPE_CHECKING:
    import torch

    from hftune.inference.loading import LoadedRun

_PACKAGES = ("hftune", "torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Origin:
    """`answers`: where one of these differs, so do answers. `digits`: their last digits may. `run` is for people."""

    run: str
    answers: dict[str, str]
    digits: dict[str, str]

    def other_answers(self, before: Origin) -> list[str]:
        """Return a line for each thing that makes other answers, such as `max_length: 32 before, 64 now`."""
        now = {**self.answers, "model": self.run}
        lines = _differences({**before.answers, "model": before.run}, now)
        if self.answers["model"] == before.answers.get("model"):
            return [line for line in lines if not line.startswith("model:")]
        return lines if self.run != before.run else [f"model: {self.run} is not the same any more", *lines]

    def other_digits(self, before: Origin) -> list[str]:
        """Return a line for each thing that makes other last digits."""
        return _differences(before.digits, self.digits)


def origin_of(loaded: LoadedRun, reading: Mapping[str, str], batch_size: int) -> Origin:
    """Return what the answers of a loaded run depend on; `reading` says how the input is read."""
    import torch

    data = loaded.recipe.data
    answers = {
        "model": model_fingerprint(loaded),
        "max_length": str(data.max_length),
        "too_long": data.too_long,
        "window": f"stride {data.window.stride}, {data.window.pooling}",
        **reading,
    }
    digits = {
        "batch size": str(batch_size),
        "device": _device_name(loaded.model.device),
        "threads": str(torch.get_num_threads()),
        "processor": torch.backends.cpu.get_cpu_capability(),
        **{package: version(package) for package in _PACKAGES},
    }
    step = "" if loaded.step is None else f"@{loaded.step}"
    return Origin(loaded.path.name + step, answers, digits)


def model_fingerprint(loaded: LoadedRun) -> str:
    """Return the SHA-256 of a model as it is in memory: weights, tokenizer, what its outputs mean."""
    import torch

    config = loaded.model.config
    digest = hashlib.sha256(json.dumps([label_names(config), problem_type(config)]).encode())
    digest.update(json.dumps(_tokenizer(loaded.tokenizer), sort_keys=True).encode())
    for name, tensor in sorted(loaded.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    if not tokenizer.is_fast:
        return dict(tokenizer.get_vocab())
    whole: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    # How the last texts were cut and padded stands there too.
    return {name: value for name, value in whole.items() if name not in ("truncation", "padding")}


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*before, *now])
    return [
        f"{name}: {before.get(name, 'none')} before, {now.get(name, 'none')} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _device_name(device: torch.device) -> str:
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
