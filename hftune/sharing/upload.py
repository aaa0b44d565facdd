"""A staged repository onto the Hub in one commit: made once, also when an answer is lost on the way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import HftuneError, UsageError
from hftune.hub import endpoint
from hftune.sharing.errors import PushError, explain, explained, status_of
from hftune.sharing.patience import BUSY, LONGEST_PAUSE, Patience
from hftune.sharing.repository import File, Staged, is_allowed

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Somebody else's commit came between, or the Hub takes it to be so.
_CONFLICT = frozenset({409, 412})
_MOST_CONFLICTS = 2

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
class Pushed:
    """What a push came to; `unchanged`: the Hub had exactly these files, no commit was made."""

    repo: str
    url: str
    commit: str
    private: bool
    unchanged: bool


def look(api: HfApi, repo: str) -> Place:
    """Return what the Hub has of a repository; raises PushError when it does not answer."""
    with explained("looking at the repository", repo):
        try:
            info = api.model_info(repo)
        except Exception as error:
            if status_of(error) != 404:
                raise
            return Place(repo, None, None)
    return Place(repo, str(info.sha), bool(info.private))


def settle_visibility(place: Place, asked: bool | None) -> bool:
    """Return whether the repository will be private; raises UsageError where that would surprise.

    `asked`: True for private, False for public, None for not said: a new repository is private then.
    """
    if asked is None and place.private is False:
        hint = "Give --public to push there all the same, --private to hide the whole repository, or another name."
        raise UsageError(f"{place.repo} is there already and public: everybody would see this model", hint)
    if asked is None:
        return place.private is not False
    return asked


def upload(
    api: HfApi, place: Place, private: bool, staged: Staged, message: str, patience: Patience, progress: Progress
) -> Pushed:
    """Bring the repository to hold `staged`, and say what came of it; raises PushError.

    At most one commit is made. Each try begins by comparing what the Hub has, so an answer that was lost (the commit
    is there, nobody said so) is found out and nothing is sent twice. Of the files that are there, those that hftune
    makes and that are no part of `staged` go; all others stay.
    """
    if place.head is None:
        place = _create(api, place, private)
    elif private and not place.private:
        _show(api, place, private)  # hidden before anything new is in it
    commit, unchanged = _commit(api, place, staged, message, patience, progress)
    if place.private and not private:
        _show(api, place, private)  # shown once it is whole
    return Pushed(place.repo, place.url, commit, private, unchanged)


def _create(api: HfApi, place: Place, private: bool) -> Place:
    with explained("making the repository", place.repo):
        api.create_repo(place.repo, private=private, exist_ok=True)
    made = look(api, place.repo)
    if made.head is None or (private and not made.private):
        raise PushError(f"{place.url} could not be made as it was asked for", hint="Look at it, then push again.")
    return made


def _show(api: HfApi, place: Place, private: bool) -> None:
    with explained("changing who may see the repository", place.repo):
        api.update_repo_settings(place.repo, private=private)


def _commit(
    api: HfApi, place: Place, staged: Staged, message: str, patience: Patience, progress: Progress
) -> tuple[str, bool]:
    """Return the commit that has `staged`, and whether it was there before."""
    pause, tried, conflicts = 1.0, False, 0
    while True:
        now = look(api, place.repo)
        if now.head is None:
            raise PushError(f"{place.repo} has gone from the Hub", hint="Push again: it is made anew.")
        add, delete = _differences(api, now, staged)
        if not add and not delete:
            return now.head, not tried
        if now.head != place.head:
            hint = f"Look at {place.url}/commits/main, then push again."
            raise PushError(f"{place.repo} was changed by somebody else while this was on its way", hint)
        tried = True
        try:
            with _reading(add, patience, progress) as additions:
                made = api.create_commit(
                    place.repo, [*additions, *_deletions(delete)], commit_message=message, parent_commit=now.head
                )
            return str(made.oid), False
        except HftuneError:
            raise
        except Exception as error:
            if (ours := _ours(error)) is not None:
                raise ours from error
            status = status_of(error)
            conflicts += status in _CONFLICT
            again = status is None or status in BUSY | _CONFLICT
            if not again or conflicts > _MOST_CONFLICTS or pause >= patience.left:
                raise explain(error, "uploading", place.repo) from error
            patience.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _ours(error: BaseException | None) -> HftuneError | None:
    """Return the error of ours (no time is left, nobody listens) that the client wrapped into one of its own."""
    while error is not None and not isinstance(error, HftuneError):
        error = error.__cause__
    return error


def _differences(api: HfApi, now: Place, staged: Staged) -> tuple[list[File], list[str]]:
    """Return the files that the Hub does not have so, and the names of those that an earlier push left there."""
    with explained("comparing with what is there", now.repo):
        there = {
            entry.path: entry
            for entry in api.list_repo_tree(now.repo, revision=now.head, recursive=True)
            if hasattr(entry, "blob_id")
        }
    add = [file for file in staged.files if file.name not in there or not _same(file, there[file.name])]
    kept = {file.name for file in staged.files}
    return add, [name for name in there if is_allowed(name) and name not in kept]


def _same(file: File, entry: Any) -> bool:
    """Whether a file of ours is what the Hub has: by size, then by SHA-256 of a large file or git's name of a small."""
    if entry.size != file.size:
        return False
    if entry.lfs is not None:
        with file.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == str(entry.lfs.sha256)
    content = file.path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == str(entry.blob_id)


def _deletions(names: list[str]) -> list[Any]:
    from huggingface_hub import CommitOperationDelete

    return [CommitOperationDelete(path_in_repo=name, is_folder=False) for name in names]


class _reading:  # noqa: N801 - used as a statement
    """The operations that add files, which are read through a counter while they go out."""

    def __init__(self, files: list[File], patience: Patience, progress: Progress) -> None:
        self._files, self._patience, self._progress = files, patience, progress
        self._open: list[Counted] = []

    def __enter__(self) -> list[Any]:
        from huggingface_hub import CommitOperationAdd

        total = sum(file.size for file in self._files)
        at: dict[str, int] = {}
        operations = []
        for file in self._files:

            def went(position: int, name: str = file.name) -> None:
                at[name] = position
                try:
                    self._progress(sum(at.values()), total)
                except OSError as error:  # it would be taken for one of the network, and tried again
                    raise PushError("whoever was told how far it is has gone: nothing more is sent") from error

            opened = Counted(file.path, went, self._patience)
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

    def __init__(self, path: Path, went: Callable[[int], None], patience: Patience) -> None:
        super().__init__(path.open("rb", buffering=0))
        self.goes_out = False
        self._went, self._patience = went, patience
        self._since = patience.now()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does; the time since the piece before was that piece's way out."""
        data = super().read(size)
        if self.goes_out:
            now = self._patience.now()
            if self.tell() > len(data):
                self._patience.bytes_went(now - self._since)
            self._since = now
            self._patience.check()
            self._went(self.tell())
        return data
