"""A staged repository onto the Hub in one commit: made once, also when an answer is lost on the way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import HftuneError, UsageError
from hftune.hub import endpoint
from hftune.sharing.errors import PushError, explain, status_of
from hftune.sharing.model_card import TITLE
from hftune.sharing.patience import LONGEST_PAUSE, Patience, worth_another_try
from hftune.sharing.repository import File, Staged, is_weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Somebody else's commit came between, or the Hub takes it to be so.
_CONFLICT = frozenset({409, 412})
_MOST_CONFLICTS = 2
_FIRST_FILE = ".gitattributes"  # what the Hub puts into a new repository

# (bytes that went out, bytes in all)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Place:
    """A repository as it is on the Hub: `head` is its newest commit, both None where there is none yet."""

    repo: str
    head: str | None
    private: bool | None

    @property
    def url(self) -> str:
        """Its page."""
        return f"{endpoint()}/{self.repo}"


@dataclass(frozen=True)
class Changes:
    """What a push does to the files that are there: those it adds, replaces and removes."""

    add: tuple[File, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Pushed:
    """What a push came to; `unchanged`: the Hub had exactly these files, no commit was made."""

    repo: str
    url: str
    commit: str
    private: bool
    unchanged: bool


def look(api: HfApi, repo: str, patience: Patience) -> Place:
    """Return what the Hub has of a repository; raises PushError when it does not answer."""

    def ask() -> Place:
        try:
            info = api.model_info(repo)
        except Exception as error:
            if status_of(error) != 404:
                raise
            return Place(repo, None, None)
        return Place(repo, str(info.sha), bool(info.private))

    return patience.ask("looking at the repository", repo, ask)


def settle_visibility(place: Place, asked: bool | None) -> bool:
    """Return whether the repository will be private; raises UsageError where that would surprise.

    `asked`: True for private, False for public, None for not said: a new repository is private then.
    """
    if asked is None and place.private is False:
        hint = "Give --public to push there all the same, --private to hide the whole repository, or another name."
        raise UsageError(f"{place.repo} is there already and public: everybody would see this model", hint)
    return place.private is not False if asked is None else asked


def changes(api: HfApi, place: Place, staged: Staged, patience: Patience) -> Changes:
    """Return what would be done to the repository as it is.

    Of the files that are there, weights in another form go (they would be loaded in place of these); all others stay.
    """
    there: dict[str, Any] = {}
    if place.head is not None:
        entries = patience.ask("comparing with what is there", place.repo, lambda: _tree(api, place))
        there = {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}
    add = [file for file in staged.files if file.name not in there or not _same(file, there[file.name])]
    kept = {file.name for file in staged.files}
    return Changes(
        tuple(add),
        tuple(file.name for file in add if file.name in there),
        tuple(name for name in there if is_weights(name) and name not in kept),
    )


def require_own_card(api: HfApi, place: Place, planned: Changes, patience: Patience) -> None:
    """Raise UsageError when the push would replace a README that hftune did not write."""
    if TITLE not in planned.replaced:
        return
    from huggingface_hub import ModelCard

    def ask() -> str:
        found = api.hf_hub_download(place.repo, TITLE, revision=place.head)
        return Path(found).read_text(encoding="utf-8", errors="replace")

    text = patience.ask("reading the model card that is there", place.repo, ask)
    try:
        ours = "hftune" in (ModelCard(text).data.tags or ())
    except Exception:  # no metadata, or some that cannot be read: not of hftune
        ours = False
    if not ours:
        hint = "Give --replace to have it replaced all the same (the Hub keeps the old one), or choose another name."
        raise UsageError(f"{place.repo} has a README that hftune did not write", hint)


def upload(
    api: HfApi, place: Place, private: bool, staged: Staged, message: str, patience: Patience, progress: Progress
) -> Pushed:
    """Bring the repository to hold `staged`, and say what came of it; raises PushError.

    At most one commit is made. Each try begins by comparing what the Hub has, so an answer that was lost (the commit
    is there, nobody said so) is found out and nothing is sent twice. `place` is what was agreed to: a repository that
    is another one by now is left alone.
    """
    if place.head is None:
        place = _create(api, place, private, patience)
    elif private and not place.private:
        place = _show(api, place, private, patience)  # hidden before anything new is in it
    commit, unchanged = _commit(api, place, staged, message, patience, progress)
    if place.private and not private:
        place = _show(api, place, private, patience)  # shown once it is whole
    return Pushed(place.repo, place.url, commit, bool(place.private), unchanged)


def _create(api: HfApi, place: Place, private: bool, patience: Patience) -> Place:
    def ask() -> None:
        try:
            api.create_repo(place.repo, private=private, exist_ok=False)
        except Exception as error:
            if status_of(error) != 409:
                raise

    patience.ask("making the repository", place.repo, ask)
    made = look(api, place.repo, patience)
    # It may be ours all the same: the answer to the first try was lost.
    names = [entry.path for entry in patience.ask("looking at it", place.repo, lambda: _tree(api, made))]
    if made.head is None or (private and not made.private) or set(names) - {_FIRST_FILE}:
        raise PushError(f"{place.repo} was made by somebody else at this moment", hint="Look at it, then push again.")
    return made


def _show(api: HfApi, place: Place, private: bool, patience: Patience) -> Place:
    def ask() -> None:
        api.update_repo_settings(place.repo, private=private)

    patience.ask("changing who may see the repository", place.repo, ask)
    now = look(api, place.repo, patience)
    if now.private != private:
        raise PushError(f"{place.repo} is {'private' if now.private else 'public'} all the same", hint=_LOOK)
    return replace(place, private=private)


_LOOK = "Look at it, then push again."


def _commit(
    api: HfApi, place: Place, staged: Staged, message: str, patience: Patience, progress: Progress
) -> tuple[str, bool]:
    """Return the commit that has `staged`, and whether it was there before."""
    pause, tried, conflicts = 1.0, False, 0
    while True:
        now = look(api, place.repo, patience)
        if now.private != place.private:
            raise PushError(f"somebody changed who may see {place.repo} while this was on its way", hint=_LOOK)
        planned = changes(api, now, staged, patience)
        if now.head is not None and not planned.add and not planned.removed:
            return now.head, not tried
        if now.head is None or now.head != place.head:
            hint = f"Look at {place.url}/commits/main, then push again."
            raise PushError(f"{place.repo} was changed by somebody else while this was on its way", hint)
        tried = True
        try:
            with _reading(planned.add, patience, progress) as additions:
                made = api.create_commit(
                    place.repo,
                    [*additions, *_deletions(planned.removed)],
                    commit_message=message,
                    parent_commit=now.head,
                )
            return str(made.oid), False
        except HftuneError:
            raise
        except Exception as error:
            if (ours := _ours(error)) is not None:
                raise ours from error
            conflict = status_of(error) in _CONFLICT
            conflicts += conflict
            again = worth_another_try(error) or (conflict and conflicts <= _MOST_CONFLICTS)
            if not again or pause >= patience.left:
                raise explain(error, "uploading", place.repo) from error
            patience.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _ours(error: BaseException | None) -> HftuneError | None:
    """Return the error of ours (no time is left, nobody listens) that the client wrapped into one of its own."""
    while error is not None and not isinstance(error, HftuneError):
        error = error.__cause__
    return error


def _tree(api: HfApi, place: Place) -> list[Any]:
    return list(api.list_repo_tree(place.repo, revision=place.head, recursive=True))


def _same(file: File, entry: Any) -> bool:
    """Whether a file of ours is what the Hub has: by size, then by SHA-256 of a large file or git's name of a small."""
    if entry.size != file.size:
        return False
    if entry.lfs is not None:
        with file.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == str(entry.lfs.sha256)
    content = file.path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == str(entry.blob_id)


def _deletions(names: tuple[str, ...]) -> list[Any]:
    from huggingface_hub import CommitOperationDelete

    return [CommitOperationDelete(path_in_repo=name, is_folder=False) for name in names]


class _reading:  # noqa: N801 - used as a statement
    """The operations that add files, which are read through a counter while they go out."""

    def __init__(self, files: tuple[File, ...], patience: Patience, progress: Progress) -> None:
        self._files, self._patience, self._progress = files, patience, progress
        self._open: list[Counted] = []

    def __enter__(self) -> list[Any]:
        from huggingface_hub import CommitOperationAdd

        total = sum(file.size for file in self._files)
        at: dict[str, int] = {}
        operations = []
        for file in self._files:

            def went(position: int, begins: bool, name: str = file.name) -> None:
                at[name] = position
                self._patience.bytes_went(begins)
                try:
                    self._progress(sum(at.values()), total)
                except OSError as error:  # it would be taken for one of the network, and tried again
                    raise PushError("whoever was told how far it is has gone: nothing more is sent") from error

            opened = Counted(file.path, went)
            self._open.append(opened)
            operations.append(CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=opened))
        for opened in self._open:
            opened.goes_out = True  # up to here it was read for its checksum
        return operations

    def __exit__(self, *_: object) -> None:
        for opened in self._open:
            opened.close()


class Counted(io.BufferedReader):
    """A file that tells how far it was read. Being no path, it goes through git-lfs and not through Xet: one commit."""

    def __init__(self, path: Path, went: Callable[[int, bool], None]) -> None:
        super().__init__(path.open("rb", buffering=0))
        self.goes_out = False
        self._went, self._begins = went, True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go elsewhere as any file does: what is read next begins anew, maybe after a pause."""
        self._begins = True
        return super().seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does, and tell how far it is."""
        data = super().read(size)
        if self.goes_out:
            begins, self._begins = self._begins, False
            self._went(self.tell(), begins)
        return data
