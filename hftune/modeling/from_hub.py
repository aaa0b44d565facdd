"""Model files from the local Hub cache, or from the Hub itself: only what is needed, and never a pickle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hftune.errors import ModelError
from hftune.hub import endpoint

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
INDEX = "model.safetensors.index.json"
# One of these makes a tokenizer; without any, transformers builds a one-token vocabulary and says nothing.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
)
TOKENIZER_CONFIG = "tokenizer_config.json"

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLED = re.compile(r".*\.(bin|pt|pth|pkl|ckpt)$")
# Vocabularies and merges of every tokenizer family, chat templates, and the small JSON files beside them.
_TOKENIZER = re.compile(
    r"[^/]*(vocab|merges|spiece|sentencepiece|tokenizer|special_tokens|added_tokens)[^/]*|spm\.model|bpe\.codes"
)
_EXTRA = {CONFIG, ADAPTER_CONFIG, "generation_config.json", "chat_template.jinja", "chat_template.json"}


def wanted_files(names: Iterable[str], *, weights: bool, code: bool) -> list[str]:
    """Return the files of a repository to fetch; only its top folder counts (onnx/ and the like are other formats)."""
    top = sorted(name for name in names if "/" not in name)
    wanted = [
        name
        for name in top
        if name in _EXTRA
        or (_TOKENIZER.fullmatch(name) and not _PICKLED.fullmatch(name) and not name.endswith(".safetensors"))
        or (code and name.endswith(".py"))
    ]
    if weights:
        wanted += weight_files(top)
    return sorted(set(wanted))


def weight_files(names: Iterable[str]) -> list[str]:
    """Return the safetensors files to load: one file, an adapter, or the shards with their index; [] when none."""
    present = set(names)
    if single := [name for name in WEIGHTS if name in present]:
        return single[:1]
    if INDEX in present:
        return [INDEX, *sorted(name for name in present if _SHARD.fullmatch(name))]
    return []


def require_safetensors(names: Iterable[str], where: str) -> None:
    """Raise ModelError when `names` hold no safetensors weights, naming the pickled ones there are."""
    listed = [name for name in names if "/" not in name]
    if weight_files(listed):
        return
    pickled = [name for name in listed if _PICKLED.fullmatch(name)]
    if pickled:
        raise ModelError(
            f"{where} has its weights only as pickled files ({', '.join(pickled[:3])})",
            hint="Reading a pickle runs code from it, so hftune reads safetensors only. "
            "Choose a repository or revision that has model.safetensors.",
        )
    raise ModelError(f"{where} has no weights", hint="A model folder holds config.json and model.safetensors.")


def has_tokenizer(names: Iterable[str], *, code: bool) -> bool:
    """Return whether the files `names` of a folder make a tokenizer; `code`: one of the repository's own code too."""
    present = set(names)
    return bool(present & set(VOCABULARIES)) or (code and TOKENIZER_CONFIG in present)


def cached(model_id: str, revision: str | None, *, weights: bool, tokenizer: bool, code: bool = False) -> Path | None:
    """Return the snapshot in the local Hub cache when all that is wanted of it is there, without asking the network.

    `weights`: config and weights; `tokenizer`: what makes a tokenizer, one from the repository's `code` included.
    """
    from huggingface_hub import try_to_load_from_cache

    marks = (CONFIG, ADAPTER_CONFIG) if weights else (*VOCABULARIES, TOKENIZER_CONFIG)
    found = (try_to_load_from_cache(model_id, name, revision=revision or "main") for name in marks)
    folder = next((Path(path).parent for path in found if isinstance(path, str)), None)
    if folder is None:
        return None
    names = {path.name for path in folder.iterdir() if path.exists()}  # a link whose blob has gone does not count
    whole = (not weights or _weights_whole(folder, names)) and (not tokenizer or has_tokenizer(names, code=code))
    return folder if whole else None


def _weights_whole(folder: Path, names: set[str]) -> bool:
    """An index wants every shard it lists."""
    files = weight_files(names)
    if files[:1] != [INDEX]:
        return bool(files)
    import json

    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return set(listed.values()) <= names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # cut short or damaged: fetched again


def download(model_id: str, revision: str | None, *, weights: bool, code: bool) -> tuple[Path, str]:
    """Fetch a model from the Hub; return its snapshot folder and commit.

    Raises ModelError for a repository, revision or file that is not there or not ours to read; other errors of the
    network come through as they are (OSError and httpx errors).
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    silent = are_progress_bars_disabled()
    disable_progress_bars()  # the display has its own line for this phase
    try:
        info = HfApi(endpoint=endpoint()).model_info(model_id, revision=revision, timeout=10)
        names = [sibling.rfilename for sibling in info.siblings or ()]
        if weights:
            require_safetensors(names, f"{model_id} on the Hub")
        files = wanted_files(names, weights=weights, code=code)
        folder = snapshot_download(model_id, revision=info.sha, allow_patterns=files, endpoint=endpoint())
        return Path(folder), str(info.sha)
    except GatedRepoError:
        raise ModelError(
            f"{model_id} asks for its licence to be accepted",
            hint=f"Accept it at {endpoint()}/{model_id}, then set HF_TOKEN or run `hf auth login`.",
        ) from None
    except RevisionNotFoundError:
        raise ModelError(
            f"{model_id} has no revision {revision!r} on the Hub", hint="A revision is a branch, tag or commit."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        from hftune.modeling.catalogue import suggestion

        raise ModelError(
            f"no model {model_id!r} on the Hub, or it is private",
            hint=f"{suggestion(model_id)} For a private one set HF_TOKEN or run `hf auth login`.",
        ) from None
    finally:
        if not silent:
            enable_progress_bars()
