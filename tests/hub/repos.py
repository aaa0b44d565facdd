"""Repositories as the Hub keeps them, in memory: commits of files, large ones as LFS objects; and who may do what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from typing import Any

LFS_PATTERNS = (
    "*.safetensors", "*.bin", "*.onnx", "*.gguf", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.npy", "*.npz",
    "*.parquet", "*.pickle", "*.pkl", "*.gz", "*.zip",
)  # fmt: skip
LFS_OVER = 10 * 1024 * 1024
GIT_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
WRITERS = ("admin", "write")


def git_oid(kind: str, data: bytes) -> str:
    """Return the name that git gives to an object."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


def goes_to_lfs(path: str, size: int, sample: bytes = b"") -> bool:
    """Return whether the Hub wants the file as an LFS object: by its name, its size, or because it is binary."""
    return size > LFS_OVER or b"\0" in sample or any(fnmatch(path.split("/")[-1], each) for each in LFS_PATTERNS)


@dataclass(frozen=True)
class File:
    """A file of a commit; of an LFS object, git has only a pointer."""

    data: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        return git_oid("blob", self.pointer if self.lfs else self.data)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """All files of a repository at one moment."""

    sha: str
    parent: str | None
    message: str
    description: str
    author: str
    date: str
    files: Mapping[str, File] = field(repr=False)


@dataclass
class Repo:
    """A model repository; `lfs` holds what was uploaded, whether or not a commit names it."""

    name: str
    private: bool = False
    gated: str | bool = False
    creator: str = ""
    commits: list[Commit] = field(default_factory=list)
    lfs: dict[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.commit("initial commit", {".gitattributes": File(GIT_ATTRIBUTES)})

    @property
    def namespace(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def head(self) -> str:
        return self.commits[-1].sha

    def at(self, revision: str = "main") -> Commit | None:
        """Return the commit of a revision: the one branch, main, or a commit's whole name."""
        if revision in ("main", "refs/heads/main"):
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.sha == revision), None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Return the content of each file at a revision, .gitattributes among them as on the Hub."""
        commit = self.at(revision)
        assert commit is not None, f"{self.name} has no {revision}"
        return {path: file.data for path, file in commit.files.items()}

    def commit(
        self,
        message: str,
        add: Mapping[str, File],
        delete: Iterable[str] = (),
        *,
        author: str = "",
        description: str = "",
    ) -> Commit:
        """Put a commit on main; `delete` are names of files."""
        files = dict(self.commits[-1].files) if self.commits else {}
        for path in delete:
            del files[path]
        files.update(add)
        for file in add.values():
            if file.lfs:
                self.lfs[file.sha256] = file.data
        files = dict(sorted(files.items()))
        parent = self.head if self.commits else None
        date = (FIRST_DAY + timedelta(minutes=len(self.commits))).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        tree = "".join(f"{file.oid} {path}\n" for path, file in files.items())
        sha = git_oid("commit", f"{self.name}\n{parent}\n{author}\n{date}\n{message}\n{description}\n{tree}".encode())
        self.commits.append(Commit(sha, parent, message, description, author or self.creator, date, files))
        return self.commits[-1]


@dataclass(frozen=True)
class Access:
    """What a token stands for: a user, and what it lets its bearer do in the user's name.

    `scoped` is for the role fineGrained: permissions by the name of a user, an organization or a repository.
    """

    user: str
    role: str
    orgs: Mapping[str, str]
    scoped: Mapping[str, Sequence[str]]
    everywhere: Sequence[str]

    def may_read(self, repo: Repo) -> bool:
        if self.role == "fineGrained":
            return bool({"repo.content.read", "repo.write"} & self._permissions(repo.namespace, repo.name))
        return repo.namespace == self.user or repo.namespace in self.orgs

    def may_write(self, repo: Repo) -> bool:
        if self.role == "fineGrained":
            return "repo.write" in self._permissions(repo.namespace, repo.name)
        return self.role == "write" and (
            repo.namespace == self.user
            or self.orgs.get(repo.namespace) in WRITERS
            or (self.orgs.get(repo.namespace) == "contributor" and repo.creator == self.user)
        )

    def may_create(self, namespace: str) -> bool:
        if self.role == "fineGrained":
            return "repo.write" in self._permissions(namespace)
        writer = self.orgs.get(namespace) in (*WRITERS, "contributor")
        return self.role == "write" and (namespace == self.user or writer)

    def why_not(self) -> str:
        """Return the Hub's words for a refused upload."""
        if self.role == "read":
            return "you must use a write token to upload to a repository."
        if self.role == "fineGrained":
            return "Authorization error."
        return "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"

    def as_json(self) -> dict[str, Any]:
        """Return the answer of whoami-v2."""
        token: dict[str, Any] = {"displayName": "tests", "role": self.role, "createdAt": FIRST_DAY.isoformat()}
        if self.role == "fineGrained":
            scoped = [{"entity": self._entity(name), "permissions": [*may]} for name, may in self.scoped.items()]
            token["fineGrained"] = {"canReadGatedRepos": False, "global": [*self.everywhere], "scoped": scoped}
        orgs = [{**_account("org", name), "roleInOrg": role, "isEnterprise": False} for name, role in self.orgs.items()]
        person = {**_account("user", self.user), "emailVerified": True, "isPro": False}
        return {**person, "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}}

    def _permissions(self, *names: str) -> set[str]:
        return {permission for name in names for permission in self.scoped.get(name, ())}

    def _entity(self, name: str) -> dict[str, str]:
        kind = "model" if "/" in name else "user" if name == self.user else "org"
        return {"_id": _identity(name), "type": kind, "name": name}


def _account(kind: str, name: str) -> dict[str, Any]:
    email = f"{name}@example.com" if kind == "user" else None
    shown = {"type": kind, "id": _identity(name), "name": name, "fullname": name.title(), "email": email}
    return {**shown, "canPay": False, "periodEnd": None, "avatarUrl": f"/avatars/{_identity(name)}.svg"}


def _identity(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()[:24]
