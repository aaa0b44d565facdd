"""The Hub's protocol, as huggingface_hub 2.4 speaks it: from a request to an answer, without the network.

Classic LFS only (HF_HUB_DISABLE_XET=1), models only, and one branch: main.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from .repos import Access, Commit, File, Repo, git_oid, goes_to_lfs

JSON = "application/json; charset=utf-8"
LFS_JSON = "application/vnd.git-lfs+json"
PARTS = {"repo": r"(?P<repo>[^/]+(?:/[^/]+)?)", "rev": r"(?P<rev>[^/]+)", "path": r"(?P<path>.+)"}


@dataclass
class Call:
    """A request as a route sees it; `access` is None for one without a token."""

    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    access: Access | None

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def asks(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("1", "true")


@dataclass
class Answer:
    """What goes back: a status, headers, a body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        return cls(status, json.dumps(value).encode(), {"Content-Type": JSON, **(headers or {})})

    @classmethod
    def error(cls, status: int, message: str, code: str | None = None) -> Answer:
        """Return an error as the Hub does: its message in the body and in a header, its kind in another."""
        shown = "".join(letter if " " <= letter <= "~" else "?" for letter in message)  # a header takes no others
        headers = {"X-Error-Message": shown, **({"X-Error-Code": code} if code else {})}
        return cls.json({"error": message}, status, headers)


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the server
    """An answer that ends a request."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.answer = Answer.error(status, message, code)
        self.answer.headers.update(headers or {})


Route = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Say which requests a method of Site answers: {repo}, {rev} and {path} become its arguments."""

    def register(function: Route) -> Route:
        ROUTES.append((method, re.compile(pattern.format(**PARTS)), function))
        return function

    return register


class Site:
    """All repositories and tokens, and the answer to each request."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, Access] = {}
        self.lock = threading.RLock()
        self._uploads: dict[str, tuple[Repo, str, int]] = {}

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out one request."""
        for wanted, pattern, function in ROUTES:
            match = pattern.fullmatch(path)
            if match and wanted == ("GET" if method == "HEAD" else method):
                parts = {name: unquote(part) for name, part in match.groupdict().items() if part is not None}
                try:
                    call = Call(parse_qs(query), headers, body, self._access(headers.get("authorization")))
                    with self.lock:
                        return function(self, call, **parts)
                except Refusal as refusal:
                    return refusal.answer
        return Answer.error(404, "Sorry, we can't find the page you are looking for.")

    @route("GET", "/api/whoami-v2")
    def whoami(self, call: Call) -> Answer:
        return Answer.json(_known(call).as_json())

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self, call: Call) -> Answer:
        bare = not call.json()["content"].startswith("---\n")
        warnings = [{"message": "empty or missing yaml metadata in repo card"}] if bare else []
        return Answer.json({"errors": [], "warnings": warnings})

    @route("POST", "/api/repos/create")
    def create(self, call: Call) -> Answer:
        access, asked = _known(call), call.json()
        namespace = asked.get("organization") or access.user
        name = f"{namespace}/{asked['name']}"
        if asked.get("type", "model") != "model":
            raise Refusal(400, "this server has models only")
        if not access.may_create(namespace):
            raise Refusal(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        there = {"url": f"{self.endpoint}/{name}", "name": name}
        if name in self.repos:
            return Answer.json({"error": "You already created this model repo", **there}, 409)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.repos[name] = Repo(name, private, creator=access.user)
        return Answer.json({**there, "id": git_oid("repo", name.encode())[:24]})

    @route("PUT", "/api/models/{repo}/settings")
    def settings(self, call: Call, repo: str) -> Answer:
        found, asked = self._writable(call, repo), call.json()
        if "visibility" in asked or "private" in asked:
            found.private = asked.get("visibility") == "private" or bool(asked.get("private"))
        found.gated = asked.get("gated", found.gated)
        return Answer.json({"private": found.private, "gated": found.gated})

    @route("GET", "/api/models/{repo}/auth-check(?P<write>/write)?")
    def auth_check(self, call: Call, repo: str, write: str = "") -> Answer:
        return Answer.json({}) if (self._writable if write else self._readable)(call, repo) else Answer()

    @route("GET", "/api/models/{repo}(?:/revision/{rev})?")
    def info(self, call: Call, repo: str, rev: str = "main") -> Answer:
        found = self._readable(call, repo)
        commit = _commit(found, rev)
        wanted = {*call.query.get("expand", []), *call.query.get("expand[]", [])}
        told = _description(found, commit, blobs=call.asks("blobs"))
        return Answer.json(
            {name: value for name, value in told.items() if not wanted or name in {"_id", "id", *wanted}}
        )

    @route("GET", "/api/models/{repo}/commits/{rev}")
    def history(self, call: Call, repo: str, rev: str) -> Answer:
        found = self._readable(call, repo)
        commits = found.commits[: found.commits.index(_commit(found, rev)) + 1]
        return Answer.json([
            {"id": each.sha, "title": each.message, "message": each.description, "date": each.date,
             "authors": [{"user": each.author}]}
            for each in reversed(commits)
        ])  # fmt: skip

    @route("GET", "/api/models/{repo}/tree/{rev}(?:/{path})?")
    def tree(self, call: Call, repo: str, rev: str, path: str = "") -> Answer:
        commit = _commit(self._readable(call, repo), rev)
        under = f"{path.strip('/')}/" if path.strip("/") else ""
        files = {name: file for name, file in commit.files.items() if name.startswith(under)}
        if under and not files:
            raise Refusal(404, f'{path} does not exist on "{rev}"', "EntryNotFound")
        folders = {parent for name in files for parent in _parents(name) if len(parent) > len(under)}
        entries = [_folder(name, commit) for name in sorted(folders)] + [_entry(*each) for each in files.items()]
        deep = call.asks("recursive")
        return Answer.json([each for each in entries if deep or "/" not in each["path"][len(under) :]])

    @route("POST", "/api/models/{repo}/paths-info/{rev}")
    def paths_info(self, call: Call, repo: str, rev: str) -> Answer:
        commit = _commit(self._readable(call, repo), rev)
        form = call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        paths = parse_qs(call.body.decode()).get("paths", []) if form else call.json()["paths"]
        folders = {parent for name in commit.files for parent in _parents(name)}
        told = [_entry(path, commit.files[path]) for path in paths if path in commit.files]
        return Answer.json(told + [_folder(path, commit) for path in paths if path.rstrip("/") in folders])

    @route("POST", "/api/models/{repo}/preupload/{rev}")
    def preupload(self, call: Call, repo: str, rev: str) -> Answer:
        there, asked = _commit(self._writable(call, repo), rev).files, call.json()
        ignored = asked.get("gitIgnore")
        if ignored is None:
            ignored = there[".gitignore"].data.decode() if ".gitignore" in there else ""
        return Answer.json({"files": [_mode(each, there.get(each["path"]), ignored) for each in asked["files"]]})

    @route("POST", r"/{repo}\.git/info/lfs/objects/batch")
    def lfs_batch(self, call: Call, repo: str) -> Answer:
        found, asked = self._writable(call, repo), call.json()
        if "basic" not in asked.get("transfers", ["basic"]):
            raise Refusal(422, "this server has the basic transfer only")
        objects = [self._actions(found, each["oid"], each["size"]) for each in asked["objects"]]
        return Answer.json({"transfer": "basic", "objects": objects}, headers={"Content-Type": LFS_JSON})

    @route("PUT", "/lfs-upload/{path}")
    def upload(self, call: Call, path: str) -> Answer:
        if path not in self._uploads:  # the address is the permission, as a signed one is: no token comes with it
            raise Refusal(403, "Request has expired")
        repo, oid, size = self._uploads[path]
        if len(call.body) != size or hashlib.sha256(call.body).hexdigest() != oid:
            raise Refusal(400, "The SHA256 or the size you specified did not match what we received.")
        repo.lfs[oid] = call.body
        return Answer(headers={"ETag": f'"{oid}"'})

    @route("POST", r"/{repo}\.git/info/lfs/objects/verify")
    def lfs_verify(self, call: Call, repo: str) -> Answer:
        found, asked = self._writable(call, repo), call.json()
        if len(found.lfs.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(404, "Object does not exist")
        return Answer.json({})

    @route("POST", "/api/models/{repo}/commit/{rev}")
    def commit(self, call: Call, repo: str, rev: str) -> Answer:
        found = self._writable(call, repo)
        if call.asks("create_pr") or _commit(found, rev) is not found.commits[-1]:
            raise Refusal(501, "this server commits to main only")
        lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit", found.head) != found.head:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        add, delete = _operations(found, lines)
        author = _known(call).user
        done = found.commit(header["summary"], add, delete, author=author, description=header.get("description", ""))
        url = f"{self.endpoint}/{found.name}/commit/{done.sha}"
        return Answer.json({"success": True, "commitOid": done.sha, "commitUrl": url, "hookOutput": ""})

    @route("GET", "/{repo}/resolve/{rev}/{path}")
    def resolve(self, call: Call, repo: str, rev: str, path: str) -> Answer:
        found = self._readable(call, repo)
        if found.gated and not (call.access and call.access.may_read(found)):
            status = 403 if call.access else 401
            raise Refusal(status, f"Access to model {repo} is restricted. You must have access to it.", "GatedRepo")
        commit = _commit(found, rev)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if path not in commit.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        file = commit.files[path]
        headers |= {"ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"}
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.data))}
        return _part(file.data, call.headers.get("range"), headers)

    def _access(self, header: str | None) -> Access | None:
        if header is None:
            return None
        known = self.tokens.get(header.removeprefix("Bearer "))
        if known is None:  # even for what is public
            raise Refusal(401, "Invalid credentials in Authorization header")
        return known

    def _readable(self, call: Call, name: str) -> Repo:
        repo = self.repos.get(name)
        if repo is not None and (not repo.private or (call.access is not None and call.access.may_read(repo))):
            return repo
        if call.access is None:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise Refusal(404, "Repository not found", "RepoNotFound")

    def _writable(self, call: Call, name: str) -> Repo:
        repo, access = self._readable(call, name), _known(call)
        if not access.may_write(repo):
            raise Refusal(403, access.why_not())
        return repo

    def _actions(self, repo: Repo, oid: str, size: int) -> dict[str, Any]:
        told: dict[str, Any] = {"oid": oid, "size": size}
        if oid in repo.lfs:
            return told
        key = secrets.token_hex(16)
        self._uploads[key] = (repo, oid, size)
        verify = f"{self.endpoint}/{repo.name}.git/info/lfs/objects/verify"
        actions = {"upload": {"href": f"{self.endpoint}/lfs-upload/{key}"}, "verify": {"href": verify}}
        return {**told, "authenticated": True, "actions": actions}


def _known(call: Call) -> Access:
    if call.access is None:
        raise Refusal(401, "Invalid username or password.")
    return call.access


def _commit(repo: Repo, revision: str) -> Commit:
    commit = repo.at(revision)
    if commit is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _operations(repo: Repo, lines: list[dict[str, Any]]) -> tuple[dict[str, File], list[str]]:
    """Return what a commit adds and the files that it deletes; one that cannot be carried out whole is refused."""
    add: dict[str, File] = {}
    delete: list[str] = []
    lost = []
    for key, value in ((line["key"], line["value"]) for line in lines):
        path = value.get("path", "")
        if key == "file":
            content = value["content"]
            add[path] = File(base64.b64decode(content) if value.get("encoding") == "base64" else content.encode())
        elif key == "lfsFile" and value["oid"] in repo.lfs:
            add[path] = File(repo.lfs[value["oid"]], lfs=True)
        elif key == "lfsFile":
            lost.append(path)
        elif key in ("deletedFile", "deletedFolder"):
            delete += _deleted(repo, path, folder=key == "deletedFolder")
    if lost:
        raise Refusal(
            400,
            "Your push was rejected because an LFS pointer pointed to a file that does not exist. For instance, this "
            "can happen if you used git push --no-verify to push your changes. Offending file: - " + " - ".join(lost),
        )
    return add, delete


def _deleted(repo: Repo, path: str, *, folder: bool) -> list[str]:
    files = repo.commits[-1].files
    found = [each for each in files if (each.startswith(f"{path.rstrip('/')}/") if folder else each == path)]
    if not found:
        raise Refusal(404, f"A {'folder' if folder else 'file'} with this name doesn't exist", "EntryNotFound")
    return found


def _mode(asked: dict[str, Any], there: File | None, ignored: str) -> dict[str, Any]:
    path, sample = asked["path"], base64.b64decode(asked.get("sample", ""))
    patterns = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    ignore = any(fnmatch(path, each) or fnmatch(path.split("/")[-1], each) for each in patterns)
    mode = "lfs" if goes_to_lfs(path, asked["size"], sample) else "regular"
    told = {"path": path, "uploadMode": mode, "shouldIgnore": ignore}
    return {**told, "oid": there.etag} if there else told


def _description(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in commit.files.items()]
    return {
        "_id": git_oid("repo", repo.name.encode())[:24], "id": repo.name, "modelId": repo.name,
        "author": repo.namespace, "sha": commit.sha, "createdAt": repo.commits[0].date, "lastModified": commit.date,
        "private": repo.private, "gated": repo.gated, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
        "usedStorage": sum(len(file.data) for file in commit.files.values()), "siblings": siblings,
    }  # fmt: skip


def _blob(file: File) -> dict[str, Any]:
    told = {"size": len(file.data), "blobId": file.oid}
    lfs = {"sha256": file.sha256, "size": len(file.data), "pointerSize": len(file.pointer)}
    return {**told, "lfs": lfs} if file.lfs else told


def _entry(path: str, file: File) -> dict[str, Any]:
    told = {"type": "file", "path": path, "oid": file.oid, "size": len(file.data)}
    lfs = {"oid": file.sha256, "size": len(file.data), "pointerSize": len(file.pointer)}
    return {**told, "lfs": lfs} if file.lfs else told


def _folder(path: str, commit: Commit) -> dict[str, Any]:
    """Return a folder's entry; its oid changes with what is in it, but is not git's."""
    inside = "".join(f"{file.oid} {name}\n" for name, file in commit.files.items() if name.startswith(f"{path}/"))
    return {"type": "directory", "path": path.rstrip("/"), "oid": git_oid("tree", inside.encode()), "size": 0}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _part(data: bytes, asked: str | None, headers: dict[str, str]) -> Answer:
    """Return all of a file, or the one range that was asked for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
    if match is None:
        return Answer(200, data, headers)
    first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    if first > last:
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return Answer(status, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[first : last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
