"""A run's model as the exact files of a repository: written anew from the loaded model, nothing is copied."""

from __future__ import annotations

import copy
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune import methods
from hftune.errors import HftuneError, UsageError
from hftune.inference.predictor import Predictor
from hftune.methods import full
from hftune.modeling import onnx_graph
from hftune.modeling.from_hub import VOCABULARIES
from hftune.sharing import parity
from hftune.sharing.base import known_licence, name_on_hub, public_base
from hftune.sharing.errors import PushError
from hftune.sharing.facts import Facts, gather
from hftune.sharing.model_card import TITLE, Published, model_card
from hftune.sharing.usage import Loading, Weights

if TYPE_CHECKING:
    from hftune.inference.loading import LoadedRun

Note = Callable[[str], None]

# All that a repository may hold: what transformers and peft read of a model, and the card. A new kind of file is
# published once it stands here, never because it happened to lie in a folder.
_ALLOWED = frozenset(
    {
        TITLE,
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        onnx_graph.NAME,
        "adapter_config.json",
        "adapter_model.safetensors",
        *VOCABULARIES,
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
    }
)
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
GATE_ROWS = 100  # that a merged model is asked before it is published
OWN_MODULES = {"lstm": "hftune.modeling.lstm"}  # architectures that transformers does not have


@dataclass(frozen=True)
class File:
    """One file of a repository, `size` in bytes."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Staged:
    """A repository ready to be published, in a folder."""

    folder: Path
    weights: Weights
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def is_allowed(name: str) -> bool:
    """Return whether a file of this name may be in a repository that hftune makes."""
    return name in _ALLOWED or _SHARD.fullmatch(name) is not None


def is_weights(name: str) -> bool:
    """Return whether a file of this name says what a model's weights are, or holds them."""
    return name.startswith(("adapter_", "model.safetensors")) or _SHARD.fullmatch(name) is not None


def choose_weights(loaded: LoadedRun, wanted: Weights | None, base_is_there: bool = True) -> Weights:
    """Return how the weights are published: an adapter whose base is on the Hub alone, any other merged into it.

    `base_is_there`: whether the Hub that it goes to has that base, as far as is known. Raises UsageError for an adapter
    where there is none, or where nobody could find its base.
    """
    if not hasattr(loaded.model, "peft_config"):
        if wanted == "adapter":
            hint = "Leave --adapter out: the whole model is published."
            raise UsageError(f"{loaded.path.name} has no adapter: its method is {loaded.recipe.method.name}", hint)
        return "whole"
    there = name_on_hub(loaded.recipe.model) is not None and base_is_there
    if wanted == "adapter" and not there:
        hint = "Leave --adapter out: adapter and base are published as one model."
        base = public_base(loaded.recipe.model)
        raise UsageError(f"the base model {base} is on no Hub: who loads the adapter cannot get it", hint)
    return wanted or ("adapter" if there else "merged")


def stage(predictor: Predictor, repo: str, weights: Weights, licence: str | None, folder: Path, note: Note) -> Staged:
    """Write the repository `repo` of a loaded run into an empty `folder`; scores the model for its card.

    A merged model is asked beside the run, and refused when it answers otherwise (ParityError), as an export is. The
    predictor's model is another one afterwards (merged).
    """
    facts = gather(predictor, note)
    published = Published(repo, weights, licence or known_licence(facts.recipe.model))
    note(_WRITING[weights])
    if weights == "merged":
        try:
            asked = parity.questions(predictor, GATE_ROWS, note)
        except HftuneError as error:
            message = f"a merged model is published once it answered as the run does, on held-out rows: {error.message}"
            raise PushError(message, error.hint) from error
        expected = parity.reference(predictor, asked)
        write_model(predictor.loaded, weights, folder)
        note("asking the merged model")
        found = parity.ask(folder, "transformers", predictor.task, asked, None, OWN_MODULES.get(facts.model_type))
        parity.compare(asked, expected, found).require()
    else:
        write_model(predictor.loaded, weights, folder)
    card = model_card(facts, published, _loading(predictor, facts, published))
    (folder / TITLE).write_text(card, encoding="utf-8")
    _drop_others(folder, note)
    return Staged(folder, weights, files_of(folder))


_WRITING: dict[Weights, str] = {
    "whole": "writing the model",
    "adapter": "writing the adapter",
    "merged": "adding the adapter into its base model",
}


def write_model(loaded: LoadedRun, weights: Weights, folder: Path) -> None:
    """Write config, weights and tokenizer as plain transformers (or peft) reads them; `merged` changes the model."""
    if weights == "merged":
        full.save(merge(loaded.model), folder)
    else:
        methods.registry.load(loaded.recipe.method.name).save(_as_kept(loaded), folder)
    loaded.tokenizer.save_pretrained(folder)


def _as_kept(loaded: LoadedRun) -> Any:
    """Return the model in the format of its run's files: one in bf16 is computed in fp32 on many processors."""
    import torch

    kept, model = getattr(loaded.model.config, "dtype", None), loaded.model
    if loaded.recipe.compress is None or kept != torch.bfloat16 or model.dtype == kept:
        return model
    return copy.deepcopy(model).to(kept)


def merge(model: Any) -> Any:
    """Return the plain model that answers as the adapter on its base does: W + (alpha / r) B A (Hu et al. 2021, eq. 3).

    The adapter's own modules are used up. Raises HftuneError where a sum is not finite.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, about layers it has to copy
        try:
            return model.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise HftuneError(f"the adapter cannot be added into its base: {error}") from error


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder to write to, which takes the name `folder` once all went well; otherwise nothing is left.

    Raises UsageError, before anything is written, where something of that name is there: what it holds is not ours.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", hint="Choose a new folder for --output, or delete it first.")
    new = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        yield new
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def files_of(folder: Path) -> tuple[File, ...]:
    """Return the files of a folder, by name."""
    return tuple(File(path.name, path, path.stat().st_size) for path in sorted(folder.iterdir()))


def _drop_others(folder: Path, note: Note) -> None:
    for path in folder.iterdir():
        if is_allowed(path.name) and path.is_file() and not path.is_symlink():
            continue
        note(f"{path.name} is not published: it is no file of a model")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _loading(predictor: Predictor, facts: Facts, published: Published) -> Loading:
    from hftune.tasks._encoding import token_limit

    recipe = facts.recipe
    own = OWN_MODULES.get(facts.model_type)
    return Loading(
        repo=published.repo,
        task=recipe.task.name,
        weights=published.weights,
        base=name_on_hub(recipe.model) or "",
        revision=facts.environment.get("model_revision"),
        max_length=token_limit(recipe.data, predictor.loaded.model.config, predictor.loaded.tokenizer)[0],
        imports=[own] if own else [],
        pairs=recipe.data.text_pair is not None,
        several_labels=len(facts.labels) > 1,
        chats=recipe.data.messages is not None,
        prompt=recipe.data.prompt or "",
        mask=predictor.mask or "",
        kept=facts.kept,
    )
